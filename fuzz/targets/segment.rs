//! Segments in which anything may stand: alone, and as a journal. The reader comes to an end, and accounts for
//! each number once and in order.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use gnotify_journal::fuzzing::{SEGMENT_HEADER, mend_segment};
use gnotify_journal::{Gap, ReadError, Reader, Statement, What};
use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(format!("/dev/shm/gnotify-fuzz-segment-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory in memory");
    dir
});

fuzz_target!(|data: &[u8]| {
    let mut segments = split(data);
    for segment in &mut segments {
        mend_segment(segment);
    }
    let mut names = Vec::new();
    for segment in &segments {
        // Named after what the header says, so that most of them are in order; a header of another
        // number stands for a file that was renamed.
        let mut first_seq = [0; 8];
        if let Some(bytes) = segment.get(40..48) {
            first_seq.copy_from_slice(bytes);
        }
        let name = DIR.join(format!("{:020}.gnj", u64::from_le_bytes(first_seq)));
        fs::write(&name, segment).expect("a file in memory");
        read(Reader::open_segment(&name), segment.len());
        names.push(name);
    }
    read(Reader::open(&DIR), data.len());
    if let Ok(mut reader) = Reader::open(&DIR) {
        let _ = reader.skip_to_time(1_700_000_000_000_000_000);
        read(Ok(reader), data.len());
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

fn read(reader: Result<Reader, ReadError>, len: usize) {
    let Ok(mut reader) = reader else { return };
    let mut expected = None;
    // Each entry takes a head of 24 bytes; each may have a gap of the reader's own in front.
    let mut left = 2 * (len / 24 + len / SEGMENT_HEADER) + 2;
    loop {
        let (seq, last) = match reader.next() {
            Ok(None) => return,
            Ok(Some(entry)) => match entry.what {
                What::Statement(Statement::Gap(Gap { to, .. }) | Statement::Void { to }) => {
                    (entry.seq, to.max(entry.seq))
                }
                _ => (entry.seq, entry.seq),
            },
            Err(ReadError::BadRecord { seq, .. } | ReadError::BadStatement { seq, .. }) => {
                (seq, seq)
            }
            Err(_) => return,
        };
        if let Some(expected) = expected {
            assert_eq!(seq, expected, "a number is left out, or told twice");
        }
        let Some(next) = last.checked_add(1) else { return };
        expected = Some(next);
        left = left.checked_sub(1).expect("more entries than there is room for");
    }
}
