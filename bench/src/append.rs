//! Appending a record against write(2) of the same bytes to a file on the brick's file system.

use std::borrow::Cow;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use gnotify_harness::{PATIENCE, Sandbox, poll_until};
use gnotify_journal::{Appended, Config, Host, Journal, Level, Limits, RING_DEFAULT, ring_path};
use gnotify_record::codec;
use gnotify_record::{Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Record};
use serde_json::json;

use crate::percentiles::Times;
use crate::report::{Section, Table, grouped};
use crate::svg::Bars;

/// Operations of each kind and thread: blocks of appends and of writes take turns.
const BLOCK: usize = 1000;
const BLOCKS: usize = 200;
/// The blocks of each kind that do not count.
const WARM_UP: usize = 10;
/// Operations of each kind after a silence, and the silence: the journal thread then sleeps.
const LONE: usize = 300;
const SILENCE: Duration = Duration::from_millis(60);
/// What an append may cost of a write.
const TARGET: f64 = 0.2;

/// What is picked of many times. The target is about the first two.
type Pick = fn(&Times) -> u64;
const PICKS: [(&str, Pick); 3] = [("p50", Times::p50), ("p99", Times::p99), ("p99.9", Times::p999)];

/// The times of appends, of writes, and of the encoding that is a part of an append.
#[derive(Debug)]
struct Timed {
    append: Times,
    write: Times,
    encode: Times,
}

impl Timed {
    fn new([append, write, encode]: [Vec<u64>; 3]) -> Timed {
        let [append, write, encode] = [append, write, encode].map(Times::new);
        Timed { append, write, encode }
    }

    fn without(&self, clock: u64) -> Timed {
        Timed {
            append: self.append.without(clock),
            write: self.write.without(clock),
            encode: self.encode.without(clock),
        }
    }
}

/// Both sides of the comparison, on one file system.
pub(crate) struct Sides {
    journal: Journal,
    file: File,
    /// As many bytes as a record takes.
    bytes: Vec<u8>,
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("append ...");
    let brick = t.path("append");
    let sides = Sides::open(&brick)?;
    let clock = clock();
    let rows = [
        ("1 thread", sides.busy(1)),
        ("2 threads", sides.busy(2)),
        ("after a silence", sides.lone()?),
    ];
    sides.nothing_lost()?;
    Ok(section(&rows, clock, sides.record_len()))
}

/// What a FUSE client's creation of a file becomes.
fn create(number: usize) -> (Record<'static>, u64) {
    let mut gfid = [0x5a; 16];
    gfid[..8].copy_from_slice(&number.to_le_bytes());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let record = Record {
        gfid: Some(Gfid(gfid)),
        caller: Some(Caller { uid: 1000, gid: 1000, pid: 123_456 }),
        client: Some(ClientId(7)),
        ctime: i64::try_from(now).ok().map(|now| now - 150_000),
        kind: Some(FileType::Regular),
        at: Some(Link { parent: Gfid([0xa5; 16]), name: Cow::Borrowed(b"file-0000123") }),
        mode: Some(0o644),
        flags: Some(0o100_101),
        nlink: Some(1),
        size: Some(0),
        ..Record::new(Fop::CREATE, Origin::Client)
    };
    (record, now)
}

impl Sides {
    /// Opens a journal as a brick does, with its ring where a brick's is.
    pub(crate) fn open(brick: &Path) -> Result<Sides, Box<dyn Error>> {
        fs::create_dir_all(brick.join(".glusterfs"))?;
        let journal = Journal::open(Config {
            dir: brick.join(".glusterfs/gnotify"),
            ring: ring_path(brick),
            ring_size: RING_DEFAULT,
            limits: Limits::default(),
            host: Arc::new(Terminal),
        })?;
        if !journal.append_client(ClientId(7), b"CTX_ID:bench") {
            return Err("the ring refuses a client".into());
        }
        let file = OpenOptions::new().create(true).append(true).open(brick.join("written"))?;
        let mut sides = Sides { journal, file, bytes: Vec::new() };
        // What a record takes is what a segment grows by.
        let before = sides.carried()?;
        sides.append(1);
        let len = sides.carried()? - before;
        sides.bytes = (0..len).map(|byte| byte as u8).collect();
        Ok(sides)
    }

