//! Packing beside a journal that is written: killed before each system call, failing at each, and at the
//! storage reserve. Whatever comes, all entries stay, and the next try or start ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::crash_tests::{Log, append, config, copy, texts};
use super::opening::Assembled;
use super::*;
use crate::disk::crash;
use crate::journal_thread::{JournalThread, Step as Carry};
use crate::pack_thread::{PackThread, Step};
use crate::segment::{self, EXTENSION};
use crate::space::tests::PRETENDED;
use crate::{Reader, packed};

fn packing(root: &Path) -> (Config, Arc<Log>) {
    let log = Arc::new(Log::default());
    let mut config = Config { host: Arc::clone(&log) as Arc<dyn Host>, ..config(root) };
    config.limits.segment_size = 64 << 10;
    config.limits.compress = true;
    (config, log)
}

/// Where an fsync costs nothing: what it means is shown elsewhere.
fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Segments that are full, and the live one.
fn fill(shared: &Shared, worker: &mut JournalThread) {
    for _ in 0..9 {
        append(&shared.ring, 1000);
        while worker.step().unwrap() == Carry::Carried {}
    }
}

fn packer(config: &Config, shared: &Arc<Shared>) -> PackThread {
    PackThread::new(Arc::clone(shared), config.dir.clone())
}

/// Packs all that there is.
fn pack_all(packer: &mut PackThread) -> Step {
    loop {
        match packer.step() {
            Step::Done => {}
            step => return step,
        }
    }
}

/// The numbers of the segments that are not packed, and of those that are.
fn files(config: &Config) -> (Vec<u64>, Vec<u64>) {
    let list = |ending| segment::list(&config.dir, ending).unwrap();
    (list(EXTENSION), list(packed::EXTENSION))
}

fn assert_no_leftovers(config: &Config) {
    let names = fs::read_dir(&config.dir).unwrap().map(|file| file.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with(".new")), "{names:?}");
    let (raw, packed) = files(config);
    assert!(raw.iter().all(|first_seq| !packed.contains(first_seq)), "{names:?}");
}

#[test]
fn all_but_the_live_one_are_packed_and_counted() {
    let root = tempdir();
    let (config, log) = packing(root.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    let expected = texts(root.path());
    let before = files(&config).0;
    assert!(before.len() > 3, "{before:?}");
    let raw = fs::metadata(segment::path(&config.dir, 1)).unwrap();
    let bytes = shared.sealed_bytes.load(Ordering::Relaxed);
    // A reader that is in the first one, and one that has listed it.
    let mut reader = Reader::open(&config.dir).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, 1);

    let mut packer = packer(&config, &shared);
    assert_eq!(pack_all(&mut packer), Step::Nothing);
    worker.heed_packed();
    let (raws, packs) = files(&config);
    assert_eq!((&raws[..], &packs[..]), (&before[before.len() - 1..], &before[..before.len() - 1]));
    assert_eq!(texts(root.path()), expected);
    let sizes = packs.iter().map(|first_seq| {
        let path = segment::path(&config.dir, *first_seq).with_extension(packed::EXTENSION);
        fs::metadata(path).unwrap().len()
    });
    let now: u64 = sizes.sum();
    assert_eq!(shared.sealed_bytes.load(Ordering::Relaxed), now);
    assert_eq!(shared.packed_segments.load(Ordering::Relaxed), packs.len() as u64);
    assert!(2 * now < bytes, "{now} of {bytes}");
    let packed = segment::path(&config.dir, 1).with_extension(packed::EXTENSION);
    let packed = fs::metadata(packed).unwrap();
    assert_eq!(packed.modified().unwrap(), raw.modified().unwrap(), "retention goes by it");
    let mut rest = 1;
    while reader.next().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, expected.len());
    assert_eq!(log.lines(), [""; 0]);

    // The next start finds the same figures.
    drop((worker, packer));
    let retention = Retention::look(&config.dir, raws[0]).unwrap();
    assert_eq!((retention.len(), retention.packed()), (packs.len(), packs.len()));
    assert_eq!(retention.bytes(), now);
}

