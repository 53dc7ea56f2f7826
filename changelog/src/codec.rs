//! Records as bytes, in both encodings, and back.
//!
//! A record has no length, no checksum and no mark of its end but a NUL, so that a damaged file cannot be read on behind
//! its damage: the reader gives every record before it, and then says where it is. `docs/changelog.md` draws the bytes.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use gnotify_record::{Fop, Gfid, HOST_FOPS, Link};

use crate::header::{BadHeader, HEADER_LEN};
use crate::{Birth, Change, Encoding, Entry, Header, Removal, Version};

/// The longest record that is read, in bytes. Stock's longest has a name of 255 bytes and a path below 4096.
pub const RECORD_MAX: usize = 16 << 10;

/// What a mkdir's mode is written with, whatever the client asked for (`S_IFDIR`).
const DIRECTORY: u32 = 0o040_000;

/// Appends the record of `change`, in version 1.2.
///
/// A NUL in a name or path ends it: neither can have one, and behind it a record could be feigned.
pub fn encode(change: &Change<'_>, encoding: Encoding, out: &mut Vec<u8>) {
    let mut to = Encoder { encoding, out };
    match change {
        Change::Data { gfid } => to.begin(b'D', *gfid),
        Change::Metadata { gfid, fop } => {
            to.begin(b'M', *gfid);
            to.number(u32::from(fop.0));
        }
        Change::Entry { gfid, entry } => {
            to.begin(b'E', *gfid);
            to.number(u32::from(entry.fop().0));
            to.entry(entry);
        }
    }
    to.out.push(0);
}

struct Encoder<'o> {
    encoding: Encoding,
    out: &'o mut Vec<u8>,
}

