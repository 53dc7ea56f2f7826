//! Slices in which anything may stand, in both encodings and versions: what is read is what would be written, and the
//! lines of it come back.

#![no_main]

use gnotify_changelog::codec::{RECORD_MAX, Reader, decode, encode};
use gnotify_changelog::{Encoding, Header, Version, csnap, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(change) = text::parse(data) {
        line(&change);
    }
    slice(data, Reader::new(data).ok());
    let _ = csnap::reader(data).map(|mut reader| while let Ok(Some(_)) = reader.next() {});
    let Some((first, records)) = data.split_first() else { return };
    let version = if first & 1 == 0 { Version::V1_2 } else { Version::V1_1 };
    let encoding = if first & 2 == 0 { Encoding::Ascii } else { Encoding::Binary };
    let header = Header { version, encoding };
    let whole = [&header.encode()[..], records].concat();
    slice(&whole, Reader::new(&whole[..]).ok());
});

/// Each record stands where the one before ends, and written again it is the same, but for what has two spellings: a
/// mkdir's mode and a number with zeros in front.
fn slice(bytes: &[u8], reader: Option<Reader<&[u8]>>) {
    let Some(mut reader) = reader else { return };
    let header = reader.header();
    loop {
        let from = reader.offset() as usize;
        let Ok(Some(change)) = reader.next() else { break };
        line(&change);
        let change = change.into_owned();
        let to = reader.offset() as usize;
        assert!(from < to && to - from <= RECORD_MAX);
        let mut again = Vec::new();
        encode(&change, header.encoding, &mut again);
        let written = Header { version: Version::V1_2, ..header };
        let (read, len) = decode(&again, written).expect("what was written is read");
        assert_eq!(len, again.len());
        let mut twice = Vec::new();
        encode(&read, header.encoding, &mut twice);
        assert_eq!(twice, again, "of {:?}", &bytes[from..to]);
    }
}

fn line(change: &gnotify_changelog::Change<'_>) {
    let mut line = Vec::new();
    text::write(change, &mut line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let read = text::parse(&line).expect("a line that was written is read");
    let mut again = Vec::new();
    text::write(&read, &mut again);
    assert_eq!(again, line);
}
