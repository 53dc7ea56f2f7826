//! The files that are written to while a snapshot is taken (D/csnap/CHANGELOG.SNAP).
//!
//! Between barrier on and barrier off the content of files still changes. Stock notes each of these fops before it is
//! wound, always as text, whatever encoding the header states.

use std::io::{self, Read};

use gnotify_record::Gfid;

use crate::codec::{self, ReadError, Reader};
use crate::header::HEADER_LEN;
use crate::layout::Layout;
use crate::storage::{Open, Storage, write_all};
use crate::{Change, Encoding, Header};

/// The file of one barrier. Dropping it is the barrier's end; the file stays until the next one.
#[derive(Debug)]
pub struct Csnap<S: Storage> {
    storage: S,
    file: S::File,
    len: u64,
}

impl<S: Storage> Csnap<S> {
    /// Begins the file afresh. `encoding` is that of the slices, for the header.
    ///
    /// # Errors
    /// When it cannot be written: the barrier must fail then.
    pub fn create(storage: S, layout: &Layout, encoding: Encoding) -> io::Result<Csnap<S>> {
        let file = storage.open(&layout.csnap(), Open::Empty, false)?;
        write_all(&storage, &file, &Header::new(encoding).encode(), 0)?;
        Ok(Csnap { storage, file, len: HEADER_LEN as u64 })
    }

    /// Notes that the content of a file is about to change.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it counts then.
    pub fn data(&mut self, gfid: Gfid) -> io::Result<()> {
        let mut record = Vec::with_capacity(38);
        codec::encode(&Change::Data { gfid }, Encoding::Ascii, &mut record);
        if let Err(error) = write_all(&self.storage, &self.file, &record, self.len) {
            let _ = self.storage.cut(&self.file, self.len);
            return Err(error);
        }
        self.len += record.len() as u64;
        Ok(())
    }
}

/// Reads such a file.
///
/// # Errors
/// When it has no header, or cannot be read.
pub fn reader<R: Read>(source: R) -> Result<Reader<R>, ReadError> {
    Reader::new(source).map(|reader| reader.with_encoding(Encoding::Ascii))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;
    use crate::sim::Sim;

    #[test]
    fn it_is_text_whatever_the_header_states() {
        let layout = Layout::new("/d");
        let sim = Sim::with_dir("/d/csnap");
        for encoding in [Encoding::Binary, Encoding::Ascii] {
            let mut csnap = Csnap::create(sim.clone(), &layout, encoding).unwrap();
            csnap.data(Gfid::ROOT).unwrap();
            sim.fail_after(0, false);
            assert!(csnap.data(Gfid::SHARD_ROOT).is_err());
            sim.heal();
            // Never left out as a repetition.
            csnap.data(Gfid::ROOT).unwrap();
            let bytes = sim.bytes(layout.csnap()).unwrap();
            let record = format!("D{}\0", Gfid::ROOT).into_bytes();
            assert_eq!(bytes, [&Header::new(encoding).encode()[..], &record, &record].concat());
            let mut reader = reader(&bytes[..]).unwrap();
            for _ in 0..2 {
                assert_eq!(reader.next().unwrap(), Some(Change::Data { gfid: Gfid::ROOT }));
            }
            assert_eq!(reader.next().unwrap(), None);
        }
    }
}
