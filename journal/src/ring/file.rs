//! The ring's file: made whole before it appears under its name, and read back after a kill.
//!
//! FORMAT: a page of head, the notes of fops in flight, then the words of the frames; `docs/format.md` draws it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::notes::NOTE_WORDS;
use super::{Load, Mapping, Reserve, Slot};
use crate::disk::{make_private_dir, step};
use crate::sync::Ordering;
use crate::{OpenError, sequence};

/// The smallest ring, in bytes.
pub const RING_MIN: usize = 1 << 20;
/// The largest ring, in bytes: a position has to tell a full ring from an empty one.
pub const RING_MAX: usize = 64 << 20;
/// The size of a ring in bytes where nothing else is said.
pub const RING_DEFAULT: usize = 4 << 20;

/// Words of the head.
const HEAD_WORDS: usize = 512;

/// How many fops in flight can be named; the host's threads that reach a disk are far fewer.
pub(crate) const NOTES: u64 = 1024;

/// Words in front of the frames.
pub(crate) const FRAMES_AT: usize = HEAD_WORDS + (NOTES * NOTE_WORDS) as usize;

const MAGIC: &[u8; 8] = b"GNOTIFYR";
const VERSION: u64 = 1;

/// Length of the head's part that never changes, in words; its checksum is the last of them.
const IDENTITY_WORDS: usize = 10;

/// The word of a slot. Those that different sides write are in cache lines of their own.
pub(crate) fn slot_index(slot: Slot, mask: u64) -> usize {
    match slot {
        Slot::Reserve => 16,
        Slot::Dropped => 24,
        Slot::Drained => 32,
        Slot::Next => 33,
        Slot::Accounted => 34,
        Slot::Unnamed => 40,
        Slot::Note(note, word) => HEAD_WORDS + (note * NOTE_WORDS + word) as usize,
        Slot::Word(position) => FRAMES_AT + (position & mask) as usize,
    }
}

/// Where a ring belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) epoch: [u8; 16],
    pub(crate) start_id: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) salt: u32,
}

/// The file of the ring for the brick at `brick`: on tmpfs, named after the path's hash.
#[must_use]
pub fn ring_path(brick: &Path) -> PathBuf {
    let hash = xxhash_rust::xxh64::xxh64(brick.as_os_str().as_encoded_bytes(), 0);
    Path::new("/run/gluster/gnotify").join(format!("{hash:016x}.ring"))
}

/// What a former start left.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) identity: Identity,
    words: Vec<u64>,
    mask: u64,
}

/// A file on which we hold the lock.
#[derive(Debug)]
pub(crate) struct Locked {
    file: File,
}

impl Locked {
    /// A file whose lock was taken.
    pub(crate) fn new(file: File) -> Locked {
        Locked { file }
    }

    /// The file as a process has it that was forked meanwhile.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn inherited(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Locked {
    /// Closing the file would not do: a mapping keeps the lock, and so does a process that another thread forks.
    fn drop(&mut self) {
        // It is ours, and nothing can be done where the kernel fails to take it back.
        let _ = self.file.unlock();
    }
}

/// Takes the ring of a former start away from others, and reads it. `None` for the image where the file
/// is not a ring of this version; the lock is held all the same.
pub(crate) fn read(path: &Path) -> Result<Option<(Locked, Option<Image>)>, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io("open the ring", path, error)),
    };
    lock(&file, path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| OpenError::io("read the ring", path, error))?;
    Ok(Some((Locked { file }, Image::decode(&bytes))))
}

/// Makes an empty ring of `size` bytes, whose first number is `next`, in the place of any other.
pub(crate) fn create(
    path: &Path,
    size: usize,
    identity: &Identity,
    next: u64,
) -> Result<(Locked, Mapping), OpenError> {
    if let Some(dir) = path.parent() {
        make_private_dir(dir).map_err(|error| OpenError::io("make the directory", dir, error))?;
    }
    let new = path.with_extension("ring.new");
    let file = step()
        .and_then(|()| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&new)
        })
        .map_err(|error| OpenError::io("make the ring", &new, error))?;
    lock(&file, path)?;
    let mapping = fill(&file, size, identity, next)
        .map_err(|error| OpenError::io("fill the ring", &new, error))?;
    step()
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| OpenError::io("put the ring in place", path, error))?;
    Ok((Locked { file }, mapping))
}

