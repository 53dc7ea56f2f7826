//! Random calls, on a mount and through gfapi: every fop that changes something, on names that come and go.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs as unix;

use crate::gfapi::Gfapi;
use crate::random::Random;

/// Names that are hard to write down are among them.
const NAMES: [&[u8]; 10] = [
    b"one",
    b"two",
    b"three",
    b"a b%c",
    b"line\nbreak",
    b"\xff\xfe no text",
    b"-",
    b"\xc3\xa4\xe2\x82\xac",
    b"back\\slash \"quote\"",
    &[b'x'; 255],
];
/// The names among them that gfapi.py's language has.
const PLAIN_NAMES: [&str; 4] = ["one", "two", "three", "-"];
/// Files that come and go, and are never anything else: the names for a create without O_EXCL. (Where a symbolic
/// link stands, storage/posix follows it on the brick, and nobody learns which inode it made.)
const MADE: [&str; 3] = ["made", "made-too", "made-as-well"];
const DIRECTORIES: [&str; 4] = ["d0", "d1", "d0/deep", "d1/deep"];

/// Makes the directories in `root` that [`work_on_mount`] and [`work_through_gfapi`] work in.
///
/// # Panics
/// When it cannot.
pub fn make_directories(root: &Path) {
    for path in DIRECTORIES.map(|name| root.join(name)) {
        let made = fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o777)));
        made.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// Random calls on a mount. Many fail, as they should: nobody records those.
pub fn work_on_mount(root: &Path, random: &mut Random, calls: u64) {
    for _ in 0..calls {
        let (path, other) = (any_path(root, random), any_path(root, random));
        let made = root.join(random.pick(&DIRECTORIES)).join(random.pick(&MADE));
        call(&path, &other, &made, random).unwrap_or_default();
    }
}

fn any_path(root: &Path, random: &mut Random) -> PathBuf {
    let mut path = root.join(random.pick(&DIRECTORIES));
    path.push(OsStr::from_bytes(random.pick(&NAMES)));
    // Under what may be a directory.
    if random.one_in(4) {
        path.push(OsStr::from_bytes(random.pick(&NAMES)));
    }
    path
}

fn call(path: &Path, other: &Path, made: &Path, random: &mut Random) -> io::Result<()> {
    // A pipe without a reader must not block us.
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(unix::OFlags::NONBLOCK.bits().cast_signed());
    let modes = [0o600, 0o644, 0o640, 0o755, 0o777];
    let small = random.below(9000);
    let either = if random.one_in(4) { made } else { path };
    match random.below(26) {
        0..=2 => {
            let file = open.create_new(true).mode(random.pick(&modes)).open(path)?;
            if random.one_in(2) {
                file.write_at(&vec![b'n'; usize::try_from(small).unwrap_or(0)], 0)?;
            }
        }
        3 => drop(open.create(true).truncate(true).mode(random.pick(&modes)).open(made)?),
        4 => fs::create_dir(path)?,
        5 => {
            use unix::FileType::{BlockDevice, CharacterDevice, Fifo, RegularFile, Socket};
            let kinds = [Fifo, Socket, RegularFile, CharacterDevice, BlockDevice];
            let (kind, mode) = (random.pick(&kinds), random.pick(&modes));
            // The null device, and a block device that does not exist.
            let rdev = match kind {
                CharacterDevice => unix::makedev(1, 3),
                BlockDevice => unix::makedev(4000, 1),
                _ => 0,
            };
            unix::mknodat(unix::CWD, path, kind, unix::Mode::from_raw_mode(mode), rdev)?;
        }
        6 => symlink(random.pick(&["one", "two", "../three", "nowhere"]), path)?,
        7 | 8 => fs::hard_link(path, other)?,
        9..=12 => fs::rename(path, other)?,
        13 | 14 => fs::remove_file(either)?,
        15 => fs::remove_dir(path)?,
        16 | 17 => drop(open.open(either)?.write_at(b"some content", small)?),
        18 => open.open(either)?.set_len(small)?,
        19 => drop(open.truncate(true).open(either)?),
        20 => {
            let flags =
                random.pick(&[unix::FallocateFlags::empty(), unix::FallocateFlags::KEEP_SIZE]);
            unix::fallocate(open.open(either)?, flags, small, 5000)?;
        }
        21 => {
            let mode = random.pick(&[0o600, 0o755, 0o2777, 0o4755, 0o1777]);
            fs::set_permissions(either, fs::Permissions::from_mode(mode))?;
        }
        22 => {
            let ids = [None, Some(0), Some(1000)];
            std::os::unix::fs::lchown(either, random.pick(&ids), random.pick(&ids))?;
        }
        23 => {
            let name = random.pick(&["user.colour", "trusted.colour"]);
            unix::lsetxattr(either, name, b"blue", unix::XattrFlags::empty())?;
        }
        24 => unix::lremovexattr(either, random.pick(&["user.colour", "trusted.colour"]))?,
        _ => {
            let file = open.open(either)?;
            file.set_times(fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH))?;
        }
    }
    Ok(())
}

