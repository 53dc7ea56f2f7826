//! The host's log.
//!
//! It exists because the host formats in C and reads its level from two places: here the level is asked
//! first, the text is formatted in Rust, and C sees one `%s`.

use core::ffi::CStr;
use core::fmt;
use core::panic::Location;
use std::ffi::CString;

use crate::sys;
use crate::sys::gf_loglevel_t as gf;
use crate::this;
use crate::xlator::Xlator;

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// The plugin is broken.
    Critical = gf::GF_LOG_CRITICAL,
    /// Something was lost or refused.
    Error = gf::GF_LOG_ERROR,
    /// Something is not as the administrator meant it.
    Warning = gf::GF_LOG_WARNING,
    /// Worth knowing, rarely said.
    Notice = gf::GF_LOG_NOTICE,
    /// Normal life.
    Info = gf::GF_LOG_INFO,
    /// For who looks for a bug.
    Debug = gf::GF_LOG_DEBUG,
    /// Each step.
    Trace = gf::GF_LOG_TRACE,
}

/// Whether the host would write a message of this level.
#[inline]
pub fn enabled(this: Xlator<'_>, level: Level) -> bool {
    // SAFETY: [this-xlator] the levels are words that the host itself reads without a lock.
    unsafe {
        let own = (*this.as_ptr()).loglevel;
        let limit = if own != gf::GF_LOG_NONE {
            own
        } else {
            let ctx = (*this.as_ptr()).ctx;
            if ctx.is_null() { gf::GF_LOG_INFO } else { (*ctx).log.loglevel }
        };
        level as u32 <= limit
    }
}

/// Writes `text` to the host's log in the name of `this`, if its level says so:
/// `log(this, Level::Info, 0, format_args!(..))`.
#[track_caller]
pub fn log(this: Xlator<'_>, level: Level, msgid: u64, text: fmt::Arguments<'_>) {
    if enabled(this, level) {
        write(this.name(), level, msgid, &text.to_string(), Location::caller());
    }
}

/// Writes a CRITICAL in the name of whatever translator runs on this thread: for panics, which know no better.
#[track_caller]
pub(crate) fn critical_anywhere(text: &str) {
    let this = this::current();
    if this.is_null() {
        return;
    }
    // SAFETY: [this-xlator] THIS is a live translator, and was set by the host or by `this::enter`. Before the
    // host is initialised it is its static global translator, without a context, and nothing can be logged.
    unsafe {
        if !(*this).ctx.is_null() {
            write(Xlator::from_raw(this).name(), Level::Critical, 0, text, Location::caller());
        }
    }
}

fn write(domain: &CStr, level: Level, msgid: u64, text: &str, at: &Location<'_>) {
    let text = c_text(text);
    let file = c_text(at.file());
    // SAFETY: [host-ready] every pointer is a C string of ours that outlives the call; the one conversion in
    // the format has its one argument.
    unsafe {
        sys::_gf_msg(
            domain.as_ptr(),
            file.as_ptr(),
            c"gnotify".as_ptr(),
            i32::try_from(at.line()).unwrap_or(0),
            level as u32,
            0,
            0,
            msgid,
            c"%s".as_ptr(),
            text.as_ptr(),
        );
    }
}

/// A C string of any text: a NUL inside, which a client's file name cannot smuggle in but a panic's message
/// can, becomes U+FFFD, and so does what would start a new line of the log.
pub(crate) fn c_text(text: &str) -> CString {
    let clean = text.replace(['\0', '\n', '\r'], "\u{fffd}");
    CString::new(clean).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_or_a_new_line_inside_does_no_harm() {
        assert_eq!(c_text("a\0b\nc").to_str(), Ok("a\u{fffd}b\u{fffd}c"));
        assert_eq!(c_text("").to_bytes(), b"");
    }

    #[test]
    fn the_translators_own_level_goes_first() {
        // SAFETY: all zero is a translator without a context, of which only the levels are read.
        let mut raw: Box<sys::xlator_t> = unsafe { Box::new(core::mem::zeroed()) };
        let at = &raw mut *raw;
        // SAFETY: [this-xlator] it lives until the end of the test.
        let this = unsafe { Xlator::from_raw(at) };
        assert!(enabled(this, Level::Info) && !enabled(this, Level::Debug));
        // SAFETY: as above.
        unsafe { (*at).loglevel = gf::GF_LOG_ERROR };
        assert!(enabled(this, Level::Error) && !enabled(this, Level::Warning));
    }
}
