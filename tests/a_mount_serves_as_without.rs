//! A mount through the plugin does what a mount without it does: random reads and writes of every kind are held
//! against a model in memory, once on a brick without gnotify and once on a brick with it, with the same random
//! numbers. Each call has the same result on both, and both bricks end with the same bytes. And fio, which verifies
//! what it reads.
//!
//! Each thread has files of its own, so that its results do not depend on the others, and a part of a file that all
//! share. `GNOTIFY_ROUNDS` makes the long ones longer, `GNOTIFY_SEED` repeats one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{
    Brick, Random, Sandbox, assert_accounted, host_test, rounds, run, seed, tool, wait_for,
};

const THREADS: usize = 3;
/// Files that a thread has to itself.
const FILES: usize = 3;
/// No file grows beyond this: some pages more than the largest request.
const LARGEST: u64 = 400_000;
/// The bytes that each thread has in the shared file. They begin within a page of its neighbour's.
const SHARE: usize = 100_001;
const CALLS: u64 = 5000;

/// What a call gave: a number, or an errno.
type Outcome = Result<u64, i32>;

// ---- mmap_io.py

/// The process that maps files for us.
struct Mapper {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Mapper {
    fn start() -> Mapper {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mmap_io.py");
        let mut command = tool("/usr/bin/python3");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Mapper { child, commands, answers }
    }

    fn ask(&mut self, command: &str) -> Result<Vec<u8>, i32> {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
            ("ok", digits) => {
                let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                Ok((0..digits.len()).step_by(2).map(byte).collect())
            }
            ("errno", number) => Err(number.parse().unwrap()),
            _ => panic!("mmap_io.py: {command:.60}: {answer:?}; it spoke on stderr"),
        }
    }

