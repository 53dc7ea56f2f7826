//! gnotify and the stock features/changelog stand side by side in one graph and see the same fops, random
//! ones by the thousand. What gnotify wrote, reduced by the rules of stock, is what stock wrote.
//!
//! The two share no code, and the rules are restated here (`reduce`). If gnotify dropped a record, stock
//! would have one more: each entry fop is one record in both, and for content and for each of stock's two
//! kinds of metadata the first record of an inode is in both. (Only one thing passes unseen: of several writes
//! to one file, stock has the first alone.) If stock dropped one, gnotify would have one more.
//! `it_notices` shows both on altered lists, and each run ends by taking records out of its own journal.
//!
//! `GNOTIFY_ROUNDS` makes the runs longer, `GNOTIFY_SEED` repeats one.
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

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{
    Brick, Gfapi, Mount, MountSpec, Random, Sandbox, Volfile, assert_accounted, host_test, rounds,
    seed, wait_for,
};
use serde_json::{Value, json};

/// The numbers of fops, as stock writes them.
mod fop {
    pub(super) const MKNOD: u32 = 3;
    pub(super) const MKDIR: u32 = 4;
    pub(super) const UNLINK: u32 = 5;
    pub(super) const RMDIR: u32 = 6;
    pub(super) const SYMLINK: u32 = 7;
    pub(super) const RENAME: u32 = 8;
    pub(super) const LINK: u32 = 9;
    pub(super) const SETXATTR: u32 = 17;
    pub(super) const REMOVEXATTR: u32 = 19;
    pub(super) const CREATE: u32 = 23;
    pub(super) const XATTROP: u32 = 33;
    pub(super) const FXATTROP: u32 = 34;
    pub(super) const FSETXATTR: u32 = 36;
    pub(super) const SETATTR: u32 = 38;
    pub(super) const FSETATTR: u32 = 39;
    pub(super) const FREMOVEXATTR: u32 = 45;
}

/// "PARENT-GFID/NAME".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Link(Vec<u8>);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A record of stock's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// The content of a file changed.
    Data { gfid: String },
    /// Attributes or extended attributes changed.
    Metadata { gfid: String, fop: u32 },
    /// A name appeared, went or moved. `numbers` are mode, uid and gid where the fop has them.
    Entry { gfid: String, fop: u32, numbers: Vec<u32>, links: Vec<Link> },
}

/// What stock writes once for each inode and slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Once {
    Content,
    Attributes,
    ExtendedAttributes,
}

impl Told {
    fn gfid(&self) -> &str {
        match self {
            Told::Data { gfid } | Told::Metadata { gfid, .. } | Told::Entry { gfid, .. } => gfid,
        }
    }

    /// What this is the first of, if stock leaves out its repetitions.
    fn once(&self) -> Option<(String, Once)> {
        let kind = match self {
            Told::Entry { .. } => return None,
            Told::Data { .. } => Once::Content,
            Told::Metadata { fop: fop::SETATTR | fop::FSETATTR | fop::XATTROP, .. } => {
                Once::Attributes
            }
            Told::Metadata { .. } => Once::ExtendedAttributes,
        };
        Some((self.gfid().to_owned(), kind))
    }

    /// What `link` stands for after this, if this says so.
    fn binds(&self, link: &Link) -> Option<Option<&String>> {
        let Told::Entry { gfid, fop, links, .. } = self else { return None };
        match *fop {
            fop::RENAME if links[1] == *link => Some(Some(gfid)),
            fop::RENAME | fop::UNLINK | fop::RMDIR => (links[0] == *link).then_some(None),
            _ => (links[0] == *link).then_some(Some(gfid)),
        }
    }

    /// S3: without what stock has from the request and gnotify from the reply.
    fn without_asked_mode(mut self) -> Told {
        if let Told::Entry { fop, numbers, .. } = &mut self
            && let Some(mode) = numbers.first_mut()
        {
            match *fop {
                fop::CREATE => *mode &= 0o7777,
                fop::MKDIR => *mode &= !0o2000,
                _ => {}
            }
        }
        self
    }
}

// ---- gnotify's journal, reduced by stock's rules

/// What stock writes of the fops in `journal`, before it leaves out repetitions. `distributes` says whether
/// the client with this process id runs cluster/distribute.
fn reduce(journal: &[Value], distributes: impl Fn(u64) -> bool) -> Vec<Told> {
    let records = journal.iter().filter(|entry| entry["type"] == "record");
    records.filter_map(|record| told(record, &distributes)).collect()
}

