//! The `gnotify` command: what changed on a GlusterFS brick, for people and scripts.
//!
//! A command line becomes typed arguments ([`args`]), these become work ([`dump`], [`verify`]), and what the work
//! comes to becomes an exit status, here and nowhere else.

#![forbid(unsafe_code)]

mod args;
mod changelog;
mod client;
mod dump;
mod escape;
mod exit;
mod filter;
mod follow;
mod json;
mod line;
mod moment;
mod paths;
mod source;
mod text;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Cli { command } = args::Cli::parse();
    let result = match command {
        args::Command::Dump(args) => match changelog::Source::at(&args.path) {
            Some(source) => changelog::dump(&args, &source),
            None => dump::run(args),
        },
        args::Command::Verify(args) => verify::run(args),
    };
    let status = match result {
        Ok(status) => status,
        Err(error) => {
            if let Some(message) = error.message() {
                exit::complain(&message);
            }
            error.status()
        }
    };
    status.into()
}
