//! The sockets of the server: the one it listens on, and the ones it calls. No call here waits.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, send, socket,
    sockopt::PeerCredentials,
};

/// As stock leaves it: whoever connects must be able to write to it, so nobody but its owner can.
const MODE: u32 = 0o755;

/// A listening socket and the file that it has.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
}

impl Listening {
    /// Listens at `path`. A socket that an earlier process left there is removed.
    pub(super) fn open(path: &Path) -> io::Result<Listening> {
        match fs::symlink_metadata(path) {
            Ok(file) if file.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                let told = "there is a file that is no socket: move it away";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        let file = identity(path)?;
        Ok(Listening { listener, path: path.into(), file })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // The brick's next instance may have put its own there already.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Connects to a consumer. `WouldBlock`: too many wait there already; later it may be possible.
pub(super) fn call(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

/// The user that the process at the other end ran as when it connected or began to listen.
pub(super) fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    Ok(getsockopt(&stream.as_fd(), PeerCredentials)?.uid())
}

/// Reads what has come; `None`: nothing now. The end is an error.
pub(super) fn read(mut stream: &UnixStream, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.read(bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(Some(length)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Writes what the socket has room for, without the signal that a broken connection would raise.
pub(super) fn write(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = Listening::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);

        // The next instance: the first one's end leaves its file alone.
        let second = Listening::open(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());

        fs::write(&path, "somebody's").unwrap();
        let error = Listening::open(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    }

    #[test]
    fn the_peer_of_a_connection_is_known() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(peer_uid(&one).unwrap(), own);
    }

    #[test]
    fn a_call_to_nobody_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = call(&dir.path().join("nobody.sock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_broken_connection_is_an_error_and_no_signal() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert_eq!(write(&one, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
