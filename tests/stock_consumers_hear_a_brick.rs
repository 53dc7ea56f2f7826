//! The installed libgfchangelog and a real brick on which gnotify stands in the place of `features/changelog`: the events
//! that it hears are those of the fops that were done, and the slices that it converts say what our own reader says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use gnotify_channel::Event;
use gnotify_harness::{Brick, GfEvents, Mount, Sandbox, host_test, wait_for};
use gnotify_record::Gfid;

use brick_changelog::{
    History, Live, begun, dated, gfid, history, indexed, indexes, layout, our_history, slice,
    stamp, wait_for_slices,
};

const ALL: u32 = 0x1f;
const CREATES: u32 = 4;

fn consumer(t: &Sandbox, brick: &Brick, filter: u32, ordered: bool) -> GfEvents {
    let consumer = GfEvents::register(t, brick.dir().to_str().unwrap(), filter, ordered);
    wait_for("the connection", || consumer.is_connected());
    consumer
}

fn heard(consumer: &GfEvents) -> Vec<Event> {
    consumer.events().iter().map(|event| Event::from_bytes(&event.bytes).unwrap()).collect()
}

/// The events of files, without those of slices.
fn of_files(consumer: &GfEvents) -> Vec<Event> {
    let is_of_file = |event: &Event| !matches!(event, Event::Journal { .. });
    heard(consumer).into_iter().filter(is_of_file).collect()
}

/// Creates a file, and reads it anew. Its gfid. FUSE closes a file some time later, so it is waited for.
fn live_of_a_file(brick: &Brick, mount: &Mount, name: &str, consumer: &GfEvents) -> Gfid {
    let before = of_files(consumer).len();
    fs::write(mount.path().join(name), "text").unwrap();
    wait_for("CREATE and RELEASE", || of_files(consumer).len() >= before + 2);
    assert_eq!(fs::read(mount.path().join(name)).unwrap(), b"text");
    wait_for("OPEN and RELEASE", || of_files(consumer).len() >= before + 4);
    gfid(&brick.dir().join(name))
}

/// What is heard of [`live_of_a_file`]; the flags are those of the calls, as far as the kernel passes them on.
fn assert_live_of_a_file(events: &[Event], of: Gfid) {
    use gnotify_harness::rustix::fs::OFlags;
    let has = |flags: i32, wanted: OFlags| {
        OFlags::from_bits_retain(flags.cast_unsigned()).contains(wanted)
    };
    match events {
        [
            Event::Create { gfid: created, flags },
            Event::Release { gfid: closed },
            Event::Open { gfid: opened, flags: reading },
            Event::Release { gfid: closed_again },
        ] => {
            assert_eq!([created, closed, opened, closed_again], [&of; 4]);
            assert!(has(*flags, OFlags::WRONLY | OFlags::CREATE), "{flags:o}");
            assert!(
                !has(*reading, OFlags::WRONLY) && !has(*reading, OFlags::CREATE),
                "{reading:o}"
            );
        }
        other => panic!("{other:?}"),
    }
}

