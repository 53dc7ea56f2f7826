//! What becomes of a fop whose reply has come: a record in the journal's ring, or nothing.
//!
//! It runs before the reply goes up, so that a client that has its reply has its record too (P4).

use std::num::NonZeroU64;
use std::sync::atomic::Ordering::Relaxed;

use gnotify_bindings::{Client, Fd, fd_ctx, inode_ctx};
use gnotify_changelog::rules;
use gnotify_channel::{Event, Kind};
use gnotify_journal::Appended;
use gnotify_record::codec::Body;
use gnotify_record::effect::{Effect, effect, implies_open};
use gnotify_record::{ClientId, FileType, Fop, Gfid, Origin, Record, SliceMark};

use crate::brick_journal::BrickJournal;
use crate::instance::Instance;
use crate::observe::{After, Pending};

/// Writes the record of the fop that was `seen`, if its effect is one. That the journal may have been switched
/// off since it was wound does not matter: what was begun is recorded.
///
/// Returns the number of the entry that stands for the change: the reply may have to wait for it.
pub(crate) fn deliver(
    instance: &Instance,
    seen: After<'_>,
    client: Option<Client<'_>>,
) -> Option<u64> {
    announce(instance, &seen);
    if !seen.pending.recorded {
        return None;
    }
    let journal = instance.journal()?;
    let After { pending, op_ret, opened, .. } = seen;
    let policy = instance.switches().policy();
    let Pending { record, changed, known_client, body, .. } = pending;
    let this = instance.this();
    let once_per_slice = match effect(record, op_ret, policy) {
        Effect::Nothing => return None,
        Effect::Record => None,
        Effect::RecordOncePerSlice(bit) => Some(bit),
    };
    record.client =
        client.and_then(|client| instance.clients.number(client, known_client, journal));
    let mut appended = match once_per_slice {
        None => write_in(body, instance, journal, record),
        Some(bit) => {
            // The slice is read once, now that the change is made and ahead of the append, and that one is
            // stored: if the slice ends in between, the inode is recorded again, which is legal; a change
            // without a record is not. While a slice is being ended there is none to be recorded in.
            let slice = journal.slice().map(NonZeroU64::get);
            let side = side(instance, record);
            let marked = slice.zip(changed.inode()).zip(side);
            if let Some(((slice, inode), apart)) = marked
                && SliceMark(inode_ctx::get(inode, this)).has(slice, bit, apart)
            {
                instance.counters.repeated.fetch_add(1, Relaxed);
                // Its record is one of those before.
                return Some(journal.next_seq().saturating_sub(1));
            }
            let appended = write_in(body, instance, journal, record);
            if let (Appended::Yes(_), Some(((slice, inode), apart))) = (appended, marked) {
                inode_ctx::update(inode, this, |mark| SliceMark(mark).with(slice, bit, apart).0);
            }
            appended
        }
    };
    if implies_open(record.fop, policy) {
        let open = Record {
            gfid: record.gfid,
            kind: record.kind,
            flags: record.flags,
            client: record.client,
            ..about(Fop::OPEN, record)
        };
        appended = write(instance, journal, &open);
    }
    if let (Some(fd), true) = (opened, policy.journal_opens) {
        // The host tells us of the close of those only on which we left a mark.
        fd_ctx::set(fd, this, OpenMark::of(record.client).0);
    }
    Some(appended.number())
}

/// On which side of an inode's mark a record counts: true where consumers pass over it that would not pass over another of
/// the same fop. `None`: it is not to be left out, and nothing behind it.
#[inline]
fn side(instance: &Instance, record: &Record<'_>) -> Option<bool> {
    let of_client = record.origin == Origin::Client;
    if instance.role().is_none() {
        return Some(!of_client);
    }
    // The changelog passes over more than that, and tells of some of what GlusterFS does itself. What is not told must
    // hide nothing that is; and two sides are too few to tell the others apart too.
    match (rules::is_told(record), of_client) {
        (true, true) => Some(false),
        (true, false) => None,
        (false, _) => Some(true),
    }
}

