//! The numbers that stand for clients in records.
//!
//! A client's uid string is over a hundred bytes long and comes with every fop, so each record carries a
//! number, and a CLIENT statement ahead of the first one says whose it is. The host tells us when a client
//! is gone, before its memory may be used for another: that is why its address can be the key.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dashmap::DashMap;
use dashmap::Entry;
use gnotify_bindings::Client;
use gnotify_journal::Journal;
use gnotify_record::ClientId;

#[derive(Debug)]
pub(crate) struct Clients {
    by_address: DashMap<usize, ClientId>,
    next: AtomicU32,
}

impl Clients {
    pub(crate) fn new() -> Self {
        // A brick has tens to thousands of clients, and only a new one is written: few shards do.
        Clients { by_address: DashMap::with_shard_amount(16), next: AtomicU32::new(1) }
    }

    /// The number of `client`, which is announced in `journal` if it is new. `None` when the ring has no
    /// room for the announcement: the record then goes without.
    pub(crate) fn number(&self, client: Client<'_>, journal: &Journal) -> Option<ClientId> {
        if let Some(id) = self.by_address.get(&client.address()) {
            return Some(*id);
        }
        // The shard stays locked until the announcement is in the ring, so that no other thread can write
        // a record with the number ahead of it. The append never waits.
        match self.by_address.entry(client.address()) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) => {
                let id = ClientId(self.next.fetch_add(1, Relaxed));
                journal.append_client(id, client.uid().to_bytes()).then(|| *new.insert(id))
            }
        }
    }

    /// Forgets a client that the host destroys. With brick multiplexing we are told of clients of other
    /// bricks too: those are not known here.
    pub(crate) fn gone(&self, client: Client<'_>, journal: &Journal) {
        if let Some((_, id)) = self.by_address.remove(&client.address()) {
            journal.client_gone(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }
}
