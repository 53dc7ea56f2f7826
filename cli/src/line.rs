//! An entry with all that is shown of it: what both outputs are made from.

use gnotify_journal::{Place, What};

use crate::paths::Names;

/// What becomes a line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) what: &'a What<'a>,
    /// Where a statement stands.
    pub(crate) place: Option<Place<'a>>,
    /// The uid string of a record's client, where it is known.
    pub(crate) client: Option<&'a [u8]>,
    /// What `--paths` found; without it, nothing.
    pub(crate) names: Option<Names>,
}
