//! gnotify and the stock features/changelog stand side by side in one graph and see the same fops, random
//! ones by the thousand. What gnotify wrote, reduced by the rules of stock, is what stock wrote.
//!
//! The rules are those of the changelog's exporter, so that they are what is compared too. If gnotify dropped a record, stock
//! would have one more: each entry fop is one record in both, and for content and for each of stock's two
//! kinds of metadata the first record of an inode is in both. (Only one thing passes unseen: of several writes
//! to one file, stock has the first alone.) If stock dropped one, gnotify would have one more.
//! `it_notices` shows both on altered lists, and each run ends by taking records out of its own journal.
//!
//! `GNOTIFY_ROUNDS` makes the long ones longer, `GNOTIFY_SEED` repeats one.
//!
//! Known defects of stock that are allowed for, and nothing else:
//!
//! - S1: fallocate, discard, zerofill and copy_file_range are not recorded.
//! - S2: the gfid of a new inode is the one that the client asked for. Where another client was faster, no
//!   inode ever has it: a create without O_EXCL opens the file that the other one made, and a lookup between
//!   the birth and the giving of the gfid gives its own.
//! - S3: the mode of a create, mkdir or mknod is the one that was asked for: through gfapi a create has no
//!   type bits, and a directory in a set-gid directory lacks that bit.
//! - S4: the rename of anything but a directory is not recorded unless the client runs cluster/distribute.
//! - S5: of each inode and slice, the first change of content, of attributes and of extended attributes is
//!   recorded alone. Two threads may both be the first, and an inode that the brick forgets begins anew.
//! - S6: the rename of a name onto itself, which changes nothing, is recorded.
//! - S7: the gfid of a rename, unlink or rmdir is the one that the server remembers for the name. Where a
//!   lookup raced with an earlier rename onto that name, it remembers the inode that was replaced.
//! - S8: nothing that a rebalance does (client pid -3) is recorded.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use gnotify_changelog::export::{self, Class, Exporter};
use gnotify_changelog::rules::{self, Scope};
use gnotify_changelog::{Birth, Change, Entry, Removal, codec};
use gnotify_harness::{
    Brick, Mount, MountSpec, Random, Sandbox, Volfile, assert_accounted, host_test,
    make_directories, rounds, seed, wait_for, work_on_mount, work_through_gfapi,
};
use gnotify_journal::What;
use gnotify_record::{Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Record, Renaming};

/// A record of stock's, or what gnotify's exporter makes of a record of the journal.
type Told = Change<'static>;

/// What this is the first of, if stock leaves out its repetitions.
fn once(told: &Told) -> Option<(Gfid, Class)> {
    export::class(told, Scope::Stock).map(|class| (told.gfid(), class))
}

/// The names in an entry, the older one first.
fn links(told: &Told) -> Vec<&Link<'static>> {
    let Change::Entry { entry, .. } = told else { return Vec::new() };
    match entry {
        Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => vec![&birth.at],
        Entry::Symlink(at) | Entry::Link(at) => vec![at],
        Entry::Rename { old, new } => vec![old, new],
        Entry::Unlink(removal) | Entry::Rmdir(removal) => vec![&removal.at],
    }
}

/// What `link` stands for after this, if this says so.
fn binds(told: &Told, link: &Link<'_>) -> Option<Option<Gfid>> {
    let names = links(told);
    match told.fop()? {
        Fop::RENAME if names[1] == link => Some(Some(told.gfid())),
        Fop::RENAME | Fop::UNLINK | Fop::RMDIR => (names[0] == link).then_some(None),
        _ => (*names.first()? == link).then_some(Some(told.gfid())),
    }
}

/// S3: without what stock has from the request and gnotify from the reply.
fn without_asked_mode(mut told: Told) -> Told {
    match &mut told {
        Change::Entry { entry: Entry::Create(birth), .. } => birth.mode &= 0o7777,
        Change::Entry { entry: Entry::Mkdir(birth), .. } => birth.mode &= !0o2000,
        _ => {}
    }
    told
}