fn told(record: &Value, distributes: &impl Fn(u64) -> bool) -> Option<Told> {
    let pid = record["pid"].as_i64().unwrap_or_else(|| panic!("{record}"));
    // S8: rebalance, and that of tiers.
    if pid == -3 || pid == -10 {
        return None;
    }
    let of_the_brick = record.get("client").is_none();
    let internal = record["origin"] == "internal" && !of_the_brick && pid != -6;
    let gfid = record["gfid"].as_str().unwrap_or_else(|| panic!("no gfid: {record}")).to_owned();
    let directory = record["kind"] == "directory";
    let link = |parent: &str, name: &str| {
        let mut link = record[parent].as_str().unwrap().as_bytes().to_vec();
        link.push(b'/');
        link.extend(bytes(record, name));
        Link(link)
    };
    let number = |key: &str| u32::try_from(record[key].as_u64().unwrap()).unwrap();
    let born = |fop| Told::Entry {
        gfid: gfid.clone(),
        fop,
        numbers: vec![number("mode") | type_bits(record), number("uid"), number("gid")],
        links: vec![link("parent", "name")],
    };
    let entry = |fop, links| Told::Entry { gfid: gfid.clone(), fop, numbers: vec![], links };
    let data = || Some(Told::Data { gfid: gfid.clone() });
    let metadata = |fop| Some(Told::Metadata { gfid: gfid.clone(), fop });
    let shard_size = || {
        let mut xattrs = record["xattrs"].as_array().into_iter().flatten();
        xattrs.any(|xattr| xattr["name"] == "trusted.glusterfs.shard.file-size")
    };
    const SHARD_ROOT: &str = "be318638-e8a0-4c6d-977d-7a937aa84806";
    match record["fop"].as_str().unwrap() {
        "CREATE" => Some(born(fop::CREATE)),
        "MKDIR" => Some(born(fop::MKDIR)),
        "MKNOD" if !internal => Some(born(fop::MKNOD)),
        "SYMLINK" => Some(entry(fop::SYMLINK, vec![link("parent", "name")])),
        "LINK" if !internal => Some(entry(fop::LINK, vec![link("parent", "name")])),
        "UNLINK" if !internal => Some(entry(fop::UNLINK, vec![link("parent", "name")])),
        "RMDIR" => Some(entry(fop::RMDIR, vec![link("parent", "name")])),
        // S4
        "RENAME" if directory || record["client"]["pid"].as_u64().is_some_and(distributes) => {
            let links = vec![link("parent", "name"), link("new_parent", "new_name")];
            Some(entry(fop::RENAME, links))
        }
        "WRITE" | "TRUNCATE" | "FTRUNCATE" => data(),
        "SETATTR" if !internal && !of_the_brick && gfid != SHARD_ROOT => metadata(fop::SETATTR),
        "FSETXATTR" if !internal && !of_the_brick => metadata(fop::FSETXATTR),
        "FSETATTR" if !of_the_brick => metadata(fop::FSETATTR),
        "SETXATTR" if !of_the_brick => metadata(fop::SETXATTR),
        "REMOVEXATTR" if !of_the_brick => metadata(fop::REMOVEXATTR),
        "FREMOVEXATTR" if !of_the_brick => metadata(fop::FREMOVEXATTR),
        "XATTROP" if !of_the_brick && shard_size() => metadata(fop::XATTROP),
        "FXATTROP" if !of_the_brick && shard_size() => metadata(fop::FXATTROP),
        "MKNOD" | "LINK" | "UNLINK" | "RENAME" | "SETATTR" | "FSETXATTR" | "FSETATTR"
        | "SETXATTR" | "REMOVEXATTR" | "FREMOVEXATTR" | "XATTROP" | "FXATTROP" => None,
        // S1
        "FALLOCATE" | "DISCARD" | "ZEROFILL" | "COPY_FILE_RANGE" => None,
        other => panic!("no rule for {other}: {record}"),
    }
}

fn type_bits(record: &Value) -> u32 {
    match record["kind"].as_str().unwrap() {
        "file" => 0o100_000,
        "directory" => 0o040_000,
        "symlink" => 0o120_000,
        "block-device" => 0o060_000,
        "character-device" => 0o020_000,
        "fifo" => 0o010_000,
        "socket" => 0o140_000,
        other => panic!("{other}: {record}"),
    }
}

