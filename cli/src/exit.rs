//! How the command ends: the status it leaves, and the one line it says before.

use std::io::{self, Write};
use std::process::ExitCode;

use gnotify_journal::ReadError;

/// Exit statuses, as `--help` and the manual list them. Usage errors, 2, are clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Everything that was asked for was printed.
    Done = 0,
    /// Something could not be read or written, or is damaged.
    Failed = 1,
    /// There is no journal at the path.
    NoJournal = 3,
    /// The journal may not be read by this user.
    NotPermitted = 4,
    /// The journal is in a format of a later version.
    NewerFormat = 5,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// Why the command cannot go on.
#[derive(Debug)]
pub(crate) enum Error {
    /// The journal, by its own account.
    Read(ReadError),
    /// The path is not what it should be: the status, and what to say of it.
    Path(Status, String),
    /// No signals can be waited for.
    Signals(io::Error),
    /// The output could not be written.
    Write(io::Error),
}

impl Error {
    /// The status to leave.
    pub(crate) fn status(&self) -> Status {
        match self {
            Error::Read(ReadError::NotFound { .. } | ReadError::NotAJournal { .. }) => {
                Status::NoJournal
            }
            Error::Read(ReadError::NotPermitted { .. }) => Status::NotPermitted,
            Error::Read(ReadError::NewerVersion { .. }) => Status::NewerFormat,
            Error::Path(status, _) => *status,
            // Whoever read the output has seen enough: `gnotify dump ... | head`.
            Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
            Error::Read(_) | Error::Signals(_) | Error::Write(_) => Status::Failed,
        }
    }

    /// What to say, unless there is nobody to say it to.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Error::Read(error) => Some(error.to_string()),
            Error::Path(_, message) => Some(message.clone()),
            Error::Signals(error) => Some(format!("cannot wait for signals: {error}")),
            Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Error::Write(error) => {
                Some(format!("standard output: {error}; what was printed is not complete"))
            }
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        Error::Read(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Write(error)
    }
}

/// Prints a message on standard error.
pub(crate) fn complain(message: &str) {
    // Where there is nobody to hear it, there is nobody to tell that either.
    let _ = writeln!(io::stderr(), "gnotify: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_situation_has_its_status() {
        let path = || "/b".into();
        let cases = [
            (Error::Read(ReadError::NotFound { path: path() }), Status::NoJournal),
            (Error::Read(ReadError::NotAJournal { path: path() }), Status::NoJournal),
            (Error::Read(ReadError::NotPermitted { path: path() }), Status::NotPermitted),
            (
                Error::Read(ReadError::NewerVersion { path: path(), found: 2, known: 1 }),
                Status::NewerFormat,
            ),
            (Error::Read(ReadError::DamagedHeader { path: path() }), Status::Failed),
            (Error::Path(Status::NoJournal, String::new()), Status::NoJournal),
            (Error::Write(io::ErrorKind::StorageFull.into()), Status::Failed),
        ];
        for (error, want) in cases {
            assert_eq!(error.status(), want, "{error:?}");
            assert!(error.message().is_some(), "{error:?}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.status(), Status::Done);
        assert_eq!(error.message(), None);
    }
}
