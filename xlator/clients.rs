//! The numbers that stand for clients in records.
//!
//! A client's uid string is over a hundred bytes long and comes with every fop, so each record carries a
//! number, and a CLIENT statement ahead of the first one says whose it is. The host tells us when a client
//! is gone, before its memory may be used for another: that is why its address can be the key.

use dashmap::DashMap;
use gnotify_bindings::Client;
use gnotify_record::ClientId;

use crate::brick_journal::BrickJournal;

#[derive(Debug)]
pub(crate) struct Clients {
    by_address: DashMap<usize, ClientId>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        // A brick has tens to thousands of clients, and only a new one is written: few shards do.
        Clients { by_address: DashMap::with_shard_amount(16) }
    }

    /// The number of `client`, which is announced in `journal` if it is new. `None` when the ring has no
    /// room for the announcement: the record then goes without.
    pub(crate) fn number(&self, client: Client<'_>, journal: &BrickJournal) -> Option<ClientId> {
        if let Some(id) = self.by_address.get(&client.address()) {
            return Some(*id);
        }
        // Announced before it can be found, so that no record with the number is ahead of it. Of two threads
        // that both announce the client, the later one's number is not used.
        let id = journal.new_client();
        if !journal.append_client(id, client.uid().to_bytes()) {
            return None;
        }
        let known = *self.by_address.entry(client.address()).or_insert(id);
        if known != id {
            journal.client_gone(id);
        }
        Some(known)
    }

    /// Forgets a client that the host destroys. With brick multiplexing we are told of clients of other
    /// bricks too: those are not known here.
    pub(crate) fn gone(&self, client: Client<'_>, journal: &BrickJournal) {
        if let Some((_, id)) = self.by_address.remove(&client.address()) {
            journal.client_gone(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }
}
