//! Waiting for something to become true, with a deadline that only a broken run meets.

use std::time::{Duration, Instant};

/// How long a test waits for what normally takes milliseconds. Generous on purpose: no test may
/// depend on the speed of the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Calls `probe` until it returns something, and returns that.
///
/// # Panics
/// When `deadline` has passed; the message names `what`.
pub fn poll_until<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Waits with [`PATIENCE`] until `probe` is true.
///
/// # Panics
/// When it does not become true.
pub fn wait_for(what: &str, mut probe: impl FnMut() -> bool) {
    poll_until(PATIENCE, what, || probe().then_some(()));
}
