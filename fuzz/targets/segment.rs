//! Segments in which anything may stand: alone, and as a journal. The reader comes to an end, and accounts for
//! each number once and in order.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use gnotify_journal::Reader;
use gnotify_journal::fuzzing::{SEGMENT_HEADER, mend_segment, read_to_end};
use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(format!("/dev/shm/gnotify-fuzz-segment-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory in memory");
    dir
});

fuzz_target!(|data: &[u8]| {
    let mut segments = split(data);
    let mut names = Vec::new();
    for segment in &mut segments {
        let renamed = segment.get(76).map_or(0, |byte| u64::from(byte >> 6) * 3);
        mend_segment(segment);
        // Named after what the header says, so that most of them are in order; byte 76, which a checksum
        // takes the place of, stands for a file that was renamed.
        let mut first_seq = [0; 8];
        if let Some(bytes) = segment.get(40..48) {
            first_seq.copy_from_slice(bytes);
        }
        let named = u64::from_le_bytes(first_seq).wrapping_add(renamed);
        let name = DIR.join(format!("{named:020}.gnj"));
        fs::write(&name, &*segment).expect("a file in memory");
        read_to_end(Reader::open_segment(&name), entries(segment.len()));
        names.push(name);
    }
    read_to_end(Reader::open(&DIR), entries(data.len()));
    if let Ok(mut reader) = Reader::open(&DIR) {
        let _ = reader.skip_to_time(1_700_000_000_000_000_000);
        read_to_end(Ok(reader), entries(data.len()));
    }
    for name in names {
        let _ = fs::remove_file(name);
    }
});

/// A segment begins wherever its magic stands.
fn split(data: &[u8]) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    let mut from = 0;
    for at in 1..data.len() {
        if data[at..].starts_with(b"GNOTIFYJ") {
            segments.push(data[from..at].to_vec());
            from = at;
        }
    }
    segments.push(data[from..].to_vec());
    segments
}

/// Each entry takes a head of 24 bytes.
fn entries(len: usize) -> usize {
    len / 24 + len / SEGMENT_HEADER
}
