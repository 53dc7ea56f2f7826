//! A file system in memory for the tests: any call may fail, and a power loss takes what was not synced.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::storage::{DirEntry, Open, Storage};

/// A handle; clones see the same file system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sim(Rc<RefCell<World>>);

#[derive(Debug, Clone, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    /// As they would be after a power loss.
    durable_names: BTreeMap<PathBuf, usize>,
    /// What separates the two, in order: a journalling file system keeps a beginning of it.
    pending: Vec<Op>,
    fate: Option<Fate>,
    calls: u32,
    failed: u32,
    clock: u64,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    is_dir: bool,
    content: Content,
    durable: Content,
    /// Bytes that a failed fsync took for written: only if they are written again, another one makes them durable.
    given_up: BTreeSet<usize>,
    mtime: u64,
}

impl Inode {
    fn sync(&mut self) {
        let mut content = self.content.clone();
        for at in &self.given_up {
            if let Some(byte) = content.bytes.get_mut(*at) {
                *byte = self.durable.bytes.get(*at).copied().unwrap_or(0);
            }
        }
        self.durable = content;
    }

    fn fail_to_sync(&mut self) {
        let differs = |at: &usize| self.durable.bytes.get(*at) != self.content.bytes.get(*at);
        self.given_up.extend((0..self.content.bytes.len()).filter(differs));
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Op {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Move(PathBuf, PathBuf),
}

impl Op {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Op::Add(path, inode) => drop(names.insert(path.clone(), *inode)),
            Op::Remove(path) => drop(names.remove(path)),
            Op::Move(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let in_it = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Op::Add(path, _) | Op::Remove(path) => in_it(path),
            Op::Move(from, to) => in_it(from) || in_it(to),
        }
    }
}

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
struct Fate {
    at: u32,
    for_good: bool,
}

fn error(code: rustix::io::Errno) -> io::Error {
    code.into()
}

impl Sim {
    /// With the directory `dir` and those above it.
    pub(crate) fn with_dir(dir: &str) -> Sim {
        let sim = Sim::default();
        let mut dirs: Vec<&Path> = Path::new(dir).ancestors().collect();
        dirs.reverse();
        for dir in dirs {
            sim.0.borrow_mut().make(dir, true);
        }
        sim.sync_all();
        sim
    }

    /// The call behind so many fails; where it is `for_good`, all that follow.
    pub(crate) fn fail_after(&self, calls: u32, for_good: bool) {
        let mut world = self.0.borrow_mut();
        world.fate = Some(Fate { at: world.calls + calls, for_good });
        world.failed = 0;
    }

    /// No call fails any more. How many have.
    pub(crate) fn heal(&self) -> u32 {
        let mut world = self.0.borrow_mut();
        world.fate = None;
        world.failed
    }

    /// Another machine that has what is left after a power loss here: what was synced, and of the rest all names or all
    /// content if it is so.
    pub(crate) fn after_power_loss(&self, all_names: bool, all_content: bool) -> Sim {
        let mut world = self.0.borrow().clone();
        world.fate = None;
        if !all_names {
            world.names = world.durable_names.clone();
        }
        for inode in &mut world.inodes {
            if !all_content {
                inode.content = inode.durable.clone();
            }
        }
        let sim = Sim(Rc::new(RefCell::new(world)));
        sim.sync_all();
        sim
    }

    /// Another machine in the same state.
    pub(crate) fn copy(&self) -> Sim {
        self.after_power_loss(true, true)
    }

    fn sync_all(&self) {
        let mut world = self.0.borrow_mut();
        world.pending.clear();
        world.durable_names = world.names.clone();
        world.inodes.iter_mut().for_each(|inode| inode.durable = inode.content.clone());
    }

    pub(crate) fn set_clock(&self, clock: u64) {
        self.0.borrow_mut().clock = clock;
    }

    /// Puts a file there as another program does.
    pub(crate) fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = path.as_ref();
        for dir in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            self.0.borrow_mut().make(dir, true);
        }
        let mut world = self.0.borrow_mut();
        let (inode, clock) = (world.make(path, false), world.clock);
        world.inodes[inode].content.bytes = bytes.to_vec();
        world.inodes[inode].mtime = clock;
        drop(world);
        self.sync_all();
    }

    pub(crate) fn put_xattr(&self, path: impl AsRef<Path>, name: &str, value: &[u8]) {
        let mut world = self.0.borrow_mut();
        let inode = world.names[path.as_ref()];
        world.inodes[inode].content.xattrs.insert(name.to_owned(), value.to_vec());
        drop(world);
        self.sync_all();
    }

    /// The content of a file, if there is one.
    pub(crate) fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let world = self.0.borrow();
        let inode = world.names.get(path.as_ref())?;
        Some(world.inodes[*inode].content.bytes.clone())
    }

    /// All files, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let world = self.0.borrow();
        let file = |(path, inode): (&PathBuf, &usize)| {
            (!world.inodes[*inode].is_dir).then(|| path.clone())
        };
        world.names.iter().filter_map(file).collect()
    }
}

