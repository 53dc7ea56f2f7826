//! The installed libgfchangelog registers with our event channel and hears all of it: in each of its
//! registrations, where a stock brick is heard in two of ten, and also when it is stopped for a while, where
//! a stock brick sends it the memory of later events.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use gnotify_channel::{Event, JournalPath, Level, Server, Settings};
use gnotify_harness::{GfEvents, Sandbox, host_test, wait_for};
use gnotify_record::Gfid;

const BRICK: &str = "/bricks/b1";
const ALL: u32 = 0x1f;
/// Registrations, every other one with ordered events.
const REGISTRATIONS: u32 = 20;
/// Events for a consumer that is stopped: 12 seconds of 250 creates.
const EVENTS: u32 = 3000;
const PACE: Duration = Duration::from_millis(4);

fn serve() -> Server {
    let log = std::sync::Arc::new(|level: Level, line: &str| println!("{level:?}: {line}"));
    Server::open(Settings { log, ..Settings::new(BRICK) }).unwrap()
}

fn gfid(number: u32) -> Gfid {
    let mut gfid = Gfid([0xee; 16]);
    gfid.0[..4].copy_from_slice(&number.to_le_bytes());
    gfid
}

fn one_of_each(number: u32) -> Vec<Event> {
    let gfid = gfid(number);
    let path = format!("{BRICK}/.glusterfs/changelogs/2026/11/21/CHANGELOG.{number}");
    vec![
        Event::Create { gfid, flags: 0o1101 },
        Event::Release { gfid },
        Event::Open { gfid, flags: 0o2 },
        Event::BrRelease { version: u64::from(number) << 40, gfid, sign_info: 2 },
        Event::Journal { path: JournalPath::new(path.as_bytes()).unwrap() },
    ]
}

fn heard(consumer: &GfEvents) -> Vec<Event> {
    consumer.events().iter().map(|event| Event::from_bytes(&event.bytes).unwrap()).collect()
}

/// Each event once and unaltered; and in order, where the consumer wants that: without it, libgfchangelog
/// itself lets its threads overtake each other.
fn assert_heard(consumer: &GfEvents, is_ordered: bool, sent: &[Event]) {
    let structures = |events: &[Event]| {
        let mut structures = Vec::new();
        for event in events {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            structures.push(bytes);
        }
        structures
    };
    let (mut sent, mut heard) = (structures(sent), structures(&heard(consumer)));
    assert_eq!(heard.len(), sent.len(), "ordered: {is_ordered}");
    if !is_ordered {
        sent.sort();
        heard.sort();
    }
    // All of them at once would be too much to print.
    for (place, (heard, sent)) in heard.iter().zip(&sent).enumerate() {
        let (heard, sent) = (Event::from_bytes(heard), Event::from_bytes(sent));
        assert_eq!(heard, sent, "event {place}, ordered: {is_ordered}");
    }
}

host_test!(every_registration_hears_every_kind, |t| {
    let server = serve();
    for number in 1..=REGISTRATIONS {
        let is_ordered = number % 2 == 0;
        let consumer = GfEvents::register(t, BRICK, ALL, is_ordered);
        // libgfchangelog itself does not wait for the answer to its probe.
        wait_for("the connection", || server.status().consumers.len() == 1);
        let events = one_of_each(number);
        events.iter().for_each(|event| server.send(event.clone()));
        wait_for("all five kinds", || consumer.count() >= events.len());
        assert_heard(&consumer, is_ordered, &events);
        assert!(consumer.is_connected());
        drop(consumer);
        wait_for("the end of a consumer", || server.status().consumers.is_empty());
    }
});

host_test!(two_consumers_hear_what_each_selected, |t| {
    let server = serve();
    let all = GfEvents::register(t, BRICK, ALL, true);
    let creates = GfEvents::register(t, BRICK, 4, true);
    wait_for("both connections", || server.status().consumers.len() == 2);
    let events: Vec<Event> = (0..50).flat_map(one_of_each).collect();
    events.iter().for_each(|event| server.send(event.clone()));
    wait_for("all of them", || all.count() >= events.len());
    wait_for("the creates", || creates.count() >= 50);
    assert_heard(&all, true, &events);
    let is_create = |event: &Event| matches!(event, Event::Create { .. });
    let of_kind: Vec<Event> = events.into_iter().filter(is_create).collect();
    assert_heard(&creates, true, &of_kind);
});

/// Stops consumers, sends events with `pause` in between, and lets them go on.
fn hears_all_after_a_stop(t: &Sandbox, pause: Duration) {
    let server = serve();
    for is_ordered in [true, false] {
        let consumer = GfEvents::register(t, BRICK, ALL, is_ordered);
        wait_for("the connection", || consumer.is_connected());
        consumer.stop();
        let start = Instant::now();
        let mut sent = Vec::new();
        for number in 0..EVENTS {
            let event = Event::Create { gfid: gfid(number), flags: number.cast_signed() };
            server.send(event.clone());
            sent.push(event);
            std::thread::sleep((pause * number).saturating_sub(start.elapsed()));
        }
        let status = || server.status().consumers[0].clone();
        wait_for("the queue", || {
            status().queued_events + status().sent_events == u64::from(EVENTS)
        });
        assert!(status().queued_events > u64::from(EVENTS) / 2, "{:?}", status());
        consumer.go_on();
        wait_for("each event", || consumer.count() >= sent.len());
        assert_heard(&consumer, is_ordered, &sent);
        assert_eq!(status().dropped_events, 0);
        drop(consumer);
        wait_for("the end of a consumer", || server.status().consumers.is_empty());
    }
}

host_test!(a_stopped_consumer_hears_each_event_once, |t| {
    hears_all_after_a_stop(t, Duration::ZERO);
});

host_test!(
    #[ignore = "long: make test-long"]
    a_consumer_stopped_for_12_seconds_hears_each_event_once,
    |t| {
        hears_all_after_a_stop(t, PACE);
    }
);
