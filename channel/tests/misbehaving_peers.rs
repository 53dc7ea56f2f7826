//! A peer that sends garbage, half messages, huge lengths or nothing costs its own connection and no more:
//! beside each of them, a consumer goes on to hear all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::big_endian_bytes, reason = "XDR is big endian")]

mod support;

use std::path::Path;

use gnotify_channel::probe::{self, PROBE, PROBE_SIZE, Probe};
use gnotify_channel::record_mark::mark;
use gnotify_channel::rpc::{Call, Outcome, Program};
use gnotify_channel::socket_name::{brick_socket, consumer_socket};
use gnotify_channel::{Kind, Server, Settings};

use support::{BRICK, Brick, Consumer, Listening, Peer, open, probe_call, wait_for};

/// A brick with a consumer that must not notice anything.
struct Calm {
    brick: Brick,
    consumer: Consumer,
    heard: u64,
}

impl Calm {
    fn new() -> Calm {
        let brick = Brick::open();
        let consumer = brick.consumer(1, 0x1f);
        Calm { brick, consumer, heard: 0 }
    }

    fn still_hears(&mut self) {
        self.heard += 1;
        let event = open(self.heard as u32);
        self.brick.server.send(event.clone());
        assert_eq!(self.consumer.events(1, self.heard), [event]);
    }
}

#[test]
fn garbage_ends_a_connection() {
    let mut calm = Calm::new();
    let huge = u32::MAX.to_be_bytes();
    let empty_fragments = [0; 64];
    let no_call = [&mark(8)[..], &[0, 0, 0, 1, 0, 0, 0, 9]].concat();
    let short = [&mark(4)[..], &[0, 0, 0, 1]].concat();
    let http = b"GET / HTTP/1.1\r\n\r\n";
    for garbage in [&huge[..], &mark(4096), &empty_fragments, &no_call, &short, http] {
        let mut peer = calm.brick.connect();
        peer.send(garbage);
        assert!(peer.is_closed(), "{garbage:?}");
        calm.still_hears();
    }
    assert!(calm.brick.said("a connection was closed"), "{:?}", calm.brick.lines());
}

#[test]
fn half_a_message_ends_a_connection_after_a_while_and_silence_does_not() {
    let mut calm = Calm::new();
    let mut silent = calm.brick.connect();
    let whole = Probe { filter: 1, path: "/x".into() }.encode_call(2).unwrap();
    let mut halves: Vec<Peer> = [1, 4, 5, whole.len() - 1]
        .into_iter()
        .map(|length| {
            let mut peer = calm.brick.connect();
            peer.send(&whole[..length]);
            peer
        })
        .collect();
    calm.still_hears();
    for peer in &mut halves {
        assert!(peer.is_closed());
    }
    calm.still_hears();
    let null = Call { procedure: 0, ..probe_call(&[]) };
    assert_eq!(silent.call(null), (Vec::new(), None));
}

#[test]
fn a_call_byte_by_byte_is_a_call() {
    let mut calm = Calm::new();
    let mut peer = calm.brick.connect();
    let mut bytes = Vec::new();
    Call { procedure: 0, ..probe_call(&[]) }.encode(&mut bytes);
    for byte in &bytes {
        peer.send(&[*byte]);
    }
    assert!(peer.next().is_some());
    calm.still_hears();
}

#[test]
fn calls_for_others_are_answered_so() {
    let mut calm = Calm::new();
    let mut peer = calm.brick.connect();
    let program = |number, version| Program { number, version };
    let call = probe_call(&[]);
    for (call, outcome) in [
        (Call { program: program(123_451_501, 1), ..call }, Outcome::NoProgram),
        (
            Call { program: program(probe::PROGRAM.number, 2), ..call },
            Outcome::OtherVersion { served: 1 },
        ),
        (Call { procedure: PROBE + 1, ..call }, Outcome::NoProcedure),
        (call, Outcome::BadArguments),
        (probe_call(&[0xff; PROBE_SIZE]), Outcome::BadArguments),
        (probe_call(&[0; PROBE_SIZE]), Outcome::BadArguments),
    ] {
        assert_eq!(peer.call(call), (Vec::new(), Some(outcome)), "{call:?}");
    }
    peer.send(&[&mark(12)[..], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3]].concat());
    let denied = peer.next().unwrap();
    assert_eq!(denied[8..12], [0, 0, 0, 1], "another version of RPC is denied");
    calm.still_hears();
}

