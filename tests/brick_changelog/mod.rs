//! What the tests of gnotify in the place of `features/changelog` ask of a brick: its slices and indexes by our own
//! reader, and what the installed libgfchangelog makes of them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gnotify_changelog::codec::Reader;
use gnotify_changelog::htime::{self, Item};
use gnotify_changelog::layout::Layout;
use gnotify_changelog::{Change, Entry, text};
use gnotify_harness::{
    Brick, Mount, MountSpec, PATIENCE, Sandbox, Volfile, run, tool, try_run, wait_for,
};
use gnotify_record::{Fop, Gfid, Link};

pub(crate) fn layout(brick: &Brick) -> Layout {
    Layout::new(brick.dir().join(".glusterfs/changelogs"))
}

/// The records of a slice; none, where it is not there.
pub(crate) fn slice(path: &Path) -> Vec<Change<'static>> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let Ok(mut reader) = Reader::new(file) else { return Vec::new() };
    let mut changes = Vec::new();
    while let Some(change) = reader.next().unwrap() {
        changes.push(change.into_owned());
    }
    changes
}

/// All records, in the order of the slices and of the records in them, the live slice last.
pub(crate) fn recorded(layout: &Layout) -> Vec<Change<'static>> {
    // While a slice gets its dated name it is in neither place. A brick that is stopped may have no live one.
    let mut tries = 50;
    loop {
        let slices = indexed(layout);
        let mut changes: Vec<_> = slices.iter().flat_map(|path| slice(path)).collect();
        changes.extend(slice(&layout.live()));
        tries -= 1;
        if tries == 0 || (layout.live().exists() && indexed(layout) == slices) {
            return changes;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until all that was recorded is in slices that are finished, and gives the time stamp of the last one.
pub(crate) fn wait_for_slices(layout: &Layout) -> u64 {
    wait_for("the end of a slice", || {
        let slices = indexed(layout);
        layout.live().exists()
            && slice(&layout.live()).is_empty()
            && !slices.is_empty()
            && dated(layout).iter().all(|path| slices.contains(path))
    });
    stamp(indexed(layout).last().unwrap())
}

/// The fop and the first name of a record that has one.
pub(crate) fn name_of(change: &Change<'_>) -> Option<(Fop, String)> {
    let Change::Entry { entry, .. } = change else { return None };
    let at = match entry {
        Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => &birth.at,
        Entry::Symlink(at) | Entry::Link(at) => at,
        Entry::Rename { old, .. } => old,
        Entry::Unlink(removal) | Entry::Rmdir(removal) => &removal.at,
    };
    Some((change.fop()?, text_of(at)))
}

pub(crate) fn text_of(link: &Link<'_>) -> String {
    String::from_utf8_lossy(&link.name).into_owned()
}

/// The names that were created, in order.
pub(crate) fn created_in(layout: &Layout) -> Vec<String> {
    let names = recorded(layout).iter().filter_map(name_of).collect::<Vec<_>>();
    names.into_iter().filter_map(|(fop, name)| (fop == Fop::CREATE).then_some(name)).collect()
}

pub(crate) fn created(brick: &Brick) -> Vec<String> {
    created_in(&layout(brick))
}

/// That these were created, each recorded once, in order. A slice that is on its way from the live one into the index
/// is in neither for a moment, so it is looked again.
pub(crate) fn assert_created_in(layout: &Layout, names: &[String]) {
    let start = Instant::now();
    while created_in(layout) != names && start.elapsed() < PATIENCE / 4 {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(created_in(layout), names);
}

pub(crate) fn assert_created(brick: &Brick, names: &[String]) {
    assert_created_in(&layout(brick), names);
}

/// Waits until so many creates are recorded.
pub(crate) fn wait_for_creates(brick: &Brick, count: usize) {
    wait_for("all records", || created(brick).len() >= count);
}

/// The files in `D/htime`.
pub(crate) fn indexes(layout: &Layout) -> Vec<PathBuf> {
    let dir = fs::read_dir(layout.htime_dir()).unwrap();
    let mut files: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| begun(name).is_some()));
    files.sort();
    files
}

/// When an index was begun.
pub(crate) fn begun(name: &std::ffi::OsStr) -> Option<u64> {
    gnotify_changelog::layout::htime_ts(name)
}

/// The slices in all indexes, with records or without.
pub(crate) fn indexed(layout: &Layout) -> Vec<PathBuf> {
    let mut slices = Vec::new();
    for index in indexes(layout) {
        // One that a trim takes away this moment.
        let Ok(file) = File::open(index) else { continue };
        let mut reader = htime::Reader::new(file);
        while let Some((_, item)) = reader.next().unwrap() {
            match item {
                Item::Slice(slice) => slices.push(slice.path.to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }
    slices
}

/// The time stamp in a slice's name.
pub(crate) fn stamp(path: &Path) -> u64 {
    path.extension().unwrap().to_str().unwrap().parse().unwrap()
}

/// The index's own figures: time stamp of its last record, and how many it has.
pub(crate) fn mark(index: &Path) -> (u64, u64) {
    let path = index.to_string_lossy();
    let value = run(tool("getfattr")
        .args(["--only-values", "--absolute-names", "-n", "trusted.glusterfs.htime"])
        .arg(&*path));
    let (last, count) = value.trim().split_once(':').unwrap();
    (last.parse().unwrap(), count.parse().unwrap())
}

/// Waits until the files of a running brick that never stopped recording are whole, as they are but for moments: one
/// index, which counts exactly, and leads to each slice that there is.
pub(crate) fn assert_whole(layout: &Layout) {
    let start = Instant::now();
    while let Err(fault) = is_whole(layout) {
        assert!(start.elapsed() < PATIENCE, "{fault}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_whole(layout: &Layout) -> Result<(), String> {
    let indexes = indexes(layout);
    let [index] = &indexes[..] else { return Err(format!("not one index: {indexes:?}")) };
    let ((last, count), slices) = (mark(index), indexed(layout));
    let stamps: Vec<u64> = slices.iter().map(|path| stamp(path)).collect();
    let told: Vec<PathBuf> = slices.into_iter().filter(|path| path.exists()).collect();
    let there = dated(layout);
    let in_order = stamps.windows(2).all(|pair| pair[0] < pair[1]);
    let is_last = stamps.last().copied().unwrap_or(0) == last;
    if count == stamps.len() as u64 && in_order && is_last && told == there {
        return Ok(());
    }
    Err(format!("{count} records up to {last}, but {stamps:?}; {told:?}, but {there:?}"))
}

/// The dated slices that there are, in order.
pub(crate) fn dated(layout: &Layout) -> Vec<PathBuf> {
    let there = run(tool("find").arg(layout.dir()).args(["-name", "CHANGELOG.[0-9]*"]));
    let mut there: Vec<PathBuf> = there.lines().map(PathBuf::from).collect();
    there.sort_by_key(|path| stamp(path));
    there
}

/// Creates files of these numbers and writes to them. Their names.
pub(crate) fn touch(dir: &Path, names: std::ops::Range<u32>) -> Vec<String> {
    let touch = |number: u32| {
        let name = format!("f{number}");
        fs::write(dir.join(&name), "x").unwrap();
        name
    };
    names.map(touch).collect()
}

/// The gfid of an inode, as the brick's disk has it.
pub(crate) fn gfid(path: &Path) -> Gfid {
    let mut gfid = [0; 16];
    let len = gnotify_harness::rustix::fs::lgetxattr(path, "trusted.gfid", &mut gfid[..]);
    assert_eq!(len, Ok(16), "{}", path.display());
    Gfid(gfid)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A mount whose client distributes over one brick, which sends with each rename what stock asks for.
pub(crate) fn distributing_mount(t: &Sandbox, brick: &Brick, name: &str) -> Mount {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol");
    let text = fs::read_to_string(path).unwrap()
        + "\nvolume distribute\n  type cluster/distribute\n  subvolumes client\nend-volume\n";
    let graph = Volfile::from_text(text).fill("SOCKET", brick.socket().to_string_lossy());
    MountSpec::of_graph(t, name, graph).start()
}

// ---- lines

pub(crate) fn lines(text: &[u8]) -> Vec<String> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.escape_ascii().to_string())
        .collect()
}

/// The lines that gnotify makes of a slice.
pub(crate) fn our_lines(path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for change in slice(path) {
        let from = out.len();
        text::write(&change, &mut out);
        assert_eq!(text::parse(&out[from..]), Ok(change));
    }
    lines(&out)
}

/// Time stamp and lines of each slice of all indexes that is not empty.
pub(crate) fn our_history(layout: &Layout) -> Vec<(u64, Vec<String>)> {
    let slices = indexed(layout);
    let slices = slices.iter().filter(|path| path.exists());
    slices.map(|path| (stamp(path), our_lines(path))).collect()
}

// ---- libgfchangelog

/// What the library's history call gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) result: i64,
    pub(crate) actual_end: u64,
    /// Time stamp and lines of each slice.
    pub(crate) slices: Vec<(u64, Vec<String>)>,
}

/// The library's history call on `brick`, which runs.
pub(crate) fn history(t: &Sandbox, brick: &Brick, start: u64, end: u64) -> History {
    history_of(t, brick, layout(brick).dir(), start, end)
}

/// The same on any directory; `registrar` answers the registration.
pub(crate) fn history_of(
    t: &Sandbox,
    registrar: &Brick,
    dir: &Path,
    start: u64,
    end: u64,
) -> History {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/gfchangelog.py");
    let scratch = t.path("history");
    let mut printed = String::new();
    // The library's scan may wait for its own thread without end (D11): such a process is ended, and another one asks.
    wait_for("a history call that comes to an end", || {
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch).unwrap();
        let done = try_run(
            tool("timeout")
                .args(["--signal=KILL", "30", "/usr/bin/python3", script])
                .args([registrar.dir(), &scratch, &t.log("gfchangelog"), dir])
                .args([start.to_string(), end.to_string()]),
        );
        let is_hung =
            done.as_ref().is_err_and(|told| told.contains("SIGKILL") || told.contains("137"));
        assert!(done.is_ok() || is_hung, "{done:?}");
        done.is_ok_and(|text| {
            printed = text;
            true
        })
    });
    let told: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let slice = |path: &serde_json::Value| {
        let path = Path::new(path.as_str().unwrap());
        (stamp(path), lines(&fs::read(path).unwrap()))
    };
    History {
        result: told["result"].as_i64().unwrap(),
        actual_end: told["actual_end"].as_u64().unwrap(),
        slices: told["slices"].as_array().unwrap().iter().map(slice).collect(),
    }
}

/// A live consumer: libgfchangelog hears of each slice, and converts it. Dropping it kills it.
pub(crate) struct Live {
    child: Child,
    processed: PathBuf,
}

impl Live {
    /// Registers with a brick; returns when that is done.
    pub(crate) fn register(t: &Sandbox, brick: &Brick) -> Live {
        let scratch = t.path("live");
        fs::create_dir(&scratch).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/gflive.py");
        let registered = t.path("registered");
        let child = tool("/usr/bin/python3")
            .arg(script)
            .args([brick.dir(), &scratch, &t.log("gflive"), &registered])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut live = Live { child, processed: scratch.join(".processed") };
        wait_for("a registration with libgfchangelog", || {
            assert_eq!(live.child.try_wait().unwrap(), None, "gflive.py spoke on stderr");
            registered.exists()
        });
        live
    }

    /// Time stamp and lines of each slice that the consumer is done with.
    pub(crate) fn slices(&self) -> Vec<(u64, Vec<String>)> {
        let dir = fs::read_dir(&self.processed).into_iter().flatten();
        let mut paths: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| {
            path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"CHANGELOG."))
        });
        paths.sort_by_key(|path| stamp(path));
        paths.iter().map(|path| (stamp(path), lines(&fs::read(path).unwrap()))).collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