// ---- gnotify's journal, reduced by stock's rules

/// What the exporter makes of the records in `journal`, before it leaves out repetitions.
fn reduce(journal: &[Record<'static>]) -> Vec<Told> {
    let changes = journal.iter().flat_map(|record| rules::changes(record, Scope::Stock));
    changes.map(Change::into_owned).collect()
}

/// All records of a brick's journal.
fn recorded(brick: &Path) -> Vec<Record<'static>> {
    let mut reader = gnotify_journal::Reader::open(&brick.join(".glusterfs/gnotify")).unwrap();
    let mut records = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        if let What::Record(record) = entry.what {
            records.push(record.into_owned());
        }
    }
    records
}

/// Reads a CHANGELOG.
fn parse(file: &[u8]) -> Vec<Told> {
    let mut reader = codec::Reader::new(file).unwrap();
    let mut told = Vec::new();
    while let Some(change) = reader.next().unwrap() {
        told.push(change.into_owned());
    }
    told
}

// ---- the comparison

/// S5: of each inode, the first change of each kind.
fn firsts(told: &[Told]) -> Vec<Told> {
    let mut exporter = Exporter::new(Scope::Stock);
    told.iter().filter(|change| exporter.is_new(change)).cloned().collect()
}

/// S6: what stock wrote, without renames of a name onto itself.
fn effective(mut stock: Vec<Told>) -> Vec<Told> {
    let moves = |told: &Told| match links(told)[..] {
        [old, new] => old != new,
        _ => true,
    };
    stock.retain(moves);
    stock
}

/// The first place where the two differ, of a workload that did one thing after the other.
fn differ_in_order(ours: &[Told], stock: &[Told]) -> Option<String> {
    let comparable = |told: &[Told]| {
        firsts(told).into_iter().map(without_asked_mode).map(Some).collect::<Vec<_>>()
    };
    let (mut ours, mut stock) = (comparable(ours), comparable(stock));
    let length = ours.len().max(stock.len());
    ours.resize(length, None);
    stock.resize(length, None);
    let at = ours.iter().zip(&stock).position(|(ours, stock)| ours != stock)?;
    Some(format!("record {at}: gnotify {:?}, stock {:?}", ours[at], stock[at]))
}

/// What a comparison found.
#[derive(Debug, Default)]
struct Comparison {
    /// What only one of the two has.
    differences: Vec<String>,
    /// Differences that come from S2.
    asked_gfid: usize,
    /// Differences that come from S7.
    remembered_gfid: usize,
    /// Records of stock's that come from the second half of S5.
    repeated: usize,
}

/// Compares without regard to order, for threads that race. `known` tells of a gfid whether an inode has or
/// had it, by other witnesses than the two lists.
fn compare(ours: &[Told], stock: &[Told], known: impl Fn(Gfid) -> bool) -> Comparison {
    let mut found = Comparison::default();
    // Entries: as often in the one as in the other.
    let mut balance: HashMap<Told, i64> = HashMap::new();
    for (told, one) in ours.iter().map(|told| (told, 1)).chain(stock.iter().map(|told| (told, -1)))
    {
        if once(told).is_none() {
            *balance.entry(without_asked_mode(told.clone())).or_default() += one;
        }
    }
    let only = |sign: i64| -> Vec<Told> {
        let too_many = |(told, count): (&Told, &i64)| {
            let times = usize::try_from(count * sign).unwrap_or(0);
            std::iter::repeat_n(told.clone(), times)
        };
        balance.iter().flat_map(too_many).collect()
    };
    let (only_ours, mut only_stock) = (only(1), only(-1));
    let known = |gfid: Gfid| known(gfid) || stock.iter().any(|told| told.gfid() == gfid);
    for told in only_ours {
        let asked = |stock: &Told| is_of_asked_gfid(&told, stock, ours) && known(told.gfid());
        let remembered = |stock: &Told| is_of_remembered_gfid(&told, stock, ours);
        if let Some(at) = only_stock.iter().position(asked) {
            only_stock.remove(at);
            found.asked_gfid += 1;
        } else if let Some(at) = only_stock.iter().position(remembered) {
            only_stock.remove(at);
            found.remembered_gfid += 1;
        } else {
            found.differences.push(format!("only gnotify: {told:?}"));
        }
    }
    found.differences.extend(only_stock.iter().map(|told| format!("only stock: {told:?}")));
    // The rest: for each inode and kind in both or in none, and stock's fop is one that there was.
    let kinds = |all: &[Told]| all.iter().filter_map(once).collect::<BTreeSet<_>>();
    let (our_kinds, stock_kinds) = (kinds(ours), kinds(stock));
    let lacking =
        |whose: &str, (gfid, class): &(Gfid, Class)| format!("only {whose}: {gfid} {class:?}");
    let more = our_kinds.difference(&stock_kinds).map(|once| lacking("gnotify", once));
    found.differences.extend(more);
    let more = stock_kinds.difference(&our_kinds).map(|once| lacking("stock", once));
    found.differences.extend(more);
    let ours: HashSet<&Told> = ours.iter().collect();
    let unknown = stock.iter().filter(|told| once(told).is_some() && !ours.contains(told));
    found.differences.extend(unknown.map(|told| format!("only stock: {told:?}")));
    found.repeated = stock.len() - firsts(stock).len();
    found
}

