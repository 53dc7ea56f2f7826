//! The options of `features/changelog`, with the keys, types and defaults that stock has.
//!
//! glusterd reads the table of whatever object is installed under that name: it checks `volume set` against it and shows
//! its defaults in `volume get`. That is why these are typed, and gnotify's own options are not. FORMAT: GlusterFS 10,
//! xlators/features/changelog; `docs/operations.md` lists what each does here.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gnotify_bindings::option::{choice_option, parse_bool, parse_millis, typed_option};
use gnotify_bindings::sys::volume_option_type_t as kind;
use gnotify_bindings::sys::volume_options;
use gnotify_changelog::Encoding;

/// The options, in the form of the host's table.
pub(crate) const TABLE: [volume_options; 10] = [
    typed_option(
        c"changelog",
        kind::GF_OPTION_TYPE_BOOL,
        Some(c"off"),
        c"Record what changes on the brick, for geo-replication, glusterfind and others.",
    ),
    typed_option(
        c"changelog-notification",
        kind::GF_OPTION_TYPE_BOOL,
        Some(c"off"),
        c"Serve the event channel even where nothing is recorded (bitrot detection needs it).",
    ),
    typed_option(
        c"changelog-brick",
        kind::GF_OPTION_TYPE_PATH,
        Some(c"{{ brick.path }}"),
        c"The brick's directory.",
    ),
    typed_option(
        c"changelog-dir",
        kind::GF_OPTION_TYPE_PATH,
        Some(c"{{ brick.path }}/.glusterfs/changelogs"),
        c"Where the changelog's files are.",
    ),
    choice_option(c"op-mode", &[c"realtime"], c"realtime", c"There is only one mode."),
    choice_option(
        c"encoding",
        &[c"binary", c"ascii"],
        c"ascii",
        c"How records are written. No consumer of GlusterFS reads binary.",
    ),
    typed_option(
        c"rollover-time",
        kind::GF_OPTION_TYPE_TIME,
        Some(c"15"),
        c"How long a slice lasts, in seconds; consumers see what changed when it ends.",
    ),
    typed_option(
        c"fsync-interval",
        kind::GF_OPTION_TYPE_TIME,
        Some(c"5"),
        c"How often records are made durable, in seconds; 0: a reply waits until its record is.",
    ),
    typed_option(
        c"changelog-barrier-timeout",
        kind::GF_OPTION_TYPE_TIME,
        Some(c"120"),
        c"After how many seconds a snapshot's barrier is lifted by itself.",
    ),
    typed_option(
        c"capture-del-path",
        kind::GF_OPTION_TYPE_BOOL,
        Some(c"off"),
        c"Record the path of what is removed (glusterfind needs it).",
    ),
];

/// What was set, or stock's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StockOptions {
    pub(crate) changelog: bool,
    pub(crate) notification: bool,
    /// Where nothing is set, the storage translator below knows the brick.
    pub(crate) brick: Option<PathBuf>,
    dir: Option<PathBuf>,
    pub(crate) encoding: Encoding,
    pub(crate) rollover: Duration,
    pub(crate) fsync_interval: Duration,
    pub(crate) barrier_timeout: Duration,
    pub(crate) capture_del_path: bool,
}

impl StockOptions {
    /// Reads them. The host has checked what came through it; where it did not, as in a volfile by hand, `complain`
    /// gets a sentence, and the default is used.
    pub(crate) fn read(
        text: impl Fn(&CStr) -> Option<String>,
        mut complain: impl FnMut(String),
    ) -> StockOptions {
        let mut reader = Reader { text: &text, complain: &mut complain };
        let seconds = |text: &str| parse_millis(text).map(Duration::from_millis);
        let path = |text: &str| text.starts_with('/').then(|| PathBuf::from(text));
        let encoding = |text: &str| match text {
            "ascii" => Some(Encoding::Ascii),
            "binary" => Some(Encoding::Binary),
            _ => None,
        };
        reader.value(c"op-mode", "realtime", |text| (text == "realtime").then_some(()));
        StockOptions {
            changelog: reader.value(c"changelog", "off", parse_bool),
            notification: reader.value(c"changelog-notification", "off", parse_bool),
            brick: reader.some(c"changelog-brick", path),
            dir: reader.some(c"changelog-dir", path),
            encoding: reader.value(c"encoding", "ascii", encoding),
            // Stock takes 0; a slice's name counts seconds.
            rollover: reader
                .value(c"rollover-time", "15", seconds)
                .clamp(Duration::from_secs(1), Duration::from_secs(86_400)),
            fsync_interval: reader
                .value(c"fsync-interval", "5", seconds)
                .min(Duration::from_secs(3_600)),
            barrier_timeout: reader.value(c"changelog-barrier-timeout", "120", seconds),
            capture_del_path: reader.value(c"capture-del-path", "off", parse_bool),
        }
    }

