//! An index in which anything may stand: every byte of it is accounted for once and in order.

#![no_main]

use gnotify_changelog::htime::{Item, Mark, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(mark) = Mark::parse(data) {
        assert_eq!(Mark::parse(mark.to_string().as_bytes()), Some(mark));
    }
    let mut reader = Reader::new(data);
    let mut end = 0;
    while let Some((offset, item)) = reader.next().expect("memory can be read") {
        assert_eq!(offset, end);
        end += match item {
            Item::Slice(slice) => slice.path.as_os_str().len() as u64 + 1,
            Item::Torn(len) => len,
        };
        assert!(end > offset);
    }
    assert_eq!(end, data.len() as u64);
});
