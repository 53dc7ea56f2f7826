//! Slices that GlusterFS 10.3 wrote, and the lines that its libgfchangelog made of one: read the same, written the same.
//!
//! Each came from a mount on a brick with `capture-del-path`, with names that have a space, a percent sign, a line feed,
//! a control character and a byte that is no text.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::codec::{Reader, encode};
use crate::{Encoding, text};

const ASCII: &[u8] = include_bytes!("../testdata/stock-ascii-v1.2.CHANGELOG");
const BINARY: &[u8] = include_bytes!("../testdata/stock-binary-v1.2.CHANGELOG");
const LINES: &[u8] = include_bytes!("../testdata/stock-ascii-v1.2.txt");

#[test]
fn both_encodings_come_back_byte_by_byte() {
    for (file, encoding) in [(ASCII, Encoding::Ascii), (BINARY, Encoding::Binary)] {
        let mut reader = Reader::new(file).unwrap();
        assert_eq!(reader.header().encoding, encoding);
        let mut again = reader.header().encode().to_vec();
        let mut fops = std::collections::BTreeSet::new();
        while let Some(change) = reader.next().unwrap() {
            fops.insert(change.fop());
            encode(&change, encoding, &mut again);
        }
        assert_eq!(again.escape_ascii().to_string(), file.escape_ascii().to_string());
        assert!(fops.len() > 9, "every entry fop, content and metadata: {fops:?}");
    }
}

#[test]
fn the_lines_are_those_of_libgfchangelog() {
    let mut reader = Reader::new(ASCII).unwrap();
    let mut lines = Vec::new();
    while let Some(change) = reader.next().unwrap() {
        let from = lines.len();
        text::write(&change, &mut lines);
        assert_eq!(text::parse(&lines[from..]), Ok(change));
    }
    assert_eq!(lines.escape_ascii().to_string(), LINES.escape_ascii().to_string());
}
