//! What a segment tells about the ones behind it.

use std::collections::BTreeMap;

use gnotify_record::ClientId;

/// What is known from the segments before.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) last: Option<Past>,
    /// The clients of the running start.
    pub(super) clients: BTreeMap<ClientId, Known>,
    /// Whether these are all of them: the START was read, and nothing is missing behind it.
    pub(super) complete: bool,
    /// The number of the last SLICE-END in the running start.
    pub(super) slice: u64,
    /// The time of the last entry.
    pub(super) time: u64,
    /// Up to which number the journal told that its oldest segments go.
    pub(super) trimmed: u64,
}

/// The segment before.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) epoch: [u8; 16],
    pub(super) start_id: u64,
    pub(super) salt: u32,
    pub(super) created: u64,
    /// The lowest number that is not accounted for.
    pub(super) next: u64,
    /// Whether its last entry is a STOP.
    pub(super) stopped: bool,
}

/// A client that was named.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) uid: Vec<u8>,
    pub(super) gone: bool,
}

impl Chain {
    /// Entries are missing.
    pub(super) fn lose(&mut self) {
        self.complete = false;
    }

    /// What comes next has nothing to do with what was.
    pub(super) fn break_off(&mut self) {
        *self = Chain { trimmed: self.trimmed, ..Chain::default() };
    }

    /// The brick was started: clients and slices begin anew.
    pub(super) fn start(&mut self) {
        self.clients.clear();
        self.slice = 0;
        self.complete = true;
    }

    pub(super) fn name(&mut self, id: ClientId, uid: Vec<u8>) {
        self.clients.insert(id, Known { uid, gone: false });
    }
}
