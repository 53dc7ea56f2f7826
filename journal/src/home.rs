//! Where a journal lives: which directory, on which file system.
//!
//! Another directory or file system than the journal's last start had means that the brick was moved, copied
//! or restored to another place. What the journal says may not be true of it, so a new epoch begins.

use std::ffi::CStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// A directory's path and its file system, each as the low half of a hash; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) path: u32,
    pub(crate) file_system: u32,
}

/// XFS: its f_fsid is the number of the device, which a reboot may change.
const XFS: u64 = 0x5846_5342;

impl Home {
    pub(crate) const UNKNOWN: Home = Home { path: 0, file_system: 0 };

    /// Of a directory that is there.
    pub(crate) fn of(dir: &Path) -> Home {
        let path = fs::canonicalize(dir).map_or(0, |path| hash(path.as_os_str().as_bytes()));
        Home { path, file_system: file_system(dir).unwrap_or(0) }
    }

    /// Whether both know something in which they are not the same.
    pub(crate) fn is_another(self, than: Home) -> bool {
        let differ = |a, b| a != 0 && b != 0 && a != b;
        differ(self.path, than.path) || differ(self.file_system, than.file_system)
    }
}

/// What stays when the file system is mounted again, also after a reboot: its UUID, mostly.
fn file_system(dir: &Path) -> Option<u32> {
    if let Some(uuid) = uuid(dir, c"/dev/disk/by-uuid") {
        return Some(hash(&uuid));
    }
    let stat = rustix::fs::statfs(dir).ok()?;
    let id = rustix::fs::statvfs(dir).ok()?.f_fsid;
    (id != 0 && stat.f_type as u64 != XFS).then(|| hash(&id.to_le_bytes()))
}

/// The name of the link to the directory's device that udev makes.
fn uuid(dir: &Path, links: &CStr) -> Option<Vec<u8>> {
    let device = fs::metadata(dir).ok()?.dev();
    let links = fs::read_dir(Path::new(links.to_str().ok()?)).ok()?;
    let link = links.flatten().find(|link| {
        fs::metadata(link.path()).is_ok_and(|of| of.rdev() == device && device != 0)
    })?;
    Some(link.file_name().as_bytes().to_owned())
}

/// Never 0.
fn hash(bytes: &[u8]) -> u32 {
    (xxh3_64(bytes) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_another() {
        let home = |path, file_system| Home { path, file_system };
        assert!(!home(1, 2).is_another(home(1, 2)));
        assert!(home(1, 2).is_another(home(3, 2)));
        assert!(home(1, 2).is_another(home(1, 3)));
        for other in [Home::UNKNOWN, home(1, 0), home(0, 2)] {
            assert!(!home(1, 2).is_another(other) && !other.is_another(home(1, 2)));
        }
    }

    #[test]
    fn a_directory_is_the_same_by_each_of_its_names() {
        let root = tempfile::tempdir().unwrap();
        let (one, two, link) =
            (root.path().join("one"), root.path().join("two"), root.path().join("link"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert_eq!(Home::of(&one), Home::of(&link));
        assert!(Home::of(&one).is_another(Home::of(&two)));
        assert_eq!(Home::of(&one).file_system, Home::of(&two).file_system);
    }
}
