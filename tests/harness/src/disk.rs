//! File systems for bricks.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::tool::{run, tool, try_run};
use crate::wait::wait_for;

/// Where a brick keeps its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// A directory of the scratch directory.
    Directory,
    /// A new ext4 of so many MiB in a sparse image file.
    Ext4(u64),
    /// A new XFS of so many MiB (at least 300) in a sparse image file.
    Xfs(u64),
    /// A new ext4 of so many MiB in a sparse image file in memory: see [`Exhausted`].
    Ext4InMemory(u64),
}

/// What a tmpfs has beyond the image that it holds.
const SPARE: u64 = 8;

impl Disk {
    /// Makes the file system and mounts it on `at`, a new directory. It goes with the sandbox.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make(self, at: &Path) {
        make_dir(at);
        let (mkfs, size) = match self {
            Disk::Directory => return,
            Disk::Ext4(size) | Disk::Ext4InMemory(size) => (["mkfs.ext4", "-q"], size),
            Disk::Xfs(size) => (["mkfs.xfs", "-q"], size),
        };
        if let Disk::Ext4InMemory(size) = self {
            let memory = memory(at);
            make_dir(&memory);
            let size = format!("size={}M", size + SPARE);
            run(tool("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(memory));
        }
        let image = self.image(at);
        run(tool("truncate").arg(format!("--size={size}M")).arg(&image));
        run(tool(mkfs[0]).args(&mkfs[1..]).arg(&image));
        self.mount(at);
    }

    fn mount(self, at: &Path) {
        // Others on this machine may take a loop device from under it: then it looks for another one.
        let mut told = String::new();
        let mut command = tool("mount");
        command.args(["-o", "loop"]).arg(self.image(at)).arg(at);
        let mut tries = 0;
        wait_for("a loop device", || {
            tries += 1;
            let mounted = try_run(&mut command).map_err(|error| told = error);
            assert!(mounted.is_ok() || tries < 20, "{told}");
            mounted.is_ok()
        });
    }

    /// Takes an ext4 off, repairs it and mounts it again.
    ///
    /// # Panics
    /// When it stays in use, or is beyond repair.
    pub(crate) fn repair(self, at: &Path) {
        wait_for("the disk to be out of use", || try_run(tool("umount").arg(at)).is_ok());
        let mut check = tool("e2fsck");
        check.args(["-f", "-y"]).arg(self.image(at));
        let output = check.output().unwrap_or_else(|e| panic!("{check:?}: {e}"));
        // e2fsck(8): 1 and 2 are said of errors that were corrected.
        let is_good = output.status.code().is_some_and(|code| code < 4);
        assert!(is_good, "{check:?}: {output:?}");
        self.mount(at);
    }

    fn image(self, at: &Path) -> PathBuf {
        match self {
            Disk::Ext4InMemory(_) => memory(at).join("image"),
            _ => at.with_extension("img"),
        }
    }
}

fn make_dir(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The tmpfs of a [`Disk::Ext4InMemory`] that is mounted on `at`.
fn memory(at: &Path) -> PathBuf {
    at.with_extension("memory")
}

/// The memory under a [`Disk::Ext4InMemory`], used up: the disk gives errors for each write to a block that was
/// not written before. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Exhausted {
    filler: PathBuf,
}

impl Exhausted {
    pub(crate) fn memory_of(at: &Path) -> Exhausted {
        let filler = memory(at).join("filler");
        let exhausted = Exhausted { filler };
        let path = &exhausted.filler;
        let mut file = File::create_new(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for size in [1 << 20, 4096] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        exhausted
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.filler);
    }
}
