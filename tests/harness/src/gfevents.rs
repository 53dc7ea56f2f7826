//! A consumer of a brick's events through the installed libgfchangelog: what geo-replication, glusterfind
//! and bitd hear with.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;
use crate::tool::tool;
use crate::wait::wait_for;

/// Bytes of an event's structure.
const EVENT_SIZE: usize = 4104;

/// An event as the library's callback got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardEvent {
    /// When the callback was called, in nanoseconds since 1970.
    pub time: u64,
    /// The whole structure.
    pub bytes: Vec<u8>,
}

/// A process that registered for a brick's events. Dropping it kills it.
#[derive(Debug)]
pub struct GfEvents {
    child: Child,
    log: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl GfEvents {
    /// Registers with the brick whose path is `brick` for the events in `filter`; returns when the
    /// registration has. The brick may not have connected yet.
    ///
    /// # Panics
    /// When it cannot be registered.
    pub fn register(t: &Sandbox, brick: &str, filter: u32, ordered: bool) -> GfEvents {
        let log = t.log("gfevents");
        let mut child = tool("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/gfevents.py"))
            .args([brick, &filter.to_string(), if ordered { "1" } else { "0" }])
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("/usr/bin/python3: {e}; apt-get install python3"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, heard) = (child.stdout.take(), Arc::clone(&lines));
        // It ends with the process.
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).flatten() {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut consumer = GfEvents { child, log, lines };
        wait_for("a registration with libgfchangelog", || {
            consumer.assert_alive();
            consumer.any(|line| line.starts_with("registered"))
        });
        let log = consumer.log.display();
        assert!(consumer.any(|line| line == "registered 0"), "libgfchangelog refuses: {log}");
        consumer
    }

    fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("gfevents.py: {status}; it spoke on stderr and in {}", self.log.display());
        }
    }

    fn any(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().any(|line| is_it(line))
    }

    /// Whether the brick has connected.
    pub fn is_connected(&self) -> bool {
        self.any(|line| line == "connected")
    }

    /// How many events have come.
    pub fn count(&self) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.starts_with("event ")).count()
    }

    /// What has come, in the order of the callbacks.
    ///
    /// # Panics
    /// When `gfevents.py` said something else than it may.
    pub fn events(&self) -> Vec<HeardEvent> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.iter().filter_map(|line| line.strip_prefix("event "));
        lines
            .map(|line| parse(line).unwrap_or_else(|| panic!("gfevents.py said: event {line}")))
            .collect()
    }

    /// Stops the process; returns when none of its threads runs any more.
    ///
    /// # Panics
    /// When it is gone.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        wait_for("the threads to stop", || {
            let tasks = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            let mut stats = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")));
            // Behind the name, which is in parentheses.
            stats.all(|stat| stat.is_ok_and(|stat| stat.contains(") T ")))
        });
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|e| panic!("{signal:?}: {e}"));
    }
}

fn parse(line: &str) -> Option<HeardEvent> {
    let (time, hex) = line.split_once(' ')?;
    let digit = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let mut bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect::<Option<_>>()?;
    bytes.resize(EVENT_SIZE, 0);
    Some(HeardEvent { time: time.parse().ok()?, bytes })
}

impl Drop for GfEvents {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