impl World {
    fn step(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fate {
            Some(Fate { at, for_good }) if call == at || (for_good && call > at) => {
                self.failed += 1;
                Err(error(rustix::io::Errno::IO))
            }
            _ => Ok(()),
        }
    }

    fn make(&mut self, path: &Path, is_dir: bool) -> usize {
        if let Some(inode) = self.names.get(path) {
            return *inode;
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode { is_dir, ..Inode::default() });
        self.change(Op::Add(path.to_owned(), inode));
        inode
    }

    fn change(&mut self, op: Op) {
        op.apply(&mut self.names);
        self.pending.push(op);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| error(rustix::io::Errno::NOENT))
    }

    fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        self.find(path.parent().unwrap_or(Path::new(""))).map(drop)
    }
}

impl Storage for Sim {
    type File = usize;

    fn open(&self, path: &Path, how: Open, _durable: bool) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let there = world.find(path);
        if how == Open::Existing {
            return there;
        }
        world.parent_is_there(path)?;
        let inode = world.make(path, false);
        if how == Open::Empty {
            world.inodes[inode].content.bytes.clear();
        }
        Ok(inode)
    }

    fn len(&self, file: &usize) -> io::Result<u64> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        Ok(world.inodes[*file].content.bytes.len() as u64)
    }

    fn read_at(&self, file: &usize, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let rest = &world.inodes[*file].content.bytes;
        let rest = rest.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, file: &usize, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        let may_fail = world.fate.is_some();
        world.step()?;
        // A kill comes also between two parts.
        let len = if may_fail { bytes.len().div_ceil(2) } else { bytes.len() };
        let clock = world.clock;
        let inode = &mut world.inodes[*file];
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        inode.given_up.retain(|at| !(from..from + len).contains(at));
        let content = &mut inode.content.bytes;
        content.resize(content.len().max(from + len), 0);
        content[from..from + len].copy_from_slice(&bytes[..len]);
        inode.mtime = clock;
        Ok(len)
    }

    fn cut(&self, file: &usize, len: u64) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.inodes[*file].content.bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let done = world.step();
        let inode = &mut world.inodes[*file];
        if done.is_ok() {
            inode.sync()
        } else {
            inode.fail_to_sync()
        }
        done
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let inode = world.find(dir)?;
        world.inodes[inode].durable = world.inodes[inode].content.clone();
        let last = world.pending.iter().rposition(|op| op.touches(dir));
        let done: Vec<Op> = world.pending.drain(..last.map_or(0, |last| last + 1)).collect();
        done.iter().for_each(|op| op.apply(&mut world.durable_names));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.find(from)?;
        world.parent_is_there(to)?;
        world.change(Op::Move(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.find(path)?;
        world.change(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.parent_is_there(dir)?;
        world.make(dir, true);
        Ok(())
    }

    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.find(dir)?;
        if world.names.keys().any(|path| path.parent() == Some(dir)) {
            return Err(error(rustix::io::Errno::NOTEMPTY));
        }
        world.change(Op::Remove(dir.to_owned()));
        Ok(())
    }

    fn xattr(&self, path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let inode = world.find(path)?;
        Ok(world.inodes[inode].content.xattrs.get(name).cloned())
    }

    fn set_xattr(&self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let inode = world.find(path)?;
        world.inodes[inode].content.xattrs.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        world.find(dir)?;
        let below = world.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, inode): (&PathBuf, &usize)| {
            let name = path.file_name()?.to_owned();
            Some(DirEntry { name, is_file: !world.inodes[*inode].is_dir })
        };
        Ok(below.filter_map(entry).collect())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        let mut world = self.0.borrow_mut();
        world.step()?;
        let inode = world.names.get(path).map(|inode| &world.inodes[*inode]);
        let file = inode.filter(|inode| !inode.is_dir);
        Ok(file.map(|inode| (inode.content.bytes.len() as u64, inode.mtime)))
    }
}
