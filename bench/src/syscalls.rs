//! The system calls that a record costs the threads that carry fops: none but the wake-up of a journal thread that
//! sleeps.
//!
//! strace tells every call of a brick's threads. What gnotify adds is the difference to the same fops through it
//! with its journal off. Calls of futex(2) come and go with the host's own locks, and those for memory with what
//! is free by chance, so they are counted apart; of the former, a wake-up of the journal thread is known by the
//! address on which that thread sleeps.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use gnotify_harness::Sandbox;
use serde_json::json;

use crate::clients::Loops;
use crate::graph::{Graph, PHASES};
use crate::report::{Section, Table, verdict};
use crate::usage::FOP_PATH;

/// Calls of each fop: 10,000 records in all.
const CALLS: usize = 2000;
/// Calls before, so that everything is loaded and allocated.
const WARM_UP: usize = 100;
/// Calls added to a fop that are none: a thread may begin or end meanwhile.
const NONE: f64 = 0.01;
/// How malloc asks for memory and gives it back. How often depends on what was free by chance.
const MEMORY: [&str; 5] = ["brk", "madvise", "mmap", "mprotect", "munmap"];

const JOURNAL_THREAD: &str = "gnotify-jnl";

/// What the threads of the fop path called in one phase.
#[derive(Debug, Default, Clone, PartialEq)]
struct Called {
    /// By name, without futex and [`MEMORY`].
    calls: BTreeMap<String, f64>,
    /// Those of [`MEMORY`].
    memory: f64,
    /// Wake-ups of the journal thread.
    wake_ups: f64,
    /// Other calls of futex.
    futexes: f64,
}

impl Called {
    fn all(&self) -> f64 {
        self.calls.values().sum()
    }
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    let mut columns = Vec::new();
    for graph in [Graph::PassThrough, Graph::Gnotify] {
        println!("syscalls: {} ...", graph.name());
        columns.push(of_graph(t, graph)?);
    }
    Ok(section(&columns[0], &columns[1]))
}

fn of_graph(t: &Sandbox, graph: Graph) -> Result<Vec<Called>, Box<dyn Error>> {
    let name = format!("sys-{}", graph.name());
    let trace = t.path(format!("{name}.trace"));
    let output = trace.to_string_lossy();
    let strace = ["strace", "-f", "-qq", "-e", "signal=none", "-o", &output];
    // Each fop becomes a record, also the repeated ones.
    let brick = graph.brick(t, &name).option("detail", "all").under(&strace).start();
    let mut loops = Loops::start(t, &name, brick.socket())?;
    for phase in PHASES {
        if phase.verb == "unlink" {
            loops.phase("close", "warm", WARM_UP)?;
        }
        loops.phase(phase.verb, "warm", WARM_UP)?;
    }
    let mut calls = Trace::new(&trace)?;
    calls.told(comm)?;
    let mut columns = Vec::new();
    for phase in PHASES {
        if phase.verb == "unlink" {
            loops.phase("close", "file", CALLS)?;
        }
        calls.told(comm)?;
        loops.phase(phase.verb, "file", CALLS)?;
        let called = calls.told(comm)?;
        if called.calls.is_empty() {
            return Err(format!("{output}: {}: no calls of {FOP_PATH}", phase.verb).into());
        }
        columns.push(called);
    }
    Ok(columns)
}

/// The name of a running thread.
fn comm(thread: &str) -> Option<String> {
    let comm = fs::read_to_string(Path::new("/proc").join(thread).join("comm")).ok()?;
    Some(comm.trim_end().to_owned())
}

/// The file that strace writes, line by line and without a buffer.
#[derive(Debug)]
struct Trace {
    file: File,
    read: u64,
    /// Where the journal thread sleeps.
    beds: BTreeSet<String>,
}

impl Trace {
    fn new(path: &Path) -> Result<Trace, Box<dyn Error>> {
        Ok(Trace { file: File::open(path)?, read: 0, beds: BTreeSet::new() })
    }

    /// What was called since the last time, for a fop. `name` says what a thread is called.
    fn told(&mut self, name: impl Fn(&str) -> Option<String>) -> Result<Called, Box<dyn Error>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_end(&mut bytes)?;
        // The last line may not be whole yet.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let lines: Vec<Line<'_>> = text.lines().filter_map(Line::parse).collect();
        let threads: BTreeSet<&str> = lines.iter().map(|line| line.thread).collect();
        // One that has ended is none of those that are looked for: they stay while fops come.
        let names: BTreeMap<&str, String> =
            threads.into_iter().filter_map(|thread| Some((thread, name(thread)?))).collect();
        let of = |start: &str| {
            let is_of = |line: &&Line<'_>| {
                names.get(line.thread).is_some_and(|name| name.starts_with(start))
            };
            lines.iter().filter(is_of).collect::<Vec<_>>()
        };
        let beds = of(JOURNAL_THREAD).into_iter().filter_map(Line::bed);
        self.beds.extend(beds.map(str::to_owned));
        let mut called = Called::default();
        let one = 1.0 / CALLS as f64;
        for line in of(FOP_PATH) {
            if MEMORY.contains(&line.call) {
                called.memory += one;
            } else if line.call != "futex" {
                *called.calls.entry(line.call.to_owned()).or_default() += one;
            } else if line.wakes().is_some_and(|address| self.beds.contains(address)) {
                called.wake_ups += one;
            } else {
                called.futexes += one;
            }
        }
        Ok(called)
    }
}