#[test]
fn a_kill_at_each_step() {
    let original = tempdir();
    let place = tempdir();
    let (config, _) = packing(place.path());
    let Assembled { shared, mut worker, lock, ring_lock } =
        Ready::open(&config).unwrap().assemble(&config);
    append(&shared.ring, 5000);
    while worker.step().unwrap() == Carry::Carried {}
    drop((shared, worker, lock, ring_lock));
    let mut expected = texts(place.path());
    expected.push("start killed".to_owned());
    copy(place.path(), original.path());
    for calls in 0.. {
        copy(original.path(), place.path());
        let Assembled { shared, mut worker, lock, ring_lock } =
            Ready::open(&config).unwrap().assemble(&config);
        let mut packer = packer(&config, &shared);
        let done = crash::after(calls, || pack_all(&mut packer));
        while worker.step().unwrap() == Carry::Carried {}
        assert_eq!(texts(place.path()), expected, "killed before system call {calls}");
        drop((shared, worker, packer, lock, ring_lock));

        let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
        assert_no_leftovers(&config);
        let mut packer = PackThread::new(Arc::clone(&shared), config.dir.clone());
        assert_eq!(pack_all(&mut packer), Step::Nothing);
        while worker.step().unwrap() == Carry::Carried {}
        let mut after = expected.clone();
        after.push("start killed".to_owned());
        assert_eq!(texts(place.path()), after, "killed before system call {calls}");
        assert!(files(&config).1.len() > 1);
        if done.is_some() {
            assert!(calls > 20, "{calls}");
            return;
        }
    }
}

#[test]
fn a_failure_at_each_step() {
    let original = tempdir();
    let place = tempdir();
    let (config, log) = packing(place.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    append(&shared.ring, 5000);
    while worker.step().unwrap() == Carry::Carried {}
    let expected = texts(place.path());
    copy(place.path(), original.path());
    for for_good in [false, true] {
        for calls in 0.. {
            copy(original.path(), place.path());
            let mut packer = packer(&config, &shared);
            let logged = log.lines().len();
            let (step, failed) =
                crash::failing(calls, libc::ENOSPC, for_good, || pack_all(&mut packer));
            assert_eq!(texts(place.path()), expected, "system call {calls} fails");
            assert_eq!(step, if failed == 0 { Step::Nothing } else { Step::Held });
            // It heals.
            assert_eq!(pack_all(&mut packer), Step::Nothing);
            assert_no_leftovers(&config);
            assert_eq!(texts(place.path()), expected, "system call {calls} failed");
            let lines = log.lines().split_off(logged);
            if failed == 0 {
                assert!(calls > 20 && lines.is_empty(), "{calls}, {lines:?}");
                break;
            }
            let [first, rest @ ..] = &lines[..] else { panic!("it was not told") };
            assert!(first.contains("cannot compress") && first.contains("free space"), "{first}");
            // Where only the last step failed, nothing is left to be packed.
            assert!(rest.len() <= 1, "{lines:?}");
        }
    }
}

#[test]
fn nothing_is_packed_at_the_reserve() {
    let root = tempdir();
    let (config, log) = packing(root.path());
    PRETENDED.set(Some((1 << 30, 1 << 30)));
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    let before = files(&config);
    PRETENDED.set(Some((1 << 30, (1 << 30) / 100 + 4200)));
    let mut packer = packer(&config, &shared);
    assert_eq!(packer.step(), Step::Held);
    assert_eq!(packer.step(), Step::Held);
    assert_eq!(files(&config), before);
    assert_no_leftovers(&config);
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("storage reserve"), "{lines:?}");
    PRETENDED.set(Some((1 << 30, 1 << 30)));
    assert_eq!(pack_all(&mut packer), Step::Nothing);
    assert_eq!(files(&config).1.len(), before.0.len() - 1);
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    PRETENDED.set(None);
}

#[test]
fn what_is_trimmed_while_it_is_packed_goes() {
    let original = tempdir();
    let place = tempdir();
    let (config, _) = packing(place.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    copy(place.path(), original.path());
    let live = shared.live();
    let second = files(&config).0[1];
    // What packing the first one leaves, cut off after each of its steps.
    let mut seen = BTreeSet::new();
    for calls in 0.. {
        copy(original.path(), place.path());
        let done = crash::after(calls, || packer(&config, &shared).step()).is_some();
        let mut retention = Retention::look(&config.dir, live).unwrap();
        seen.insert((retention.packed(), files(&config).1.len()));
        assert_eq!(retention.remove(second - 1).unwrap(), 1);
        let (raw, packed) = files(&config);
        assert!(raw[0] == second && packed.is_empty(), "cut off before {calls}: {packed:?}");
        if done {
            break;
        }
    }
    assert_eq!(seen, BTreeSet::from([(0, 0), (0, 1), (1, 1)]));

    // It is removed by hand while its bytes are written.
    struct Removes<'a>(&'a Path);
    impl packed::pack::Leave for Removes<'_> {
        fn room(&mut self, _: u64) -> io::Result<()> {
            let _ = fs::remove_file(self.0);
            Ok(())
        }
        fn goes_on(&self) -> bool {
            true
        }
    }
    copy(original.path(), place.path());
    let dir_file = File::open(&config.dir).unwrap();
    let first = segment::path(&config.dir, 1);
    let outcome = packed::pack::pack(&config.dir, &dir_file, 1, &mut Removes(&first)).unwrap();
    assert_eq!(outcome, packed::pack::Outcome::Gone);
    let (raw, packed) = files(&config);
    assert!(raw[0] == second && packed.is_empty());
}