/// Tells consumers of the event channel that a file was opened, and sees to it that they hear of its close.
#[inline]
fn announce(instance: &Instance, seen: &After<'_>) {
    let record = &seen.pending.record;
    if !instance.announces(record.fop) {
        return;
    }
    let (Some(role), Some(gfid)) = (instance.role(), record.gfid) else { return };
    let flags = record.flags.map_or(0, u32::cast_signed);
    match record.fop {
        Fop::CREATE if role.wants(Kind::Create) => role.announce(Event::Create { gfid, flags }),
        Fop::OPEN if role.wants(Kind::Open) => role.announce(Event::Open { gfid, flags }),
        _ => {}
    }
    if let (Some(fd), true) = (seen.opened, role.wants(Kind::Release)) {
        fd_ctx::set(fd, instance.this(), OpenMark::ANNOUNCED);
    }
}

/// What an open file remembers until its close: the client that opened it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenMark(u64);

impl OpenMark {
    /// Never 0, which the host takes for no mark.
    const PRESENT: u64 = 1 << 32;

    /// Of a file whose close is announced, and not recorded: the stock translator's role records none.
    const ANNOUNCED: u64 = 1 << 33;

    fn is_announced(self) -> bool {
        self.0 == Self::ANNOUNCED
    }

    fn of(client: Option<ClientId>) -> OpenMark {
        OpenMark(Self::PRESENT | u64::from(client.map_or(0, |client| client.0)))
    }

    /// The client that opened the file.
    fn client(self) -> Option<ClientId> {
        u32::try_from(self.0 & !Self::PRESENT).ok().filter(|id| *id != 0).map(ClientId)
    }
}

/// Says that an open file was closed for good.
pub(crate) fn deliver_close(instance: &Instance, fop: Fop, fd: Fd<'_>) {
    let mark = fd_ctx::del(fd, instance.this()).map(OpenMark);
    let gfid = fd.inode().and_then(|inode| Gfid(inode.gfid()).known());
    if let (Some(role), Some(gfid), true) =
        (instance.role(), gfid, mark.is_some_and(OpenMark::is_announced))
    {
        role.announce(Event::Release { gfid });
    }
    let Some(journal) = instance.journal().filter(|_| instance.watches(fop)) else { return };
    // A close has no frame: under whose name the file was opened is not known here, only from which process.
    let pid = i32::try_from(fd.pid().cast_signed()).ok();
    let origin = Origin::decide(pid.unwrap_or(0), false, true, None);
    let record = Record {
        gfid,
        kind: fd.inode().and_then(|inode| FileType::from_host(inode.ia_type())),
        client: mark.and_then(OpenMark::client),
        flags: Some(fd.flags().cast_unsigned()),
        ..Record::new(fop, origin)
    };
    // What finds no room is told as a gap.
    let _ = write(instance, journal, &record);
}

/// Writes `record`.
pub(crate) fn write(instance: &Instance, journal: &BrickJournal, record: &Record<'_>) -> Appended {
    write_in(&mut Body::new(), instance, journal, record)
}

/// The same, by way of `body`.
#[inline]
fn write_in(
    body: &mut Body,
    instance: &Instance,
    journal: &BrickJournal,
    record: &Record<'_>,
) -> Appended {
    let appended = journal.append_record_in(body, record, now());
    match appended {
        Appended::Yes(_) => instance.counters.recorded(record.fop),
        Appended::Dropped(_) => {
            instance.counters.dropped.fetch_add(1, Relaxed);
        }
    }
    appended
}

/// A record of `fop` by whoever did `other`.
fn about(fop: Fop, other: &Record<'_>) -> Record<'static> {
    Record { caller: other.caller, ctime: other.ctime, ..Record::new(fop, other.origin) }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `now`, and nothing else. The standard library takes five times as long.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.cast_unsigned())
}
