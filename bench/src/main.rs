//! What a record costs: against a write(2) of the same bytes, and against the host's own changelog.
//!
//! ```text
//! make bench [PARTS='PART ...']    PART: a name of the table below
//! ```
//!
//! Runs as root in namespaces of its own. It prints tables and writes them, the numbers and plots to
//! `target/bench`. It fails when it cannot run, never because a number is bad: speed is shown, not tested.
#![forbid(unsafe_code)]

mod append;
mod boundaries;
mod bytes;
mod clients;
mod decode;
mod events;
mod export;
mod graph;
mod instructions;
mod matrix;
mod percentiles;
mod quartiles;
mod report;
mod ring;
mod svg;
mod syscalls;
mod usage;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use gnotify_harness::{Sandbox, isolated};

use crate::report::Section;

type Part = fn(&Sandbox) -> Result<Section, Box<dyn Error>>;

/// In the order in which they run.
const PARTS: &[(&str, Part)] = &[
    ("append", append::measure),
    ("ring", ring::measure),
    ("instructions", instructions::measure),
    ("matrix", matrix::measure),
    ("syscalls", syscalls::measure),
    ("boundaries", boundaries::measure),
    ("bytes", bytes::measure),
    ("decode", decode::measure),
    ("events", events::measure),
    ("export", export::measure),
];

/// Seconds after which the harness ends a run that hangs.
const TIMEOUT: &str = "7200";

/// The parts to be run, once the environment is as the harness wants it.
const CHOSEN: &str = "GNOTIFY_BENCH";

fn main() -> ExitCode {
    let done = match std::env::var(CHOSEN) {
        Ok(chosen) => {
            isolated("gnotify_bench::bench", |t| {
                if let Err(error) = measure(t, &chosen) {
                    panic!("{error}");
                }
            });
            Ok(())
        }
        Err(_) => prepare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gnotify-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again with what the harness looks for in the environment. It only returns
/// when it fails.
fn prepare() -> Result<(), Box<dyn Error>> {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    if let Some(wrong) = chosen.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("{wrong}: the parts are {}", names.join(", ")).into());
    }
    if chosen.is_empty() {
        chosen = names.into_iter().map(String::from).collect();
    }
    let exe = std::env::current_exe()?;
    let mut again = Command::new(&exe);
    again.env(CHOSEN, chosen.join(" "));
    if std::env::var_os("GNOTIFY_TEST_TIMEOUT").is_none() {
        again.env("GNOTIFY_TEST_TIMEOUT", TIMEOUT);
    }
    if std::env::var_os("GNOTIFY_SCRATCH").is_none() {
        again.env("GNOTIFY_SCRATCH", output()?.join("tmp"));
    }
    let plugin = exe.with_file_name("libgnotify.so");
    if std::env::var_os("GNOTIFY_PLUGIN").is_none() {
        if !plugin.exists() {
            let plugin = plugin.display();
            return Err(format!("{plugin} is missing: cargo build --release -p gnotify").into());
        }
        again.env("GNOTIFY_PLUGIN", plugin);
    }
    Err(again.exec().into())
}

/// `target/bench`: this executable is in `target/<profile>`.
fn output() -> Result<PathBuf, Box<dyn Error>> {
    let exe = std::env::current_exe()?;
    Ok(exe.ancestors().nth(2).ok_or("where is target?")?.join("bench"))
}

fn measure(t: &Sandbox, chosen: &str) -> Result<(), Box<dyn Error>> {
    let mut sections = Vec::new();
    for (name, part) in PARTS {
        if chosen.split(' ').any(|one| one == *name) {
            let section = part(t).map_err(|error| format!("{name}: {error}"))?;
            // At once: who waits for the other parts has something to read.
            println!("\n{}", section.text);
            sections.push(section);
        }
    }
    let output = output()?;
    report::write(&output, &sections)?;
    println!("{}: table.txt, results.json and plots", output.display());
    Ok(())
}
