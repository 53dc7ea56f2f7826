//! What a killed process left in its ring, in which anything may stand: it is recovered, and each number is
//! accounted for.

#![no_main]

use gnotify_journal::fuzzing::{RING_SIZE, Ring, recover};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let salt = input.number() as u32;
    let (drained, used) = (input.number(), input.number());
    let (next, reserved) = (input.number() >> 1, input.number());
    let (dropped, accounted, behind) = (input.number(), input.number(), input.number());
    let unnamed = input.number();
    let notes = input.bytes();
    // A head that says that more is reserved than the ring holds is left out: recovery goes through all of
    // it, which ends, but may take minutes.
    let used = used % (RING_SIZE as u64 / 8 + 1);
    let reserve =
        (drained.wrapping_add(used) & 0xff_ffff) | (next.wrapping_add(reserved & 0xffff)) << 24;
    let ring = Ring {
        salt,
        reserve,
        dropped,
        drained: drained & 0xff_ffff,
        next,
        accounted,
        unnamed,
        notes,
        frames: input.0,
    };
    recover(&ring, next.saturating_sub(behind & 0xff).max(1));
});

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let (taken, rest) = self.0.split_at(self.0.len().min(8));
        bytes[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        u64::from_le_bytes(bytes)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = self.number() as usize;
        let (taken, rest) = self.0.split_at(self.0.len().min(len));
        self.0 = rest;
        taken
    }
}
