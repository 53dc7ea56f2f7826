//! Makes the first inputs of all targets out of the golden files: `seeds DIR`, with a directory for each.

use std::fs;
use std::path::Path;

const HEADER: usize = 80;
const HEAD: usize = 24;

fn main() {
    let dir = std::env::args().nth(1).expect("usage: seeds DIR");
    let (dir, root) = (Path::new(&dir), Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = dir.join(target);
        fs::create_dir_all(&dir).expect("a directory for the seeds");
        fs::write(dir.join(name), bytes).expect("a seed can be written");
    };
    let golden = [
        ("journal", "journal/testdata/segment-v1.gnj"),
        ("cli", "cli/testdata/brick-v1/.glusterfs/gnotify/00000000000000000001.gnj"),
    ];
    let mut all = Vec::new();
    for (name, path) in golden {
        let segment = fs::read(root.join(path)).expect("a golden segment");
        put("segment", name, &segment);
        put("packed", &format!("{name}-raw"), &[&[0], &segment[..]].concat());
        put("packed", name, &packed(&segment));
        all.extend_from_slice(&segment);
        let frames = frames(&segment);
        for (at, (kind, code, tag, time, body)) in frames.iter().enumerate() {
            let name = format!("{name}-{at}");
            match kind {
                1 => put("record", &name, &[&[*code], &tag[..], time, body].concat()),
                _ => put("statement", &name, &[&[*code], &body[..]].concat()),
            }
        }
        let count = frames.len() as u64;
        put("ring", name, &ring(&segment, count, 0, &[]));
        put("ring", &format!("{name}-drops"), &ring(&segment, count + 3, 1, &[]));
        put(
            "ring",
            &format!("{name}-notes"),
            &ring(&segment, count, 0, &[note(1), note(9)].concat()),
        );
    }
    // A journal of two segments.
    put("segment", "both", &all);
    for name in
        ["stock-ascii-v1.2.CHANGELOG", "stock-binary-v1.2.CHANGELOG", "stock-ascii-v1.2.txt"]
    {
        let bytes = fs::read(root.join("changelog/testdata").join(name)).expect("a golden slice");
        put("changelog", name, &bytes);
        // Lines of the text are inputs too.
        for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            put("changelog", &format!("{name}-{at}"), line);
        }
    }
    let records = [863, 878, 893].map(|ts| format!("/b/2026/11/20/CHANGELOG.1795160{ts}\0"));
    put("htime", "whole", records.concat().as_bytes());
    put("htime", "torn", format!("{}/b/2026{}", records[0], records[1]).as_bytes());
    put("htime", "mark", b"1795160893:3");
    // What stock sent, in pieces of a length that the first byte gives.
    for (target, name) in [
        ("channel_to_brick", "probe-call"),
        ("channel_to_brick", "event-reply"),
        ("channel_to_consumer", "probe-reply"),
        ("channel_to_consumer", "event-call"),
        ("channel_to_consumer", "event-call-journal"),
    ] {
        let message = fs::read(root.join(format!("channel/testdata/{name}.bin")));
        let message = message.expect("a golden message");
        for cut in [1, 255] {
            put(target, &format!("{name}-{cut}"), &[&[cut], &message[..]].concat());
        }
    }
}

/// A packed segment, each half a block whose bytes are no frames.
fn packed(segment: &[u8]) -> Vec<u8> {
    let len = segment.len() as u64;
    let (header, rest) = segment.split_at(HEADER);
    let mut bytes = [&[1], &len.to_le_bytes()[..5], header].concat();
    for part in rest.chunks(rest.len() / 16 * 8) {
        let items = [&(part.len() as u32).to_le_bytes(), part].concat();
        bytes.push(0);
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
        bytes.extend_from_slice(&segment[40..48]);
        bytes.extend_from_slice(&(items.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&items);
    }
    bytes
}

type Frame = (u64, u8, [u8; 4], [u8; 8], Vec<u8>);

fn frames(segment: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = &segment[HEADER..];
    while let Some(head) = rest.first_chunk::<HEAD>() {
        let word =
            |at: usize| head[8 * at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let len = (word(0) & 0xffff) as usize;
        let tag = ((word(0) >> 20 & 0xf) << 24 | word(1) >> 40) as u32;
        let body = rest[HEAD..len].to_vec();
        frames.push((word(0) >> 16 & 0xf, head[3], tag.to_le_bytes(), word(2).to_le_bytes(), body));
        rest = &rest[len.next_multiple_of(8)..];
    }
    frames
}

/// The frames of a segment as if they had not been written yet.
fn ring(segment: &[u8], reserved: u64, dropped: u64, notes: &[u8]) -> Vec<u8> {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&segment[at..at + len]);
        u64::from_le_bytes(bytes)
    };
    let (salt, first_seq) = (number(12, 4), number(40, 8));
    let frames = &segment[HEADER..];
    let words = [
        salt,
        0,
        frames.len() as u64 / 8,
        first_seq << 1,
        reserved,
        dropped,
        0,
        0,
        0,
        notes.len() as u64,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(notes);
    bytes.extend_from_slice(frames);
    bytes
}

/// A fop that was under way: with a gfid, a name and a new name.
fn note(fop: u64) -> Vec<u8> {
    let mut words = [7; 80];
    words[0] = 2 | 1 << 2 | fop << 8 | 3 << 16 | 4 << 24 | 1 << 36;
    words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect()
}
