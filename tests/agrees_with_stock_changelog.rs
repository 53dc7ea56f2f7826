//! gnotify and the stock features/changelog stand side by side in one graph and see the same fops, random
//! ones by the thousand. What gnotify wrote, reduced by the rules of stock, is what stock wrote.
//!
//! The rules are those of the changelog's exporter, so that they are what is compared too. If gnotify dropped a record, stock
//! would have one more: each entry fop is one record in both, and for content and for each of stock's two
//! kinds of metadata the first record of an inode is in both. (Only one thing passes unseen: of several writes
//! to one file, stock has the first alone.) If stock dropped one, gnotify would have one more.
//! `stock_comparison/tests.rs` shows both on altered lists, and each run ends by taking records out of its own journal.
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

mod stock_comparison;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use gnotify_changelog::codec;
use gnotify_harness::{
    Brick, Mount, MountSpec, Random, Sandbox, Volfile, assert_accounted, host_test,
    make_directories, rounds, seed, wait_for, work_on_mount, work_through_gfapi,
};
use gnotify_journal::What;
use gnotify_record::{Fop, Gfid, Origin, Record};

use stock_comparison::{Told, compare, differ_in_order, effective, firsts, once, reduce};

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
