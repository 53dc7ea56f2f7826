//! The blocks of a packed segment, read by `docs/format.md` and not by the journal's code.
//!
//! All of them are looked at when it is opened; then it gives the bytes of the segment, zeros where a block is
//! damaged, as the journal's reader does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use gnotify_record::varint;
use ruzstd::decoding::FrameDecoder;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How a packed segment begins.
pub(super) const MAGIC: &[u8; 8] = b"GNOTIFYZ";

/// Length of its header.
const HEADER: u64 = 112;
/// Where the segment's length and header stand in it.
const LEN_AT: usize = 16;
const SEGMENT_AT: usize = 24;
const SEGMENT_LEN: usize = 80;
/// Where the salt stands in the segment's header.
const SALT_AT: usize = 12;

/// Length of a block's head.
const HEAD: usize = 40;

/// The most bytes of the segment in a block.
const MOST: usize = 1 << 20;

/// Length of a frame's head.
const FRAME_HEAD: usize = 24;

/// The part of a sequence number that a frame carries.
const NUMBER: u64 = (1 << 40) - 1;

/// Something that is wrong in the file.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The byte of the file.
    pub(super) at: u64,
    pub(super) text: String,
}

/// A packed segment.
#[derive(Debug)]
pub(super) struct Packed {
    file: File,
    segment: [u8; SEGMENT_LEN],
    salt: u64,
    len: u64,
    blocks: Vec<Block>,
    /// The place of the block that was read last, and its bytes.
    held: Option<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    at: u64,
    packed: usize,
    offset: u64,
    len: usize,
    number: u64,
    sum: u64,
}

impl Block {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

impl Packed {
    /// Goes through the whole file, whose header is whole, and says what is wrong.
    pub(super) fn open(file: File) -> io::Result<(Packed, Vec<Wrong>)> {
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0)?;
        let mut segment = [0; SEGMENT_LEN];
        segment.copy_from_slice(&header[SEGMENT_AT..SEGMENT_AT + SEGMENT_LEN]);
        let salt = number(&segment[SALT_AT..SALT_AT + 4]);
        let len = number(&header[LEN_AT..LEN_AT + 8]);
        let mut packed = Packed { file, segment, salt, len, blocks: Vec::new(), held: None };
        let wrong = packed.walk()?;
        Ok((packed, wrong))
    }

    /// The length of the segment.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Finds the blocks.
    fn walk(&mut self) -> io::Result<Vec<Wrong>> {
        let mut wrong = Vec::new();
        let file_len = self.file.metadata()?.len();
        let (mut at, mut end) = (HEADER, SEGMENT_LEN as u64);
        let mut lost = None;
        while at < file_len {
            let block = self.head_at(at)?.filter(|block| block.offset >= end);
            let Some(block) = block.filter(|block| block.end() <= self.len) else {
                // The next one is looked for at each place where it may be.
                lost = lost.or(Some(at));
                at += 8;
                continue;
            };
            if let Some(from) = lost.take() {
                let text =
                    format!("no block begins here; the next one is at byte {at} of the file");
                wrong.push(Wrong { at: from, text });
            } else if block.offset != end {
                let text =
                    format!("it begins at byte {} of the segment, not at {end}", block.offset);
                wrong.push(Wrong { at, text });
            }
            wrong.extend(self.look_at(&block)?);
            end = block.end();
            let next = at + HEAD as u64 + block.packed as u64;
            at = next.next_multiple_of(8);
            let mut filling = [0; 8];
            let filling = &mut filling[..(at - next) as usize];
            if self.file.read_exact_at(filling, next).is_err()
                || filling.iter().any(|byte| *byte != 0)
            {
                let text = "the filling behind it is not zeros".to_owned();
                wrong.push(Wrong { at: block.at, text });
            }
            self.blocks.push(block);
        }
        if let Some(at) = lost {
            wrong
                .push(Wrong { at, text: "no block begins here, up to the end of the file".into() });
        } else if end != self.len {
            let text = format!("the last {} bytes of the segment are missing", self.len - end);
            wrong.push(Wrong { at: file_len, text });
        }
        Ok(wrong)
    }