    /// The bytes that a record takes.
    pub(crate) fn record_len(&self) -> usize {
        self.bytes.len()
    }

    /// Fails when a record was dropped: what was measured says nothing then.
    pub(crate) fn nothing_lost(&self) -> Result<(), Box<dyn Error>> {
        let stats = self.journal.stats();
        if stats.dropped + stats.io_errors > 0 {
            return Err(format!("the journal lost records: {stats:?}").into());
        }
        Ok(())
    }

    /// The length of the segment once all is in it.
    pub(crate) fn carried(&self) -> Result<u64, Box<dyn Error>> {
        if !self.journal.flush(Instant::now() + PATIENCE) {
            return Err("the journal thread does not carry".into());
        }
        Ok(self.journal.stats().segment_len)
    }

    /// Appends a record. A drop is found in the statistics.
    pub(crate) fn append_one(&self, number: usize) {
        let (record, now) = create(number);
        let (Appended::Yes(_) | Appended::Dropped(_)) = self.journal.append_record(&record, now);
    }

    /// The time of an append with all that belongs to it: making the record's bytes, and waking the
    /// journal thread if it sleeps. Putting the record together is not measured: it is the translator's.
    fn append(&self, number: usize) -> u64 {
        let (record, now) = create(number);
        let record = black_box(record);
        let start = Instant::now();
        let appended = self.journal.append_record(&record, now);
        let took = nanos(start);
        // A drop is found in the statistics.
        let (Appended::Yes(_) | Appended::Dropped(_)) = appended;
        took
    }

    fn encode(&self, number: usize) -> u64 {
        let (record, now) = create(number);
        let record = black_box(record);
        let start = Instant::now();
        let mut body = codec::Body::new();
        black_box(codec::encode(&record, now, &mut body));
        black_box(&body);
        nanos(start)
    }

    fn write(&self, _: usize) -> u64 {
        let start = Instant::now();
        let written = (&self.file).write(black_box(&self.bytes));
        let took = nanos(start);
        assert!(written.is_ok_and(|len| len == self.bytes.len()), "a write fell short");
        took
    }

    /// One after the other without a pause, by one or more threads at once: all of them append, then all
    /// of them write.
    fn busy(&self, threads: usize) -> Timed {
        let barrier = Barrier::new(threads);
        let kinds: [fn(&Sides, usize) -> u64; 3] = [Sides::append, Sides::write, Sides::encode];
        let one = || {
            let mut times = [const { Vec::new() }; 3];
            for block in 0..WARM_UP + BLOCKS {
                if barrier.wait().is_leader() {
                    self.wait_for_room();
                }
                for (kind, times) in kinds.iter().zip(&mut times) {
                    barrier.wait();
                    let first = block * BLOCK;
                    let block_times = (first..first + BLOCK).map(|number| kind(self, number));
                    let block_times: Vec<u64> = block_times.collect();
                    if block >= WARM_UP {
                        times.extend(block_times);
                    }
                }
            }
            times
        };
        let mut times = [const { Vec::new() }; 3];
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            for thread in running {
                let Ok(of_thread) = thread.join() else { panic!("a thread failed") };
                for (all, more) in times.iter_mut().zip(of_thread) {
                    all.extend(more);
                }
            }
        });
        Timed::new(times)
    }

    /// Half of the ring is more than the blocks that follow can fill.
    fn wait_for_room(&self) {
        poll_until(PATIENCE, "room in the ring", || {
            let stats = self.journal.stats();
            (stats.ring_used < stats.ring_size / 2).then_some(())
        });
    }

    /// Each after a silence in which the journal thread falls asleep, and every cache grows cold.
    fn lone(&self) -> Result<Timed, Box<dyn Error>> {
        let (mut appends, mut writes) = (Vec::new(), Vec::new());
        for number in 0..LONE {
            self.carried()?;
            std::thread::sleep(SILENCE);
            // Whoever comes first meets the colder caches.
            if number % 2 == 0 {
                appends.push(self.append(number));
                writes.push(self.write(number));
            } else {
                writes.push(self.write(number));
                appends.push(self.append(number));
            }
        }
        Ok(Timed::new([appends, writes, Vec::new()]))
    }
}

