//! A process of GlusterFS that is our direct child and writes a log file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::poll_until;

/// A daemon in the foreground. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Size of the log when this process started: it may hold lines of an earlier one.
    log_start: usize,
}

impl Daemon {
    /// Starts `command`, which writes its log to `log`.
    ///
    /// # Panics
    /// When it cannot be executed.
    pub fn start(command: &mut Command, log: &Path) -> Daemon {
        let log_start = std::fs::read(log).map_or(0, |text| text.len());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Daemon { child, log: log.into(), log_start }
    }

    /// The process id, as this namespace sees it.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What this process has logged so far.
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// Polls until `probe` is true.
    ///
    /// # Panics
    /// When the process ends before, or the deadline passes; with the log.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        what: &str,
        mut probe: impl FnMut(&Daemon) -> bool,
    ) {
        poll_until(patience, what, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("ended ({status}) before: {what}\n{}", self.log());
            }
            probe(self).then_some(())
        });
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|e| panic!("{signal:?}: {e}"));
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        poll_until(crate::PATIENCE, "the end of a daemon", || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}