/// S2: whether both tell of one birth, and no other record knows the gfid that was asked for.
fn is_of_asked_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let births = [Fop::CREATE, Fop::MKDIR, Fop::MKNOD, Fop::SYMLINK];
    let same = |told: &Told| {
        // The mode is that of the file which was there.
        let owner = match told {
            Change::Entry {
                entry: Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth),
                ..
            } => Some((birth.uid, birth.gid)),
            _ => None,
        };
        (told.fop().filter(|fop| births.contains(fop)), owner)
    };
    same(ours).0.is_some()
        && same(ours) == same(stock)
        && links(ours) == links(stock)
        && all.iter().all(|told| told.gfid() != stock.gfid())
}

/// S7: whether both tell of one rename or removal of a name, and by all that was recorded before it, gnotify is
/// right.
fn is_of_remembered_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let takes_a_name = [Fop::RENAME, Fop::UNLINK, Fop::RMDIR];
    if !ours.fop().is_some_and(|fop| takes_a_name.contains(&fop)) {
        return false;
    }
    let name = links(ours)[0];
    let holder = |at: usize| all[..at].iter().rev().find_map(|told| binds(told, name));
    let places = all.iter().enumerate().filter(|(_, told)| *told == ours);
    (ours.fop(), links(ours)) == (stock.fop(), links(stock))
        && places.map(|(at, _)| holder(at)).any(|holder| holder == Some(Some(ours.gfid())))
}

// ---- the graph

/// gnotify right above changelog, so that both see the same fops. No slice ends within the run.
const GRAPH: &str = "
volume posix
  type storage/posix
  option directory @BRICK@
end-volume

volume changelog
  type features/changelog
  option changelog-brick @BRICK@
  option changelog-dir @BRICK@/.glusterfs/changelogs
  option changelog on
  option encoding ascii
  option rollover-time 864000
  subvolumes posix
end-volume

volume gnotify
  type @PLUGIN@
  @OPTIONS@
  subvolumes changelog
end-volume

volume access-control
  type features/access-control
  subvolumes gnotify
end-volume

volume locks
  type features/locks
  subvolumes access-control
end-volume

volume brick
  type performance/io-threads
  subvolumes locks
end-volume

volume server
  type protocol/server
  option transport-type socket
  option transport.address-family unix
  option transport.socket.listen-path @SOCKET@
  option auth.addr.brick.allow *
  subvolumes brick
end-volume
";

fn start(t: &Sandbox) -> Brick {
    let spec = t.brick("b").graph(Volfile::from_text(GRAPH)).option("journal", "on");
    // Nothing may be dropped, however slow the disk is.
    spec.option("detail", "all").option("ring-size", "64MB").start()
}

