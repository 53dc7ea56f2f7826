//! Packed segments in which anything may stand, and any segment that is packed: the reader comes to an end, accounts
//! for each number once and in order, and what was packed comes back byte for byte.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use gnotify_journal::Reader;
use gnotify_journal::fuzzing::{
    Block, SEGMENT_HEADER, mend_segment, pack, packed_segment, read_to_end,
};
use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(format!("/dev/shm/gnotify-fuzz-packed-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory in memory");
    dir
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let name = DIR.join("00000000000000000001.gnz");
    if kind & 1 == 0 {
        let mut segment = data.to_vec();
        mend_segment(&mut segment);
        let raw = name.with_extension("gnj");
        fs::write(&raw, segment).expect("a file in memory");
        pack(&raw, &name);
        let _ = fs::remove_file(raw);
    } else if let Some((bytes, entries)) = damaged(data) {
        fs::write(&name, bytes).expect("a file in memory");
        read_to_end(Reader::open_segment(&name), entries);
        read_to_end(Reader::open(&DIR), entries);
    }
    let _ = fs::remove_file(name);
});

/// A length, a header, and blocks: flags, what is ahead, length, number, and bytes with their count.
fn damaged(mut data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let len = number(&mut data, 5)?;
    let header = data.split_off(..SEGMENT_HEADER)?.first_chunk()?;
    let mut blocks = Vec::new();
    while let Some(flags) = number(&mut data, 1) {
        let ahead = if flags & 8 == 0 { 0 } else { number(&mut data, 4)? };
        let (len, seq) = (number(&mut data, 3)? as u32, number(&mut data, 8)?);
        let size = number(&mut data, 2)? as usize;
        let bytes = data.split_off(..size.min(data.len()))?;
        blocks.push(Block {
            ahead,
            len,
            number: seq,
            bytes,
            compressed: flags & 1 != 0,
            sum_is_right: flags & 2 == 0,
            head_is_right: flags & 4 == 0,
        });
    }
    Some(packed_segment(header, len, &blocks))
}

fn number(data: &mut &[u8], len: usize) -> Option<u64> {
    let bytes = data.split_off(..len)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
