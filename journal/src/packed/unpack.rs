//! Reading a packed segment as if it were not packed: bytes by their offset in the segment.
//!
//! Blocks are found as they are come to, and the one that was read last is kept. Where a block is damaged, there
//! is a hole, which reads as zeros: no frame is made of them, so what was there is missed and told as a gap.

use std::fs::File;
use std::io;

use ruzstd::decoding::FrameDecoder;

use super::codec::{HEAD, HEADER, Head, PackedHeader, sum};
use super::terse;
use crate::segment::{self, BadHeader, Header, fill_at};

/// Bytes that are read at a time where a block is looked for behind damaged bytes.
const WINDOW: usize = 64 * 1024;

/// A packed segment, open for reading.
pub(crate) struct Packed {
    pub(crate) file: File,
    header: PackedHeader,
    salt: u32,
    /// The blocks that were found, in order.
    blocks: Vec<Block>,
    /// Where the next one is looked for, until the file's end was come to.
    next: Option<u64>,
    decoder: FrameDecoder,
    /// The place in `blocks` of the block that is unpacked, and its bytes.
    held: Option<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    head: Head,
    /// Where its head is in the file.
    at: u64,
    /// What stands behind the head is not what was packed.
    damaged: bool,
}

/// What there is at an offset of the segment.
enum Piece {
    /// The place in `blocks` of the block that holds it.
    Block(usize),
    /// Nothing that can be read, up to this offset.
    Hole(u64),
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed")
            .field("file", &self.file)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}

impl Packed {
    /// Reads the header. The outer error is the operating system's.
    pub(crate) fn open(file: File) -> io::Result<Result<(Packed, Header), BadHeader>> {
        let mut bytes = [0; HEADER];
        let filled = fill_at(&file, &mut bytes, 0)?;
        let (header, segment) = match PackedHeader::decode(&bytes[..filled]) {
            Ok(headers) => headers,
            Err(bad) => return Ok(Err(bad)),
        };
        let packed = Packed {
            file,
            header,
            salt: segment.salt,
            blocks: Vec::new(),
            next: Some(HEADER as u64),
            decoder: FrameDecoder::new(),
            held: None,
        };
        Ok(Ok((packed, segment)))
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> u64 {
        self.header.len
    }

    /// Reads bytes of the segment at `offset`, as many as one piece has. None: the segment ends.
    pub(crate) fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(rest) =
            usize::try_from(offset).ok().and_then(|at| self.header.segment.get(at..))
            && !rest.is_empty()
        {
            return Ok(copy(rest, into));
        }
        if offset >= self.header.len {
            return Ok(0);
        }
        match self.piece(offset)? {
            Piece::Hole(end) => {
                let len = usize::try_from(end - offset).unwrap_or(usize::MAX).min(into.len());
                into[..len].fill(0);
                Ok(len)
            }
            Piece::Block(at) => {
                let from = (offset - self.blocks[at].head.offset) as usize;
                let held = self.held.as_ref().map(|(_, bytes)| &bytes[from..]);
                Ok(copy(held.unwrap_or_default(), into))
            }
        }
    }

    /// Where the hole at `offset` ends, if there is one.
    pub(crate) fn hole(&mut self, offset: u64) -> io::Result<Option<u64>> {
        if offset < segment::HEADER as u64 || offset >= self.header.len {
            return Ok(None);
        }
        match self.piece(offset)? {
            Piece::Hole(end) => Ok(Some(end)),
            Piece::Block(_) => Ok(None),
        }
    }

    /// What is at `offset`, which is behind the header and in the segment; a block is held then.
    fn piece(&mut self, offset: u64) -> io::Result<Piece> {
        while self.next.is_some() && self.blocks.last().is_none_or(|last| last.head.end() <= offset)
        {
            self.find_block()?;
        }
        let at = self.blocks.partition_point(|block| block.head.end() <= offset);
        let Some(Block { head, .. }) = self.blocks.get(at).copied() else {
            return Ok(Piece::Hole(self.header.len));
        };
        if offset < head.offset {
            return Ok(Piece::Hole(head.offset));
        }
        if self.hold(at)? { Ok(Piece::Block(at)) } else { Ok(Piece::Hole(head.end())) }
    }

    /// Unpacks a block, unless it is the one that is held. False: it is damaged.
    fn hold(&mut self, at: usize) -> io::Result<bool> {
        let Block { head, at: place, damaged } = self.blocks[at];
        if damaged || self.held.as_ref().is_some_and(|(held, _)| *held == at) {
            return Ok(!damaged);
        }
        let mut packed = vec![0; head.packed as usize];
        let filled = fill_at(&self.file, &mut packed, place + HEAD as u64)?;
        packed.truncate(filled);
        match unpack(&mut self.decoder, &head, &packed, self.salt) {
            Some(bytes) => self.held = Some((at, bytes)),
            None => self.blocks[at].damaged = true,
        }
        Ok(!self.blocks[at].damaged)
    }

    /// Finds one more block, or the end of the file.
    fn find_block(&mut self) -> io::Result<()> {
        let Some(mut at) = self.next else { return Ok(()) };
        let mut window = vec![0; HEAD];
        loop {
            let filled = fill_at(&self.file, &mut window, at)?;
            let heads = (0..filled).step_by(8).filter(|from| from + HEAD <= filled);
            let found = heads
                .filter_map(|from| Some((from, Head::decode(&window[from..filled], self.salt)?)));
            if let Some((from, head)) = found.into_iter().find(|(_, head)| self.goes_on(head)) {
                let at = at + from as u64;
                self.blocks.push(Block { head, at, damaged: false });
                self.next = Some(at + head.room());
                return Ok(());
            }
            if filled < window.len() {
                self.next = None;
                return Ok(());
            }
            // Behind damaged bytes it is looked for at each place where one may be.
            at += (filled - HEAD + 8) as u64;
            window.resize(WINDOW, 0);
        }
    }

    /// Whether a block holds what comes behind those that were found.
    fn goes_on(&self, head: &Head) -> bool {
        let from = self.blocks.last().map_or(segment::HEADER as u64, |last| last.head.end());
        from <= head.offset && head.end() <= self.header.len
    }
}

/// The bytes of the segment that a block holds. `None`: it is damaged.
pub(crate) fn unpack(
    decoder: &mut FrameDecoder,
    head: &Head,
    packed: &[u8],
    salt: u32,
) -> Option<Vec<u8>> {
    if packed.len() != head.packed as usize || sum(packed, salt) != head.sum {
        return None;
    }
    let mut terse = Vec::with_capacity(terse::most(head.len as usize));
    decoder.decode_all_to_vec(packed, &mut terse).ok()?;
    terse::read(&terse, head.number, salt, head.len as usize)
}

fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let len = from.len().min(into.len());
    into[..len].copy_from_slice(&from[..len]);
    len
}
