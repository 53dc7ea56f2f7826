//! The numbers that stand for clients in records.
//!
//! A client's uid string is over a hundred bytes long and comes with every fop, so each record carries a
//! number, and a CLIENT statement ahead of the first one says whose it is. The host tells us when a client
//! is gone, before its memory may be used for another: that is why its address can be the key.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use gnotify_bindings::Client;
use gnotify_record::ClientId;

use crate::brick_journal::BrickJournal;

#[derive(Debug)]
pub(crate) struct Clients {
    /// How many have gone: what is known of addresses from before is out of date.
    gone: AtomicU64,
    by_address: DashMap<usize, ClientId, BuildHasherDefault<AddressHasher>>,
}

/// A client's number, remembered beside the map by one fop for the next that has its memory.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct KnownClient {
    /// 0: none is known.
    address: usize,
    gone: u64,
    id: ClientId,
}

impl Clients {
    pub(crate) fn new() -> Self {
        // A brick has tens to thousands of clients, and only a new one is written: few shards do.
        Clients {
            gone: AtomicU64::new(0),
            by_address: DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), 16),
        }
    }

    /// The number of `client`, which is announced in `journal` if it is new. `None` when the ring has no
    /// room for the announcement: the record then goes without.
    #[inline]
    pub(crate) fn number(
        &self,
        client: Client<'_>,
        known: &mut KnownClient,
        journal: &BrickJournal,
    ) -> Option<ClientId> {
        let (address, gone) = (client.address(), self.gone.load(Ordering::Acquire));
        if (known.address, known.gone) != (address, gone) {
            let id = self.look_up(client, journal)?;
            *known = KnownClient { address, gone, id };
        }
        Some(known.id)
    }

    fn look_up(&self, client: Client<'_>, journal: &BrickJournal) -> Option<ClientId> {
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
            // Ahead of the host's freeing it: no fop of another client at this address comes before.
            self.gone.fetch_add(1, Ordering::Release);
            journal.client_gone(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }
}

/// Spreads addresses, which nobody outside chooses: the map is asked once a record.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8 | u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, address: usize) {
        // Fibonacci hashing; the map takes its shard from the upper bits and its bucket from the lower ones.
        let spread = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}
