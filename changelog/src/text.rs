//! What consumers of libgfchangelog are given in the place of a slice: a line for each record.
//!
//! `E GFID CREATE 33188 0 0 PARENT/NAME`, with spaces between the fields and, in names and paths, a space, line feed or
//! percent sign written as `%20`, `%0A` or `%25`. All other bytes stand for themselves, whether they are text or not.

use std::borrow::Cow;
use std::fmt;

use gnotify_record::{Fop, Gfid, HOST_FOPS, Link};

use crate::codec::{decimal, gfid_text, parse_gfid};
use crate::{Birth, Change, Entry, Removal};

/// Appends the line of `change`, with its line feed.
pub fn write(change: &Change<'_>, out: &mut Vec<u8>) {
    let kind = match change {
        Change::Data { .. } => b'D',
        Change::Metadata { .. } => b'M',
        Change::Entry { .. } => b'E',
    };
    let mut head = [b' '; 38];
    head[0] = kind;
    head[2..].copy_from_slice(&gfid_text(change.gfid()));
    out.extend_from_slice(&head);
    if let Some(fop) = change.fop() {
        out.push(b' ');
        match HOST_FOPS.get(usize::from(fop.0)) {
            Some(row) => out.extend_from_slice(row.name.as_bytes()),
            None => decimal(u32::from(fop.0), out),
        }
    }
    if let Change::Entry { entry, .. } = change {
        write_entry(entry, out);
    }
    out.push(b'\n');
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    match entry {
        Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => {
            for number in [birth.mode, birth.uid, birth.gid] {
                out.push(b' ');
                decimal(number, out);
            }
            write_link(&birth.at, out);
        }
        Entry::Symlink(at) | Entry::Link(at) => write_link(at, out),
        Entry::Rename { old, new } => {
            write_link(old, out);
            write_link(new, out);
        }
        Entry::Unlink(removal) | Entry::Rmdir(removal) => {
            write_link(&removal.at, out);
            if let Some(path) = removal.path.as_deref().filter(|path| !path.is_empty()) {
                out.push(b' ');
                escape(path, out);
            }
        }
    }
}

fn write_link(link: &Link<'_>, out: &mut Vec<u8>) {
    let mut head = [b' '; 38];
    head[1..37].copy_from_slice(&gfid_text(link.parent));
    head[37] = b'/';
    out.extend_from_slice(&head);
    escape(&link.name, out);
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr3(b' ', b'\n', b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b' ' => b"%20",
            b'\n' => b"%0A",
            _ => b"%25",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The bytes that [`escape`] made `field` of; `None` where it cannot have.
fn unescape(field: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(first) = field.iter().position(|byte| *byte == b'%') else {
        return Some(Cow::Borrowed(field));
    };
    let mut bytes = field[..first].to_vec();
    let mut rest = &field[first..];
    while let Some((byte, after)) = rest.split_first() {
        (bytes, rest) = match (byte, after) {
            (b'%', [b'2', b'0', after @ ..]) => (push(bytes, b' '), after),
            (b'%', [b'0', b'A', after @ ..]) => (push(bytes, b'\n'), after),
            (b'%', [b'2', b'5', after @ ..]) => (push(bytes, b'%'), after),
            (b'%', _) => return None,
            (byte, after) => (push(bytes, *byte), after),
        };
    }
    Some(Cow::Owned(bytes))
}

fn push(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

/// A line that no change is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// What is wrong: the name of a field.
    field: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of a changelog: {} expected", self.field)
    }
}

impl std::error::Error for BadLine {}

/// Reads a line, with its line feed or without.
///
/// # Errors
/// When it is none that [`write`] makes.
pub fn parse(line: &[u8]) -> Result<Change<'_>, BadLine> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = Fields { rest: Some(line) };
    let kind = fields.next("D, M or E")?;
    let gfid = fields.gfid()?;
    let change = match kind {
        b"D" => Change::Data { gfid },
        b"M" => Change::Metadata { gfid, fop: fields.fop()? },
        b"E" => Change::Entry { gfid, entry: fields.entry()? },
        _ => return Err(BadLine { field: "D, M or E" }),
    };
    match fields.rest {
        None => Ok(change),
        Some(_) => Err(BadLine { field: "the end of the line" }),
    }
}

struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn next(&mut self, field: &'static str) -> Result<&'a [u8], BadLine> {
        let rest = self.rest.ok_or(BadLine { field })?;
        let mut parts = rest.splitn(2, |byte| *byte == b' ');
        let next = parts.next().unwrap_or_default();
        self.rest = parts.next();
        Ok(next)
    }

    fn gfid(&mut self) -> Result<Gfid, BadLine> {
        parse_gfid(self.next("a gfid")?).ok_or(BadLine { field: "a gfid" })
    }

    fn fop(&mut self) -> Result<Fop, BadLine> {
        let name = self.next("a fop")?;
        let row = HOST_FOPS.iter().find(|row| row.name.as_bytes() == name);
        row.map(|row| row.fop).ok_or(BadLine { field: "a fop" })
    }

    fn number(&mut self) -> Result<u32, BadLine> {
        let text = str::from_utf8(self.next("a number")?).ok();
        // Rust's own parser takes a sign.
        let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        text.and_then(|text| text.parse().ok()).ok_or(BadLine { field: "a number" })
    }

    fn link(&mut self) -> Result<Link<'a>, BadLine> {
        let wrong = BadLine { field: "PARENT/NAME" };
        let (parent, name) = self.next(wrong.field)?.split_at_checked(36).ok_or(wrong)?;
        let name = name.strip_prefix(b"/").and_then(unescape).ok_or(wrong)?;
        Ok(Link { parent: parse_gfid(parent).ok_or(wrong)?, name })
    }

    fn birth(&mut self) -> Result<Birth<'a>, BadLine> {
        let (mode, uid, gid) = (self.number()?, self.number()?, self.number()?);
        Ok(Birth { mode, uid, gid, at: self.link()? })
    }

    fn removal(&mut self) -> Result<Removal<'a>, BadLine> {
        let at = self.link()?;
        let wrong = BadLine { field: "a path" };
        let path = match self.rest.take() {
            None => None,
            Some(b"") => return Err(wrong),
            Some(path) if path.contains(&b' ') => return Err(wrong),
            Some(path) => Some(unescape(path).ok_or(wrong)?),
        };
        Ok(Removal { at, path })
    }

    fn entry(&mut self) -> Result<Entry<'a>, BadLine> {
        Ok(match self.fop()? {
            Fop::CREATE => Entry::Create(self.birth()?),
            Fop::MKDIR => Entry::Mkdir(self.birth()?),
            Fop::MKNOD => Entry::Mknod(self.birth()?),
            Fop::SYMLINK => Entry::Symlink(self.link()?),
            Fop::LINK => Entry::Link(self.link()?),
            Fop::RENAME => Entry::Rename { old: self.link()?, new: self.link()? },
            Fop::UNLINK => Entry::Unlink(self.removal()?),
            Fop::RMDIR => Entry::Rmdir(self.removal()?),
            _ => return Err(BadLine { field: "a fop that changes names" }),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::tests::changes;

    fn line(change: &Change<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        write(change, &mut line);
        line
    }

    /// As libgfchangelog of GlusterFS 10.3 printed them.
    const LINES: [&str; 9] = [
        "D 99322a44-7c79-4966-a5f5-26921cbbf915",
        "M 3699fbae-e5ba-4dbd-90b6-399cbfb092f9 SETXATTR",
        "E e8dbb0ad-3085-4c2f-aaac-965d41277a38 CREATE 33188 0 0 e294a26d-1771-4135-8bc3-2f278702b32e/a%20b%25c%0Anl",
        "E e8dbb0ad-3085-4c2f-aaac-965d41277a38 UNLINK e294a26d-1771-4135-8bc3-2f278702b32e/a%20b%25c%0Anl d/a%20b%25c%0Anl",
        "E e8dbb0ad-3085-4c2f-aaac-965d41277a38 UNLINK e294a26d-1771-4135-8bc3-2f278702b32e/f",
        "E 99322a44-7c79-4966-a5f5-26921cbbf915 MKNOD 4516 0 0 00000000-0000-0000-0000-000000000001/p",
        "E 3699fbae-e5ba-4dbd-90b6-399cbfb092f9 RENAME 00000000-0000-0000-0000-000000000001/l 00000000-0000-0000-0000-000000000001/l2",
        "E 3699fbae-e5ba-4dbd-90b6-399cbfb092f9 SYMLINK 00000000-0000-0000-0000-000000000001/s",
        "E 3699fbae-e5ba-4dbd-90b6-399cbfb092f9 RMDIR 00000000-0000-0000-0000-000000000001/d x/d",
    ];

    #[test]
    fn the_lines_of_stock() {
        for text in LINES {
            let change = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(String::from_utf8(line(&change)).ok(), Some(format!("{text}\n")));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for text in LINES {
            for end in 0..text.len() {
                let cut = &text[..end];
                // A path, a name or a number that is cut is another one.
                if let Ok(change) = parse(cut.as_bytes()) {
                    assert_eq!(line(&change), format!("{cut}\n").as_bytes());
                }
            }
            for wrong in
                [format!("{text} "), format!(" {text}"), format!("{text} x y"), text.to_lowercase()]
            {
                assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
            }
        }
        let gfid = Gfid::ROOT;
        for wrong in [
            format!("E {gfid} LINK {gfid}/a%2"),
            format!("E {gfid} LINK {gfid}/a%41"),
            format!("M {gfid} NOTHING"),
            format!("E {gfid} WRITE"),
            format!("E {gfid} MKNOD +1 0 0 {gfid}/a"),
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_change_comes_back(change in changes()) {
            let line = line(&change);
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(parse(&line), Ok(change));
        }
    }
}
