//! Where a name stood that is being removed, from the brick's root on: the option `capture-del-path`.
//!
//! Once the name is gone its directory may go too, so its path is looked up on the way down, as stock does. The storage
//! translator keeps a symbolic link for each directory, under its gfid, to its parent's: the chain of them is the path.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gnotify_record::{Gfid, Link};

/// The longest path of the host's (`PATH_MAX`), in bytes.
const PATH_MAX: usize = 4096;

/// The path of `link` on the brick at `brick`, without a leading slash. `None` where it cannot be told.
pub(crate) fn resolve(brick: &Path, link: &Link<'_>) -> Option<Vec<u8>> {
    let mut parts = vec![link.name.to_vec()];
    let mut length = link.name.len();
    let mut at = link.parent;
    while at != Gfid::ROOT {
        let (parent, name) = directory(brick, at)?;
        length += name.len() + 1;
        // A chain that has no end is one of a damaged brick.
        if length >= PATH_MAX {
            return None;
        }
        parts.push(name);
        at = parent;
    }
    parts.reverse();
    Some(parts.join(&b'/'))
}

/// The parent of a directory, and its name there: its handle leads to `../../aa/bb/PARENT/NAME`.
fn directory(brick: &Path, gfid: Gfid) -> Option<(Gfid, Vec<u8>)> {
    let target = fs::read_link(handle(brick, gfid)).ok()?;
    let mut parts = target.as_os_str().as_bytes().rsplit(|byte| *byte == b'/');
    let (name, parent) = (parts.next()?, parts.next()?);
    let parent = std::str::from_utf8(parent).ok()?.parse().ok()?;
    Some((parent, name.to_vec()))
}

/// Where the storage translator keeps an inode under its gfid.
pub(crate) fn handle(brick: &Path, gfid: Gfid) -> PathBuf {
    let text = gfid.to_string();
    let mut path = brick.join(".glusterfs");
    path.extend([&text[..2], &text[2..4], &text[..]].map(OsStr::new));
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn add(brick: &Path, gfid: Gfid, parent: Gfid, name: &str) {
        let handle = handle(brick, gfid);
        fs::create_dir_all(handle.parent().unwrap()).unwrap();
        let text = parent.to_string();
        symlink(format!("../../{}/{}/{text}/{name}", &text[..2], &text[2..4]), handle).unwrap();
    }

    #[test]
    fn the_chain_of_handles_is_the_path() {
        let brick = tempfile::tempdir().unwrap();
        let brick = brick.path();
        let (a, b) = (Gfid([0xa0; 16]), Gfid([0xb0; 16]));
        add(brick, a, Gfid::ROOT, "x");
        add(brick, b, a, "y z");
        let path = |parent| resolve(brick, &Link { parent, name: b"\xff".to_vec().into() });
        assert_eq!(path(Gfid::ROOT), Some(b"\xff".to_vec()));
        assert_eq!(path(a), Some(b"x/\xff".to_vec()));
        assert_eq!(path(b), Some(b"x/y z/\xff".to_vec()));
        assert_eq!(path(Gfid([0xc0; 16])), None);
        // A ring.
        let (c, d) = (Gfid([0xc1; 16]), Gfid([0xd1; 16]));
        add(brick, c, d, "c");
        add(brick, d, c, "d");
        assert_eq!(path(c), None);
    }
}