impl Encoder<'_> {
    fn begin(&mut self, kind: u8, gfid: Gfid) {
        self.out.push(kind);
        self.gfid(gfid);
    }

    fn gfid(&mut self, gfid: Gfid) {
        match self.encoding {
            Encoding::Ascii => self.out.extend_from_slice(&gfid_text(gfid)),
            Encoding::Binary => self.out.extend_from_slice(&gfid.0),
        }
    }

    fn number(&mut self, number: u32) {
        self.out.push(0);
        match self.encoding {
            Encoding::Ascii => decimal(number, self.out),
            // The byte order of the machine: little on all that GlusterFS is packaged for.
            Encoding::Binary => self.out.extend_from_slice(&number.to_le_bytes()),
        }
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Create(birth) | Entry::Mknod(birth) => self.birth(birth, birth.mode),
            Entry::Mkdir(birth) => self.birth(birth, birth.mode | DIRECTORY),
            Entry::Symlink(at) | Entry::Link(at) => self.link(at),
            Entry::Rename { old, new } => {
                self.link(old);
                self.link(new);
            }
            Entry::Unlink(removal) | Entry::Rmdir(removal) => self.removal(removal),
        }
    }

    fn birth(&mut self, birth: &Birth<'_>, mode: u32) {
        self.number(mode);
        self.number(birth.uid);
        self.number(birth.gid);
        self.link(&birth.at);
    }

    fn link(&mut self, link: &Link<'_>) {
        self.out.push(0);
        self.gfid(link.parent);
        self.out.push(b'/');
        self.out.extend_from_slice(until_nul(&link.name));
    }

    /// Where no path is known, the field is a NUL of its own.
    fn removal(&mut self, removal: &Removal<'_>) {
        self.link(&removal.at);
        self.out.push(0);
        match removal.path.as_deref().map(until_nul) {
            None | Some([]) => self.out.push(0),
            Some(path) => self.out.extend_from_slice(path),
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(crate) fn decimal(number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Where the digits of a gfid's text stand: groups with a hyphen between any two.
const GROUPS: [(usize, usize); 5] = [(0, 8), (9, 4), (14, 4), (19, 4), (24, 12)];

/// As [`Gfid`] prints itself, without a formatter's cost: all digits at once, for the compiler to make vectors of.
pub(crate) fn gfid_text(gfid: Gfid) -> [u8; 36] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(gfid.0) {
        pair.copy_from_slice(&[byte >> 4, byte & 0xf]);
    }
    for digit in &mut digits {
        *digit += if *digit < 10 { b'0' } else { b'a' - 10 };
    }
    let mut text = [b'-'; 36];
    let mut from = 0;
    for (at, len) in GROUPS {
        text[at..at + len].copy_from_slice(&digits[from..from + len]);
        from += len;
    }
    text
}

/// The reverse of [`gfid_text`], which takes no other form.
pub(crate) fn parse_gfid(text: &[u8]) -> Option<Gfid> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let mut digits = [0; 32];
    let mut from = 0;
    for (at, len) in GROUPS {
        digits[from..from + len].copy_from_slice(&text[at..at + len]);
        from += len;
    }
    let hyphens = [text[8], text[13], text[18], text[23]] == *b"----";
    let mut wrong = false;
    for digit in &mut digits {
        wrong |= !is_digit(*digit);
        *digit = (*digit & 0xf) + if *digit <= b'9' { 0 } else { 9 };
    }
    let mut gfid = [0; 16];
    for (byte, pair) in gfid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    (hyphens && !wrong).then_some(Gfid(gfid))
}

/// Whether it is a hexadecimal digit as stock writes them.
fn is_digit(byte: u8) -> bool {
    byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6
}

/// Why what stands at an offset is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file ends inside it.
    Truncated,
    /// It begins with a byte that is neither `D`, `M` nor `E`.
    Kind(u8),
    /// A gfid is none.
    Gfid,
    /// A number is none, or larger than 32 bits.
    Number,
    /// A fop that the host does not have, or that is not recorded in this way.
    Fop(u32),
    /// A name has no directory before it.
    Name,
    /// A field goes on where the record should end, or ends where it should go on.
    Separator,
    /// It is longer than [`RECORD_MAX`].
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated => write!(f, "the file ends inside a record"),
            Fault::Kind(byte) => {
                write!(f, "no record begins with \"{}\"", byte.escape_ascii())
            }
            Fault::Gfid => write!(f, "a record with a gfid that is none"),
            Fault::Number => write!(f, "a record with a number that is none"),
            Fault::Fop(number) => {
                write!(f, "a record of the fop {number}, which has no such record")
            }
            Fault::Name => write!(f, "a record with a name that is none"),
            Fault::Separator => write!(f, "a record whose fields do not end where they should"),
            Fault::TooLong => write!(f, "a record of more than {RECORD_MAX} bytes"),
        }
    }
}

