//! The few shapes of XDR (RFC 4506) that the channel's messages are made of: read with every length checked,
//! and written.

#![allow(clippy::big_endian_bytes, reason = "XDR is big endian")]

use std::fmt;

/// Bytes that are not the message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMessage {
    /// Where it stopped being one: bytes from the message's beginning, the record mark not counted.
    pub offset: usize,
    /// What stands there, or does not.
    pub what: &'static str,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for BadMessage {}

/// Reads a message from its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { message, at: 0 }
    }

    pub(crate) fn bad(&self, what: &'static str) -> BadMessage {
        BadMessage { offset: self.at, what }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        let bytes = *rest.first_chunk::<N>().ok_or(self.bad("the end"))?;
        self.at += N;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, BadMessage> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, BadMessage> {
        self.bytes().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, BadMessage> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// Bytes with their length in front, at most `max` of them, padded to a multiple of 4.
    pub(crate) fn opaque(&mut self, max: usize) -> Result<&'a [u8], BadMessage> {
        let length = self.u32()? as usize;
        if length > max {
            return Err(self.bad("a length that is too great"));
        }
        let rest = self.message.get(self.at..).unwrap_or_default();
        let padded = rest.get(..length.next_multiple_of(4)).ok_or(self.bad("the end"))?;
        self.at += padded.len();
        Ok(&padded[..length])
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), BadMessage> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.bad("more than the message")) }
    }
}

/// Appends numbers.
pub(crate) fn put_u32(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}
