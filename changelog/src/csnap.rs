//! The file that writes are noted in while a snapshot is taken (D/csnap/CHANGELOG.SNAP).

use crate::Encoding;
use crate::storage::Storage;
use gnotify_record::Gfid;
use std::io;
use std::path::Path;

/// The file, from barrier on to barrier off.
#[derive(Debug)]
pub struct Csnap<S: Storage> {
    _file: Option<S::File>,
}
impl<S: Storage> Csnap<S> {
    /// Begins the file afresh.
    pub fn create(storage: S, dir: &Path, encoding: Encoding) -> io::Result<Self> {
        let _ = (storage, dir, encoding);
        Ok(Csnap { _file: None })
    }
    /// A write, truncate or ftruncate is about to be wound.
    pub fn data(&mut self, gfid: Gfid) -> io::Result<()> {
        let _ = gfid;
        Ok(())
    }
}
