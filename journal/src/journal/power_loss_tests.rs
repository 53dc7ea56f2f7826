//! A power loss behind each change of the disk: what was not synced is gone, wholly or in part, and with it the
//! ring. What is left is gone on with, nothing in it is lost, and no number comes again.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use gnotify_record::{Fop, Origin};

use super::crash_tests::config;
use super::opening::Assembled;
use super::*;
use crate::disk::{Did, crash};
use crate::journal_thread::{JournalThread, Step};
use crate::pack_thread::PackThread;
use crate::{Cause, Reader, What};

/// A change of the disk, with files by number.
#[derive(Debug, Clone)]
enum Op {
    Made(usize, PathBuf),
    Wrote(usize, u64, Vec<u8>),
    Cut(usize, u64),
    Synced(usize),
    DirSynced,
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

/// All changes, in order.
#[derive(Debug, Default)]
struct History {
    ops: Vec<Op>,
    files: usize,
    by_inode: HashMap<u64, usize>,
}

impl History {
    fn add(&mut self, did: Did<'_>) {
        let known = |file: &File| self.by_inode.get(&file.metadata().unwrap().ino()).copied();
        let op = match did {
            Did::Made(file, path) => {
                self.files += 1;
                self.by_inode.insert(file.metadata().unwrap().ino(), self.files);
                Op::Made(self.files, path.to_owned())
            }
            Did::Wrote(file, at, bytes) => Op::Wrote(known(file).unwrap(), at, bytes.to_owned()),
            Did::Cut(file, len) => Op::Cut(known(file).unwrap(), len),
            Did::Synced(file) if file.metadata().unwrap().is_dir() => Op::DirSynced,
            Did::Synced(file) => Op::Synced(known(file).unwrap()),
            Did::Renamed(from, to) => Op::Renamed(from.to_owned(), to.to_owned()),
            Did::Removed(path) => Op::Removed(path.to_owned()),
        };
        self.ops.push(op);
    }
}

/// How much of what was not synced is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing: files end where they were synced, and names are those of the last sync.
    Nothing,
    /// The names, but files end where they were synced.
    Names,
    /// Names and lengths, but zeros in the place of bytes.
    Lengths,
    /// All.
    All,
}

/// The files after `ops`, and a power loss.
fn image(ops: &[Op], left: Left) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut names, mut synced_names) = (BTreeMap::new(), BTreeMap::new());
    let (mut bytes, mut synced) = (HashMap::new(), HashMap::<usize, Vec<u8>>::new());
    for op in ops {
        match op {
            Op::Made(file, path) => {
                names.insert(path.clone(), *file);
                bytes.insert(*file, Vec::new());
            }
            Op::Wrote(file, at, more) => {
                let bytes: &mut Vec<u8> = bytes.get_mut(file).unwrap();
                let end = *at as usize + more.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at as usize..end].copy_from_slice(more);
            }
            Op::Cut(file, len) => bytes.get_mut(file).unwrap().resize(*len as usize, 0),
            Op::Synced(file) => drop(synced.insert(*file, bytes[file].clone())),
            Op::DirSynced => synced_names.clone_from(&names),
            Op::Renamed(from, to) => {
                let file = names.remove(from).unwrap();
                names.insert(to.clone(), file);
            }
            Op::Removed(path) => drop(names.remove(path).unwrap()),
        }
    }
    let names = if left == Left::Nothing { synced_names } else { names };
    let content = |file: &usize| {
        let synced = synced.get(file).cloned().unwrap_or_default();
        match left {
            Left::Nothing | Left::Names => synced,
            Left::Lengths => {
                let mut content = synced;
                content.resize(bytes[file].len(), 0);
                content
            }
            Left::All => bytes[file].clone(),
        }
    };
    names.iter().map(|(path, file)| (path.clone(), content(file))).collect()
}

fn append(ring: &Ring<Mapping>, count: u64) {
    for _ in 0..count {
        let record =
            Record { offset: Some(ring.next_seq()), ..Record::new(Fop::WRITE, Origin::Client) };
        let mut body = codec::Body::new();
        let tag = codec::encode(&record, 1, &mut body);
        let draft = Draft::new(ring.salt(), Kind::Record, record.fop.0, tag, 1, &body);
        assert!(matches!(ring.append(&draft), Reserved::Place { .. }));
    }
}

fn carry_all(worker: &mut JournalThread) {
    while worker.step().unwrap() == Step::Carried {}
}

