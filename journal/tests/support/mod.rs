//! A place for a journal, and what the tests say about the entries that come out of one.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gnotify_journal::{
    Config, Entry, Gap, Host, Journal, Level, Limits, RING_MIN, Reader, Statement, What,
};
use gnotify_record::{Fop, Gfid, Origin, Record};

/// A host that keeps what it is told.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Host for Log {
    fn log(&self, level: Level, text: &str) {
        self.0.lock().unwrap().push(format!("{level:?}: {text}"));
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A directory with room for a journal and its ring.
pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    pub(crate) log: Arc<Log>,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { root: tempfile::tempdir().unwrap(), log: Arc::default() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.root.path().join("ring/0.ring")
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            dir: self.dir(),
            ring: self.ring(),
            ring_size: RING_MIN,
            limits: Limits::default(),
            host: Arc::clone(&self.log) as Arc<dyn Host>,
        }
    }

    pub(crate) fn open(&self) -> Journal {
        Journal::open(self.config()).unwrap()
    }

    pub(crate) fn read(&self) -> Vec<Told> {
        read(&mut Reader::open(&self.dir()).unwrap())
    }
}

/// What a test looks at of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Record { seq: u64, offset: u64 },
    Missing { from: u64, to: u64, text: String },
    Statement { seq: u64, text: String },
}

impl Told {
    /// First and last number that it accounts for.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        match self {
            Told::Record { seq, .. } | Told::Statement { seq, .. } => (*seq, *seq),
            Told::Missing { from, to, .. } => (*from, *to),
        }
    }
}

pub(crate) fn told(entry: &Entry<'_>) -> Told {
    let seq = entry.seq;
    match &entry.what {
        What::Record(record) => Told::Record { seq, offset: record.offset.unwrap() },
        What::Statement(statement) => match statement {
            Statement::Gap(Gap { to, cause, lost }) => {
                Told::Missing { from: seq, to: *to, text: format!("{cause} {lost:?}") }
            }
            Statement::Void { to } => Told::Missing { from: seq, to: *to, text: "void".into() },
            Statement::Start(start) => {
                Told::Statement { seq, text: format!("start {} {}", start.start_id, start.how) }
            }
            statement => Told::Statement { seq, text: format!("{statement:?}") },
        },
    }
}

/// Everything that a reader gives now; each number is accounted for once, in order.
pub(crate) fn read(reader: &mut Reader) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        all.push(told(&entry));
    }
    for pair in all.windows(2) {
        assert_eq!(pair[0].numbers().1 + 1, pair[1].numbers().0, "{pair:?} do not join");
    }
    all
}

/// A record that a test can tell from others by its offset.
pub(crate) fn write_at(offset: u64) -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        offset: Some(offset),
        length: Some(4096),
        ..Record::new(Fop::WRITE, Origin::Client)
    }
}

/// When a test gives up: only a broken run comes so far.
pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// How long a test waits for what normally takes milliseconds: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it is `done`.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = soon();
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
