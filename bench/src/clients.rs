//! Clients that repeat fops on a brick: `gfapi_loops.py`, one process each.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use gnotify_harness::{Sandbox, Volfile, tool};

/// A gfapi client.
#[derive(Debug)]
pub(crate) struct Loops {
    child: Child,
    phases: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Leads the names of its files: no other client's does.
    tag: String,
}

impl Loops {
    /// A client of the brick that serves `socket`. No other one may be called `name`.
    pub(crate) fn start(t: &Sandbox, name: &str, socket: &Path) -> Result<Loops, Box<dyn Error>> {
        let volfile = Volfile::named("client.vol")
            .fill("SOCKET", socket.to_string_lossy())
            .write(t.path(format!("{name}-loops.vol")));
        let mut child = tool("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/gfapi_loops.py"))
            .arg(volfile)
            .arg(t.log(&format!("{name}-loops")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(phases), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("gfapi_loops.py: no pipes".into());
        };
        Ok(Loops { child, phases, answers: BufReader::new(answers), tag: name.into() })
    }

    /// Several clients, called after `name`.
    pub(crate) fn several(
        t: &Sandbox,
        name: &str,
        socket: &Path,
        count: usize,
    ) -> Result<Vec<Loops>, Box<dyn Error>> {
        (0..count).map(|number| Loops::start(t, &format!("{name}-{number}"), socket)).collect()
    }

    /// Does `verb` to each of `count` files of a set: the nanoseconds that each took.
    pub(crate) fn phase(
        &mut self,
        verb: &str,
        set: &str,
        count: usize,
    ) -> Result<Vec<u64>, Box<dyn Error>> {
        self.ask(verb, set, count)?;
        self.answer(verb, count)
    }

    /// The same by all `clients` at once, each with a set of its own.
    pub(crate) fn together(
        clients: &mut [Loops],
        verb: &str,
        set: &str,
        count: usize,
    ) -> Result<Vec<u64>, Box<dyn Error>> {
        for client in &mut *clients {
            client.ask(verb, set, count)?;
        }
        let mut times = Vec::with_capacity(clients.len() * count);
        for client in clients {
            times.extend(client.answer(verb, count)?);
        }
        Ok(times)
    }

    fn ask(&mut self, verb: &str, set: &str, count: usize) -> Result<(), Box<dyn Error>> {
        Ok(writeln!(self.phases, "{verb} {}-{set} {count}", self.tag)?)
    }

    fn answer(&mut self, verb: &str, count: usize) -> Result<Vec<u64>, Box<dyn Error>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let times: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if times.len() != count {
            return Err(format!("gfapi_loops.py: {verb}: {} of {count}", times.len()).into());
        }
        Ok(times)
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