/// The numbers of the records that can be read, as far as they can; each has the number that it was given.
fn records(dir: &Path, whole: bool) -> Vec<u64> {
    let mut records = Vec::new();
    let mut reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) if whole => panic!("{error}"),
        Err(_) => return records,
    };
    let mut next = None;
    loop {
        let entry = match reader.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return records,
            Err(error) if whole => panic!("{error}"),
            Err(_) => return records,
        };
        assert!(next.is_none_or(|next| next == entry.seq), "{entry:?} behind {next:?}");
        next = Some(entry.seq + 1);
        match entry.what {
            What::Record(record) => {
                assert_eq!(record.offset, Some(entry.seq));
                records.push(entry.seq);
            }
            What::Statement(Statement::Gap(gap)) => {
                assert!(
                    matches!(gap.cause, Cause::PowerLoss | Cause::Damaged | Cause::Trimmed),
                    "{gap:?}"
                );
                next = Some(gap.to + 1);
            }
            What::Statement(_) => {}
        }
    }
}

fn power_loss_everywhere(retained: Option<u64>, starts: u64, packed: bool) {
    // Where an fsync costs nothing: what it means is replayed here.
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut config = config(root.path());
    config.limits.segment_size = 64 << 10;
    config.limits.retention_bytes = retained;
    config.limits.compress = packed;
    let history = Rc::new(RefCell::new(History::default()));
    let theirs = Rc::clone(&history);
    crash::record(Some(Box::new(move |did| theirs.borrow_mut().add(did))));
    // How many changes there were when so many numbers had been given.
    let mut given = Vec::new();
    for _ in 0..starts {
        let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
        let mut packer = PackThread::new(Arc::clone(&shared), config.dir.clone());
        for round in 0..6 {
            append(&shared.ring, 700);
            given.push((history.borrow().ops.len(), shared.ring.next_seq()));
            carry_all(&mut worker);
            packer.step();
            worker.heed_packed();
            worker.trim_when_due();
            if round % 3 == 2 {
                assert!(shared.syncer.sync_now(|_, _| {}));
            }
        }
    }
    crash::record(None);
    let History { ops, .. } = history.take();
    assert!(ops.len() > 20, "{}", ops.len());
    for end in 0..=ops.len() {
        let others = [Left::Names, Left::Lengths, Left::All];
        for left in [Left::Nothing, others[end % others.len()]] {
            fs::remove_dir_all(&config.dir).unwrap();
            let _ = fs::remove_dir_all(config.ring.parent().unwrap());
            fs::create_dir(&config.dir).unwrap();
            for (path, bytes) in image(&ops[..end], left) {
                fs::write(path, bytes).unwrap();
            }
            let before = records(&config.dir, false);
            let ready = Ready::open(&config).unwrap();
            let first = ready.ring.next_seq() - 1;
            let Assembled { mut worker, .. } = ready.assemble(&config);
            carry_all(&mut worker);
            let after = records(&config.dir, true);
            let context = format!("change {end} of {}, left: {left:?}", ops.len());
            assert!(before.iter().all(|seq| after.binary_search(seq).is_ok()), "{context}");
            let used = given.iter().rfind(|(at, _)| *at < end).map_or(0, |(_, next)| *next);
            // Where not even the first segment's header is left, a new epoch begins, which tells it.
            assert!(first >= used || after.is_empty(), "{context}: {first} after {used}");
        }
    }
}

#[test]
fn while_it_is_written() {
    power_loss_everywhere(None, 1, false);
}

#[test]
fn while_it_is_trimmed() {
    power_loss_everywhere(Some(128 << 10), 1, false);
}

#[test]
fn while_it_recovers_from_a_kill() {
    power_loss_everywhere(None, 2, false);
}

#[test]
fn while_it_is_packed() {
    power_loss_everywhere(None, 1, true);
}

#[test]
fn while_it_is_packed_and_trimmed() {
    power_loss_everywhere(Some(128 << 10), 1, true);
}

/// A reply that waits for the disk waits for its record to be carried, and then syncs what is due.
#[test]
fn what_is_carried_is_already_due_for_a_sync() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let journal_thread = thread::spawn(move || {
        while !told.load(Ordering::Acquire) {
            carry_all(&mut worker);
            thread::yield_now();
        }
    });
    let before = shared.ring.next_seq();
    for seq in before..before + 2000 {
        shared.syncer.take();
        append(&shared.ring, 1);
        while shared.ring.consumed() <= seq {
            assert!(!journal_thread.is_finished());
            std::hint::spin_loop();
        }
        let due = shared.syncer.take();
        assert!(!due.is_empty(), "entry {seq} is carried, and would not be synced");
    }
    stop.store(true, Ordering::Release);
    journal_thread.join().unwrap();
}