/// Reads the record that `bytes` begin with, and gives its length. [`Fault::Truncated`] where more bytes could make it
/// whole.
///
/// # Errors
/// When they begin with no record.
pub fn decode(bytes: &[u8], header: Header) -> Result<(Change<'_>, usize), Fault> {
    let mut from = Decoder { bytes, at: 0, encoding: header.encoding };
    let kind = *bytes.first().ok_or(Fault::Truncated)?;
    if !matches!(kind, b'D' | b'M' | b'E') {
        return Err(Fault::Kind(kind));
    }
    from.at = 1;
    let gfid = from.gfid()?;
    let change = match kind {
        b'D' => Change::Data { gfid },
        b'M' => Change::Metadata { gfid, fop: from.metadata_fop()? },
        _ => Change::Entry { gfid, entry: from.entry(header.version)? },
    };
    from.nul()?;
    Ok((change, from.at))
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let taken = self.bytes.get(self.at..self.at + len).ok_or(Fault::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    fn nul(&mut self) -> Result<(), Fault> {
        match self.take(1)? {
            [0] => Ok(()),
            _ => Err(Fault::Separator),
        }
    }

    /// Up to a NUL, which is left.
    fn until_nul(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(0, rest).ok_or(Fault::Truncated)?;
        self.at += end;
        Ok(&rest[..end])
    }

    fn gfid(&mut self) -> Result<Gfid, Fault> {
        match self.encoding {
            Encoding::Ascii => {
                let rest = &self.bytes[self.at..];
                let Some(text) = rest.get(..36) else {
                    // No more bytes can make a gfid of what is none.
                    let whole = rest.iter().all(|byte| *byte == b'-' || is_digit(*byte));
                    return Err(if whole { Fault::Truncated } else { Fault::Gfid });
                };
                self.at += 36;
                parse_gfid(text).ok_or(Fault::Gfid)
            }
            Encoding::Binary => {
                let mut gfid = [0; 16];
                gfid.copy_from_slice(self.take(16)?);
                Ok(Gfid(gfid))
            }
        }
    }

    /// A field that is a number.
    fn number(&mut self) -> Result<u32, Fault> {
        self.nul()?;
        if self.encoding == Encoding::Binary {
            let mut number = [0; 4];
            number.copy_from_slice(self.take(4)?);
            return Ok(u32::from_le_bytes(number));
        }
        let mut number: u32 = 0;
        let from = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(Fault::Truncated),
                Some(0) if self.at > from => return Ok(number),
                Some(digit @ b'0'..=b'9') => {
                    let digit = u32::from(digit - b'0');
                    number = number
                        .checked_mul(10)
                        .and_then(|number| number.checked_add(digit))
                        .ok_or(Fault::Number)?;
                }
                Some(_) => return Err(Fault::Number),
            }
            self.at += 1;
        }
    }

    fn metadata_fop(&mut self) -> Result<Fop, Fault> {
        let number = self.number()?;
        let row = usize::try_from(number).ok().and_then(|at| HOST_FOPS.get(at));
        row.map(|row| row.fop).ok_or(Fault::Fop(number))
    }

    fn entry(&mut self, version: Version) -> Result<Entry<'a>, Fault> {
        let number = self.number()?;
        let fop = u8::try_from(number).map(Fop).map_err(|_| Fault::Fop(number))?;
        Ok(match fop {
            Fop::CREATE => Entry::Create(self.birth()?),
            Fop::MKDIR => Entry::Mkdir(self.birth()?),
            Fop::MKNOD => Entry::Mknod(self.birth()?),
            Fop::SYMLINK => Entry::Symlink(self.link()?),
            Fop::LINK => Entry::Link(self.link()?),
            Fop::RENAME => Entry::Rename { old: self.link()?, new: self.link()? },
            Fop::UNLINK => Entry::Unlink(self.removal(version)?),
            Fop::RMDIR => Entry::Rmdir(self.removal(version)?),
            _ => return Err(Fault::Fop(number)),
        })
    }

    fn birth(&mut self) -> Result<Birth<'a>, Fault> {
        let (mode, uid, gid) = (self.number()?, self.number()?, self.number()?);
        Ok(Birth { mode, uid, gid, at: self.link()? })
    }

    fn link(&mut self) -> Result<Link<'a>, Fault> {
        self.nul()?;
        let parent = self.gfid()?;
        match self.take(1)? {
            b"/" => Ok(Link { parent, name: Cow::Borrowed(self.until_nul()?) }),
            _ => Err(Fault::Name),
        }
    }

    fn removal(&mut self, version: Version) -> Result<Removal<'a>, Fault> {
        let at = self.link()?;
        if version == Version::V1_1 {
            return Ok(Removal { at, path: None });
        }
        self.nul()?;
        let path = match self.until_nul()? {
            // The NUL is the field; the record's own stands behind it.
            [] => {
                self.at += 1;
                None
            }
            path => Some(Cow::Borrowed(path)),
        };
        Ok(Removal { at, path })
    }
}