/// Writes the whole file, so that all of its memory is there: a full tmpfs is told now, not by a
/// signal later.
fn fill(mut file: &File, size: usize, identity: &Identity, next: u64) -> io::Result<Mapping> {
    step()?;
    file.set_len(0)?;
    step()?;
    file.write_all(&identity.encode(size, next))?;
    let zeros = [0; 64 * 1024];
    let mut left = 8 * (FRAMES_AT - HEAD_WORDS) + size;
    while left > 0 {
        let part = left.min(zeros.len());
        file.write_all(&zeros[..part])?;
        left -= part;
    }
    Mapping::new(file, size)
}

fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => OpenError::InUse { path: path.to_owned() },
        fs::TryLockError::Error(error) => OpenError::io("lock the ring", path, error),
    })
}

impl Identity {
    /// The head of a ring that nothing was appended to. In the machine's byte order, as a mapping has
    /// it; only the magic is bytes.
    fn encode(&self, size: usize, next: u64) -> Vec<u8> {
        let mut head = [0; HEAD_WORDS];
        head[0] = u64::from_le_bytes(*MAGIC);
        head[1] = VERSION;
        head[2] = size as u64;
        [head[3], head[4]] = words_of(&self.epoch);
        head[5] = self.start_id;
        [head[6], head[7]] = words_of(&self.boot_id);
        head[8] = u64::from(self.salt);
        head[9] = sum(&head);
        head[slot_index(Slot::Reserve, 0)] = Reserve::new(0, next).0;
        head[slot_index(Slot::Next, 0)] = next;
        head.iter().flat_map(|word| machine::bytes(*word)).collect()
    }
}

impl Image {
    fn decode(bytes: &[u8]) -> Option<Image> {
        let (words, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|bytes| machine::word(*bytes)).collect();
        let head = words.get(..FRAMES_AT)?;
        let size = 8 * (words.len() - FRAMES_AT) as u64;
        let whole = rest.is_empty()
            && head[0] == u64::from_le_bytes(*MAGIC)
            && head[1] == VERSION
            && head[2] == size
            && size.is_power_of_two()
            && size <= RING_MAX as u64
            && head[9] == sum(head);
        let identity = Identity {
            epoch: bytes_of([head[3], head[4]]),
            start_id: head[5],
            boot_id: bytes_of([head[6], head[7]]),
            salt: head[8] as u32,
        };
        let mask = (size / 8).wrapping_sub(1);
        whole.then_some(Image { identity, words, mask })
    }
}

impl Image {
    /// The number that the ring's next entry would have had.
    pub(crate) fn next_seq(&self) -> u64 {
        let consumed = self.load(Slot::Next, Ordering::Relaxed);
        let reserve = Reserve(self.load(Slot::Reserve, Ordering::Relaxed));
        sequence::widen(reserve.low_seq(), consumed)
    }
}

impl Load for Image {
    fn words(&self) -> u64 {
        self.mask + 1
    }

    fn notes(&self) -> u64 {
        NOTES
    }

    fn load(&self, slot: Slot, _order: Ordering) -> u64 {
        self.words[slot_index(slot, self.mask)]
    }
}

fn sum(head: &[u64]) -> u64 {
    let bytes: Vec<u8> =
        head[..IDENTITY_WORDS - 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

fn words_of(bytes: &[u8; 16]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

fn bytes_of(words: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&words[0].to_le_bytes());
    bytes[8..].copy_from_slice(&words[1].to_le_bytes());
    bytes
}

/// A word as the mapping shows it. The one place where the machine's byte order is wanted.
#[expect(clippy::host_endian_bytes, reason = "a mapped word is in the machine's byte order")]
mod machine {
    pub(super) fn bytes(word: u64) -> [u8; 8] {
        word.to_ne_bytes()
    }

    pub(super) fn word(bytes: [u8; 8]) -> u64 {
        u64::from_ne_bytes(bytes)
    }
}
