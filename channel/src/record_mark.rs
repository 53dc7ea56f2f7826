//! Record marking (RFC 5531, section 11): how messages are told apart on a stream.
//!
//! A message is cut in fragments, each behind a word: its length in the low 31 bits, and in the highest
//! whether it is the last. GlusterFS sends one fragment a message; more are read too.

#![allow(clippy::big_endian_bytes, reason = "XDR is big endian")]

use crate::xdr::BadMessage;

const LAST: u32 = 1 << 31;

/// Bytes of a mark.
pub const MARK: usize = 4;

/// The mark of a message in one fragment of `length` bytes.
#[must_use]
pub fn mark(length: u32) -> [u8; MARK] {
    (LAST | length).to_be_bytes()
}

/// Puts the messages of a stream together again, however it is cut into reads.
#[derive(Debug)]
pub struct Assembler {
    /// Greatest length of a message.
    max: usize,
    /// What has come, from the mark of the fragment that is coming.
    pending: Vec<u8>,
    /// The fragments before it.
    message: Vec<u8>,
}

impl Assembler {
    /// For messages of at most `max` bytes. It never holds more than twice that and what one
    /// [`Assembler::push`] adds.
    #[must_use]
    pub fn new(max: usize) -> Assembler {
        Assembler { max, pending: Vec::new(), message: Vec::new() }
    }

    /// Takes what was read. Before the next one, [`Assembler::next`] is to be called until it has nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Whether a message has begun that has not ended.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        !self.pending.is_empty() || !self.message.is_empty()
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When a mark promises more than a message may have, or a fragment is empty and not the last, so that
    /// they could go on for ever. The stream cannot be read on then.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end where this waits")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, BadMessage> {
        loop {
            let Some(mark) = self.pending.first_chunk::<MARK>() else { return Ok(None) };
            let mark = u32::from_be_bytes(*mark);
            let (length, is_last) = ((mark & !LAST) as usize, mark & LAST != 0);
            let offset = self.message.len();
            if length > self.max - offset {
                return Err(BadMessage { offset, what: "a record mark that is too great" });
            }
            if length == 0 && !is_last {
                return Err(BadMessage { offset, what: "an empty fragment" });
            }
            let Some(fragment) = self.pending.get(MARK..MARK + length) else { return Ok(None) };
            self.message.extend_from_slice(fragment);
            self.pending.drain(..MARK + length);
            if is_last {
                return Ok(Some(std::mem::take(&mut self.message)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_whole_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..6),
            fragment in 1usize..20,
            read in 1usize..30,
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                let (first, last) = message.split_at(message.len() / 2);
                for chunk in first.chunks(fragment) {
                    stream.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
                    stream.extend_from_slice(chunk);
                }
                stream.extend_from_slice(&mark(last.len() as u32));
                stream.extend_from_slice(last);
            }
            let mut assembler = Assembler::new(50);
            let mut read_back = Vec::new();
            for bytes in stream.chunks(read) {
                assembler.push(bytes);
                while let Some(message) = assembler.next().unwrap() {
                    read_back.push(message);
                }
            }
            prop_assert!(!assembler.is_within_message());
            prop_assert_eq!(read_back, messages);
        }
    }

    #[test]
    fn what_cannot_end_is_refused() {
        for bytes in [&[0xff, 0xff, 0xff, 0xff][..], &[0x80, 0, 0, 11], &[0, 0, 0, 0]] {
            let mut assembler = Assembler::new(10);
            assembler.push(bytes);
            assert!(assembler.next().is_err(), "{bytes:?}");
        }
        let mut assembler = Assembler::new(10);
        assembler.push(&[0, 0, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0, 5]);
        assert!(assembler.next().is_err(), "two fragments that are too long together");
    }

    #[test]
    fn half_a_message_is_waited_for() {
        let mut assembler = Assembler::new(10);
        assert!(!assembler.is_within_message());
        assembler.push(&[0x80, 0]);
        assert_eq!(assembler.next(), Ok(None));
        assert!(assembler.is_within_message());
        assembler.push(&[0, 1, 7]);
        assert_eq!(assembler.next(), Ok(Some(vec![7])));
        assert!(!assembler.is_within_message());
    }
}