    fn read(&mut self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, i32> {
        self.ask(&format!("read {} {offset} {length}", path.display()))
    }

    fn write(&mut self, path: &Path, offset: u64, data: &[u8]) -> Result<Vec<u8>, i32> {
        let digits: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask(&format!("write {} {offset} {digits}", path.display()))
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Result<Vec<u8>, i32> {
        self.ask(&format!("truncate {} {size}", path.display()))
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- the model

/// What a file should hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Model(Vec<u8>);

impl Model {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn resize(&mut self, size: u64) {
        self.0.resize(usize::try_from(size).unwrap(), 0);
    }

    fn grow(&mut self, size: u64) {
        self.resize(self.size().max(size));
    }

    fn read(&self, offset: u64, length: usize) -> &[u8] {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        &self.0[from..(from + length).min(self.0.len())]
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.grow(offset + data.len() as u64);
        let from = usize::try_from(offset).unwrap();
        self.0[from..from + data.len()].copy_from_slice(data);
    }

    /// Zeros what there is of a range.
    fn zero(&mut self, offset: u64, length: u64) {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        let to = usize::try_from(offset + length).unwrap().min(self.0.len());
        self.0[from..to].fill(0);
    }
}

/// The first byte that differs.
fn assert_same(got: &[u8], want: &[u8], what: &str) {
    let at = got.iter().zip(want).position(|(got, want)| got != want);
    if let Some(at) = at {
        panic!("{what}: byte {at} is {:#04x}, not {:#04x}", got[at], want[at]);
    }
    assert_eq!(got.len(), want.len(), "{what}: length");
}

// ---- the exerciser

/// A file, opened in three ways, and its model.
struct Open {
    path: PathBuf,
    file: File,
    append: File,
    model: Model,
    /// What was done to it, for whoever has to find out why it is not as it should be.
    history: Vec<String>,
}

impl Open {
    fn create(path: PathBuf) -> Open {
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let append = OpenOptions::new().append(true).open(&path).unwrap();
        Open { path, file, append, model: Model::default(), history: Vec::new() }
    }

    /// The last calls.
    fn recently(&self) -> String {
        let from = self.history.len().saturating_sub(12);
        self.history[from..].join("\n")
    }
}

/// One thread's files and its part of the shared one.
struct Exerciser {
    random: Random,
    files: Vec<Open>,
    shared: File,
    shared_from: u64,
    share: Model,
    mapper: Mapper,
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Exerciser {
    fn new(dir: &Path, number: usize, random: Random) -> Exerciser {
        let open = |at| Open::create(dir.join(format!("thread{number}-file{at}")));
        let mut exerciser = Exerciser {
            random,
            files: (0..FILES).map(open).collect(),
            shared: File::options().read(true).write(true).open(dir.join("shared")).unwrap(),
            shared_from: (number * SHARE) as u64,
            share: Model::default(),
            mapper: Mapper::start(),
            outcomes: Vec::new(),
        };
        exerciser.share.resize(SHARE as u64);
        exerciser
    }

    /// A range within a file that may reach beyond its end.
    fn range(&mut self, most: u64) -> (u64, usize) {
        let length = match self.random.below(3) {
            0 => 1 + self.random.below(100),
            1 => 1 + self.random.below(10_000),
            _ => 1 + self.random.below(140_000),
        };
        let length = length.min(most);
        let mut offset = self.random.below(most - length + 1);
        if self.random.one_in(4) {
            offset &= !4095;
        }
        (offset, usize::try_from(length).unwrap())
    }

    /// Random bytes; some are runs of zeros.
    fn data(&mut self, length: usize) -> Vec<u8> {
        if self.random.one_in(10) {
            return vec![0; length];
        }
        let mut data = Vec::with_capacity(length + 4);
        while data.len() < length {
            data.extend(u32::try_from(self.random.number() & 0x7fff_ffff).unwrap().to_le_bytes());
        }
        data.truncate(length);
        data
    }

    fn work(&mut self, calls: u64) {
        for turn in 0..calls {
            let at = usize::try_from(self.random.below(FILES as u64)).unwrap();
            let (offset, length) = self.range(LARGEST);
            let (what, outcome) = self.call(at, offset, length);
            self.outcomes.push((what, outcome));
            self.files[at].history.push(format!("{turn}: {what} {offset} {length}: {outcome:?}"));
            let (size, model) =
                (self.files[at].file.metadata().unwrap().len(), &self.files[at].model);
            assert_eq!(size, model.size(), "turn {turn}: size after {what}");
        }
        for open in &self.files {
            // Opened anew, so that nothing comes from the kernel's cache.
            assert_same(&fs::read(&open.path).unwrap(), &open.model.0, "at the end");
        }
        let mut share = vec![0; SHARE];
        self.shared.read_exact_at(&mut share, self.shared_from).unwrap();
        assert_same(&share, &self.share.0, "this thread's part of the shared file, at the end");
    }

    fn call(&mut self, at: usize, offset: u64, length: usize) -> (&'static str, Outcome) {
        match self.random.below(24) {
            0..=3 => ("read", self.read(at, offset, length)),
            4 => {
                self.files[at].file =
                    File::options().read(true).write(true).open(&self.files[at].path).unwrap();
                ("read after open", self.read(at, offset, length))
            }
            5..=8 => ("write", self.write(at, offset, length)),
            9 => ("append", self.append(at, length)),
            10 | 11 => ("write in the shared file", self.write_shared()),
            12 => ("read of the shared file", self.read_shared()),
            13 => ("read of a map", self.read_map(at, offset, length)),
            14 => ("write to a map", self.write_map(at, offset, length)),
            15 | 16 => {
                let open = &mut self.files[at];
                let outcome = open.file.set_len(offset).map(|()| 0).map_err(errno);
                if outcome.is_ok() {
                    open.model.resize(offset);
                }
                ("truncate of an open file", outcome)
            }
            17 => {
                let outcome = self.mapper.truncate(&self.files[at].path, offset).map(|_| 0);
                if outcome.is_ok() {
                    self.files[at].model.resize(offset);
                }
                ("truncate by name", outcome)
            }
            18..=20 => self.allocate(at, offset, length as u64),
            21 | 22 => ("copy_file_range", self.copy(at, offset, length)),
            _ => ("fsync", self.files[at].file.sync_all().map(|()| 0).map_err(errno)),
        }
    }

    fn read(&mut self, at: usize, offset: u64, length: usize) -> Outcome {
        let open = &self.files[at];
        let mut got = vec![0; length];
        let mut filled = 0;
        // As fsx does: until the end of the file or of the range.
        while filled < length {
            match open.file.read_at(&mut got[filled..], offset + filled as u64).map_err(errno)? {
                0 => break,
                more => filled += more,
            }
        }
        got.truncate(filled);
        let what = format!("read {length} at {offset} after\n{}", open.recently());
        assert_same(&got, open.model.read(offset, length), &what);
        Ok(filled as u64)
    }

    fn write(&mut self, at: usize, offset: u64, length: usize) -> Outcome {
        let data = self.data(length);
        let open = &mut self.files[at];
        open.file.write_all_at(&data, offset).map_err(errno)?;
        open.model.write(offset, &data);
        Ok(length as u64)
    }

    fn append(&mut self, at: usize, length: usize) -> Outcome {
        let room = LARGEST - self.files[at].model.size();
        let data = self.data(length.min(usize::try_from(room).unwrap()));
        let open = &mut self.files[at];
        open.append.write_all(&data).map_err(errno)?;
        open.model.write(open.model.size(), &data);
        Ok(data.len() as u64)
    }

    fn write_shared(&mut self) -> Outcome {
        let (offset, length) = self.range(SHARE as u64);
        let data = self.data(length);
        self.shared.write_all_at(&data, self.shared_from + offset).map_err(errno)?;
        self.share.write(offset, &data);
        Ok(length as u64)
    }

    fn read_shared(&mut self) -> Outcome {
        let (offset, length) = self.range(SHARE as u64);
        let mut got = vec![0; length];
        self.shared.read_exact_at(&mut got, self.shared_from + offset).map_err(errno)?;
        assert_same(&got, self.share.read(offset, length), "read of the shared file");
        Ok(length as u64)
    }

    /// The part of a range that lies within the file: beyond it a map has nothing.
    fn mapped(&self, at: usize, offset: u64, length: usize) -> Option<(u64, usize)> {
        let within = self.files[at].model.size().checked_sub(offset).filter(|left| *left > 0)?;
        // A command of mmap_io.py is not for megabytes.
        Some((offset, length.min(usize::try_from(within).unwrap()).min(20_000)))
    }

    fn read_map(&mut self, at: usize, offset: u64, length: usize) -> Outcome {
        let Some((offset, length)) = self.mapped(at, offset, length) else { return Ok(0) };
        let open = &self.files[at];
        let got = self.mapper.read(&open.path, offset, length)?;
        assert_same(&got, open.model.read(offset, length), "read of a map");
        Ok(length as u64)
    }

    fn write_map(&mut self, at: usize, offset: u64, length: usize) -> Outcome {
        let Some((offset, length)) = self.mapped(at, offset, length) else { return Ok(0) };
        let data = self.data(length);
        self.mapper.write(&self.files[at].path, offset, &data)?;
        self.files[at].model.write(offset, &data);
        Ok(length as u64)
    }

    fn allocate(&mut self, at: usize, offset: u64, length: u64) -> (&'static str, Outcome) {
        use unix::FallocateFlags as Flags;
        // Not ZERO_RANGE: the FUSE client of GlusterFS 10 answers it with success and zeros nothing.
        let (what, flags) = self.random.pick(&[
            ("fallocate", Flags::empty()),
            ("fallocate without growing", Flags::KEEP_SIZE),
            ("punch a hole", Flags::PUNCH_HOLE.union(Flags::KEEP_SIZE)),
        ]);
        let open = &mut self.files[at];
        if let Err(error) = unix::fallocate(&open.file, flags, offset, length) {
            return (what, Err(error.raw_os_error()));
        }
        if flags.contains(Flags::PUNCH_HOLE) {
            open.model.zero(offset, length);
        }
        if !flags.contains(Flags::KEEP_SIZE) {
            open.model.grow(offset + length);
        }
        (what, Ok(0))
    }

    fn copy(&mut self, to: usize, offset: u64, length: usize) -> Outcome {
        // From another file: ranges of one and the same may not overlap.
        let from = (to + 1) % FILES;
        let (from_offset, _) = self.range(LARGEST);
        let (mut source, mut target) = (from_offset, offset);
        let mut left = length;
        while left > 0 {
            let (in_, out) = (&self.files[from].file, &self.files[to].file);
            let done = unix::copy_file_range(in_, Some(&mut source), out, Some(&mut target), left)
                .map_err(|error| error.raw_os_error())?;
            if done == 0 {
                break;
            }
            left -= done;
        }
        let data = self.files[from].model.read(from_offset, length).to_vec();
        assert_eq!(data.len(), length - left, "bytes that copy_file_range copied");
        if !data.is_empty() {
            self.files[to].model.write(offset, &data);
        }
        Ok(data.len() as u64)
    }
}

fn errno(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| panic!("{error}"))
}

/// What a run leaves: the outcomes of each thread, and the files by name.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    outcomes: Vec<Vec<(&'static str, Outcome)>>,
    files: BTreeMap<String, Vec<u8>>,
}

/// Lets the threads loose on a mount of `brick`.
fn exercise(brick: &Brick, seed: u64, rounds: u64) -> Left {
    let mount = brick.mount("m");
    let shared = File::create_new(mount.path().join("shared")).unwrap();
    shared.set_len((THREADS * SHARE) as u64).unwrap();
    let mut random = Random::seeded(seed);
    let outcomes = std::thread::scope(|scope| {
        let work = |number| {
            let random = random.split();
            let path = mount.path();
            scope.spawn(move || {
                let mut exerciser = Exerciser::new(path, number, random);
                exerciser.work(CALLS * rounds);
                let models = exerciser.files.iter().map(|open| {
                    let name = open.path.file_name().unwrap().to_string_lossy().into_owned();
                    (name, open.model.clone())
                });
                (exerciser.outcomes, models.collect::<Vec<_>>(), exerciser.share)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    drop(shared);
    mount.unmount();
    // What is on the disk, without GlusterFS.
    let files: BTreeMap<String, Vec<u8>> = fs::read_dir(brick.dir())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
        })
        .collect();
    assert_eq!(files.len(), THREADS * FILES + 1, "{:?}", files.keys());
    for (number, (_, models, share)) in outcomes.iter().enumerate() {
        for (name, model) in models {
            assert_same(&files[name], &model.0, &format!("{name} on the brick"));
        }
        let part = &files["shared"][number * SHARE..(number + 1) * SHARE];
        assert_same(part, &share.0, &format!("part {number} of the shared file on the brick"));
    }
    Left { outcomes: outcomes.into_iter().map(|(outcomes, ..)| outcomes).collect(), files }
}

fn with_gnotify(t: &Sandbox) -> Brick {
    let spec = t.brick("with").option("journal", "on").option("detail", "all");
    spec.option("ring-size", "64MB").start()
}

host_test!(random_input_and_output, |t| with_and_without(t, 1));
host_test!(
    #[ignore = "long: make test-long"]
    random_input_and_output_for_long,
    |t| with_and_without(t, rounds(20))
);

fn with_and_without(t: &Sandbox, rounds: u64) {
    let seed = seed();
    let plain = t.brick("without").plain().start();
    let without = exercise(&plain, seed, rounds);
    let mut tally: BTreeMap<(&str, Result<(), i32>), u64> = BTreeMap::new();
    for (what, outcome) in without.outcomes.iter().flatten() {
        *tally.entry((what, outcome.map(drop))).or_default() += 1;
    }
    println!("{tally:?}");
    for what in ["append", "write to a map", "copy_file_range", "punch a hole", "truncate by name"]
    {
        assert!(tally.keys().any(|(name, outcome)| *name == what && outcome.is_ok()), "no {what}");
    }
    drop(plain);

    let brick = with_gnotify(t);
    let with = exercise(&brick, seed, rounds);
    for (number, (with, without)) in with.outcomes.iter().zip(&without.outcomes).enumerate() {
        let at = with.iter().zip(without).position(|(with, without)| with != without);
        let both = at.map(|at| (at, with[at], without[at]));
        assert_eq!(both, None, "thread {number}: call, with gnotify, without");
    }
    for (name, bytes) in &with.files {
        assert_same(bytes, &without.files[name], &format!("{name}, with and without gnotify"));
    }
    assert_eq!(with, without);
    assert_last_sizes(&brick, &with);
}

/// The last size that the journal tells of each file is the one that it has. (Not of the shared one, on which
/// threads race.)
fn assert_last_sizes(brick: &Brick, left: &Left) {
    let mount = brick.mount("end");
    fs::create_dir(mount.path().join("the end")).unwrap();
    let mut journal = Vec::new();
    wait_for("the last record", || {
        journal = brick.dump();
        journal.iter().any(|entry| entry["name"] == "the end")
    });
    assert_accounted(&journal);
    assert!(journal.iter().all(|entry| entry["statement"] != "GAP"));
    println!("{} entries in the journal", journal.len());
    let (mut gfids, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    for record in &journal {
        let gfid = record["gfid"].as_str().unwrap_or_default();
        if record["fop"] == "CREATE" {
            gfids.insert(record["name"].as_str().unwrap(), gfid);
        }
        if let Some(size) = record["size"].as_u64() {
            sizes.insert(gfid, size);
        }
    }
    for (name, bytes) in left.files.iter().filter(|(name, _)| *name != "shared") {
        let told = sizes.get(gfids[name.as_str()]).copied();
        assert_eq!(told, Some(bytes.len() as u64), "last size of {name} in the journal");
    }
}

host_test!(fio_verifies, |t| fio_with_and_without(t, 1));
host_test!(
    #[ignore = "long: make test-long"]
    fio_verifies_for_long,
    |t| fio_with_and_without(t, rounds(20))
);

fn fio_with_and_without(t: &Sandbox, rounds: u64) {
    let plain = t.brick("without").plain().start();
    fio(&plain, rounds);
    drop(plain);
    let brick = with_gnotify(t);
    fio(&brick, rounds);
    let writes = brick.dump().iter().filter(|entry| entry["fop"] == "WRITE").count();
    assert!(writes > 1000, "the journal has seen but {writes} writes");
}

/// fio on a mount, which reads all that it wrote and compares; then once more through another mount.
fn fio(brick: &Brick, rounds: u64) {
    assert!(Path::new("/usr/bin/fio").exists(), "fio is missing: apt-get install fio");
    let mount = brick.mount("m");
    // Of each of eight files, on each of two bricks: more would be a matter of the disk's room.
    let size = format!("--size={}M", 8 * rounds.min(20));
    let job = |mount: &Path, more: &[&str]| {
        let mut command = tool("fio");
        command.current_dir(brick.sandbox().dir()).arg("--verify_state_save=0");
        command.args([
            "--randseed=42",
            "--allow_file_create=1",
            "--group_reporting",
            "--fallocate=none",
        ]);
        command.args([
            "--verify=crc32c",
            "--verify_fatal=1",
            "--do_verify=1",
            "--output-format=terse",
        ]);
        command.arg(format!("--directory={}", mount.display())).arg(&size).args(more);
        command
    };
    let jobs: [&[&str]; 3] = [
        &[
            "--name=random",
            "--rw=randwrite",
            "--bsrange=512-128k",
            "--ioengine=psync",
            "--numjobs=3",
        ],
        &["--name=mapped", "--rw=randwrite", "--bs=4k", "--ioengine=mmap", "--numjobs=2"],
        &["--name=mixed", "--rw=randrw", "--bs=16k", "--ioengine=psync", "--numjobs=3"],
    ];
    for more in jobs {
        run(&mut job(mount.path(), more));
    }
    drop(mount);
    let again = brick.mount("again");
    for more in &jobs[..2] {
        run(job(again.path(), more).arg("--verify_only"));
    }
}
