//! What a process of GlusterFS says about itself on SIGUSR1.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::poll_until;

const DIR: &str = "/run/gluster";

/// Has the process write a statedump, and returns its text.
///
/// # Panics
/// When it writes none.
pub fn statedump(pid: Pid) -> String {
    // Dumps are named by second: an older one of the same second would be taken for the new one.
    for old in dumps(pid) {
        let _ = std::fs::remove_file(old);
    }
    kill_process(pid, Signal::USR1).unwrap_or_else(|e| panic!("SIGUSR1 to {pid:?}: {e}"));
    poll_until(crate::PATIENCE, "a statedump", || {
        let text = String::from_utf8_lossy(&std::fs::read(dumps(pid).pop()?).ok()?).into_owned();
        text.contains("DUMP-END-TIME").then_some(text)
    })
}

/// A dump is called `NAME.PID.dump.TIME`; NAME is "glusterdump", or the brick's path.
fn dumps(pid: Pid) -> Vec<PathBuf> {
    let part = format!(".{}.dump.", pid.as_raw_nonzero());
    let Ok(entries) = std::fs::read_dir(DIR) else { return Vec::new() };
    let of_pid = |path: &PathBuf| path.to_string_lossy().contains(&part);
    entries.flatten().map(|entry| entry.path()).filter(of_pid).collect()
}