host_test!(a_brick_is_heard, |t| {
    let brick =
        t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "2").start();
    let mount = brick.mount("m");
    let all = consumer(t, &brick, ALL, true);
    let creates = consumer(t, &brick, CREATES, true);
    let layout = layout(&brick);
    let of = live_of_a_file(&brick, &mount, "file", &all);
    assert_live_of_a_file(&of_files(&all), of);
    let is_journal = |event: &Event| matches!(event, Event::Journal { .. });
    wait_for("the finished slice", || {
        slice(&layout.live()).is_empty() && heard(&all).iter().any(is_journal)
    });
    let journal: Vec<Event> = heard(&all).into_iter().filter(is_journal).collect();
    // Slices from before the registration are not told of, and empty ones never are.
    let told: Vec<String> = journal
        .iter()
        .map(|event| match event {
            Event::Journal { path } => String::from_utf8(path.as_bytes().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let slices = dated(&layout);
    let slices = slices.iter().map(|path| path.to_str().unwrap().to_owned());
    let slices: Vec<String> = slices.take_while(|path| Some(path) != told.last()).collect();
    assert!(slices.ends_with(&told[..told.len() - 1]), "{told:?} of {slices:?}");
    assert!(told.iter().all(|path| Path::new(path).exists()), "{told:?}");
    assert!(matches!(heard(&creates)[..], [Event::Create { gfid, .. }] if gfid == of));
});

host_test!(a_brick_that_only_notifies_is_heard, |t| {
    let brick = t.brick("b").as_changelog().option("changelog-notification", "on").start();
    let mount = brick.mount("m");
    let all = consumer(t, &brick, ALL, true);
    for number in 0..3 {
        let of = live_of_a_file(&brick, &mount, &format!("file{number}"), &all);
        assert_live_of_a_file(&heard(&all)[4 * number..], of);
    }
    assert!(!layout(&brick).live().exists(), "nothing is recorded");
});

/// Stops a consumer while `files` files are made, one each `pause`, and lets it go on.
fn hears_all_after_a_stop(t: &Sandbox, files: u32, pause: Duration) {
    let brick = t.brick("b").as_changelog().option("changelog", "on").start();
    let mount = brick.mount("m");
    let consumer = consumer(t, &brick, CREATES, true);
    consumer.stop();
    let start = Instant::now();
    let mut made = Vec::new();
    for number in 0..files {
        let name = format!("f{number}");
        fs::write(mount.path().join(&name), "").unwrap();
        made.push(gfid(&brick.dir().join(&name)));
        std::thread::sleep((pause * number).saturating_sub(start.elapsed()));
    }
    consumer.go_on();
    wait_for("each event", || consumer.count() >= made.len());
    let heard: Vec<Gfid> = heard(&consumer)
        .into_iter()
        .map(|event| match event {
            Event::Create { gfid, .. } => gfid,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(heard == made, "{} events for {files} files", heard.len());
}

host_test!(d5_a_stopped_consumer_hears_each_create_once_and_in_order, |t| {
    hears_all_after_a_stop(t, 500, Duration::ZERO);
});

host_test!(
    #[ignore = "long: make test-long"]
    d5_a_consumer_stopped_for_12_seconds_hears_each_create_once_and_in_order,
    |t| hears_all_after_a_stop(t, 3000, Duration::from_millis(4))
);

/// Something of each sort, with names that are hard to write down.
fn work(root: &Path, round: u32) {
    for name in ["plain", "a b%c\nd%20", "%", "\u{e4}\u{20ac}", "-"] {
        let file = root.join(format!("{name}{round}"));
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let moved = root.join(format!("{name}{round}-moved"));
        fs::hard_link(&file, &moved).unwrap();
        fs::remove_file(&moved).unwrap();
        symlink("x", &moved).unwrap();
        let dir = root.join(format!("{name}{round}-dir"));
        fs::create_dir(&dir).unwrap();
        fs::rename(&dir, dir.with_extension("renamed")).unwrap();
        fs::remove_dir(dir.with_extension("renamed")).unwrap();
    }
}

host_test!(live_and_history_calls_read_what_a_brick_writes, |t| {
    let brick = t
        .brick("b")
        .as_changelog()
        .option("changelog", "on")
        .option("rollover-time", "2")
        .option("capture-del-path", "on")
        .start();
    let mount = brick.mount("m");
    let layout = layout(&brick);
    let live = Live::register(t, &brick);
    let begin = dated(&layout).last().map_or(0, |path| stamp(path));
    for round in 0..3 {
        let slices = dated(&layout).len();
        work(mount.path(), round);
        wait_for("a slice", || dated(&layout).len() > slices);
    }
    wait_for_slices(&layout);
    let ours = our_history(&layout);
    let heard: Vec<_> = ours.iter().filter(|(ts, _)| *ts > begin).cloned().collect();
    wait_for("the consumer to be done", || live.slices().len() >= heard.len());
    assert_eq!(live.slices(), heard);
    let lines =
        |kind: &str| ours.iter().flat_map(|(_, lines)| lines).any(|line| line.contains(kind));
    for kind in ["D ", "M ", " CREATE ", " MKDIR ", " SYMLINK ", " LINK ", " RENAME ", " RMDIR "] {
        assert!(lines(kind), "no {kind}");
    }

    let index = indexes(&layout).remove(0);
    let first = begun(index.file_name().unwrap()).unwrap();
    let last = stamp(indexed(&layout).last().unwrap());
    let ours: Vec<_> = our_history(&layout).into_iter().filter(|(ts, _)| *ts <= last).collect();
    let whole = History { result: 0, actual_end: last, slices: ours };
    assert_eq!(history(t, &brick, first, last), whole);
    assert_eq!(history(t, &brick, first, last + 3600).result, 1, "as far as it is known");
    assert_eq!(history(t, &brick, first - 1, last).result, -2, "nobody knows what was before");
});
