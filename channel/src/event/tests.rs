//! Events against themselves, against what a stock brick sent, and against damage.

use proptest::prelude::*;

use super::*;
use crate::rpc::{Call, FIRST_XID, Outcome, Reply};

/// Taken from the socket between a stock brick and libgfchangelog: two files are created, the
/// first is closed, and the answer.
const STOCK_CALL: &[u8] = include_bytes!("../../testdata/event-call.bin");
const STOCK_REPLY: &[u8] = include_bytes!("../../testdata/event-reply.bin");
/// The call that told of a finished slice.
const STOCK_JOURNAL: &[u8] = include_bytes!("../../testdata/event-call-journal.bin");

fn read(call: &[u8]) -> (u32, Batch) {
    let call = Call::decode(&call[MARK..]).unwrap().unwrap();
    assert_eq!((call.program, call.procedure), (PROGRAM, EVENT));
    (call.xid, Batch::decode(call.arguments).unwrap())
}

#[test]
fn calls_are_what_stock_sends() {
    let (xid, batch) = read(STOCK_CALL);
    assert_eq!((xid, batch.seq), (FIRST_XID, 1));
    let [
        Event::Create { gfid, flags: 0o1101 },
        Event::Release { gfid: released },
        Event::Create { gfid: other, flags: 0o1101 },
    ] = batch.events[..]
    else {
        panic!("{:?}", batch.events)
    };
    assert!(gfid == released && gfid != other);
    assert_eq!(batch.encode_call(xid), STOCK_CALL);

    let (xid, batch) = read(STOCK_JOURNAL);
    let [Event::Journal { path }] = &batch.events[..] else { panic!("{:?}", batch.events) };
    let told = b"/bricks/b1/.glusterfs/changelogs/2026/11/21/CHANGELOG.1795273308";
    assert_eq!(path.as_bytes(), told);
    assert_eq!(batch.encode_call(xid), STOCK_JOURNAL);
}

#[test]
fn a_reply_is_what_stock_sends() {
    let reply = Reply::decode(&STOCK_REPLY[MARK..]).unwrap();
    let Outcome::Done(results) = reply.outcome else { panic!("{reply:?}") };
    let read = BatchReply::decode(results).unwrap();
    assert_eq!((reply.xid, read), (FIRST_XID, BatchReply { op_ret: 0, seq: 1 }));
    let mut bytes = Vec::new();
    Reply { xid: FIRST_XID, outcome: Outcome::Done(&read.encode()) }.encode(&mut bytes);
    assert_eq!(bytes, STOCK_REPLY);
}

fn event() -> impl Strategy<Value = Event> {
    let gfid = || any::<[u8; 16]>().prop_map(Gfid);
    prop_oneof![
        proptest::collection::vec(1u8.., 1..EVENT_SIZE - UNION)
            .prop_map(|path| Event::Journal { path: JournalPath::new(&path).unwrap() }),
        (gfid(), any::<i32>()).prop_map(|(gfid, flags)| Event::Open { gfid, flags }),
        (gfid(), any::<i32>()).prop_map(|(gfid, flags)| Event::Create { gfid, flags }),
        gfid().prop_map(|gfid| Event::Release { gfid }),
        (any::<u64>(), gfid(), any::<i32>()).prop_map(|(version, gfid, sign_info)| {
            Event::BrRelease { version, gfid, sign_info }
        }),
    ]
}

proptest! {
    #[test]
    fn events_come_back(
        (xid, seq) in any::<(u32, u64)>(),
        micros in 0u64..4_000_000_000_000_000,
        events in proptest::collection::vec(event(), 0..5),
    ) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let batch = Batch { seq, time, events };
        let bytes = batch.encode_call(xid);
        prop_assert_eq!(read(&bytes), (xid, batch.clone()));
        let arguments = &bytes[MARK + CALL_HEAD..];
        if !batch.events.is_empty() {
            prop_assert!(Batch::decode(&arguments[..arguments.len() - 1]).is_err());
        }
        prop_assert!(Batch::decode(&[arguments, b"\0"].concat()).is_err());
    }
}

fn structure(kind: u32) -> Vec<u8> {
    let mut bytes = vec![b'x'; EVENT_SIZE];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes
}

#[test]
fn d23_only_a_whole_structure_of_one_type_is_an_event() {
    let kinds: Vec<u32> = (0..64).chain([1 << 5, 1 << 31, u32::MAX]).collect();
    for kind in kinds {
        let known = [2, 4, 8, 16].contains(&kind);
        assert_eq!(Event::from_bytes(&structure(kind)).is_ok(), known, "type {kind}");
    }
    let whole = structure(Kind::Release as u32);
    assert!(Event::from_bytes(&whole[..EVENT_SIZE - 1]).is_err());
    assert!(Event::from_bytes(&[&whole[..], b"\0"].concat()).is_err());
    assert!(Event::from_bytes(&[]).is_err());
}

#[test]
fn a_path_has_a_beginning_and_an_end() {
    let mut bytes = structure(Kind::Journal as u32);
    assert!(Event::from_bytes(&bytes).is_err(), "no end");
    bytes[EVENT_SIZE - 1] = 0;
    assert!(Event::from_bytes(&bytes).is_ok(), "the longest that there is");
    bytes[UNION] = 0;
    assert!(Event::from_bytes(&bytes).is_err(), "empty");
    assert!(JournalPath::new(&[b'x'; 4096]).is_err());
    assert!(JournalPath::new(b"a\0b").is_err());
}

/// A full call fits in a buffer of the host's.
const _: () = assert!(MARK + CALL_HEAD + HEADER_SIZE + CALL_EVENTS * EVENT_SIZE <= 128 << 10);

#[test]
fn bits_that_mean_nothing_are_left_out() {
    let selection = Selection::from_bits(0xffff_ffe2);
    assert_eq!(selection.bits(), 2);
    assert!(selection.has(Kind::Open) && !selection.has(Kind::Journal));
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind.place(), place);
    }
}
