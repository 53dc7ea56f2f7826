//! The line that each slice and each CSNAP file begins with.
//!
//! It says in which version and encoding the records behind it are. Stock writes version 1.2; 1.1, of GlusterFS 3.4
//! to 3.6, has no path in the record of an UNLINK or RMDIR and is otherwise the same.

use std::fmt;

/// Length of the line, with its line feed.
pub const HEADER_LEN: usize = 51;

/// Which fields records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 1.1: the record of an UNLINK or RMDIR has no path.
    V1_1,
    /// 1.2, which GlusterFS writes since 3.7.
    V1_2,
}

/// How gfids and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// As 16 and 4 raw bytes. No stock consumer reads it.
    Binary = 1,
    /// As text: the default, and the only encoding that stock consumers read.
    Ascii = 2,
}

impl Encoding {
    /// The value of the volume option `changelog.encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Binary => "binary",
            Encoding::Ascii => "ascii",
        }
    }
}

/// What the line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Which fields records have.
    pub version: Version,
    /// How they are written.
    pub encoding: Encoding,
}

/// Why the first bytes of a file are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHeader {
    /// They are the beginning of one: the file ends inside it. An empty file is this too.
    Truncated,
    /// They are something else.
    NotAChangelog,
    /// A version that is neither 1.1 nor 1.2: major and minor digit.
    UnknownVersion(u8, u8),
    /// An encoding that is neither binary (1) nor ascii (2): its digit.
    UnknownEncoding(u8),
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadHeader::Truncated => write!(f, "the file ends inside the header"),
            BadHeader::NotAChangelog => write!(f, "it does not begin as a changelog does"),
            BadHeader::UnknownVersion(major, minor) => {
                write!(f, "version {major}.{minor} is not known, only 1.1 and 1.2 are")
            }
            BadHeader::UnknownEncoding(digit) => {
                write!(f, "encoding {digit} is not known, only 1 (binary) and 2 (ascii) are")
            }
        }
    }
}

impl std::error::Error for BadHeader {}

/// The line with `x`, `y` and `z` where the digits of version and encoding stand.
const PATTERN: &[u8; HEADER_LEN] = b"GlusterFS Changelog | version: vx.y | encoding : z\n";

impl Header {
    /// What is written today, in `encoding`.
    #[must_use]
    pub fn new(encoding: Encoding) -> Header {
        Header { version: Version::V1_2, encoding }
    }

    /// The line.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let minor = match self.version {
            Version::V1_1 => b'1',
            Version::V1_2 => b'2',
        };
        PATTERN.map(|byte| match byte {
            b'x' => b'1',
            b'y' => minor,
            b'z' => b'0' + self.encoding as u8,
            other => other,
        })
    }

    /// Reads the line that `bytes` begin with.
    ///
    /// # Errors
    /// When they do not begin with a header that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let mut digits = [0; 3];
        let mut found = digits.iter_mut();
        for (byte, pattern) in bytes.iter().zip(PATTERN) {
            match pattern {
                b'x' | b'y' | b'z' => match found.next() {
                    Some(digit) if byte.is_ascii_digit() => *digit = byte - b'0',
                    _ => return Err(BadHeader::NotAChangelog),
                },
                _ if byte == pattern => {}
                _ => return Err(BadHeader::NotAChangelog),
            }
        }
        if bytes.len() < HEADER_LEN {
            return Err(BadHeader::Truncated);
        }
        let [major, minor, encoding] = digits;
        let version = match (major, minor) {
            (1, 1) => Version::V1_1,
            (1, 2) => Version::V1_2,
            _ => return Err(BadHeader::UnknownVersion(major, minor)),
        };
        let encoding = match encoding {
            1 => Encoding::Binary,
            2 => Encoding::Ascii,
            other => return Err(BadHeader::UnknownEncoding(other)),
        };
        Ok(Header { version, encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_stock() {
        let line = b"GlusterFS Changelog | version: v1.2 | encoding : 2\n";
        assert_eq!(&Header::new(Encoding::Ascii).encode(), line);
    }

    #[test]
    fn every_header_comes_back() {
        for version in [Version::V1_1, Version::V1_2] {
            for encoding in [Encoding::Binary, Encoding::Ascii] {
                let header = Header { version, encoding };
                let mut bytes = header.encode().to_vec();
                for end in 0..HEADER_LEN {
                    assert_eq!(Header::decode(&bytes[..end]), Err(BadHeader::Truncated));
                }
                bytes.extend_from_slice(b"Dmore");
                assert_eq!(Header::decode(&bytes), Ok(header));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut line = Header::new(Encoding::Ascii).encode();
            line[at] = byte;
            Header::decode(&line)
        };
        for at in 0..HEADER_LEN {
            assert!(with(at, b'#').is_err(), "byte {at}");
        }
        assert_eq!(with(34, b'3'), Err(BadHeader::UnknownVersion(1, 3)));
        assert_eq!(with(32, b'2'), Err(BadHeader::UnknownVersion(2, 2)));
        assert_eq!(with(49, b'3'), Err(BadHeader::UnknownEncoding(3)));
        // A pattern that is written out is no header either.
        assert_eq!(Header::decode(PATTERN), Err(BadHeader::NotAChangelog));
    }
}