/// Why no more can be read, and where.
#[derive(Debug)]
pub enum ReadError {
    /// The file has no header, or one of another version.
    Header(BadHeader),
    /// What stands there is no record. All before it were given.
    Damaged {
        /// Where, in bytes from the file's beginning.
        offset: u64,
        /// Why.
        fault: Fault,
    },
    /// The file cannot be read.
    Io {
        /// From where on, in bytes from the file's beginning.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

impl ReadError {
    /// Where it is, in bytes from the file's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            ReadError::Header(_) => 0,
            ReadError::Damaged { offset, .. } | ReadError::Io { offset, .. } => *offset,
        }
    }

    /// Whether the file ends where more was to come: a live slice may grow, or was being written when its brick was
    /// killed.
    #[must_use]
    pub fn is_truncation(&self) -> bool {
        matches!(
            self,
            ReadError::Header(BadHeader::Truncated)
                | ReadError::Damaged { fault: Fault::Truncated, .. }
        )
    }
}

impl From<ReadError> for io::Error {
    /// Why the file cannot be read; [`io::ErrorKind::InvalidData`] where it can, and is damaged.
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Io { source, .. } => source,
            error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Header(bad) => write!(f, "{bad}"),
            ReadError::Damaged { offset, fault } => write!(f, "at byte {offset}: {fault}"),
            ReadError::Io { offset, source } => write!(f, "at byte {offset}: {source}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Header(bad) => Some(bad),
            ReadError::Damaged { .. } => None,
            ReadError::Io { source, .. } => Some(source),
        }
    }
}

/// How much is read at once: several of the longest records.
const BUFFER: usize = 8 * RECORD_MAX;

/// Reads a slice from its beginning to its end or its first damage, with a buffer of fixed size.
///
/// It is no iterator: a record borrows from the buffer and is gone when the next is asked for.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    buffer: Vec<u8>,
    /// The part of the buffer that is not given yet.
    from: usize,
    to: usize,
    /// Where in the file `from` is.
    offset: u64,
    at_end: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn new(source: R) -> Result<Reader<R>, ReadError> {
        let header = Header::new(Encoding::Ascii);
        let buffer = vec![0; BUFFER];
        let mut reader =
            Reader { source, header, buffer, from: 0, to: 0, offset: 0, at_end: false };
        while reader.to < HEADER_LEN && reader.fill()? {}
        reader.header = Header::decode(&reader.buffer[..reader.to]).map_err(ReadError::Header)?;
        (reader.from, reader.offset) = (HEADER_LEN, HEADER_LEN as u64);
        Ok(reader)
    }

    /// The same of a file whose header states another encoding than its records have: CSNAP.
    pub(crate) fn with_encoding(mut self, encoding: Encoding) -> Reader<R> {
        self.header.encoding = encoding;
        self
    }

    /// What the header says.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Where the next record begins, in bytes from the file's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; `None` at the file's end. After an error, the same error again, unless the file has grown.
    ///
    /// # Errors
    /// When no record stands there, or it cannot be read.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Change<'_>>, ReadError> {
        while !self.at_end && self.to - self.from < RECORD_MAX {
            self.at_end = !self.fill()?;
        }
        let rest = &self.buffer[self.from..self.to.min(self.from + RECORD_MAX)];
        if rest.is_empty() {
            self.at_end = false;
            return Ok(None);
        }
        match decode(rest, self.header) {
            Ok((change, len)) => {
                self.from += len;
                self.offset += len as u64;
                Ok(Some(change))
            }
            Err(mut fault) => {
                if fault == Fault::Truncated && rest.len() >= RECORD_MAX {
                    fault = Fault::TooLong;
                }
                self.at_end = false;
                Err(ReadError::Damaged { offset: self.offset, fault })
            }
        }
    }

    /// Reads more into the buffer; false at the file's end.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        loop {
            match self.source.read(&mut self.buffer[self.to..]) {
                Ok(0) => return Ok(false),
                Ok(len) => {
                    self.to += len;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ReadError::Io { offset: self.offset + self.to as u64, source });
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
