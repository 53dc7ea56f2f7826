//! What a brick sends to a consumer, with anything in it and cut anywhere: calls with events, and the answer
//! to a probe. Each message is read or refused, and what is read comes back.

#![no_main]

use gnotify_channel::event::{Batch, EVENT_SIZE, HEADER_SIZE};
use gnotify_channel::probe;
use gnotify_channel::record_mark::{Assembler, MARK};
use gnotify_channel::rpc::{Call, Outcome, Reply};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let mut assembler = Assembler::new(MAX);
    for bytes in stream.chunks(64 * usize::from(*cut) + 1) {
        assembler.push(bytes);
        loop {
            match assembler.next() {
                Ok(Some(message)) => read(&message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

fn read(message: &[u8]) {
    if let Ok(Ok(call)) = Call::decode(message)
        && let Ok(batch) = Batch::decode(call.arguments)
    {
        assert_eq!(call.arguments.len(), HEADER_SIZE + EVENT_SIZE * batch.events.len());
        let bytes = batch.encode_call(call.xid);
        let again = Call::decode(&bytes[MARK..]).expect("a call").expect("of our version");
        assert_eq!(Batch::decode(again.arguments), Ok(batch));
    }
    if let Ok(Reply { outcome: Outcome::Done(results), .. }) = Reply::decode(message)
        && let Ok(op_ret) = probe::decode_reply(results)
    {
        assert_eq!(probe::decode_reply(&probe::encode_reply(op_ret)), Ok(op_ret));
    }
}