/// Random commands for gfapi.py: by other users, and through open files, which a mount does not send.
///
/// In the directories of the others it works on [`MADE`] only. A rename between two names of one file does
/// nothing, which both sides see only where nobody interferes; and where clients rename directories under
/// each other, the brick mixes up their gfids.
///
/// On a volume it leaves out what GlusterFS 10.3's cluster translators do wrong, after which they heal when they please.
/// `cluster/dht` removes its link file in a rename between two names of one file, and a directory may come where the
/// file still is. None of them knows copy_file_range, which goes to the first replica or fragment alone.
pub fn work_through_gfapi(gfapi: &Gfapi, own: &str, random: &mut Random, calls: u64) {
    let mut commands: Vec<String> = vec![format!("mkdir /{own} 777")];
    for number in 0..4 {
        // Not readable only or writable only: if it is a pipe, the brick would wait for the other end.
        commands.push(format!("creat fd{number} /{own}/open{number} 2 {:o}", 0o640 + number));
    }
    for turn in 0..calls {
        let directory = random.pick(&DIRECTORIES);
        let mine = format!("/{own}/{}", random.pick(&PLAIN_NAMES));
        let mine_too = format!("/{own}/{}", random.pick(&PLAIN_NAMES));
        let of_all = [directory, own];
        let made = format!("/{}/{}", random.pick(&of_all), random.pick(&MADE));
        let either = if random.one_in(2) { &made } else { &mine };
        let fd = format!("fd{}", random.below(4));
        let (from, to) = (random.below(20_000), random.below(20_000));
        let of_volume = gfapi.is_of_volume;
        commands.push(match random.below(26) {
            0 => format!("setfsuid {}", random.pick(&[0, 0, 1000])),
            1..=3 => format!("creat file{turn} {made} 2 {}", random.pick(&["600", "644", "660"])),
            4 => format!("mkdir {mine} 775"),
            5 => format!("mknod {mine} {} 0", random.pick(&["10644", "140600", "100640"])),
            6 => format!("symlink two {mine}"),
            7 if !of_volume => format!("link {mine} {mine_too}"),
            7 | 8 if of_volume && mine == mine_too => continue,
            7 | 8 => format!("rename {mine} {mine_too}"),
            9 | 10 => format!("unlink {either}"),
            11 => format!("rmdir {mine}"),
            12 => format!("truncate {either} {from}"),
            13 => format!("chmod {either} {}", random.pick(&["600", "755", "2777"])),
            14 => format!("lchown {either} {} {}", random.below(3), random.below(3)),
            15 => format!("setxattr {either} trusted.shape round"),
            16 => format!("removexattr {either} trusted.shape"),
            17 => format!("write {fd} {from} text"),
            18 => format!("ftruncate {fd} {from}"),
            19 => format!("fallocate {fd} {} {from} {}", random.below(2), to + 1),
            20 => format!("discard {fd} {from} {}", to + 1),
            21 => format!("zerofill {fd} {from} {}", to + 1),
            22 if of_volume => continue,
            22 => format!("copy_file_range fd0 0 {fd} {} {}", 20_000 + from, to + 1),
            23 => format!("fchmod {fd} {}", random.pick(&["600", "640", "4755"])),
            24 => format!("fsetxattr {fd} trusted.shape square"),
            _ => match random.below(2) {
                0 => format!("fremovexattr {fd} trusted.shape"),
                _ => format!("fchown {fd} {} {}", random.below(3), random.below(3)),
            },
        });
    }
    let words: Vec<Vec<&str>> = commands.iter().map(|line| line.split(' ').collect()).collect();
    let commands: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
    gfapi.try_run(&commands);
}
