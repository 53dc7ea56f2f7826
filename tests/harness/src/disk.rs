//! File systems for bricks.

use std::path::Path;

use crate::tool::{run, tool};

/// Where a brick keeps its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// A directory of the scratch directory.
    Directory,
    /// A new ext4 of so many MiB in a sparse image file.
    Ext4(u64),
    /// A new XFS of so many MiB (at least 300) in a sparse image file.
    Xfs(u64),
}

impl Disk {
    /// Makes the file system and mounts it on `at`, a new directory. It goes with the sandbox.
    pub(crate) fn make(self, at: &Path) {
        std::fs::create_dir_all(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        let (mkfs, size) = match self {
            Disk::Directory => return,
            Disk::Ext4(size) => (["mkfs.ext4", "-q"], size),
            Disk::Xfs(size) => (["mkfs.xfs", "-q"], size),
        };
        let image = at.with_extension("img");
        run(tool("truncate").arg(format!("--size={size}M")).arg(&image));
        run(tool(mkfs[0]).args(&mkfs[1..]).arg(&image));
        run(tool("mount").args(["-o", "loop"]).arg(&image).arg(at));
    }
}
