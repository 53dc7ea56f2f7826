//! Options: the table that declares them, and their lenient reading.
//!
//! The host kills a brick at start over a typed option whose value it cannot read, and its command line does
//! not check the values of a `user` translator. So our own options are declared as text and read here: a bad
//! value is the caller's to warn about and to replace by the default.

use core::ffi::CStr;
use core::ptr;

use crate::dict::Dict;
use crate::sys;
use crate::xlator::Xlator;

/// The text of an option of `this` as the volfile gave it, without white space around; none when it is not set.
pub fn option(this: Xlator<'_>, key: &CStr) -> Option<String> {
    option_in(this.options()?, key)
}

/// The same from a given dict: reconfigure gets the new options in one.
pub fn option_in(options: Dict<'_>, key: &CStr) -> Option<String> {
    let text = options.text(key)?;
    Some(String::from_utf8_lossy(text).trim().to_owned())
}

/// The words for yes and no that the host knows; none for any other.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "enable" | "1" => Some(true),
        "off" | "no" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}

/// A size in bytes: a number, and perhaps K, M, G or T with or without B, by 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A time in milliseconds: a number of seconds, or with a unit (ms, s or sec, m or min, h or hr, d, w).
pub fn parse_millis(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "wk" => 604_800_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// An entry of the table, without restriction of its value.
pub const fn text_option(
    key: &'static CStr,
    default: Option<&'static CStr>,
    description: &'static CStr,
) -> sys::volume_options {
    typed_option(key, sys::volume_option_type_t::GF_OPTION_TYPE_STR, default, description)
}

/// An entry of the table of one of the host's types: for the keys of stock translators, which the host and
/// its command line do check.
pub const fn typed_option(
    key: &'static CStr,
    kind: sys::volume_option_type_t::Type,
    default: Option<&'static CStr>,
    description: &'static CStr,
) -> sys::volume_options {
    let mut entry = end_of_options();
    entry.key[0] = key.as_ptr().cast_mut();
    entry.type_ = kind;
    entry.default_value = match default {
        Some(text) => text.as_ptr().cast_mut(),
        None => ptr::null_mut(),
    };
    entry.description = description.as_ptr().cast_mut();
    entry.op_version[0] = 1;
    entry.flags = sys::opt_flags_t::OPT_FLAG_SETTABLE | sys::opt_flags_t::OPT_FLAG_DOC;
    entry
}

/// An entry of the table whose value is one of a few words, which the host and its command line check.
///
/// # Panics
/// At compile time, where there are more words than the host's table takes.
pub const fn choice_option(
    key: &'static CStr,
    words: &[&'static CStr],
    default: &'static CStr,
    description: &'static CStr,
) -> sys::volume_options {
    let kind = sys::volume_option_type_t::GF_OPTION_TYPE_STR;
    let mut entry = typed_option(key, kind, Some(default), description);
    let mut at = 0;
    while at < words.len() {
        entry.value[at] = words[at].as_ptr().cast_mut();
        at += 1;
    }
    entry
}

/// The entry that ends a table.
pub const fn end_of_options() -> sys::volume_options {
    // SAFETY: pointers and numbers, for all of which zero is a value; the host's own tables end so.
    unsafe { core::mem::zeroed() }
}

/// A table of the entries of two, ended as the host wants it.
///
/// # Panics
/// At compile time, where `N` is not one more than both have.
pub const fn joined<const A: usize, const B: usize, const N: usize>(
    first: [sys::volume_options; A],
    second: [sys::volume_options; B],
) -> [sys::volume_options; N] {
    assert!(N == A + B + 1);
    let mut all = [end_of_options(); N];
    let mut at = 0;
    while at < A {
        all[at] = first[at];
        at += 1;
    }
    while at < A + B {
        all[at] = second[at - A];
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_with_an_empty_entry() {
        let time = sys::volume_option_type_t::GF_OPTION_TYPE_TIME;
        let table: [_; 3] = joined(
            [text_option(c"detail", Some(c"slice"), c"how much")],
            [typed_option(c"rollover-time", time, None, c"")],
        );
        assert_eq!(table.len(), 3);
        // SAFETY: made from C strings above.
        assert_eq!(unsafe { CStr::from_ptr(table[0].key[0]) }, c"detail");
        assert!(table[1].default_value.is_null() && table[2].key[0].is_null());
    }

    #[test]
    fn words_for_yes_and_no() {
        assert_eq!(parse_bool(" On "), Some(true));
        assert_eq!(parse_bool("disable"), Some(false));
        assert_eq!(parse_bool("banana"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4MB"), Some(4 << 20));
        assert_eq!(parse_size("12"), Some(12));
        assert_eq!(parse_size("1 g"), Some(1 << 30));
        assert_eq!(parse_size("99999999999999999999"), None);
        assert_eq!(parse_size("18446744073709551615T"), None);
        assert_eq!(parse_size("-1"), None);
        assert_eq!(parse_size(""), None);
    }

    #[test]
    fn times() {
        assert_eq!(parse_millis("15"), Some(15_000));
        assert_eq!(parse_millis("250ms"), Some(250));
        assert_eq!(parse_millis("2 min"), Some(120_000));
        assert_eq!(parse_millis("soon"), None);
    }
}
