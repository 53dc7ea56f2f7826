//! What the administrator can ask for, and the lenient reading of it.
//!
//! The host checks no value of a `user` translator's options, so a wrong one reaches us. It is reported
//! with what would be accepted, and the default is used: a typing error must not stop a brick.

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use gnotify_bindings::option::{joined, parse_bool, parse_millis, parse_size, text_option};
use gnotify_bindings::sys::volume_options;
use gnotify_bindings::table::XlatorTable;
use gnotify_changelog::rules::Scope;
use gnotify_journal::{Limits, Reserve};
use gnotify_record::effect::{Detail, Policy};

use crate::persona::Persona;
use crate::stock_options::{self, StockOptions};

/// The options of an instance, each valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) journal: bool,
    pub(crate) policy: Policy,
    pub(crate) xattr_values: bool,
    pub(crate) order: Order,
    /// The option `durability`: `sync`.
    pub(crate) durable_replies: bool,
    pub(crate) limits: Limits,
    pub(crate) ring_size: usize,
    pub(crate) ring_dir: PathBuf,
    /// Where the brick is, if it is not what the storage translator below says.
    pub(crate) brick_path: Option<PathBuf>,
    /// The option `changelog-records`.
    pub(crate) records: Scope,
    /// What `features/changelog` is asked for; `None` in gnotify's own role.
    pub(crate) stock: Option<StockOptions>,
    /// Bytes and age of what is kept of the exported slices (`retention-bytes`, `retention-age`).
    pub(crate) export_retention: (Option<u64>, Option<Duration>),
}

/// The option `order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// For one name, records come in the order in which the file system applied the fops.
    Strict,
    /// Fops on one name that run at the same time may be recorded in another order.
    Relaxed,
}

/// The row of an option: what the host's table shows and what is said of a wrong value.
struct Row {
    key: &'static CStr,
    default: &'static CStr,
    accepted: &'static str,
    description: &'static CStr,
}

macro_rules! rows {
    ($($name:ident $key:literal $default:literal $accepted:literal $description:literal;)*) => {
        $(const $name: Row =
            Row { key: $key, default: $default, accepted: $accepted, description: $description };)*
        /// gnotify's own options as the host lists them. All are text: the host would kill a brick at its
        /// start for a typed value that it cannot read.
        const OWN: [volume_options; [$(stringify!($name)),*].len()] =
            [$(text_option($name.key, Some($name.default), $name.description)),*];
        /// Every row, in the order of the table.
        #[cfg(test)]
        const ROWS: &[Row] = &[$($name),*];
    };
}

/// The options of all roles: an object has one table. No key is in two of them.
pub(crate) static TABLE: XlatorTable<[volume_options; OWN.len() + stock_options::TABLE.len() + 1]> =
    XlatorTable::new(joined(OWN, stock_options::TABLE));

rows! {
    JOURNAL c"journal" c"off" "on or off"
        c"Keep a journal of what changes on the brick.";
    DETAIL c"detail" c"slice" "slice or all"
        c"slice: one record for each inode, data or metadata fop, and slice. all: one for each fop.";
    SLICE_TIME c"slice-time" c"15" "1 second to 1 day"
        c"Length of a slice.";
    SEGMENT_SIZE c"segment-size" c"64MB" "1MB to 16GB"
        c"Size at which a segment of the journal is closed and the next one begun.";
    RING_SIZE c"ring-size" c"4MB" "1MB to 64MB, a power of two"
        c"Size of the ring in shared memory; takes effect when the brick is restarted.";
    SYNC_INTERVAL c"sync-interval" c"5" "0 seconds to 1 hour"
        c"How often the journal is made durable; 0: after each batch.";
    DURABILITY c"durability" c"interval" "interval or sync"
        c"interval: records are made durable by sync-interval. sync: a reply waits until its record is.";
    RETENTION_BYTES c"retention-bytes" c"0" "0 (keep all) or 4MB and more"
        c"Size of the journal above which its oldest segments are removed; 0: none is removed for that.";
    RETENTION_AGE c"retention-age" c"0" "0 (keep all) or 1 minute to 10 years"
        c"Age at which a segment is removed; 0: none is removed for that.";
    COMPRESS c"compress" c"off" "on or off"
        c"Compress segments that are not written any more. A gnotify from before it takes them for removed.";
    JOURNAL_OPENS c"journal-opens" c"off" "on or off"
        c"Record open and close as well.";
    XATTR_VALUES c"xattr-values" c"off" "on or off"
        c"Record the values of extended attributes (up to 4 KiB each) beside their names.";
    ORDER c"order" c"strict" "strict or relaxed"
        c"strict: fops on one name are served one after the other, so that their records are in order.";
    BRICK_PATH c"brick-path" c"" "the absolute path of the brick's directory"
        c"The brick's directory; by default the one of the storage translator below.";
    RING_DIR c"ring-dir" c"/run/gluster/gnotify" "the absolute path of a directory, on tmpfs"
        c"Where the ring lives; takes effect when the brick is restarted.";
    RECORDS c"changelog-records" c"stock" "stock or extended"
        c"stock: the changelog has the records that stock writes. extended: also those that it loses.";
}