    /// Where the changelog of the brick at `brick` is.
    pub(crate) fn dir(&self, brick: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| brick.join(".glusterfs/changelogs"))
    }
}

struct Reader<'a> {
    text: &'a dyn Fn(&CStr) -> Option<String>,
    complain: &'a mut dyn FnMut(String),
}

impl Reader<'_> {
    fn value<T>(&mut self, key: &CStr, default: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.some(key, &parse).or_else(|| parse(default)).unwrap_or_else(|| {
            unreachable!("the default of {} is not accepted", key.to_string_lossy())
        })
    }

    fn some<T>(&mut self, key: &CStr, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        // The default of a table may reach us as it stands there, with its placeholder.
        let text = (self.text)(key).filter(|text| !text.contains("{{"))?;
        let value = parse(&text);
        if value.is_none() {
            let key = key.to_string_lossy();
            (self.complain)(format!("option {key}: \"{text}\" is not accepted; using the default"));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> (StockOptions, Vec<String>) {
        let mut complaints = Vec::new();
        let get = |key: &CStr| {
            let set = set.iter().find(|(set, _)| key.to_str() == Ok(set));
            set.map(|(_, text)| (*text).to_owned())
        };
        let options = StockOptions::read(get, |complaint| complaints.push(complaint));
        (options, complaints)
    }

    #[test]
    fn the_defaults_of_the_table_are_the_ones_that_are_used() {
        let (defaults, complaints) = read(&[]);
        assert_eq!(complaints, Vec::<String>::new());
        let text = |at: usize| {
            // SAFETY: the table is made of C strings.
            let (key, default) = unsafe {
                let row = &TABLE[at];
                (CStr::from_ptr(row.key[0]), CStr::from_ptr(row.default_value))
            };
            (key.to_str().unwrap().to_owned(), default.to_str().unwrap().to_owned())
        };
        let table: Vec<_> = (0..TABLE.len()).map(text).collect();
        let table: Vec<_> = table.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(read(&table), (defaults.clone(), Vec::new()));
        assert!(!defaults.changelog && !defaults.notification && !defaults.capture_del_path);
        assert_eq!(defaults.rollover, Duration::from_secs(15));
        assert_eq!(defaults.fsync_interval, Duration::from_secs(5));
        assert_eq!(defaults.barrier_timeout, Duration::from_secs(120));
        assert_eq!(defaults.dir(Path::new("/b")), Path::new("/b/.glusterfs/changelogs"));
    }

    #[test]
    fn what_is_set_is_used() {
        let (options, complaints) = read(&[
            ("changelog", "on"),
            ("changelog-dir", "/elsewhere"),
            ("encoding", "binary"),
            ("rollover-time", "1min"),
            ("fsync-interval", "0"),
        ]);
        assert_eq!(complaints, Vec::<String>::new());
        assert!(options.changelog);
        assert_eq!(options.dir(Path::new("/b")), Path::new("/elsewhere"));
        assert_eq!(options.encoding, Encoding::Binary);
        assert_eq!(options.rollover, Duration::from_secs(60));
        assert_eq!(options.fsync_interval, Duration::ZERO);
        assert_eq!(read(&[("rollover-time", "0")]).0.rollover, Duration::from_secs(1));
    }

    #[test]
    fn what_is_not_accepted_is_named_and_the_default_is_used() {
        for (key, value) in [
            ("changelog", "banana"),
            ("changelog-dir", "here"),
            ("encoding", "utf8"),
            ("op-mode", "batch"),
            ("rollover-time", "-1"),
        ] {
            let (options, complaints) = read(&[(key, value)]);
            assert_eq!(options, read(&[]).0, "{key}");
            assert!(complaints[0].contains(key) && complaints[0].contains(value), "{complaints:?}");
        }
    }
}