/// The live segment is gone, or was never written: what is left is gone on with, also where it is packed.
#[test]
fn a_start_behind_a_packed_segment() {
    let original = tempdir();
    let place = tempdir();
    let (config, _) = packing(place.path());
    let Assembled { shared, mut worker, lock, ring_lock } =
        Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    pack_all(&mut packer(&config, &shared));
    let live = shared.live();
    drop((shared, worker, lock, ring_lock));
    fs::remove_dir_all(config.ring.parent().unwrap()).unwrap();
    let live_path = segment::path(&config.dir, live);
    let whole = texts(place.path()).len();
    let bytes = fs::read(&live_path).unwrap();
    for with in ["a header alone", "zeros", "nothing"] {
        match with {
            "zeros" => fs::write(&live_path, vec![0; bytes.len()]).unwrap(),
            "nothing" => fs::remove_file(&live_path).unwrap(),
            _ => fs::write(&live_path, &bytes[..segment::HEADER]).unwrap(),
        }
        copy(place.path(), original.path());
        let cause = if with == "zeros" { "damaged" } else { "power-loss" };
        for calls in 0.. {
            copy(original.path(), place.path());
            let done = crash::after(calls, || drop(Ready::prepare(&config).unwrap())).is_some();
            let Assembled { mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
            while worker.step().unwrap() == Carry::Carried {}
            assert_no_leftovers(&config);
            let all = texts(place.path());
            let mut end = vec![format!("gap {cause}"), "start power-loss".to_owned()];
            if done {
                end.push("start killed".to_owned());
            }
            let context = format!("{with}, killed before system call {calls}");
            assert_eq!(all[all.len() - end.len()..], end, "{context}");
            let kept = all.len() - end.len();
            assert!(kept as u64 == live - 1 && kept < whole, "{context}: {kept} of {whole}");
            if done {
                break;
            }
        }
        copy(original.path(), place.path());
    }
}

#[test]
fn a_damaged_segment_comes_back_as_it_was() {
    damaged_segment_comes_back(|bytes| {
        bytes[3000..9001].fill(0x5a);
        bytes.truncate(bytes.len() - 7);
    });
}

/// What a power loss leaves behind a segment's last whole frame: more than a block.
#[test]
fn a_segment_with_a_long_end_that_is_nothing_comes_back_as_it_was() {
    damaged_segment_comes_back(|bytes| bytes.resize(bytes.len() + (3 << 20), 0));
}

fn damaged_segment_comes_back(damage: impl FnOnce(&mut Vec<u8>)) {
    let root = tempdir();
    let (config, _) = packing(root.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    let path = segment::path(&config.dir, 1);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    let expected = texts(root.path());
    pack_all(&mut packer(&config, &shared));
    assert!(!path.exists());
    let (_, mut opened, _) = crate::reader::SegmentBytes::open(&path).unwrap();
    let mut read = vec![0; bytes.len() + 1];
    assert_eq!(opened.fill_at(&mut read, 0).unwrap(), bytes.len());
    assert!(read[..bytes.len()] == bytes);
    assert_eq!(texts(root.path()), expected);
}

#[test]
fn a_segment_that_is_none_stays_as_it_is() {
    let root = tempdir();
    let (config, log) = packing(root.path());
    let Assembled { shared, mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
    fill(&shared, &mut worker);
    let number = files(&config).0[1];
    let path = segment::path(&config.dir, number);
    fs::write(&path, [0; 9000]).unwrap();
    let mut packer = packer(&config, &shared);
    assert_eq!(pack_all(&mut packer), Step::Nothing);
    assert_eq!(fs::read(&path).unwrap(), [0; 9000]);
    assert_eq!(files(&config).0, [number, shared.live()]);
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("stays uncompressed"), "{lines:?}");
}