/// Segments of the journal that `features/changelog` keeps where no retention is set: its consumers read the exported
/// files, and the journal is only the way there.
const CHANGELOG_SEGMENTS: u64 = 4;

impl Options {
    /// Reads the options of `persona`; otherwise as [`Options::read`].
    pub(crate) fn of(
        persona: Persona,
        text: impl Fn(&CStr) -> Option<String>,
        mut complain: impl FnMut(String),
    ) -> Options {
        let mut options = Options::read(&text, &mut complain);
        if persona == Persona::Changelog {
            options.become_changelog(StockOptions::read(text, complain));
        }
        options
    }

    /// What stock's options say is said here in gnotify's own.
    fn become_changelog(&mut self, stock: StockOptions) {
        let limits = &mut self.limits;
        self.journal = stock.changelog;
        self.policy = Policy { detail: Detail::Slice, journal_opens: false };
        self.xattr_values = false;
        self.durable_replies = stock.fsync_interval.is_zero();
        self.brick_path = stock.brick.clone();
        self.export_retention = (limits.retention_bytes, limits.retention_age);
        limits.slice_time = stock.rollover;
        limits.fsync_interval = stock.fsync_interval;
        limits.retention_bytes =
            limits.retention_bytes.or(Some(CHANGELOG_SEGMENTS * limits.segment_size));
        self.stock = Some(stock);
    }

    /// Reads gnotify's own options. `text` gives what was set under a key; `complain` gets a sentence for each
    /// value that is not accepted.
    pub(crate) fn read(
        text: impl Fn(&CStr) -> Option<String>,
        mut complain: impl FnMut(String),
    ) -> Options {
        let mut reader = Reader { text: &text, complain: &mut complain };
        let seconds = |range: std::ops::RangeInclusive<u64>| {
            move |text: &str| {
                let millis = parse_millis(text)?;
                range.contains(&(millis / 1000)).then(|| Duration::from_millis(millis))
            }
        };
        let bytes = |range: std::ops::RangeInclusive<u64>| {
            move |text: &str| parse_size(text).filter(|size| range.contains(size))
        };
        let detail = |text: &str| match text {
            "slice" => Some(Detail::Slice),
            "all" => Some(Detail::All),
            _ => None,
        };
        let durability = |text: &str| match text {
            "interval" => Some(false),
            "sync" => Some(true),
            _ => None,
        };
        let order = |text: &str| match text {
            "strict" => Some(Order::Strict),
            "relaxed" => Some(Order::Relaxed),
            _ => None,
        };
        let absolute = |text: &str| text.starts_with('/').then(|| PathBuf::from(text));
        Options {
            journal: reader.value(&JOURNAL, parse_bool),
            policy: Policy {
                detail: reader.value(&DETAIL, detail),
                journal_opens: reader.value(&JOURNAL_OPENS, parse_bool),
            },
            xattr_values: reader.value(&XATTR_VALUES, parse_bool),
            order: reader.value(&ORDER, order),
            durable_replies: reader.value(&DURABILITY, durability),
            limits: Limits {
                segment_size: reader.value(&SEGMENT_SIZE, bytes(1 << 20..=16 << 30)),
                slice_time: reader.value(&SLICE_TIME, seconds(1..=86_400)),
                fsync_interval: reader.value(&SYNC_INTERVAL, seconds(0..=3_600)),
                retention_bytes: reader.value(&RETENTION_BYTES, |text| match parse_size(text)? {
                    0 => Some(None),
                    size => (size >= 4 << 20).then_some(Some(size)),
                }),
                retention_age: reader.value(&RETENTION_AGE, |text| match parse_millis(text)? {
                    0 => Some(None),
                    age => (60_000..=315_360_000_000)
                        .contains(&age)
                        .then(|| Some(Duration::from_millis(age))),
                }),
                // Not an option of ours: the storage translator's.
                reserve: Reserve::default(),
                compress: reader.value(&COMPRESS, parse_bool),
            },
            ring_size: reader.value(&RING_SIZE, |text| {
                let size = parse_size(text).filter(|size| (1 << 20..=64 << 20).contains(size))?;
                size.is_power_of_two().then(|| usize::try_from(size).ok())?
            }),
            ring_dir: reader.value(&RING_DIR, absolute),
            brick_path: reader.value(&BRICK_PATH, |text| {
                if text.is_empty() { Some(None) } else { absolute(text).map(Some) }
            }),
            records: reader.value(&RECORDS, |text| match text {
                "stock" => Some(Scope::Stock),
                "extended" => Some(Scope::Extended),
                _ => None,
            }),
            stock: None,
            export_retention: (None, None),
        }
    }

