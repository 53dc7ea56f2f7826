//! What the `gnotify` command says of a brick.

use std::path::Path;
use std::process::Command;

use crate::plugin::command;
use crate::tool::{run, tool};

/// The built `gnotify` command, with no argument yet.
///
/// # Panics
/// When it is not built.
pub fn gnotify() -> Command {
    tool(command())
}

/// The journal of a brick: one value for each line of `gnotify dump --json BRICK`.
///
/// # Panics
/// When the command fails or prints something else.
pub fn dump(brick: &Path) -> Vec<serde_json::Value> {
    let text = run(gnotify().args(["dump", "--json"]).arg(brick));
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("gnotify dump --json: {e}: {line}"))
    };
    text.lines().map(parse).collect()
}
