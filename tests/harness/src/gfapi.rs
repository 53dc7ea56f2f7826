//! A client through libgfapi: for what no FUSE mount can send.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::sandbox::Sandbox;
use crate::tool::tool;
use crate::volfile::Volfile;

/// A gfapi client of a brick or of a volume. Each [`Gfapi::run`] is a new one.
#[derive(Clone, Debug)]
pub struct Gfapi {
    volfile: PathBuf,
    log: PathBuf,
    /// Whether translators of the cluster are between it and the bricks.
    pub(crate) is_of_volume: bool,
}

impl Gfapi {
    pub(crate) fn new(sandbox: &Sandbox, socket: &Path) -> Gfapi {
        let stem = socket.file_stem().map(|s| s.to_string_lossy()).unwrap_or_default();
        let volfile = Volfile::named("client.vol")
            .fill("SOCKET", socket.to_string_lossy())
            .write(sandbox.path(format!("gfapi-{stem}.vol")));
        Gfapi { volfile, log: sandbox.log(&format!("gfapi-{stem}")), is_of_volume: false }
    }

    /// A client of a volume, by the graph that glusterd has for its mounts.
    pub(crate) fn of_volume(sandbox: &Sandbox, volume: &str) -> Gfapi {
        let dir = Path::new("/var/lib/glusterd/vols").join(volume);
        let volfile = dir.join(format!("trusted-{volume}.tcp-fuse.vol"));
        Gfapi { volfile, log: sandbox.log(&format!("gfapi-{volume}")), is_of_volume: true }
    }

    /// Runs the commands in order and returns each one's result, or its errno.
    /// What commands there are is said in `gfapi.py`.
    ///
    /// # Panics
    /// When the client cannot connect, or a command is unknown.
    pub fn try_run(&self, commands: &[&[&str]]) -> Vec<Result<i64, i32>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gfapi.py");
        let mut child = tool("/usr/bin/python3")
            .arg(script)
            .arg(&self.volfile)
            .arg(&self.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("/usr/bin/python3: {e}; apt-get install python3"));
        if let Some(mut stdin) = child.stdin.take() {
            let lines: String = commands.iter().map(|words| words.join(" ") + "\n").collect();
            stdin.write_all(lines.as_bytes()).unwrap_or_else(|e| panic!("gfapi.py: {e}"));
        }
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("gfapi.py: {e}"));
        assert!(output.status.success(), "gfapi.py: {}; it spoke on stderr", output.status);
        let answer = |line: &str| match line.split_once(' ') {
            Some(("ok", value)) => value.parse().map(Ok).ok(),
            Some(("errno", value)) => value.parse().map(Err).ok(),
            _ => None,
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let answers: Vec<_> = text.lines().filter_map(answer).collect();
        assert_eq!(answers.len(), commands.len(), "gfapi.py said: {text}");
        answers
    }

    /// Like [`Gfapi::try_run`], but every command must succeed.
    ///
    /// # Panics
    /// When one fails.
    pub fn run(&self, commands: &[&[&str]]) -> Vec<i64> {
        let answers = self.try_run(commands);
        let good = |(answer, words): (Result<i64, i32>, &&[&str])| {
            answer.unwrap_or_else(|errno| {
                let error = std::io::Error::from_raw_os_error(errno);
                panic!("gfapi {words:?}: {error}")
            })
        };
        answers.into_iter().zip(commands).map(good).collect()
    }
}