/// A name, also one that is no text.
fn bytes(record: &Value, key: &str) -> Vec<u8> {
    let Some(digits) = record[format!("{key}_hex")].as_str() else {
        return record[key].as_str().unwrap().as_bytes().to_vec();
    };
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

// ---- stock's file

/// Reads a CHANGELOG of version 1.2 in the encoding "ascii".
fn parse(file: &[u8]) -> Vec<Told> {
    let header = b"GlusterFS Changelog | version: v1.2 | encoding : 2\n";
    let mut rest = file.strip_prefix(header).expect("another version of CHANGELOG");
    let mut records = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        rest = after;
        // Every field ends with a NUL; the record ends behind its last one.
        let mut next = || {
            let end = rest.iter().position(|byte| *byte == 0).expect("a record without an end");
            let (field, after) = rest.split_at(end);
            rest = &after[1..];
            field
        };
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
        let number = |field: &[u8]| text(field).parse::<u32>().unwrap();
        let gfid = text(next());
        assert_eq!(gfid.len(), 36, "{gfid}");
        records.push(match kind {
            b'D' => Told::Data { gfid },
            b'M' => Told::Metadata { gfid, fop: number(next()) },
            b'E' => {
                let fop = number(next());
                let with_numbers = matches!(fop, fop::CREATE | fop::MKDIR | fop::MKNOD);
                let numbers = (0..if with_numbers { 3 } else { 0 }).map(|_| number(next()));
                let numbers = numbers.collect();
                let links =
                    (0..if fop == fop::RENAME { 2 } else { 1 }).map(|_| Link(next().to_vec()));
                let links = links.collect();
                if matches!(fop, fop::UNLINK | fop::RMDIR) {
                    // Without capture-del-path the path is one NUL; it has an end of its own.
                    assert_eq!((next(), next()), (&b""[..], &b""[..]));
                }
                Told::Entry { gfid, fop, numbers, links }
            }
            other => panic!("no record begins with {other:#x}"),
        });
    }
    records
}

// ---- the comparison

/// S5: of each inode, the first change of each kind.
fn firsts(told: &[Told]) -> Vec<Told> {
    let mut seen = BTreeSet::new();
    let first = |told: &&Told| told.once().is_none_or(|once| seen.insert(once));
    told.iter().filter(first).cloned().collect()
}

/// S6: what stock wrote, without renames of a name onto itself.
fn effective(mut stock: Vec<Told>) -> Vec<Told> {
    let moves = |told: &Told| match told {
        Told::Entry { fop: fop::RENAME, links, .. } => links[0] != links[1],
        _ => true,
    };
    stock.retain(moves);
    stock
}

