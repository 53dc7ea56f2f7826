//! What consumers hear: each its selection, each event once and in order, however slowly they read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::sync::Barrier;

use gnotify_channel::event::CALL_EVENTS;
use gnotify_channel::socket_name::consumer_socket;
use gnotify_channel::{Event, JournalPath, Kind, Selection};
use gnotify_record::Gfid;

use support::{BRICK, Brick, Listening, open, wait_for};

fn one_of_each() -> Vec<Event> {
    let gfid = Gfid([7; 16]);
    vec![
        Event::Journal { path: JournalPath::new(b"/b/CHANGELOG.1").unwrap() },
        Event::Open { gfid, flags: 2 },
        Event::Create { gfid, flags: 0o1101 },
        Event::Release { gfid },
        Event::BrRelease { version: 3, gfid, sign_info: 1 },
    ]
}

#[test]
fn each_hears_what_it_selected_and_numbers_have_no_holes() {
    let brick = Brick::open();
    let mut all = brick.consumer(1, 0x1f);
    let mut one_each: Vec<_> =
        Kind::ALL.into_iter().map(|kind| brick.consumer(10 + kind as u32, kind as u32)).collect();
    for round in 1..=5 {
        for (place, event) in one_of_each().into_iter().enumerate() {
            let expected = vec![event.clone()];
            brick.server.send(event);
            assert_eq!(one_each[place].events(1, round), expected);
            assert_eq!(all.events(1, (round - 1) * 5 + place as u64 + 1), expected);
        }
    }
}

#[test]
fn nobody_wants_what_nobody_selected() {
    let brick = Brick::open();
    assert!(Kind::ALL.into_iter().all(|kind| !brick.server.wants(kind)));
    brick.server.send(open(1));
    let mut consumer = brick.consumer(1, Kind::Open as u32 | 1 << 31);
    // The answer to the probe comes when the brick is connected.
    assert!(brick.server.wants(Kind::Open) && !brick.server.wants(Kind::Create));
    assert_eq!(brick.server.status().consumers[0].selection, Selection::from_bits(2));
    brick.server.send(open(2));
    assert_eq!(consumer.events(1, 1), [open(2)]);
    drop(consumer);
    wait_for("the consumer's end", || !brick.server.wants(Kind::Open));
    assert!(brick.server.status().consumers.is_empty());
}

/// 3000 events for a consumer that does not read, four threads that send, and one that reads meanwhile.
#[test]
fn d5_a_consumer_that_stops_hears_each_event_once_and_in_order() {
    const THREADS: u32 = 4;
    const EACH: u32 = 750;
    let brick = Brick::open();
    let mut slow = brick.consumer(1, 0x1f);
    let mut quick = brick.consumer(2, 0x1f);
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, server) = (&start, &brick.server);
            scope.spawn(move || {
                start.wait();
                (0..EACH).for_each(|number| server.send(open(thread << 16 | number)));
            });
        }
    });
    let count = (THREADS * EACH) as usize;
    let heard_quickly = quick.events(count, 1);
    wait_for("the slow one's events in its queue", || {
        let status = brick.server.status();
        let slow = status
            .consumers
            .iter()
            .find(|one| one.socket.ends_with(slow.path.file_name().unwrap()));
        slow.is_some_and(|slow| slow.queued_events + slow.sent_events == count as u64)
    });
    let status = brick.server.status();
    assert!(status.consumers.iter().any(|one| one.queued_events > 0 && one.queued_bytes > 0));
    assert!(status.consumers.iter().all(|one| one.dropped_events == 0));
    let heard = slow.events(count, 1);
    assert_eq!(heard, heard_quickly, "both hear one order");
    for thread in 0..THREADS {
        let of_thread: Vec<&Event> = heard
            .iter()
            .filter(|event| matches!(event, Event::Open { flags, .. } if *flags >> 16 == thread.cast_signed()))
            .collect();
        let sent: Vec<Event> = (0..EACH).map(|number| open(thread << 16 | number)).collect();
        assert_eq!(of_thread, sent.iter().collect::<Vec<_>>(), "thread {thread}");
    }
}

/// libgfchangelog takes the call that it happens to read first for the first one.
#[test]
fn nothing_is_sent_beside_the_first_call() {
    let brick = Brick::open();
    let mut consumer = brick.consumer(1, 0x1f);
    brick.server.send(open(1));
    let first = consumer.unanswered().unwrap();
    assert_eq!((first.seq, first.events), (1, vec![open(1)]));
    brick.server.send(open(2));
    brick.server.send(open(3));
    let status = || brick.server.status().consumers[0].clone();
    wait_for("the queue", || status().queued_events == 2);
    assert_eq!(status().sent_events, 1);
    consumer.answer(1);
    // From then on, answers are not waited for.
    let second = consumer.unanswered().unwrap();
    assert_eq!((second.seq, second.events), (2, vec![open(2), open(3)]));
    brick.server.send(open(4));
    assert_eq!(consumer.unanswered().unwrap().events, [open(4)]);
}

