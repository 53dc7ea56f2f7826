//! Programs of the system, run with an environment that does not depend on the developer's.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// The search path of GlusterFS's tools: some are Python scripts and must meet Debian's Python.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with a clean PATH, locale and library path, and no stdin.
pub fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", PATH).env("LC_ALL", "C").env_remove("LD_LIBRARY_PATH").stdin(Stdio::null());
    command
}

/// Runs to the end and returns stdout, or everything it said if it failed.
///
/// # Errors
/// The command line, its exit status and its output, when the status is not 0.
pub fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status))
}

/// Like [`try_run`], but a failure fails the test.
///
/// # Panics
/// When the command fails.
pub fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|told| panic!("{told}"))
}