/// The process that the journal runs in: what it says belongs on the terminal.
struct Terminal;

impl Host for Terminal {
    fn log(&self, level: Level, text: &str) {
        if level != Level::Info {
            eprintln!("journal: {text}");
        }
    }
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a measured time has too much: two looks at the clock with nothing in between.
fn clock() -> u64 {
    let looks = (0..200_000).map(|_| nanos(Instant::now())).collect();
    Times::new(looks).p50()
}

fn section(rows: &[(&str, Timed)], clock: u64, bytes: usize) -> Section {
    let mut table = Table::new(&["", "ns", "p50", "p99", "p99.9"]);
    let mut results = serde_json::Map::new();
    let mut bars = Bars::new(
        &format!("A create's record of {bytes} bytes against a write(2) of as many"),
        "ns",
        &["append", "write"],
    )
    .logarithmic();
    let mut targets = String::new();
    for (label, timed) in rows {
        let pair = timed.without(clock);
        let ratio = |pick: Pick, pair: &Timed| {
            pick(&pair.append) as f64 / (pick(&pair.write).max(1)) as f64
        };
        let mut shown = vec![("append", &pair.append), ("write", &pair.write)];
        if pair.encode.p50() > 0 {
            shown.push(("encoding alone", &pair.encode));
        }
        for (what, times) in shown {
            let first = if what == "append" { *label } else { "" };
            let mut cells = vec![first.to_owned(), what.to_owned()];
            cells.extend(PICKS.iter().map(|(_, pick)| grouped(pick(times) as f64)));
            table.row(cells);
        }
        for (what, pair) in [("append / write", &pair), ("clock included", timed)] {
            let mut cells = vec![String::new(), what.to_owned()];
            cells.extend(PICKS.iter().map(|(_, pick)| format!("{:.3}", ratio(*pick, pair))));
            table.row(cells);
        }
        for (name, pick) in PICKS {
            bars.group(
                &format!("{label}\n{name}"),
                &[pick(&pair.append) as f64, pick(&pair.write) as f64],
            );
        }
        let mut met = serde_json::Map::new();
        for (name, pick) in &PICKS[..2] {
            let ratio = ratio(*pick, &pair);
            let is_met = ratio <= TARGET;
            met.insert((*name).to_owned(), json!(is_met));
            // The target is about a journal that is in use.
            if !label.contains("silence") {
                targets += &format!(
                    "target {}: {label}, {name} of an append at most {TARGET} of a write: {ratio:.3}\n",
                    if is_met { "met" } else { "MISSED" },
                );
            }
        }
        results.insert(
            (*label).to_owned(),
            json!({
                "append": pair.append.json(),
                "write": pair.write.json(),
                "encode": pair.encode.json(),
                "met": met,
            }),
        );
    }
    results.insert("clock_ns".into(), json!(clock));
    results.insert("bytes".into(), json!(bytes));
    let text = format!(
        "Journal::append_record of a create, its encoding included, against write(2) of as many bytes ({bytes})\n\
         to a file beside the journal, in nanoseconds. Blocks of {BLOCK} appends, {BLOCK} writes and {BLOCK} bare\n\
         encodings take turns, {BLOCKS} of each and thread; all threads write one file, as they append to one\n\
         ring. The ring ({} MiB) is on tmpfs, the journal thread carries as in a brick; a block begins when half\n\
         of the ring is free, and no record was dropped. The {clock} ns that looking at the clock takes are taken\n\
         off. After a silence: by one thread, {LONE} of each, {} ms apart, so that each append wakes the journal\n\
         thread; p99.9 is the longest.\n\n\
         {table}\n{targets}",
        RING_DEFAULT >> 20,
        SILENCE.as_millis(),
    );
    Section { name: "append", text, json: results.into(), plots: vec![bars] }
}