#[test]
fn what_is_queued_is_sent_in_full_calls() {
    let brick = Brick::open();
    let mut consumer = brick.consumer(1, 0x1f);
    let count = 100 * CALL_EVENTS as u32;
    (0..count).for_each(|number| brick.server.send(open(number)));
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < count as usize {
        sizes.push(consumer.batch().unwrap().events.len());
    }
    assert!(sizes.iter().all(|size| (1..=CALL_EVENTS).contains(size)), "{sizes:?}");
    assert!(sizes.contains(&CALL_EVENTS), "{sizes:?}");
}

/// Paths make events large: the queue is full after a few thousand of them.
#[test]
fn what_finds_no_room_is_dropped_counted_and_told_once() {
    let brick = Brick::open();
    let mut deaf = brick.consumer(1, 0x1f);
    let path = JournalPath::new(&[b'p'; 4000]).unwrap();
    let dropped = || brick.server.status().consumers[0].dropped_events;
    let mut sent = 0;
    while dropped() < 100 {
        // So that none is dropped on the way to the thread: the queue to it would be as good as full.
        for _ in 0..100 {
            brick.server.send(Event::Journal { path: path.clone() });
            sent += 1;
        }
        let waits = |one: &gnotify_channel::ConsumerStatus| {
            one.queued_events + one.sent_events + one.dropped_events
        };
        wait_for("the thread", || waits(&brick.server.status().consumers[0]) == sent);
    }
    let status = brick.server.status().consumers[0].clone();
    assert!(status.queued_bytes <= (64 << 20) + (128 << 10), "{status:?}");
    assert!(status.queued_bytes > 60 << 20, "{status:?}");
    let full = || brick.lines().iter().filter(|line| line.contains("queue is full")).count();
    assert_eq!(full(), 1);

    // It reads again: what it hears is what was queued, without a hole in the numbers.
    let kept = (sent - status.dropped_events) as usize;
    let heard = deaf.events(kept, 1);
    assert_eq!(heard.len(), kept);
    wait_for("the end of the spell", || brick.said("reads again"));
    let told = format!("reads again: {} events were dropped", status.dropped_events);
    assert!(brick.said(&told), "{:?}", brick.lines());
    brick.server.send(open(1));
    assert_eq!(deaf.batch().unwrap().events, [open(1)]);
    assert_eq!((dropped(), full()), (status.dropped_events, 1));
}

#[test]
fn a_consumer_that_probes_again_is_heard_again() {
    let brick = Brick::open();
    let mut first = brick.consumer(1, Kind::Open as u32);
    let mut second = brick.consumer(1, Kind::Create as u32);
    assert!(first.events.is_closed(), "one connection a consumer");
    assert!(brick.server.wants(Kind::Create) && !brick.server.wants(Kind::Open));
    let event = Event::Create { gfid: Gfid::ROOT, flags: 1 };
    brick.server.send(event.clone());
    assert_eq!(second.events(1, 1), [event], "numbers begin anew with a connection");

    // On the connection that it has probed on before.
    drop(second.events);
    wait_for("the end", || !brick.server.wants(Kind::Create));
    let mut listening = Listening::at(&second.path);
    assert_eq!(second.asking.probe(&second.path, Kind::Open as u32), 0);
    second.events = listening.accept();
    brick.server.send(open(3));
    assert_eq!(second.events(1, 1), [open(3)]);
}

#[test]
fn what_was_sent_before_the_end_is_written() {
    let brick = Brick::open();
    let mut consumer = brick.consumer(1, 0x1f);
    (0..10).for_each(|number| brick.server.send(open(number)));
    let socket = brick.socket();
    assert!(socket.exists());
    brick.server.close();
    assert!(!socket.exists());
    assert_eq!(consumer.events(10, 1), (0..10).map(open).collect::<Vec<_>>());
    assert!(consumer.events.is_closed() && consumer.asking.is_closed());
}

/// Its listener has no room for another connection at first.
#[test]
fn a_consumer_that_cannot_take_a_connection_at_once_is_asked_again() {
    let brick = Brick::open();
    let path = consumer_socket(brick.dir.path(), Path::new(BRICK), 9);
    let mut listening = Listening::crowded(&path);
    assert_eq!(brick.connect().probe(&path, 0x1f), 0);
    assert!(!brick.server.wants(Kind::Open));
    listening.make_room();
    wait_for("the connection", || brick.server.wants(Kind::Open));
}