/// The beginning of a system call: "THREAD CALL(ARGUMENTS".
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line<'a> {
    thread: &'a str,
    call: &'a str,
    arguments: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for the end of a call that was interrupted ("<... CALL resumed>"), and for the end of a thread.
    fn parse(line: &'a str) -> Option<Line<'a>> {
        let (thread, rest) = line.split_once(' ')?;
        let (call, arguments) = rest.trim_start().split_once('(')?;
        let is_name = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then_some(Line { thread, call, arguments })
    }

    /// The address on which the thread goes to sleep.
    fn bed(&self) -> Option<&'a str> {
        let (address, rest) = self.arguments.split_once(", ")?;
        (self.call == "futex" && rest.starts_with("FUTEX_WAIT")).then_some(address)
    }

    /// The address whose sleeper is woken.
    fn wakes(&self) -> Option<&'a str> {
        let (address, rest) = self.arguments.split_once(", ")?;
        rest.starts_with("FUTEX_WAKE").then_some(address)
    }
}

/// The calls that one has more or less of than the other, but for what is nearly none.
fn differences(from: &Called, to: &Called) -> Vec<(String, f64)> {
    let names: BTreeSet<&String> = from.calls.keys().chain(to.calls.keys()).collect();
    let count = |of: &Called, name: &String| of.calls.get(name).copied().unwrap_or(0.0);
    let differences =
        names.into_iter().map(|name| (name.clone(), count(to, name) - count(from, name)));
    differences.filter(|(_, difference)| difference.abs() > NONE / 10.0).collect()
}

fn section(pass: &[Called], gnotify: &[Called]) -> Section {
    let header = ["fop", "pass-through", "gnotify", "added", "target", "", "wake-ups"];
    let apart = ["memory: pass-through", "gnotify", "futex: pass-through", "gnotify"];
    let mut table = Table::new(&[&header[..], &apart].concat());
    let mut fops = serde_json::Map::new();
    let mut names = String::new();
    for ((phase, pass), gnotify) in PHASES.iter().zip(pass).zip(gnotify) {
        let added = gnotify.all() - pass.all();
        let is_met = added <= NONE;
        table.row(vec![
            phase.label.to_owned(),
            format!("{:.3}", pass.all()),
            format!("{:.3}", gnotify.all()),
            format!("{added:+.3}"),
            format!("<= {NONE}"),
            verdict(is_met).to_owned(),
            format!("{:.4}", gnotify.wake_ups),
            format!("{:.3}", pass.memory),
            format!("{:.3}", gnotify.memory),
            format!("{:.3}", pass.futexes),
            format!("{:.3}", gnotify.futexes),
        ]);
        let differences = differences(pass, gnotify);
        for (name, difference) in &differences {
            names += &format!("{}: {difference:+.4} {name}\n", phase.label);
        }
        fops.insert(
            phase.label.to_owned(),
            json!({
                "pass-through": pass.calls, "gnotify": gnotify.calls, "added": added, "met": is_met,
                "wake_ups": gnotify.wake_ups,
                "memory": { "pass-through": pass.memory, "gnotify": gnotify.memory },
                "futex": { "pass-through": pass.futexes, "gnotify": gnotify.futexes },
            }),
        );
    }
    let text = format!(
        "System calls of io-threads, which carry a fop through all translators and back, for a fop: by strace,\n\
         {CALLS} calls of each, one at a time, each of which becomes a record. Apart are: wake-ups of the sleeping\n\
         journal thread; malloc's calls for memory; other calls of futex, which are the host's. Up to {NONE} is\n\
         none.\n\n{table}{names}"
    );
    Section { name: "syscalls", text, json: fops.into(), plots: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_calls_are_read() {
        let line = Line::parse(r#"12 pwrite64(9, "a>(b", 4, 0) = 4"#).unwrap();
        assert_eq!((line.thread, line.call), ("12", "pwrite64"));
        assert_eq!(Line::parse("12 <... futex resumed>) = 0"), None);
        assert_eq!(Line::parse("12 +++ exited with 0 +++"), None);
    }

    #[test]
    fn wake_ups_of_the_journal_thread_are_told_from_others() {
        let mut file = tempfile::tempfile().unwrap();
        let text = "7 futex(0x10, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL <unfinished ...>\n\
                    8     futex(0x10, FUTEX_WAKE_PRIVATE, 1) = 1\n\
                    8     futex(0x20, FUTEX_WAKE_PRIVATE, 1) = 1\n\
                    9 futex(0x10, FUTEX_WAKE_PRIVATE, 1) = 1\n\
                    8 lstat(\"/b\", {st_mode=S_IFDIR|0755, ...}) = 0\n\
                    8 lst";
        let name = |thread: &str| {
            let name = match thread {
                "7" => "gnotify-jnl",
                "8" => "glfs_iotwr001",
                _ => return None,
            };
            Some(name.to_owned())
        };
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut trace = Trace { file, read: 0, beds: BTreeSet::new() };
        let called = trace.told(name).unwrap();
        let one = 1.0 / CALLS as f64;
        assert_eq!((called.wake_ups, called.futexes, called.all()), (one, one, one));
        assert_eq!(differences(&called, &Called::default()), []);
        assert_eq!(trace.told(name).unwrap(), Called::default());
    }

    #[test]
    fn what_is_added_has_a_name() {
        let of =
            |count| Called { calls: [("lstat".to_owned(), count)].into(), ..Called::default() };
        assert_eq!(differences(&of(1.0), &of(2.5)), [("lstat".to_owned(), 1.5)]);
        assert_eq!(differences(&Called::default(), &of(1.0)), [("lstat".to_owned(), 1.0)]);
    }
}