/// The first place where the two differ, of a workload that did one thing after the other.
fn differ_in_order(ours: &[Told], stock: &[Told]) -> Option<String> {
    let comparable = |told: &[Told]| {
        firsts(told).into_iter().map(Told::without_asked_mode).map(Some).collect::<Vec<_>>()
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
fn compare(ours: &[Told], stock: &[Told], known: impl Fn(&str) -> bool) -> Comparison {
    let mut found = Comparison::default();
    // Entries: as often in the one as in the other.
    let mut balance: BTreeMap<Told, i64> = BTreeMap::new();
    for (told, one) in ours.iter().map(|told| (told, 1)).chain(stock.iter().map(|told| (told, -1)))
    {
        if told.once().is_none() {
            *balance.entry(told.clone().without_asked_mode()).or_default() += one;
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
    let known = |gfid: &str| known(gfid) || stock.iter().any(|told| told.gfid() == gfid);
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
    let kinds = |all: &[Told]| all.iter().filter_map(Told::once).collect::<BTreeSet<_>>();
    let (our_kinds, stock_kinds) = (kinds(ours), kinds(stock));
    let lacking =
        |whose: &str, (gfid, once): &(String, Once)| format!("only {whose}: {gfid} {once:?}");
    let more = our_kinds.difference(&stock_kinds).map(|once| lacking("gnotify", once));
    found.differences.extend(more);
    let more = stock_kinds.difference(&our_kinds).map(|once| lacking("stock", once));
    found.differences.extend(more);
    let ours: BTreeSet<&Told> = ours.iter().collect();
    let unknown = stock.iter().filter(|told| told.once().is_some() && !ours.contains(told));
    found.differences.extend(unknown.map(|told| format!("only stock: {told:?}")));
    found.repeated = stock.len() - firsts(stock).len();
    found
}

/// S2: whether both tell of one birth, and no other record knows the gfid that was asked for.
fn is_of_asked_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let (
        Told::Entry { fop, numbers, links, .. },
        Told::Entry { gfid: asked, fop: stock_fop, numbers: stock_numbers, links: stock_links },
    ) = (ours, stock)
    else {
        return false;
    };
    matches!(*fop, fop::CREATE | fop::MKDIR | fop::MKNOD | fop::SYMLINK)
        && (fop, links) == (stock_fop, stock_links)
        // The mode is that of the file which was there.
        && numbers.iter().skip(1).eq(stock_numbers.iter().skip(1))
        && all.iter().all(|told| told.gfid() != asked)
}

/// S7: whether both tell of one rename or removal of a name, and by all that was recorded before it, gnotify is
/// right.
fn is_of_remembered_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let (
        Told::Entry { gfid, fop, links, .. },
        Told::Entry { fop: stock_fop, links: stock_links, .. },
    ) = (ours, stock)
    else {
        return false;
    };
    let holder = |at: usize| all[..at].iter().rev().find_map(|told| told.binds(&links[0]));
    let places = all.iter().enumerate().filter(|(_, told)| *told == ours);
    matches!(*fop, fop::RENAME | fop::UNLINK | fop::RMDIR)
        && (fop, links) == (stock_fop, stock_links)
        && places.map(|(at, _)| holder(at)).any(|holder| holder == Some(Some(gfid)))
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
fn both(brick: &Brick, mount: &Mount) -> (Vec<Value>, Vec<Told>) {
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
    (journal, effective(parse(&file)))
}

// ---- the workload

/// Names that are hard to write down are among them.
const NAMES: [&[u8]; 10] = [
    b"one",
    b"two",
    b"three",
    b"a b%c",
    b"line\nbreak",
    b"\xff\xfe no text",
    b"-",
    b"\xc3\xa4\xe2\x82\xac",
    b"back\\slash \"quote\"",
    &[b'x'; 255],
];
/// The names among them that gfapi.py's language has.
const PLAIN_NAMES: [&str; 4] = ["one", "two", "three", "-"];
/// Files that come and go, and are never anything else: the names for a create without O_EXCL. (Where a symbolic
/// link stands, storage/posix follows it on the brick, and nobody learns which inode it made.)
const MADE: [&str; 3] = ["made", "made-too", "made-as-well"];
const DIRECTORIES: [&str; 4] = ["d0", "d1", "d0/deep", "d1/deep"];

fn make_directories(mount: &Mount) {
    for name in DIRECTORIES {
        fs::create_dir(mount.path().join(name)).unwrap();
        fs::set_permissions(mount.path().join(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
}

/// Random calls on a mount. Many fail, as they should: nobody records those.
fn work_on_mount(root: &Path, random: &mut Random, calls: u64) {
    for _ in 0..calls {
        let (path, other) = (any_path(root, random), any_path(root, random));
        let made = root.join(random.pick(&DIRECTORIES)).join(random.pick(&MADE));
        call(&path, &other, &made, random).unwrap_or_default();
    }
}

fn any_path(root: &Path, random: &mut Random) -> PathBuf {
    let mut path = root.join(random.pick(&DIRECTORIES));
    path.push(OsStr::from_bytes(random.pick(&NAMES)));
    // Under what may be a directory.
    if random.one_in(4) {
        path.push(OsStr::from_bytes(random.pick(&NAMES)));
    }
    path
}

fn call(path: &Path, other: &Path, made: &Path, random: &mut Random) -> std::io::Result<()> {
    // A pipe without a reader must not block us.
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(unix::OFlags::NONBLOCK.bits().cast_signed());
    let modes = [0o600, 0o644, 0o640, 0o755, 0o777];
    let small = random.below(9000);
    let either = if random.one_in(4) { made } else { path };
    match random.below(26) {
        0..=2 => {
            let file = open.create_new(true).mode(random.pick(&modes)).open(path)?;
            if random.one_in(2) {
                file.write_at(&vec![b'n'; usize::try_from(small).unwrap()], 0)?;
            }
        }
        3 => drop(open.create(true).truncate(true).mode(random.pick(&modes)).open(made)?),
        4 => fs::create_dir(path)?,
        5 => {
            use unix::FileType::{BlockDevice, CharacterDevice, Fifo, RegularFile, Socket};
            let kinds = [Fifo, Socket, RegularFile, CharacterDevice, BlockDevice];
            let (kind, mode) = (random.pick(&kinds), random.pick(&modes));
            // The null device, and a block device that does not exist.
            let rdev = match kind {
                CharacterDevice => unix::makedev(1, 3),
                BlockDevice => unix::makedev(4000, 1),
                _ => 0,
            };
            unix::mknodat(unix::CWD, path, kind, unix::Mode::from_raw_mode(mode), rdev)?;
        }
        6 => symlink(random.pick(&["one", "two", "../three", "nowhere"]), path)?,
        7 | 8 => fs::hard_link(path, other)?,
        9..=12 => fs::rename(path, other)?,
        13 | 14 => fs::remove_file(either)?,
        15 => fs::remove_dir(path)?,
        16 | 17 => drop(open.open(either)?.write_at(b"some content", small)?),
        18 => open.open(either)?.set_len(small)?,
        19 => drop(open.truncate(true).open(either)?),
        20 => {
            let flags =
                random.pick(&[unix::FallocateFlags::empty(), unix::FallocateFlags::KEEP_SIZE]);
            unix::fallocate(open.open(either)?, flags, small, 5000)?;
        }
        21 => {
            let mode = random.pick(&[0o600, 0o755, 0o2777, 0o4755, 0o1777]);
            fs::set_permissions(either, fs::Permissions::from_mode(mode))?;
        }
        22 => {
            let ids = [None, Some(0), Some(1000)];
            std::os::unix::fs::lchown(either, random.pick(&ids), random.pick(&ids))?;
        }
        23 => {
            let name = random.pick(&["user.colour", "trusted.colour"]);
            unix::lsetxattr(either, name, b"blue", unix::XattrFlags::empty())?;
        }
        24 => unix::lremovexattr(either, random.pick(&["user.colour", "trusted.colour"]))?,
        _ => {
            let file = open.open(either)?;
            file.set_times(fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH))?;
        }
    }
    Ok(())
}

/// Random commands for gfapi.py: by other users, and through open files, which a mount does not send.
///
/// In the directories of the others it works on [`MADE`] only. A rename between two names of one file does
/// nothing, which both sides see only where nobody interferes; and where clients rename directories under
/// each other, the brick mixes up their gfids.
fn work_through_gfapi(gfapi: &Gfapi, own: &str, random: &mut Random, calls: u64) {
    let mut commands: Vec<String> = vec![format!("mkdir /{own} 777")];
    for number in 0..4 {
        // Not readable only or writable only: if it is a pipe, the brick would wait for the other end.
        commands.push(format!("creat fd{number} /{own}/open{number} 2 {:o}", 0o640 + number));
    }
    for turn in 0..calls {
        let directory = random.pick(&DIRECTORIES);
        let mine = format!("/{own}/{}", random.pick(&PLAIN_NAMES));
        let mine_too = format!("/{own}/{}", random.pick(&PLAIN_NAMES));
        let of_all = [directory, own];
        let made = format!("/{}/{}", random.pick(&of_all), random.pick(&MADE));
        let either = if random.one_in(2) { &made } else { &mine };
        let fd = format!("fd{}", random.below(4));
        let (from, to) = (random.below(20_000), random.below(20_000));
        commands.push(match random.below(26) {
            0 => format!("setfsuid {}", random.pick(&[0, 0, 1000])),
            1..=3 => format!("creat file{turn} {made} 2 {}", random.pick(&["600", "644", "660"])),
            4 => format!("mkdir {mine} 775"),
            5 => format!("mknod {mine} {} 0", random.pick(&["10644", "140600", "100640"])),
            6 => format!("symlink two {mine}"),
            7 => format!("link {mine} {mine_too}"),
            8 => format!("rename {mine} {mine_too}"),
            9 | 10 => format!("unlink {either}"),
            11 => format!("rmdir {mine}"),
            12 => format!("truncate {either} {from}"),
            13 => format!("chmod {either} {}", random.pick(&["600", "755", "2777"])),
            14 => format!("lchown {either} {} {}", random.below(3), random.below(3)),
            15 => format!("setxattr {either} trusted.shape round"),
            16 => format!("removexattr {either} trusted.shape"),
            17 => format!("write {fd} {from} text"),
            18 => format!("ftruncate {fd} {from}"),
            19 => format!("fallocate {fd} {} {from} {}", random.below(2), to + 1),
            20 => format!("discard {fd} {from} {}", to + 1),
            21 => format!("zerofill {fd} {from} {}", to + 1),
            22 => format!("copy_file_range fd0 0 {fd} {} {}", 20_000 + from, to + 1),
            23 => format!("fchmod {fd} {}", random.pick(&["600", "640", "4755"])),
            24 => format!("fsetxattr {fd} trusted.shape square"),
            _ => match random.below(2) {
                0 => format!("fremovexattr {fd} trusted.shape"),
                _ => format!("fchown {fd} {} {}", random.below(3), random.below(3)),
            },
        });
    }
    let words: Vec<Vec<&str>> = commands.iter().map(|line| line.split(' ').collect()).collect();
    let commands: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
    gfapi.try_run(&commands);
}

/// Fails when the random numbers left out a fop that the test is about.
fn assert_varied(journal: &[Value], fops: &[&str]) {
    let mut count: BTreeMap<&str, u64> = BTreeMap::new();
    for fop in journal.iter().filter_map(|entry| entry["fop"].as_str()) {
        *count.entry(fop).or_default() += 1;
    }
    println!("{} entries: {count:?}", journal.len());
    for fop in fops {
        assert!(count.contains_key(fop), "no {fop} in the whole run");
    }
}

/// What a mount and gfapi send between them.
const ALL: [&str; 23] = [
    "CREATE",
    "MKDIR",
    "MKNOD",
    "SYMLINK",
    "LINK",
    "RENAME",
    "UNLINK",
    "RMDIR",
    "WRITE",
    "TRUNCATE",
    "FTRUNCATE",
    "FALLOCATE",
    "DISCARD",
    "ZEROFILL",
    "COPY_FILE_RANGE",
    "SETATTR",
    "FSETATTR",
    "SETXATTR",
    "FSETXATTR",
    "REMOVEXATTR",
    "FREMOVEXATTR",
    "WRITE",
    "CREATE",
];

host_test!(of_one_thread_in_order, |t| one_thread(t, rounds(1)));
host_test!(
    #[ignore = "long: make test-long"]
    of_one_thread_in_order_for_long,
    |t| one_thread(t, rounds(20))
);

fn one_thread(t: &Sandbox, rounds: u64) {
    let mut random = Random::seeded(seed());
    let brick = start(t);
    let mut mount = distributing_mount(t, &brick, "m").start();
    make_directories(&mount);
    for round in 0..2 * rounds {
        work_on_mount(mount.path(), &mut random, 4000);
        work_through_gfapi(&brick.gfapi(), &format!("g{round}"), &mut random, 800);
    }
    let (journal, stock) = both(&brick, &mount);
    assert_varied(&journal, &ALL);
    let client = u64::from(mount.daemon().pid().as_raw_nonzero().get().cast_unsigned());
    let ours = reduce(&journal, |pid| pid == client);
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

host_test!(of_threads_and_clients_that_race, |t| racing(t, rounds(1)));
host_test!(
    #[ignore = "long: make test-long"]
    of_threads_and_clients_that_race_for_long,
    |t| racing(t, rounds(20))
);

fn racing(t: &Sandbox, rounds: u64) {
    let mut random = Random::seeded(seed());
    let brick = start(t);
    let mut mount = distributing_mount(t, &brick, "m").start();
    make_directories(&mount);
    let rebalance = distributing_mount(t, &brick, "rebalance").arg("--client-pid=-3").start();
    let mut geo = distributing_mount(t, &brick, "geo").arg("--client-pid=-1").start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (mut random, root) = (random.split(), mount.path());
            scope.spawn(move || work_on_mount(root, &mut random, 4000 * rounds));
        }
        for (number, other) in [&rebalance, &geo].into_iter().enumerate() {
            let (mut random, root) = (random.split(), other.path().join(format!("other{number}")));
            fs::create_dir(&root).unwrap();
            for name in DIRECTORIES {
                fs::create_dir(root.join(name)).unwrap();
            }
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
    let pid_of = |mount: &mut Mount| mount.daemon().pid().as_raw_nonzero().get().cast_unsigned();
    let distribute = [pid_of(&mut mount), pid_of(&mut geo)].map(u64::from);
    let rebalanced = journal.iter().filter(|entry| entry["origin"] == "rebalance").count();
    assert!(rebalanced > 0, "S8 is part of this");
    let ours = reduce(&journal, |pid| distribute.contains(&pid));
    // Gone without an UNLINK, or there.
    let replaced: BTreeSet<&str> =
        journal.iter().filter_map(|entry| entry["replaced"].as_str()).collect();
    let known = |gfid: &str| {
        let handle = format!(".glusterfs/{}/{}/{gfid}", &gfid[..2], &gfid[2..4]);
        replaced.contains(gfid) || brick.dir().join(handle).symlink_metadata().is_ok()
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
        match ours[at].once() {
            None => drop(altered.remove(at)),
            once => altered.retain(|told| told.once() != once),
        }
        assert!(
            !compare(&altered, &stock, known).differences.is_empty(),
            "{:?} is not missed",
            ours[at]
        );
    }
}

// ---- the reducer and the comparison themselves

const A: &str = "aaaaaaaa-0000-0000-0000-000000000000";
const B: &str = "bbbbbbbb-0000-0000-0000-000000000000";
const C: &str = "cccccccc-0000-0000-0000-000000000000";
const ROOT: &str = "00000000-0000-0000-0000-000000000001";

fn record(fop: &str, gfid: &str, more: &Value) -> Value {
    let mut fields = json!({"type": "record", "fop": fop, "gfid": gfid, "kind": "file", "uid": 5,
        "gid": 6, "pid": 7, "origin": "client", "parent": ROOT, "name": "f", "new_parent": A,
        "new_name": "g", "mode": 0o644, "client": {"id": 1, "pid": 1}});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn link(name: &str) -> Link {
    Link(format!("{ROOT}/{name}").into())
}

fn named(gfid: &str, fop: u32, numbers: &[u32]) -> Told {
    let links = vec![link("f")];
    Told::Entry { gfid: gfid.into(), fop, numbers: numbers.into(), links }
}

/// A small journal, and what stock makes of it.
fn example() -> (Vec<Value>, Vec<Told>) {
    let journal = vec![
        json!({"type": "statement", "statement": "START"}),
        record("CREATE", A, &json!({})),
        record("WRITE", A, &json!({})),
        record("SETXATTR", A, &json!({})),
        record("REMOVEXATTR", A, &json!({})),
        record("SETATTR", A, &json!({})),
        record("TRUNCATE", A, &json!({})),
        record("FALLOCATE", A, &json!({})),
        record("MKNOD", B, &json!({"kind": "fifo", "name": "\u{fffd}", "name_hex": "fe00ff"})),
        record("MKNOD", C, &json!({"origin": "internal"})),
        record("MKDIR", C, &json!({"kind": "directory", "pid": -3, "origin": "rebalance"})),
        record("RENAME", A, &json!({"client": {"id": 2, "pid": 2}})),
        record("RENAME", A, &json!({})),
        record("RENAME", C, &json!({"kind": "directory", "client": {"id": 2, "pid": 2}})),
        record("UNLINK", A, &json!({})),
    ];
    let moved = |gfid: &str| Told::Entry {
        gfid: gfid.into(),
        fop: fop::RENAME,
        numbers: vec![],
        links: vec![link("f"), Link(format!("{A}/g").into())],
    };
    let mut pipe = named(B, fop::MKNOD, &[0o010_644, 5, 6]);
    if let Told::Entry { links, .. } = &mut pipe {
        *links = vec![Link([ROOT.as_bytes(), b"/\xfe\x00\xff"].concat())];
    }
    let stock = vec![
        named(A, fop::CREATE, &[0o644, 5, 6]),
        Told::Data { gfid: A.into() },
        Told::Metadata { gfid: A.into(), fop: fop::SETXATTR },
        Told::Metadata { gfid: A.into(), fop: fop::SETATTR },
        pipe,
        moved(A),
        moved(C),
        named(A, fop::UNLINK, &[]),
    ];
    (journal, stock)
}

#[test]
fn the_rules_of_stock() {
    let (journal, stock) = example();
    let ours = reduce(&journal, |pid| pid == 1);
    assert_eq!(differ_in_order(&ours, &stock), None);
    assert_eq!(compare(&ours, &stock, |_| false).differences, [""; 0]);
}

#[test]
fn it_notices() {
    let (journal, stock) = example();
    let ours = firsts(&reduce(&journal, |pid| pid == 1));
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
    // A wrong field in gnotify: a gfid, an owner, a name, a mode's permissions, a fop.
    let mut wrong = Vec::new();
    for (at, told) in ours.iter().enumerate() {
        match told {
            Told::Data { .. } => wrong.push((at, Told::Data { gfid: B.into() })),
            Told::Metadata { gfid, .. } => {
                let fop = fop::FSETXATTR;
                wrong.push((at, Told::Metadata { gfid: gfid.clone(), fop }));
            }
            Told::Entry { gfid, fop, numbers, links } => {
                let (fop, gfid) = (*fop, gfid.clone());
                let (numbers, links) = (numbers.clone(), links.clone());
                let mut longer = links.clone();
                longer.last_mut().unwrap().0.push(b'x');
                let entry = |gfid: &str, numbers, links| Told::Entry {
                    gfid: gfid.into(),
                    fop,
                    numbers,
                    links,
                };
                wrong.push((at, entry(ROOT, numbers.clone(), links.clone())));
                wrong.push((at, entry(&gfid, numbers.clone(), longer)));
                for field in 0..numbers.len() {
                    let mut others = numbers.clone();
                    others[field] ^= 1;
                    wrong.push((at, entry(&gfid, others, links.clone())));
                }
            }
        }
    }
    for (at, told) in wrong {
        let mut altered = ours.clone();
        altered[at] = told.clone();
        assert!(differ(&altered, &stock), "{told:?}");
    }
    // Two in the wrong order: only where there is one.
    let mut swapped = stock.clone();
    swapped.swap(0, 4);
    assert!(!differ(&ours, &swapped));
    assert!(differ_in_order(&ours, &swapped).is_some());
}

#[test]
fn another_gfid_of_a_birth_is_excused_only_where_stock_asked_in_vain() {
    let create = |gfid: &str| named(gfid, fop::CREATE, &[0o644, 5, 6]);
    // Two clients make one file: stock has the gfid that the slower one asked for.
    let found = compare(&[create(A), create(A)], &[create(A), create(B)], |_| false);
    assert!(found.differences.is_empty() && found.asked_gfid == 1, "{found:?}");
    // Nobody else knows gnotify's gfid: it is wrong.
    assert_eq!(compare(&[create(A)], &[create(B)], |_| false).differences.len(), 2);
    assert_eq!(compare(&[create(A)], &[create(B)], |gfid| gfid == A).differences.len(), 0);
    // The other gfid is of an inode that exists.
    let used = Told::Data { gfid: B.into() };
    let ours = [create(A), create(A), used.clone()];
    let stock = [create(A), create(B), used];
    assert_eq!(compare(&ours, &stock, |_| true).differences.len(), 2);
}

#[test]
fn another_gfid_of_a_name_is_excused_only_where_the_name_had_gnotifys() {
    let moved = |gfid: &str, from: &str, to: &str| Told::Entry {
        gfid: gfid.into(),
        fop: fop::RENAME,
        numbers: vec![],
        links: vec![link(from), link(to)],
    };
    let made = [named(B, fop::MKDIR, &[0o755, 5, 6]), moved(A, "a", "f")];
    let with = |last: Told| [&made[..], &[last]].concat();
    let (right, stale) = (with(moved(A, "f", "g")), with(moved(B, "f", "g")));
    let found = compare(&right, &stale, |_| false);
    assert!(found.differences.is_empty() && found.remembered_gfid == 1, "{found:?}");
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
    let (right, stale) = (with(named(A, fop::UNLINK, &[])), with(named(B, fop::UNLINK, &[])));
    assert_eq!(compare(&right, &stale, |_| false).remembered_gfid, 1);
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
}

#[test]
fn a_rename_onto_itself_is_left_out() {
    let moved = |to: &str| Told::Entry {
        gfid: A.into(),
        fop: fop::RENAME,
        numbers: vec![],
        links: vec![link("f"), link(to)],
    };
    assert_eq!(effective(vec![moved("f"), moved("g")]), [moved("g")]);
}

#[test]
fn the_file_format() {
    let mut file = b"GlusterFS Changelog | version: v1.2 | encoding : 2\n".to_vec();
    file.extend(format!("D{A}\0M{A}\x0038\0E{B}\x0023\x0033188\x005\x006\0{ROOT}/f\0").bytes());
    file.extend(format!("E{A}\x005\0{ROOT}/f\0\0\0E{A}\x009\0{ROOT}/f\0").bytes());
    let want = [
        Told::Data { gfid: A.into() },
        Told::Metadata { gfid: A.into(), fop: fop::SETATTR },
        named(B, fop::CREATE, &[33188, 5, 6]),
        named(A, fop::UNLINK, &[]),
        named(A, fop::LINK, &[]),
    ];
    assert_eq!(parse(&file), want);
}