/// A mount whose client distributes over one brick, which sends with each rename what stock asks for.
fn distributing_mount(t: &Sandbox, brick: &Brick, name: &str) -> MountSpec {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol");
    let text = fs::read_to_string(path).unwrap()
        + "\nvolume distribute\n  type cluster/distribute\n  subvolumes client\nend-volume\n";
    let graph = Volfile::from_text(text).fill("SOCKET", brick.socket().to_string_lossy());
    MountSpec::of_graph(t, name, graph)
}

/// Makes the last change, and returns what both wrote.
fn both(brick: &Brick, mount: &Mount) -> (Vec<Record<'static>>, Vec<Told>) {
    fs::create_dir(mount.path().join("the end")).unwrap();
    let mut journal = Vec::new();
    wait_for("the last record", || {
        journal = brick.dump();
        journal.iter().any(|entry| entry["name"] == "the end")
    });
    assert_accounted(&journal);
    let lost = journal.iter().find(|entry| entry["statement"] == "GAP");
    assert!(lost.is_none(), "{lost:?}");
    let file = fs::read(brick.dir().join(".glusterfs/changelogs/CHANGELOG")).unwrap();
    (recorded(brick.dir()), effective(parse(&file)))
}

// ---- the runs

/// Fails when the random numbers left out a fop that the test is about.
fn assert_varied(journal: &[Record<'_>], fops: &[Fop]) {
    let mut count: BTreeMap<Fop, u64> = BTreeMap::new();
    for record in journal {
        *count.entry(record.fop).or_default() += 1;
    }
    println!("{} records: {count:?}", journal.len());
    for fop in fops {
        assert!(count.contains_key(fop), "no {fop} in the whole run");
    }
}

/// What a mount and gfapi send between them.
const ALL: [Fop; 21] = [
    Fop::CREATE,
    Fop::MKDIR,
    Fop::MKNOD,
    Fop::SYMLINK,
    Fop::LINK,
    Fop::RENAME,
    Fop::UNLINK,
    Fop::RMDIR,
    Fop::WRITE,
    Fop::TRUNCATE,
    Fop::FTRUNCATE,
    Fop::FALLOCATE,
    Fop::DISCARD,
    Fop::ZEROFILL,
    Fop::COPY_FILE_RANGE,
    Fop::SETATTR,
    Fop::FSETATTR,
    Fop::SETXATTR,
    Fop::FSETXATTR,
    Fop::REMOVEXATTR,
    Fop::FREMOVEXATTR,
];

host_test!(of_one_thread_in_order, |t| one_thread(t, 1));
host_test!(
    #[ignore = "long: make test-long"]
    of_one_thread_in_order_for_long,
    |t| one_thread(t, rounds(20))
);

fn one_thread(t: &Sandbox, rounds: u64) {
    let mut random = Random::seeded(seed());
    let brick = start(t);
    let mount = distributing_mount(t, &brick, "m").start();
    make_directories(mount.path());
    for round in 0..2 * rounds {
        work_on_mount(mount.path(), &mut random, 4000);
        work_through_gfapi(&brick.gfapi(), &format!("g{round}"), &mut random, 800);
    }
    let (journal, stock) = both(&brick, &mount);
    assert_varied(&journal, &ALL);
    let ours = reduce(&journal);
    println!(
        "{} records reduced to {}, stock has {}",
        ours.len(),
        firsts(&ours).len(),
        stock.len()
    );
    assert_eq!(differ_in_order(&ours, &stock), None);

    // It would not be so if any record that stock has too were missing, or told too late.
    let ours = firsts(&ours);
    for _ in 0..50 {
        let at = usize::try_from(random.below(ours.len() as u64 - 1)).unwrap();
        let mut altered = ours.clone();
        let removed = altered.remove(at);
        assert!(differ_in_order(&altered, &stock).is_some(), "{removed:?} is not missed");
        altered.insert(at + 1, removed);
        let same = altered == ours;
        assert_eq!(
            differ_in_order(&altered, &stock).is_none(),
            same,
            "record {at} in a wrong place"
        );
    }
}

host_test!(of_threads_and_clients_that_race, |t| racing(t, 1));
host_test!(
    #[ignore = "long: make test-long"]
    of_threads_and_clients_that_race_for_long,
    |t| racing(t, rounds(20))
);

fn racing(t: &Sandbox, rounds: u64) {
    let mut random = Random::seeded(seed());
    let brick = start(t);
    let mount = distributing_mount(t, &brick, "m").start();
    make_directories(mount.path());
    let rebalance = distributing_mount(t, &brick, "rebalance").arg("--client-pid=-3").start();
    let geo = distributing_mount(t, &brick, "geo").arg("--client-pid=-1").start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (mut random, root) = (random.split(), mount.path());
            scope.spawn(move || work_on_mount(root, &mut random, 4000 * rounds));
        }
        for (number, other) in [&rebalance, &geo].into_iter().enumerate() {
            let (mut random, root) = (random.split(), other.path().join(format!("other{number}")));
            fs::create_dir(&root).unwrap();
            make_directories(&root);
            scope.spawn(move || work_on_mount(&root, &mut random, 1000 * rounds));
        }
        for number in 0..2 {
            let (mut random, gfapi) = (random.split(), brick.gfapi());
            scope.spawn(move || {
                for round in 0..rounds {
                    work_through_gfapi(&gfapi, &format!("g{number}-{round}"), &mut random, 1200);
                }
            });
        }
    });
    let (journal, stock) = both(&brick, &mount);
    assert_varied(&journal, &ALL);
    let rebalanced = journal.iter().filter(|record| record.origin == Origin::Rebalance).count();
    assert!(rebalanced > 0, "S8 is part of this");
    let ours = reduce(&journal);
    // Gone without an UNLINK, or there.
    let replaced: BTreeSet<Gfid> = journal.iter().filter_map(|record| record.replaced).collect();
    let known = |gfid: Gfid| {
        let text = gfid.to_string();
        let handle = format!(".glusterfs/{}/{}/{text}", &text[..2], &text[2..4]);
        replaced.contains(&gfid) || brick.dir().join(handle).symlink_metadata().is_ok()
    };
    let found = compare(&ours, &stock, known);
    println!(
        "{} records reduced to {}, stock has {}; S2: {}, S5: {}, S7: {}",
        ours.len(),
        firsts(&ours).len(),
        stock.len(),
        found.asked_gfid,
        found.repeated,
        found.remembered_gfid,
    );
    assert!(found.differences.is_empty(), "seed above: {:#?}", found.differences);

    // It would not be so if the record of an entry were missing, or all of an inode and kind.
    for _ in 0..50 {
        let at = usize::try_from(random.below(ours.len() as u64)).unwrap();
        let mut altered = ours.clone();
        match once(&ours[at]) {
            None => drop(altered.remove(at)),
            missing => altered.retain(|told| once(told) != missing),
        }
        assert!(
            !compare(&altered, &stock, known).differences.is_empty(),
            "{:?} is not missed",
            ours[at]
        );
    }
}

