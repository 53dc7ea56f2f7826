//! The four graphs that are compared, and a client that repeats fops on one of them.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use gnotify_harness::{BrickSpec, Sandbox, Volfile, tool};

/// What stands directly above the brick's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Graph {
    /// Nothing.
    None,
    /// gnotify with its journal off: each fop is passed on in a tail wind.
    PassThrough,
    /// gnotify as it is used.
    Gnotify,
    /// The host's own features/changelog.
    Changelog,
}

impl Graph {
    pub(crate) const ALL: [Graph; 4] =
        [Graph::None, Graph::PassThrough, Graph::Gnotify, Graph::Changelog];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Graph::None => "none",
            Graph::PassThrough => "pass-through",
            Graph::Gnotify => "gnotify",
            Graph::Changelog => "changelog",
        }
    }

    /// The file name of what is measured.
    pub(crate) fn object(self) -> Option<&'static str> {
        match self {
            Graph::None => None,
            Graph::PassThrough | Graph::Gnotify => Some("libgnotify.so"),
            Graph::Changelog => Some("changelog.so"),
        }
    }

    /// A brick with this graph. No slice ends while it is measured.
    pub(crate) fn brick(self, t: &Sandbox, name: &str) -> BrickSpec {
        let spec = t.brick(name);
        match self {
            Graph::None => spec.plain(),
            Graph::PassThrough => spec.option("journal", "off"),
            Graph::Gnotify => {
                spec.option("journal", "on").option("detail", "slice").option("slice-time", "3600")
            }
            Graph::Changelog => {
                let brick = t.path(name).join("brick");
                let journals = brick.join(".glusterfs/changelogs");
                spec.graph(Volfile::named("brick.vol").fill("PLUGIN", "features/changelog"))
                    .option("changelog", "on")
                    .option("changelog-brick", &brick.to_string_lossy())
                    .option("changelog-dir", &journals.to_string_lossy())
                    .option("rollover-time", "3600")
            }
        }
    }
}

/// A fop that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    /// How `gfapi_loops.py` calls it.
    pub(crate) verb: &'static str,
    pub(crate) label: &'static str,
}

/// In the order in which they must come on a set of files. The set is closed before the last one.
pub(crate) const PHASES: [Phase; 5] = [
    Phase { verb: "create", label: "create" },
    Phase { verb: "write", label: "write 4K, first" },
    Phase { verb: "again", label: "write 4K, again" },
    Phase { verb: "setattr", label: "setattr (chmod)" },
    Phase { verb: "unlink", label: "unlink" },
];

/// A gfapi client: `gfapi_loops.py`.
#[derive(Debug)]
pub(crate) struct Loops {
    child: Child,
    phases: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Loops {
    /// A client of the brick that serves `socket`.
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
        Ok(Loops { child, phases, answers: BufReader::new(answers) })
    }

    /// Does `verb` to each of `count` files of a set: the nanoseconds that each took.
    pub(crate) fn phase(
        &mut self,
        verb: &str,
        set: &str,
        count: usize,
    ) -> Result<Vec<u64>, Box<dyn Error>> {
        writeln!(self.phases, "{verb} {set} {count}")?;
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
