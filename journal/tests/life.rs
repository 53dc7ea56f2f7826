//! A journal from its first start to its last: what is appended comes out, in order, across stops.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gnotify_journal::{
    Appended, Config, Journal, Limits, OpenError, RING_MIN, ReadError, Reader, Statement, What,
};
use gnotify_record::ClientId;
use support::{Place, Told, read, soon, told, write_at};

#[test]
fn what_is_appended_comes_out_across_stops() {
    let place = Place::new();
    let journal = place.open();
    for offset in 0..3 {
        assert_eq!(journal.append_record(&write_at(offset), 5), Appended::Yes(offset + 2));
    }
    assert!(journal.flush(soon()));
    assert_eq!(place.read().len(), 4, "a reader stands beside the writer");
    assert!(journal.pause() && journal.resume());
    assert!(journal.stop());
    assert!(!place.ring().exists(), "a clean stop gives the memory back");

    let journal = place.open();
    assert_eq!(journal.stats().start_id, 2);
    assert_eq!(journal.append_record(&write_at(9), 5), Appended::Yes(9));
    drop(journal);

    let statement = |seq, text: &str| Told::Statement { seq, text: text.into() };
    assert_eq!(
        place.read(),
        [
            statement(1, "start 1 first"),
            Told::Record { seq: 2, offset: 0 },
            Told::Record { seq: 3, offset: 1 },
            Told::Record { seq: 4, offset: 2 },
            statement(5, "Off"),
            statement(6, "On"),
            statement(7, "Stop"),
            statement(8, "start 2 clean"),
            Told::Record { seq: 9, offset: 9 },
            statement(10, "Stop"),
        ]
    );
    assert!(place.log.lines().is_empty(), "{:?}", place.log.lines());
}

#[test]
fn files_belong_to_their_owner_alone() {
    let place = Place::new();
    let ring = place.root.path().join("run/gluster/gnotify/0.ring");
    let journal = Journal::open(Config { ring: ring.clone(), ..place.config() }).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.dir()), 0o700);
    assert_eq!(mode(ring.parent().unwrap()), 0o700);
    assert_ne!(mode(&place.root.path().join("run/gluster")), 0o700, "the host's own");
    assert_eq!(mode(&ring), 0o600);
    assert_eq!(mode(&journal.stats().segment), 0o600);
    assert_eq!(mode(&place.dir().join("lock")), 0o600);
}

#[test]
fn one_journal_has_one_writer() {
    let place = Place::new();
    let _first = place.open();
    let second = Journal::open(place.config()).unwrap_err();
    assert!(matches!(&second, OpenError::InUse { path } if path.ends_with("lock")), "{second}");
    let other_dir = Config { dir: place.root.path().join("other"), ..place.config() };
    let third = Journal::open(other_dir).unwrap_err();
    assert!(matches!(&third, OpenError::InUse { path } if path.ends_with("0.ring")), "{third}");
}

#[test]
fn a_ring_of_another_size_is_refused_or_made() {
    let place = Place::new();
    for asked in [0, RING_MIN + 8, RING_MIN / 2, 128 << 20] {
        let error = Journal::open(Config { ring_size: asked, ..place.config() }).unwrap_err();
        assert!(matches!(error, OpenError::RingSize { asked: told } if told == asked));
    }
    let journal = Journal::open(Config { ring_size: 4 * RING_MIN, ..place.config() }).unwrap();
    assert_eq!(journal.stats().ring_size, 4 << 20);
}

#[test]
fn segments_roll_and_each_can_be_read_alone() {
    let place = Place::new();
    let limits = Limits { segment_size: 64 << 10, ..Limits::default() };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    assert!(journal.append_client(ClientId(4), b"CTX_ID:four"));
    assert!(journal.append_client(ClientId(5), b"CTX_ID:five"));
    assert!(journal.client_gone(ClientId(5)));
    let mut follower = Reader::open(&place.dir()).unwrap();
    let mut followed = Vec::new();
    for offset in 0..5000 {
        assert!(matches!(journal.append_record(&write_at(offset), 5), Appended::Yes(_)));
        if offset % 500 == 0 {
            followed.extend(read(&mut follower));
            assert!(journal.flush(soon()));
        }
    }
    assert!(journal.stop());
    followed.extend(read(&mut follower));
    assert_eq!(place.read(), followed, "following gives what reading gives");
    assert_eq!(followed.len(), 1 + 3 + 5000 + 1);

    let mut segments: Vec<_> = std::fs::read_dir(place.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gnj"))
        .collect();
    segments.sort();
    assert!(segments.len() >= 4, "{segments:?}");
    let mut alone = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        assert!(segment.metadata().unwrap().len() <= 64 << 10);
        let mut reader = Reader::open_segment(segment).unwrap();
        alone.extend(read(&mut reader));
        assert_eq!(reader.client(ClientId(4)), Some(b"CTX_ID:four".as_slice()));
        assert_eq!(reader.client(ClientId(5)).is_some(), at == 0, "gone clients are not repeated");
    }
    assert_eq!(alone, followed);
}

