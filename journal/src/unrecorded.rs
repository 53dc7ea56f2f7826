//! That a brick runs without a journal, because it could not be opened: remembered for when it can.
//!
//! Empty files are the marks. One is beside the ring, and survives a kill; one is in the journal's directory, where it
//! takes no block of a full disk, and survives a power loss. Where neither can be made, the log says so.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{make_private_dir, step, sync};
use crate::{Config, Host, Level};

/// The mark in the journal's directory.
const NAME: &str = "unrecorded";

fn marks(dir: &Path, ring: &Path) -> [PathBuf; 2] {
    [ring.with_extension(NAME), dir.join(NAME)]
}

/// Remembers that changes go unrecorded from now on: the next [`crate::Journal::open`] of the journal in `dir`, with its
/// ring at `ring`, begins with a gap of unknown count. For a brick that serves while its journal is switched off.
pub fn mark(dir: &Path, ring: &Path, host: &dyn Host) {
    let make = |path: &PathBuf| -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        let dir = path.parent().unwrap_or(path);
        make_private_dir(dir)?;
        step()?;
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        sync(&File::open(dir)?)
    };
    let made = marks(dir, ring).map(|path| make(&path));
    if let [Err(error), Err(_)] = made {
        let path = dir.display();
        let text = format!(
            "journal: {path} cannot be opened, and that could not be noted ({error}): if the brick ends \
             before the journal opens, nobody will hear that changes are missing"
        );
        host.log(Level::Error, &text);
    }
}

/// Whether changes went unrecorded since the last start that had a journal.
pub(crate) fn is_marked(config: &Config) -> bool {
    marks(&config.dir, &config.ring).iter().any(|path| path.exists())
}

/// Forgets it: the gap is in the ring. Where a mark stays, the next start tells it once more.
pub(crate) fn forget(config: &Config) {
    for path in marks(&config.dir, &config.ring) {
        let _ = step().and_then(|()| fs::remove_file(path));
    }
}
