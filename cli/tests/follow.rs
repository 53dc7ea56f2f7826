//! `gnotify dump --follow`: goes on as the journal grows, and knows when to end.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use gnotify_record::{FileType, Fop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Brick, DEADLINE, TIME, append, append_100, append_many, gnotify, record};

/// A command that is running, and the lines it prints.
struct Follower {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if send.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receive
}

impl Follower {
    fn start(brick: &Brick, args: &[&str]) -> Follower {
        let mut command = gnotify();
        command.args(["dump", "--follow", "--json"]).args(args).arg(brick.dir());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Follower { child, stdout, stderr }
    }

    fn next(&self) -> Value {
        let line = self.stdout.recv_timeout(DEADLINE).expect("no line came");
        serde_json::from_str(&line).unwrap()
    }

    fn assert_next(&self, want: &[&str]) {
        for want in want {
            let line = self.next();
            let found = ["fop", "statement"].iter().find_map(|key| line[*key].as_str());
            assert_eq!(found, Some(*want), "{line}");
        }
    }

    fn complaint(&self) -> String {
        self.stderr.recv_timeout(DEADLINE).expect("it does not complain")
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end, and for nothing more to come from it.
    fn end(mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        assert_eq!(self.stdout.recv().ok(), None);
        assert_eq!(self.stderr.recv().ok(), None);
        status
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn it_goes_on_over_restarts_of_the_brick_until_a_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let brick = Brick::new();
        let journal = brick.start();
        let follower = Follower::start(&brick, &[]);
        follower.assert_next(&["START"]);
        for inode in 1..4 {
            append(&journal, &record(Fop::UNLINK, inode, FileType::Regular), TIME);
            follower.assert_next(&["UNLINK"]);
        }
        journal.stop();
        follower.assert_next(&["STOP"]);
        let journal = brick.start();
        append(&journal, &record(Fop::RMDIR, 1, FileType::Directory), TIME);
        follower.assert_next(&["START", "RMDIR"]);
        follower.send(signal);
        assert_eq!(follower.end().code(), Some(0));
    }
}

#[test]
fn it_goes_on_over_segments_and_filters() {
    let brick = Brick::new();
    let journal = brick.start();
    let follower = Follower::start(&brick, &["--fop", "rmdir"]);
    for segments in 2..4 {
        while brick.segments().len() < segments {
            append_100(&journal);
        }
        append(&journal, &record(Fop::RMDIR, 1, FileType::Directory), TIME);
        follower.assert_next(&["RMDIR"]);
    }
    follower.send(Signal::SIGTERM);
    assert_eq!(follower.end().code(), Some(0));
}

#[test]
fn it_waits_for_a_journal_and_for_the_next_one() {
    let brick = Brick::new();
    let follower = Follower::start(&brick, &[]);
    assert!(follower.complaint().ends_with("a brick without a gnotify journal; waiting for it"));
    let journal = brick.start();
    follower.assert_next(&["START"]);
    journal.stop();
    follower.assert_next(&["STOP"]);
    fs::remove_dir_all(brick.journal()).unwrap();
    assert!(follower.complaint().starts_with("gnotify: "));
    let _journal = brick.start();
    let start = follower.next();
    assert_eq!((&start["seq"], &start["how"]), (&1.into(), &"first".into()));
    follower.send(Signal::SIGINT);
    // What it said while there was none depends on when it looked.
    while follower.stderr.recv().is_ok() {}
    assert_eq!(follower.end().code(), Some(0));
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let brick = Brick::new();
    let _journal = brick.start();
    let mut command = gnotify();
    command.args(["dump", "-f"]).arg(brick.dir());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("-- START 1: first"), "{line}");
    // Nothing is written any more, so it has to find out by itself.
    drop(stdout);
    let status = wait(&mut child);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_signal_ends_it_though_nobody_takes_its_output() {
    let brick = Brick::new();
    let journal = brick.start();
    let mut command = gnotify();
    command.args(["dump", "-f"]).arg(brick.dir());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    append_many(&journal);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
}
