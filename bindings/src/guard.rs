//! The one place where a panic stops.
//!
//! A panic that leaves through an `extern "C"` function aborts the process, and with it every brick in it. So
//! every entry from C runs its body in [`guard`], and the hook writes where it happened into the host's log,
//! because a daemon's stderr is /dev/null.

use core::any::Any;
use core::cell::Cell;
use core::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use crate::log;

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panicked {
    /// What it said.
    pub message: String,
    /// File and line, when the hook was installed.
    pub place: String,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.message, self.place)
    }
}

impl std::error::Error for Panicked {}

/// Runs `body`; a panic in it becomes a value.
///
/// What `body` changed before it panicked stays changed: it must leave shared state usable at every step. A
/// frame stays outside, so that the fop can go on afterwards.
#[inline]
pub fn guard<T>(body: impl FnOnce() -> T) -> Result<T, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let message = text(&*payload).to_owned();
        // Dropping a payload may itself panic; whoever throws such a thing loses it.
        core::mem::forget(payload);
        Panicked { message, place: PLACE.take().to_string() }
    })
}

/// Sends the message and place of every panic of this shared object to the host's log. Acts once a process:
/// an instance that goes does not take it from the others.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| panic::set_hook(Box::new(report)));
}

fn report(info: &PanicHookInfo<'_>) {
    if let Some(location) = info.location() {
        PLACE.set(Place::new(location.file(), location.line()));
    }
    log::critical_anywhere(&format!("panic: {} at {}", text(info.payload()), PLACE.get()));
}

/// What a panic said; `panic!` throws one of two types of text, anything else says nothing.
fn text(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<&'static str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("(no message)", String::as_str),
    }
}

/// Where a panic happened. Without a destructor: a thread of the host that still has to run one would keep
/// the shared object mapped.
#[derive(Clone, Copy)]
struct Place {
    file: [u8; 96],
    len: u8,
    line: u32,
}

impl Place {
    const NOWHERE: Self = Self { file: [0; 96], len: 0, line: 0 };

    /// Keeps the end of a path that is too long.
    fn new(file: &str, line: u32) -> Self {
        let mut place = Self { line, ..Self::NOWHERE };
        let tail = &file.as_bytes()[file.len().saturating_sub(place.file.len())..];
        place.file[..tail.len()].copy_from_slice(tail);
        place.len = tail.len() as u8;
        place
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::NOWHERE
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = String::from_utf8_lossy(&self.file[..usize::from(self.len)]);
        if file.is_empty() { f.write_str("?") } else { write!(f, "{file}:{}", self.line) }
    }
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::NOWHERE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes() {
        assert_eq!(guard(|| 7), Ok(7));
    }

    #[test]
    fn a_panic_becomes_a_value_with_its_place() {
        install_panic_hook();
        let caught = guard(|| -> () { panic!("number {}", 3) }).unwrap_err();
        assert_eq!(caught.message, "number 3");
        assert!(caught.place.contains("guard.rs:"), "{}", caught.place);
    }

    #[test]
    fn a_payload_that_is_no_text_is_caught_too() {
        let caught = guard(|| -> () { panic::panic_any(3_u8) }).unwrap_err();
        assert_eq!(caught.message, "(no message)");
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let place = Place::new(&format!("{}/end.rs", "x".repeat(200)), 5).to_string();
        assert!(place.ends_with("x/end.rs:5"));
        assert_eq!(place.len(), 96 + 2);
    }

    #[test]
    fn the_place_needs_no_destructor() {
        assert!(!core::mem::needs_drop::<Cell<Place>>());
    }
}
