//! Where the sockets of the channel are: names that both sides make out of the brick's path.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh64::xxh64;

/// Where stock keeps both sockets.
pub const RUN_DIR: &str = "/var/run/gluster";

/// The brick's path as it stands in the names: xxHash64 with seed 0, 16 lower-case hexadecimal digits.
///
/// The bytes of the path count: with a slash at its end it is another brick.
#[must_use]
pub fn brick_hash(brick: &Path) -> String {
    format!("{:016x}", xxh64(brick.as_os_str().as_encoded_bytes(), 0))
}

/// Where a brick listens for probes.
#[must_use]
pub fn brick_socket(run_dir: &Path, brick: &Path) -> PathBuf {
    run_dir.join(format!("changelog-{}.sock", brick_hash(brick)))
}

/// Where the consumer with the process id `pid` listens for the brick.
#[must_use]
pub fn consumer_socket(run_dir: &Path, brick: &Path, pid: u32) -> PathBuf {
    run_dir.join(format!(".{}{pid}.sock", brick_hash(brick)))
}

/// Whether a file's name is that of a consumer's socket for the brick with this hash.
pub(crate) fn is_consumer_socket(name: &[u8], hash: &str) -> bool {
    let pid = name
        .strip_prefix(b".")
        .and_then(|name| name.strip_prefix(hash.as_bytes()))
        .and_then(|name| name.strip_suffix(b".sock"));
    pid.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen on a stock brick.
    #[test]
    fn names_are_those_of_stock() {
        let (run, brick) = (Path::new(RUN_DIR), Path::new("/bricks/b1"));
        let path = brick_socket(run, brick);
        assert_eq!(path, Path::new("/var/run/gluster/changelog-e4f14f24a63ca1d9.sock"));
        let path = consumer_socket(run, brick, 52);
        assert_eq!(path, Path::new("/var/run/gluster/.e4f14f24a63ca1d952.sock"));
        assert_ne!(brick_hash(Path::new("/bricks/b1/")), brick_hash(brick));
    }

    #[test]
    fn only_a_consumer_of_this_brick_has_such_a_name() {
        let hash = brick_hash(Path::new("/bricks/b1"));
        assert!(is_consumer_socket(b".e4f14f24a63ca1d952.sock", &hash));
        for name in [
            &b"changelog-e4f14f24a63ca1d9.sock"[..],
            b".e4f14f24a63ca1d9.sock",
            b".e4f14f24a63ca1d952",
            b".e4f14f24a63ca1d95x.sock",
            b".e4f14f24a63ca1d852.sock",
            b"e4f14f24a63ca1d952.sock",
            b"",
        ] {
            assert!(!is_consumer_socket(name, &hash), "{}", name.escape_ascii());
        }
    }
}
