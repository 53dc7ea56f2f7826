//! What a consumer sends to a brick, with anything in it and cut anywhere: calls on the brick's socket, and
//! replies to its own calls. Each message is read or refused, and what is read comes back.

#![no_main]

use gnotify_channel::event::BatchReply;
use gnotify_channel::probe::{PROGRAM, Probe};
use gnotify_channel::record_mark::{Assembler, MARK};
use gnotify_channel::rpc::{Call, Outcome, Reply};
use gnotify_channel::{Event, Selection};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 2048;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let mut assembler = Assembler::new(MAX);
    for bytes in stream.chunks(usize::from(*cut).max(1)) {
        assembler.push(bytes);
        loop {
            match assembler.next() {
                Ok(Some(message)) => read(&message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    // The same bytes as the value in an ipc fop.
    if let Ok(event) = Event::from_bytes(data) {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        assert_eq!(Event::from_bytes(&bytes).as_ref(), Ok(&event));
        assert!(Selection::ALL.has(event.kind()));
    }
});

fn read(message: &[u8]) {
    assert!(message.len() <= MAX);
    if let Ok(Ok(call)) = Call::decode(message) {
        let mut bytes = Vec::new();
        call.encode(&mut bytes);
        assert_eq!(Call::decode(&bytes[MARK..]), Ok(Ok(call)));
        if let Ok(probe) = Probe::decode(call.arguments) {
            let bytes = probe.encode_call(call.xid).expect("what was read can be sent");
            let again = Call::decode(&bytes[MARK..]).expect("a call").expect("of our version");
            assert_eq!((again.xid, again.program), (call.xid, PROGRAM));
            assert_eq!(Probe::decode(again.arguments), Ok(probe));
        }
    }
    if let Ok(reply) = Reply::decode(message) {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        assert_eq!(Reply::decode(&bytes[MARK..]), Ok(reply));
        if let Outcome::Done(results) = reply.outcome
            && let Ok(results) = BatchReply::decode(results)
        {
            assert_eq!(BatchReply::decode(&results.encode()), Ok(results));
        }
    }
}