// ---- the reduction and the comparison themselves

const A: Gfid = Gfid([0xaa; 16]);
const B: Gfid = Gfid([0xbb; 16]);
const C: Gfid = Gfid([0xcc; 16]);

fn link(name: &'static [u8]) -> Link<'static> {
    Link { parent: Gfid::ROOT, name: name.into() }
}

/// A fop of a client that does not distribute.
fn fop(fop: Fop, gfid: Gfid) -> Record<'static> {
    Record {
        gfid: Some(gfid),
        caller: Some(Caller { uid: 5, gid: 6, pid: 7 }),
        client: Some(ClientId(1)),
        kind: Some(FileType::Regular),
        at: Some(link(b"f")),
        to: Some(Link { parent: A, name: b"g"[..].into() }),
        mode: Some(0o644),
        ..Record::new(fop, Origin::Client)
    }
}

fn born(gfid: Gfid, mode: u32, entry: fn(Birth<'static>) -> Entry<'static>) -> Told {
    let birth = Birth { mode, uid: 5, gid: 6, at: link(b"f") };
    Change::Entry { gfid, entry: entry(birth) }
}

fn moved(gfid: Gfid, from: &'static [u8], to: &'static [u8]) -> Told {
    Change::Entry { gfid, entry: Entry::Rename { old: link(from), new: link(to) } }
}

fn removed(gfid: Gfid) -> Told {
    let removal = Removal { at: link(b"f"), path: None };
    Change::Entry { gfid, entry: Entry::Unlink(removal) }
}

/// A small journal, and what stock makes of it.
fn example() -> (Vec<Record<'static>>, Vec<Told>) {
    let pipe = Link { parent: Gfid::ROOT, name: b"\xfe\x01\xff"[..].into() };
    let directory = Some(FileType::Directory);
    let hint = Renaming { from: link(b"f"), to: Link { parent: A, name: b"g"[..].into() } };
    let journal = [
        fop(Fop::CREATE, A),
        fop(Fop::WRITE, A),
        fop(Fop::SETXATTR, A),
        fop(Fop::REMOVEXATTR, A),
        fop(Fop::SETATTR, A),
        fop(Fop::TRUNCATE, A),
        fop(Fop::FALLOCATE, A),
        Record { kind: Some(FileType::Fifo), at: Some(pipe.clone()), ..fop(Fop::MKNOD, B) },
        Record { marked: true, ..fop(Fop::MKNOD, C) },
        Record { kind: directory, origin: Origin::Rebalance, ..fop(Fop::MKDIR, C) },
        fop(Fop::RENAME, A),
        Record { renaming: Some(Box::new(hint)), ..fop(Fop::RENAME, A) },
        Record { kind: directory, ..fop(Fop::RENAME, C) },
        fop(Fop::UNLINK, A),
    ];
    let to = Link { parent: A, name: b"g"[..].into() };
    let moved =
        |gfid| Change::Entry { gfid, entry: Entry::Rename { old: link(b"f"), new: to.clone() } };
    let birth = Birth { mode: 0o010_644, uid: 5, gid: 6, at: pipe };
    let stock = vec![
        // S3
        born(A, 0o644, Entry::Create),
        Change::Data { gfid: A },
        Change::Metadata { gfid: A, fop: Fop::SETXATTR },
        Change::Metadata { gfid: A, fop: Fop::SETATTR },
        Change::Entry { gfid: B, entry: Entry::Mknod(birth) },
        moved(A),
        moved(C),
        removed(A),
    ];
    (journal.into(), stock)
}

#[test]
fn the_rules_of_stock() {
    let (journal, stock) = example();
    let ours = reduce(&journal);
    assert_eq!(differ_in_order(&ours, &stock), None);
    assert_eq!(compare(&ours, &stock, |_| false).differences, [""; 0]);
}

/// The same with one thing wrong: a gfid, an owner, a name, a mode's permissions, a fop.
fn wrong(told: &Told) -> Vec<Told> {
    let longer = |link: &Link<'static>| {
        let name = [&link.name[..], b"x"].concat();
        Link { parent: link.parent, name: name.into() }
    };
    let births = |birth: &Birth<'static>| {
        [
            Birth { mode: birth.mode ^ 1, ..birth.clone() },
            Birth { uid: birth.uid ^ 1, ..birth.clone() },
            Birth { gid: birth.gid ^ 1, ..birth.clone() },
            Birth { at: longer(&birth.at), ..birth.clone() },
        ]
    };
    let (gfid, entry) = match told {
        Change::Data { .. } => return vec![Change::Data { gfid: B }],
        Change::Metadata { gfid, .. } => {
            return vec![Change::Metadata { gfid: *gfid, fop: Fop::FSETXATTR }];
        }
        Change::Entry { gfid, entry } => (*gfid, entry),
    };
    let entries: Vec<Entry<'static>> = match entry {
        Entry::Create(birth) => births(birth).map(Entry::Create).into(),
        Entry::Mknod(birth) => births(birth).map(Entry::Mknod).into(),
        Entry::Rename { old, new } => {
            vec![Entry::Rename { old: old.clone(), new: longer(new) }]
        }
        Entry::Unlink(removal) => {
            vec![
                Entry::Unlink(Removal { at: longer(&removal.at), path: None }),
                Entry::Rmdir(removal.clone()),
            ]
        }
        other => panic!("not in the example: {other:?}"),
    };
    let mut wrong: Vec<Told> =
        entries.into_iter().map(|entry| Change::Entry { gfid, entry }).collect();
    wrong.push(Change::Entry { gfid: Gfid::ROOT, entry: entry.clone() });
    wrong
}