    fn head_at(&self, at: u64) -> io::Result<Option<Block>> {
        let mut head = [0; HEAD];
        match self.file.read_exact_at(&mut head, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let sum = xxh3_64_with_seed(&head[8..], self.salt) as u32;
        if head[..4] != *b"GNZB" || head[4..8] != sum.to_le_bytes() {
            return Ok(None);
        }
        let field = |from: usize, len: usize| number(&head[from..from + len]);
        let block = Block {
            at,
            packed: field(8, 4) as usize,
            len: field(12, 4) as usize,
            offset: field(16, 8),
            number: field(24, 8),
            sum: field(32, 8),
        };
        let sized = (1..=MOST).contains(&block.len) && (1..=2 * MOST).contains(&block.packed);
        let placed = block.offset.is_multiple_of(8) && block.offset < u64::MAX - MOST as u64;
        Ok(Some(block).filter(|_| sized && placed))
    }

    fn look_at(&self, block: &Block) -> io::Result<Option<Wrong>> {
        let Err(text) = self.unpack(block)? else { return Ok(None) };
        let Block { at, offset, .. } = *block;
        let text = format!("{text}; bytes {offset} to {} of the segment are lost", block.end() - 1);
        Ok(Some(Wrong { at, text }))
    }

    fn unpack(&self, block: &Block) -> io::Result<Result<Vec<u8>, &'static str>> {
        let mut packed = vec![0; block.packed];
        match self.file.read_exact_at(&mut packed, block.at + HEAD as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Err("it is cut off"));
            }
            result => result?,
        }
        if xxh3_64_with_seed(&packed, self.salt) != block.sum {
            return Ok(Err("its checksum is wrong"));
        }
        // Its longest form: items of 8 bytes that are no frame, each with 4 in front.
        let mut items = Vec::with_capacity(2 * block.len + 16);
        if FrameDecoder::new().decode_all_to_vec(&packed, &mut items).is_err() {
            return Ok(Err("its checksum is right, but it is no zstd frame"));
        }
        let bytes = segment_bytes(&items, block.number, self.salt);
        let bytes = bytes.filter(|bytes| bytes.len() == block.len);
        Ok(bytes.ok_or("its checksum is right, but what it holds cannot be read"))
    }

    /// Reads bytes of the segment at `offset`, fewer where a block ends. None: the segment ends.
    pub(super) fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.segment.get(offset..));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            return Ok(copy(rest, into));
        }
        if offset >= self.len {
            return Ok(0);
        }
        let at = self.blocks.partition_point(|block| block.end() <= offset);
        let block = self.blocks.get(at).copied();
        let until = match block {
            Some(block) if block.offset <= offset => {
                if self.held.as_ref().is_none_or(|(held, _)| *held != at) {
                    self.held = self.unpack(&block)?.ok().map(|bytes| (at, bytes));
                }
                if let Some((_, bytes)) = &self.held {
                    return Ok(copy(&bytes[(offset - block.offset) as usize..], into));
                }
                block.end()
            }
            Some(block) => block.offset,
            None => self.len,
        };
        let len = into.len().min(usize::try_from(until - offset).unwrap_or(usize::MAX));
        into[..len].fill(0);
        Ok(len)
    }
}

/// The bytes of a segment that the items of a block stand for.
fn segment_bytes(mut items: &[u8], first: u64, salt: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut due, mut time) = (first & NUMBER, 0u64);
    while let Some(word) = items.split_off(..4) {
        let word = number(word);
        let len = (word & 0xffff) as usize;
        if word >> 16 & 0xf == 0 {
            bytes.extend_from_slice(items.split_off(..len)?);
            continue;
        }
        let seq = if word >> 19 & 1 == 1 { number(items.split_off(..5)?) } else { due };
        let tag = number(items.split_off(..3)?);
        let (later, taken) = varint::decode(items)?;
        items.split_off(..taken)?;
        time = time.wrapping_add(varint::unzigzag(later) as u64);
        let body = items.split_off(..len.checked_sub(FRAME_HEAD)?)?;
        let word = word & !(1 << 19);
        let second = seq | tag << 40;
        let mut head = [0; 20];
        head[..4].copy_from_slice(&(word as u32).to_le_bytes());
        head[4..12].copy_from_slice(&second.to_le_bytes());
        head[12..].copy_from_slice(&time.to_le_bytes());
        let sum = xxh3_64_with_seed(&head, xxh3_64_with_seed(body, salt));
        bytes.extend_from_slice(&(word | sum << 32).to_le_bytes());
        bytes.extend_from_slice(&head[4..]);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len() + len.next_multiple_of(8) - len, 0);
        let repeated = word >> 16 & 0x7 == 3;
        due = if repeated { seq } else { (seq + 1) & NUMBER };
    }
    items.is_empty().then_some(bytes)
}

fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let len = from.len().min(into.len());
    into[..len].copy_from_slice(&from[..len]);
    len
}

/// Little endian bytes, 8 at most.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
