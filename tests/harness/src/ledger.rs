//! Load with book-keeping: threads that work on a mount and note what they were told is done, and the
//! comparison of their notes with a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::wait::wait_for;

/// Threads that create, write, rename, chmod and remove files until they are stopped, or until a call
/// fails.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    /// Files whose life is over.
    lives: Arc<AtomicUsize>,
    answered: Answered,
    threads: Vec<JoinHandle<Ledger>>,
}

type Answered = Arc<Mutex<Vec<(&'static str, String)>>>;

/// What was answered, and the first error of each thread.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Fop, name, and the name under which the file was created, of each call that succeeded.
    pub done: Vec<(&'static str, String, String)>,
    /// Why threads ended early.
    pub errors: Vec<io::Error>,
}

impl Load {
    /// Starts `threads` threads in `dir`, whose files are called after `tag`, which no other load may use.
    pub fn start(dir: &Path, threads: usize, tag: &str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let lives = Arc::new(AtomicUsize::new(0));
        let answered = Answered::default();
        let work = |number: usize| {
            let (stop, lives, dir) = (Arc::clone(&stop), Arc::clone(&lives), dir.to_owned());
            let answered = Arc::clone(&answered);
            let tag = format!("{tag}-{number}");
            std::thread::spawn(move || {
                let mut ledger = Ledger::default();
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    if let Err(error) = ledger.work(&dir, &format!("{tag}-{turn}"), &answered) {
                        ledger.errors.push(error);
                        break;
                    }
                    lives.fetch_add(1, Ordering::Relaxed);
                }
                ledger
            })
        };
        let threads = (0..threads).map(work).collect();
        Load { stop, lives, answered, threads }
    }

    /// Waits until it has done something worth looking at: so many files have come and gone, or every thread has
    /// met an error.
    pub fn wait_for_files(&self, files: usize) {
        wait_for("the load to do something", || {
            self.lives.load(Ordering::Relaxed) >= files || self.has_ended()
        });
    }

    /// How many files have come and gone.
    pub fn lives(&self) -> usize {
        self.lives.load(Ordering::Relaxed)
    }

    /// Fop and name of what was answered so far.
    ///
    /// # Panics
    /// When a thread has.
    pub fn answered(&self) -> Vec<(&'static str, String)> {
        let Ok(answered) = self.answered.lock() else { panic!("a thread of the load panicked") };
        answered.clone()
    }

    /// Whether every thread has met an error.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends the load and returns the notes of all threads.
    ///
    /// # Panics
    /// When a thread has.
    pub fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for thread in self.threads {
            let Ok(ledger) = thread.join() else { panic!("a thread of the load panicked") };
            all.done.extend(ledger.done);
            all.errors.extend(ledger.errors);
        }
        all
    }
}

impl Ledger {
    /// The life of one file.
    fn work(&mut self, dir: &Path, name: &str, answered: &Answered) -> io::Result<()> {
        let at = |name: &str| -> PathBuf { dir.join(name) };
        let mut note = |fop, at: &str| {
            self.done.push((fop, at.to_owned(), name.to_owned()));
            if let Ok(mut answered) = answered.lock() {
                answered.push((fop, at.to_owned()));
            }
        };
        let file = fs::File::create_new(at(name))?;
        note("CREATE", name);
        file.write_all_at(name.as_bytes(), 0)?;
        note("WRITE", name);
        let moved = format!("{name}-moved");
        fs::rename(at(name), at(&moved))?;
        note("RENAME", name);
        fs::remove_file(at(&moved))?;
        note("UNLINK", &moved);
        Ok(())
    }

    /// Fails unless each answered call has its record in `journal`.
    ///
    /// # Panics
    /// With the calls that are missing.
    pub fn assert_recorded(&self, journal: &[Value]) {
        let mut created = BTreeMap::new();
        let mut named = BTreeSet::new();
        let mut inodes = BTreeSet::new();
        for record in journal.iter().filter(|entry| entry["type"] == "record") {
            let text = |key: &str| record[key].as_str().unwrap_or_default();
            if record["fop"] == "CREATE" {
                created.insert(text("name"), text("gfid"));
            }
            named.insert((text("fop"), text("name")));
            inodes.insert((text("fop"), text("gfid")));
        }
        let recorded = |(fop, name, file): &&(&str, String, String)| match *fop {
            "WRITE" => {
                created.get(file.as_str()).is_some_and(|gfid| inodes.contains(&(*fop, *gfid)))
            }
            _ => named.contains(&(*fop, name.as_str())),
        };
        let missing: Vec<_> = self.done.iter().filter(|done| !recorded(done)).collect();
        assert!(
            missing.is_empty(),
            "{} of {} answered calls have no record: {missing:?}",
            missing.len(),
            self.done.len()
        );
    }
}

/// Fails unless each sequence number up to the last is accounted for once, and nothing is damaged. Returns the
/// last number.
///
/// # Panics
/// With the first number that is not, or what is damaged.
pub fn assert_accounted(journal: &[Value]) -> u64 {
    for entry in journal {
        assert_ne!(entry["cause"], "damaged", "{entry}");
    }
    assert_numbered(journal)
}

/// Fails unless each sequence number up to the last is accounted for once, by an entry or by a statement that
/// covers it. Returns the last number.
///
/// # Panics
/// With the first number that is not.
pub fn assert_numbered(journal: &[Value]) -> u64 {
    let mut next = 1;
    for entry in journal {
        assert_eq!(entry["seq"].as_u64(), Some(next), "numbers are missing before {entry}");
        next = entry["to"].as_u64().unwrap_or(next) + 1;
    }
    next - 1
}