#[test]
fn it_notices() {
    let (journal, stock) = example();
    let ours = firsts(&reduce(&journal));
    let differ = |ours: &[Told], stock: &[Told]| {
        let unordered = !compare(ours, stock, |_| false).differences.is_empty();
        assert!(!unordered || differ_in_order(ours, stock).is_some());
        unordered
    };
    // A record that only one of the two has.
    for at in 0..ours.len() {
        let without = |told: &[Told]| [&told[..at], &told[at + 1..]].concat();
        assert!(differ(&without(&ours), &stock), "{:?} is missing in gnotify", ours[at]);
        assert!(differ(&ours, &without(&stock)), "{:?} is missing in stock", stock[at]);
    }
    // An entry twice.
    assert!(differ(&[&ours[..], &ours[..1]].concat(), &stock));
    for (at, told) in ours.iter().enumerate() {
        for wrong in wrong(told) {
            let mut altered = ours.clone();
            altered[at] = wrong.clone();
            assert!(differ(&altered, &stock), "{wrong:?}");
        }
    }
    // Two in the wrong order: only where there is one.
    let mut swapped = stock.clone();
    swapped.swap(0, 4);
    assert!(!differ(&ours, &swapped));
    assert!(differ_in_order(&ours, &swapped).is_some());
}

