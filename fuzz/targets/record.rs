//! A record's body, in which anything may stand: it is read or refused, and what is read comes back. So may anything
//! in a client's rename hint.

#![no_main]

use gnotify_record::{Fop, Renaming, codec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(Renaming { from, to }) = Renaming::from_hint(data) {
        let is_name = |name: &[u8]| !name.is_empty() && !name.iter().any(|b| matches!(b, 0 | b'/'));
        assert!(is_name(&from.name) && is_name(&to.name));
    }
    let Some((fop, rest)) = data.split_first() else { return };
    let Some((tag, rest)) = rest.split_first_chunk::<4>() else { return };
    let Some((time, body)) = rest.split_first_chunk::<8>() else { return };
    let (fop, time) = (Fop(*fop), u64::from_le_bytes(*time));
    // A frame has room for 28 bits, and for no longer body than an encoder writes.
    let tag = u32::from_le_bytes(*tag) & ((1 << codec::TAG_BITS) - 1);
    let body = &body[..body.len().min(codec::BODY_MAX)];
    match codec::decode(fop, tag, time, body) {
        Err(error) => assert!(error.offset <= body.len(), "{error}"),
        Ok(record) => {
            let mut first = codec::Body::new();
            let new_tag = codec::encode(&record, time, &mut first);
            assert!(new_tag >> codec::TAG_BITS == 0);
            let again = codec::decode(fop, new_tag, time, &first);
            let again = again.expect("what was encoded is decoded");
            // Xattrs that leave no room in a body are left out, which the record says.
            if again != record {
                assert!(again.xattrs_cut && again.xattrs.len() < record.xattrs.len());
            }
            let mut second = codec::Body::new();
            assert_eq!(codec::encode(&again, time, &mut second), new_tag);
            assert_eq!(*first, *second);
        }
    }
});