#[test]
fn time_passes_over_segments() {
    let place = Place::new();
    drop(place.open());
    std::thread::sleep(Duration::from_millis(5));
    let between = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    drop(place.open());
    drop(place.open());
    let mut reader = Reader::open(&place.dir()).unwrap();
    reader.skip_to_time(between.as_nanos() as u64).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, 1, "it may hold entries from that time on");
    reader.skip_to_time(u64::MAX).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, 5);
}

#[test]
fn a_slice_ends_after_its_first_record_and_not_without_one() {
    let place = Place::new();
    let limits = Limits { slice_time: Duration::from_millis(20), ..Limits::default() };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(journal.stats().slice, 1, "nothing was recorded");
    for slice in [1, 2] {
        let _ = journal.append_record(&write_at(slice), 5);
        let deadline = soon();
        while journal.stats().slice == slice && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(journal.slice().map(u64::from), Some(slice + 1));
    }
    assert!(journal.stop());
    let texts: Vec<String> = place.read().iter().map(|told| format!("{told:?}")).collect();
    assert!(texts[2].contains("SliceEnd { slice: 1 }"), "{texts:?}");
    assert!(texts[4].contains("SliceEnd { slice: 2 }"), "{texts:?}");
}

#[test]
fn threads_that_outrun_the_drain_are_accounted_for() {
    const THREADS: u64 = 4;
    const EACH: u64 = 60_000;
    let place = Place::new();
    let journal = place.open();
    let dropped = AtomicU64::new(0);
    let answered: Vec<Vec<(u64, u64)>> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let (journal, dropped) = (&journal, &dropped);
            move || {
                let mut answered = Vec::new();
                for at in 0..EACH {
                    let offset = thread * EACH + at;
                    match journal.append_record(&write_at(offset), 5) {
                        Appended::Yes(seq) => answered.push((seq, offset)),
                        Appended::Dropped(_) => {
                            dropped.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                answered
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(journal.flush(soon()));
    let dropped = dropped.into_inner();
    assert_eq!(journal.stats().dropped, dropped);
    assert!(journal.stop());
    let mut lost = 0;
    let mut records = Vec::new();
    for told in place.read() {
        match told {
            Told::Record { seq, offset } => records.push((seq, offset)),
            Told::Missing { from, to, text } => {
                assert_eq!(text, format!("ring-full Some({})", to - from + 1));
                lost += to - from + 1;
            }
            Told::Statement { .. } => {}
        }
    }
    let mut answered: Vec<_> = answered.into_iter().flatten().collect();
    answered.sort_unstable();
    assert_eq!(records, answered);
    assert_eq!(lost, dropped);
    assert_eq!(records.len() as u64 + lost, THREADS * EACH);
}

#[test]
fn clients_of_a_former_start_are_forgotten() {
    let place = Place::new();
    let journal = place.open();
    assert!(journal.append_client(ClientId(1), b"old"));
    assert!(journal.stop());
    let journal = place.open();
    assert!(journal.stop());
    let mut reader = Reader::open(&place.dir()).unwrap();
    let mut names = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let text = format!("{:?}", told(&entry));
        names.push((text, reader.client(ClientId(1)).is_some()));
    }
    let known: Vec<bool> = names.iter().map(|(_, known)| *known).collect();
    assert_eq!(known, [false, true, true, false, false], "{names:?}");
}

#[test]
fn other_paths_are_told_apart() {
    let place = Place::new();
    let root = place.root.path();
    let open = |name: &str| Reader::open(&root.join(name)).unwrap_err();
    assert!(matches!(open("none"), ReadError::NotFound { .. }));
    std::fs::create_dir(root.join("empty")).unwrap();
    assert!(matches!(open("empty"), ReadError::NotAJournal { .. }));
    std::fs::write(root.join("file"), "text").unwrap();
    assert!(matches!(open("file"), ReadError::NotAJournal { .. }));
    let segment = Reader::open_segment(&root.join("file")).unwrap_err();
    assert!(matches!(segment, ReadError::NotAJournal { .. }));
    std::fs::write(root.join("empty/lock"), "").unwrap();
    assert!(Reader::open(&root.join("empty")).unwrap().next().unwrap().is_none());
}

#[test]
fn a_journal_that_was_started_afresh_is_noticed() {
    let place = Place::new();
    drop(place.open());
    let mut reader = Reader::open(&place.dir()).unwrap();
    read(&mut reader);
    std::fs::remove_dir_all(place.dir()).unwrap();
    drop(place.open());
    assert!(matches!(reader.next(), Err(ReadError::StartedAfresh { .. })));
    // Also where the new one has gone on beyond the old one's numbers.
    drop(place.open());
    assert!(matches!(reader.next(), Err(ReadError::StartedAfresh { .. })));
}

#[test]
fn a_trimmed_journal_is_noticed_by_its_follower() {
    let place = Place::new();
    drop(place.open());
    let mut reader = Reader::open(&place.dir()).unwrap();
    assert_eq!(read(&mut reader).len(), 2);
    drop(place.open());
    drop(place.open());
    std::fs::remove_file(place.dir().join("00000000000000000003.gnj")).unwrap();
    let entry = reader.next().unwrap().unwrap();
    assert_eq!(
        told(&entry),
        Told::Missing { from: 3, to: 4, text: "trimmed None".into() },
        "{entry:?}"
    );
    let entry = reader.next().unwrap().unwrap();
    assert!(matches!(entry.what, What::Statement(Statement::Start(_))));
}