#[test]
fn only_a_consumers_socket_is_called() {
    let mut calm = Calm::new();
    let dir = calm.brick.dir.path().to_owned();
    let brick = Path::new(BRICK);
    let elsewhere = tempfile::tempdir().unwrap();
    let own = brick_socket(&dir, brick);
    let mut others = vec![
        // Of another brick; the brick's own; with another name.
        consumer_socket(&dir, Path::new("/bricks/b2"), 7),
        dir.join("glusterd.socket"),
        // In another directory, also by a way through ours.
        consumer_socket(elsewhere.path(), brick, 7),
    ];
    let far = others[2].clone();
    others.iter().for_each(|path| drop(Listening::at(path)));
    let name = far.file_name().unwrap();
    others.push(dir.join("..").join(elsewhere.path().file_name().unwrap()).join(name));
    others.push(name.into());
    others.push("/".into());
    others.push(dir.join(".."));
    others.push(own);
    // Nobody listens there.
    others.push(consumer_socket(&dir, brick, 8));
    let mut peer = calm.brick.connect();
    for path in others {
        assert_eq!(peer.probe(&path, 0x1f), -1, "{}", path.display());
        assert_eq!(calm.brick.server.status().consumers.len(), 1);
    }
    assert!(calm.brick.said("was refused"));
    // Two ways to write our directory are one.
    let path = consumer_socket(&dir, brick, 9);
    let _listening = Listening::at(&path);
    assert_eq!(peer.probe(&dir.join(".").join(path.file_name().unwrap()), 0x1f), 0);
    calm.still_hears();
}

#[test]
fn a_consumer_that_answers_nonsense_is_lost_alone() {
    let mut calm = Calm::new();
    for (pid, nonsense) in [
        (11, b"\xff\xff\xff\xff".to_vec()),
        (12, [&mark(4)[..], b"abcd"].concat()),
        // A reply with the results of no event.
        (13, [&mark(28)[..], &[0, 0, 0, 2, 0, 0, 0, 1], &[0; 16], &[0; 4]].concat()),
    ] {
        let mut peer = calm.brick.consumer(pid, Kind::Open as u32);
        peer.events.send(&nonsense);
        assert!(peer.events.is_closed(), "{nonsense:?}");
        calm.still_hears();
    }
}

#[test]
fn connections_without_end_do_not_keep_a_consumer_out() {
    let mut calm = Calm::new();
    // More than there may be, none of which asks for anything.
    let silent: Vec<Peer> = (0..300).map(|_| calm.brick.connect()).collect();
    calm.still_hears();
    let mut second = calm.brick.consumer(2, Kind::Create as u32);
    // Those two have probed, and were kept.
    let null = Call { procedure: 0, ..probe_call(&[]) };
    assert_eq!(calm.consumer.asking.call(null), (Vec::new(), None));
    assert_eq!(second.asking.call(null), (Vec::new(), None));
    drop(silent);
    calm.still_hears();
}

#[test]
fn there_are_no_more_consumers_than_64() {
    let mut calm = Calm::new();
    let _others: Vec<Consumer> = (2..=64).map(|pid| calm.brick.consumer(pid, 1)).collect();
    let path = consumer_socket(calm.brick.dir.path(), Path::new(BRICK), 65);
    let _listening = Listening::at(&path);
    assert_eq!(calm.brick.connect().probe(&path, 1), -1);
    assert!(calm.brick.said("there are 64 already"));
    // One that is among them may probe again.
    let _again = calm.brick.consumer(64, 1);
    calm.still_hears();
}

/// It asks, and does not read the answers.
#[test]
fn answers_that_nobody_takes_are_not_kept_without_end() {
    let mut calm = Calm::new();
    let mut peer = calm.brick.connect();
    peer.stream.set_nonblocking(true).unwrap();
    let mut null = Vec::new();
    Call { procedure: 0, ..probe_call(&[]) }.encode(&mut null);
    let calls = null.repeat(64);
    // In the end its own calls are not read any more, or it is cut off.
    wait_for("the end of what is read", || match std::io::Write::write(&mut peer.stream, &calls) {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::BrokenPipe)
        }
    });
    calm.still_hears();
    wait_for("the end of its time", || calm.brick.said("half a message"));
    calm.still_hears();
}

#[test]
fn what_cannot_be_opened_says_where_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let open = |run_dir: &Path| {
        Server::open(Settings { run_dir: run_dir.into(), ..Settings::new(BRICK) })
            .map(drop)
            .map_err(|error| error.to_string())
    };
    std::fs::write(brick_socket(dir.path(), Path::new(BRICK)), "somebody's").unwrap();
    let told = open(dir.path()).unwrap_err();
    assert!(told.contains("e4f14f24a63ca1d9.sock") && told.contains("no socket"), "{told}");
    let told = open(&dir.path().join("d".repeat(100))).unwrap_err();
    assert!(told.contains("dddd"), "{told}");
    open(&dir.path().join("new/directory")).unwrap();
}