#[test]
fn another_gfid_of_a_birth_is_excused_only_where_stock_asked_in_vain() {
    let create = |gfid| born(gfid, 0o644, Entry::Create);
    // Two clients make one file: stock has the gfid that the slower one asked for.
    let found = compare(&[create(A), create(A)], &[create(A), create(B)], |_| false);
    assert!(found.differences.is_empty() && found.asked_gfid == 1, "{found:?}");
    // Nobody else knows gnotify's gfid: it is wrong.
    assert_eq!(compare(&[create(A)], &[create(B)], |_| false).differences.len(), 2);
    assert_eq!(compare(&[create(A)], &[create(B)], |gfid| gfid == A).differences.len(), 0);
    // The other gfid is of an inode that exists.
    let used = Change::Data { gfid: B };
    let ours = [create(A), create(A), used.clone()];
    let stock = [create(A), create(B), used];
    assert_eq!(compare(&ours, &stock, |_| true).differences.len(), 2);
}

#[test]
fn another_gfid_of_a_name_is_excused_only_where_the_name_had_gnotifys() {
    let made = [born(B, 0o755, Entry::Mkdir), moved(A, b"a", b"f")];
    let with = |last: Told| [&made[..], &[last]].concat();
    let (right, stale) = (with(moved(A, b"f", b"g")), with(moved(B, b"f", b"g")));
    let found = compare(&right, &stale, |_| false);
    assert!(found.differences.is_empty() && found.remembered_gfid == 1, "{found:?}");
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
    let (right, stale) = (with(removed(A)), with(removed(B)));
    assert_eq!(compare(&right, &stale, |_| false).remembered_gfid, 1);
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
}

#[test]
fn a_rename_onto_itself_is_left_out() {
    let stock = vec![moved(A, b"f", b"f"), moved(A, b"f", b"g")];
    assert_eq!(effective(stock), [moved(A, b"f", b"g")]);
}