    /// The options as `key=value` pairs, for the statedump.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let on = |value: bool| if value { "on" } else { "off" }.to_owned();
        let detail = match self.policy.detail {
            Detail::Slice => "slice",
            Detail::All => "all",
        };
        let order = match self.order {
            Order::Strict => "strict",
            Order::Relaxed => "relaxed",
        };
        let brick = self.brick_path.as_ref().map(|path| path.display().to_string());
        vec![
            ("journal", on(self.journal)),
            ("detail", detail.to_owned()),
            ("slice-time", format!("{:?}", self.limits.slice_time)),
            ("segment-size", self.limits.segment_size.to_string()),
            ("ring-size", self.ring_size.to_string()),
            ("sync-interval", format!("{:?}", self.limits.fsync_interval)),
            ("durability", if self.durable_replies { "sync" } else { "interval" }.to_owned()),
            ("retention-bytes", self.limits.retention_bytes.unwrap_or(0).to_string()),
            ("retention-age", format!("{:?}", self.limits.retention_age.unwrap_or_default())),
            ("compress", on(self.limits.compress)),
            ("journal-opens", on(self.policy.journal_opens)),
            ("xattr-values", on(self.xattr_values)),
            ("order", order.to_owned()),
            ("brick-path", brick.unwrap_or_default()),
            ("ring-dir", self.ring_dir.display().to_string()),
            (
                "changelog-records",
                if self.records == Scope::Extended { "extended" } else { "stock" }.to_owned(),
            ),
        ]
    }
}

struct Reader<'a> {
    text: &'a dyn Fn(&CStr) -> Option<String>,
    complain: &'a mut dyn FnMut(String),
}

impl Reader<'_> {
    fn value<T>(&mut self, row: &Row, parse: impl Fn(&str) -> Option<T>) -> T {
        let key = row.key.to_string_lossy();
        let default = row.default.to_string_lossy();
        if let Some(text) = (self.text)(row.key) {
            if let Some(value) = parse(&text) {
                return value;
            }
            (self.complain)(format!(
                "option {key}: \"{text}\" is not accepted, expected {}; using the default, \"{default}\"",
                row.accepted
            ));
        }
        parse(&default).unwrap_or_else(|| unreachable!("the default of {key} is not accepted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read(set: &[(&str, &str)]) -> (Options, Vec<String>) {
        let set: HashMap<&str, &str> = set.iter().copied().collect();
        let mut complaints = Vec::new();
        let get = |key: &CStr| set.get(key.to_str().unwrap()).map(|text| (*text).to_owned());
        let options = Options::read(get, |complaint| complaints.push(complaint));
        (options, complaints)
    }

    #[test]
    fn every_default_is_accepted() {
        let (options, complaints) = read(&[]);
        assert!(complaints.is_empty());
        assert!(!options.journal, "every part is off until it is switched on");
        assert_eq!(options.limits.slice_time, Duration::from_secs(15));
        assert_eq!(options.ring_size, 4 << 20);
        let shown: Vec<&str> = options.shown().iter().map(|(key, _)| *key).collect();
        let keys: Vec<&str> = ROWS.iter().map(|row| row.key.to_str().unwrap()).collect();
        assert_eq!(shown, keys, "the statedump shows each option");
    }

    #[test]
    fn good_values_are_taken() {
        let (options, complaints) = read(&[
            ("journal", "enable"),
            ("detail", "all"),
            ("slice-time", "2min"),
            ("segment-size", "1MB"),
            ("ring-size", "2097152"),
            ("sync-interval", "0"),
            ("retention-bytes", "1GB"),
            ("retention-age", "30d"),
            ("compress", "on"),
            ("xattr-values", "on"),
            ("brick-path", "/bricks/b"),
        ]);
        assert_eq!(complaints, Vec::<String>::new());
        assert!(options.journal && options.xattr_values);
        assert_eq!(options.policy.detail, Detail::All);
        assert_eq!(options.limits.slice_time, Duration::from_secs(120));
        assert_eq!(options.limits.segment_size, 1 << 20);
        assert_eq!(options.limits.fsync_interval, Duration::ZERO);
        assert_eq!(options.limits.retention_bytes, Some(1 << 30));
        assert_eq!(options.limits.retention_age, Some(Duration::from_secs(30 * 86_400)));
        assert!(options.limits.compress);
        assert_eq!(options.ring_size, 2 << 20);
        assert_eq!(options.brick_path, Some(PathBuf::from("/bricks/b")));
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_accepted_and_the_default_is_used() {
        let bad = [
            ("journal", "banana"),
            ("detail", "ranges"),
            ("slice-time", "0"),
            ("segment-size", "12"),
            ("ring-size", "3MB"),
            ("sync-interval", "-1"),
            ("retention-bytes", "1MB"),
            ("retention-age", "1"),
            ("compress", "zstd"),
            ("brick-path", "here"),
            ("ring-dir", ""),
        ];
        for (key, value) in bad {
            let (options, complaints) = read(&[(key, value)]);
            assert_eq!(options, read(&[]).0, "{key}");
            assert_eq!(complaints.len(), 1, "{key}");
            let row = ROWS.iter().find(|row| row.key.to_str() == Ok(key)).unwrap();
            for part in [key, value, row.accepted, row.default.to_str().unwrap()] {
                assert!(complaints[0].contains(part), "{part:?} is missing in {:?}", complaints[0]);
            }
        }
    }
}
