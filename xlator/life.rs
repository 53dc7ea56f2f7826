//! The life of an instance, as the host tells it: init, reconfigure, events, goodbyes of clients, closes of
//! files, fini.
//!
//! Nothing here may count on fini: a brick that is stopped exits without it, and kill -9 comes at any
//! time. What must be on record is in the ring already.

use core::ffi::c_void;
use gnotify_bindings::log::{self, Level};
use gnotify_bindings::option::{option_in, parse_bool};
use gnotify_bindings::{Client, Dict, Fd, Xlator, abi, guard, notify, sys};
use gnotify_record::Fop;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::deliver::deliver_close;
use crate::instance::Instance;
use crate::options::Options;
use crate::persona::Persona;
use crate::{CATEGORY, fops};

/// The number of the host's event that carries orders to translators.
const TRANSLATOR_OP: i32 = sys::glusterfs_event_t::GF_EVENT_TRANSLATOR_OP.cast_signed();

/// The host starts an instance. -1 keeps the brick from starting: only for a host or a graph that we
/// cannot run in.
pub(crate) unsafe extern "C" fn init(this: *mut sys::xlator_t) -> i32 {
    // SAFETY: [this-xlator] the host initialises a live translator.
    let this = unsafe { Xlator::from_raw(this) };
    guard::install_panic_hook();
    // A panic in here has been logged by the hook.
    guard::guard(|| start(this)).unwrap_or(-1)
}

fn start(this: Xlator<'_>) -> i32 {
    // SAFETY: [this-xlator] the host is calling our init.
    if let Err(mismatch) = unsafe { abi::probe(this, fops::TABLE.as_ptr(), CATEGORY) } {
        log::log(
            this,
            Level::Critical,
            0,
            format_args!("this is not the GlusterFS that gnotify was built for: {mismatch}"),
        );
        return -1;
    }
    let children = this.children();
    if children != 1 {
        log::log(
            this,
            Level::Critical,
            0,
            format_args!("needs exactly one subvolume in the volfile, has {children}"),
        );
        return -1;
    }
    // SAFETY: [joined-threads] the instance gives it to the journal's threads, and takes it back in fini.
    let instance = Box::new(Instance::new(unsafe { this.share() }));
    // Whatever goes wrong from here on costs the journal and not the brick.
    instance.guarded(|| instance.apply(read_options(this, this.options())));
    this.set_private(Box::into_raw(instance).cast::<c_void>());
    0
}

/// The options changed while the brick runs. Always 0: a bad value is reported and replaced.
pub(crate) unsafe extern "C" fn reconfigure(
    this: *mut sys::xlator_t,
    options: *mut sys::dict_t,
) -> i32 {
    // SAFETY: [this-xlator] [host-args] a live translator and the dict of its new options.
    let (this, options) = unsafe { (Xlator::from_raw(this), Dict::from_raw(options)) };
    if let Some(instance) = Instance::of(this) {
        instance.guarded(|| instance.apply(read_options(this, options)));
    }
    0
}

fn read_options(this: Xlator<'_>, options: Option<Dict<'_>>) -> Options {
    Options::of(
        Persona::of(this.kind()),
        |key| option_in(options?, key),
        |complaint| log::log(this, Level::Error, 0, format_args!("{complaint}")),
    )
}

/// The host takes an instance down: a brick is detached from a shared process, or a client's graph is
/// replaced. No fop of it is under way.
pub(crate) unsafe extern "C" fn fini(this: *mut sys::xlator_t) {
    // SAFETY: [this-xlator] the host ends a live translator.
    let this = unsafe { Xlator::from_raw(this) };
    let instance = this.set_private(core::ptr::null_mut()).cast::<Instance>();
    if !instance.is_null() {
        // SAFETY: [instance] init made it from a Box, and it is taken once: the slot is empty now.
        let instance = unsafe { Box::from_raw(instance) };
        // A panic in here has been logged by the hook.
        let _ = guard::guard(|| {
            instance.close();
            bury(instance);
        });
    }
}

/// Frees an instance, but not at once. The host tells every brick of a process about every client, and dumps the
/// state of all, from other threads and with no more than a look at a flag of the translator: one of them may
/// have found the instance a moment ago.
fn bury(instance: Box<Instance>) {
    /// Such a call takes microseconds; a state dump of many bricks may take seconds.
    const REST: Duration = Duration::from_secs(60);
    static BURIED: Mutex<Vec<(Instant, Box<Instance>)>> = Mutex::new(Vec::new());
    let mut buried = BURIED.lock().unwrap_or_else(PoisonError::into_inner);
    buried.retain(|(since, _)| since.elapsed() < REST);
    buried.push((Instant::now(), instance));
}

/// An event of the graph. Each goes on but an order to the changelog: to raise or to lift the snapshot barrier.
pub(crate) unsafe extern "C" fn event(
    this: *mut sys::xlator_t,
    event: i32,
    data: *mut c_void,
) -> i32 {
    // SAFETY: [this-xlator] the host tells a live translator.
    let this = unsafe { Xlator::from_raw(this) };
    let role = Instance::of(this).and_then(|instance| Some((instance, instance.role()?)));
    if let (Some((instance, role)), TRANSLATOR_OP) = (role, event) {
        // SAFETY: [host-args] the host gives a dict with this event, or nothing.
        let order = unsafe { Dict::from_raw(data.cast()) };
        let order = order.and_then(|order| option_in(order, c"barrier"));
        let Some(up) = order.as_deref().and_then(parse_bool) else { return -1 };
        let done = instance.guarded(|| role.set_barrier(up));
        return if done == Some(true) { 0 } else { -1 };
    }
    // SAFETY: [this-xlator] [host-args] the host's own event.
    unsafe { notify::pass_on(this, event, data) }
}

/// The host is about to free a client.
pub(crate) unsafe extern "C" fn client_destroy(
    this: *mut sys::xlator_t,
    client: *mut sys::client_t,
) -> i32 {
    // SAFETY: [this-xlator] [live-client] the host frees the client after this call.
    let (this, client) = unsafe { (Xlator::from_raw(this), Client::from_raw(client)) };
    if let (Some(instance), Some(client)) = (Instance::of(this), client)
        && let Some(journal) = instance.journal()
    {
        instance.guarded(|| instance.clients.gone(client, journal));
    }
    0
}

/// The last user of an open file is gone.
pub(crate) unsafe extern "C" fn release(this: *mut sys::xlator_t, fd: *mut sys::fd_t) -> i32 {
    // SAFETY: [this-xlator] [live-fd] the host frees the descriptor after this call.
    unsafe { closed(this, fd, Fop::RELEASE) }
}

/// The last user of an open directory is gone.
pub(crate) unsafe extern "C" fn releasedir(this: *mut sys::xlator_t, fd: *mut sys::fd_t) -> i32 {
    // SAFETY: as in `release`.
    unsafe { closed(this, fd, Fop::RELEASEDIR) }
}

/// # Safety
/// [this-xlator] and [live-fd].
unsafe fn closed(this: *mut sys::xlator_t, fd: *mut sys::fd_t, fop: Fop) -> i32 {
    // SAFETY: by the caller.
    let (this, fd) = unsafe { (Xlator::from_raw(this), Fd::from_raw(fd)) };
    if let (Some(instance), Some(fd)) = (Instance::of(this), fd) {
        instance.guarded(|| deliver_close(instance, fop, fd));
    }
    0
}

/// The instance's section of a statedump.
pub(crate) unsafe extern "C" fn dump(this: *mut sys::xlator_t) -> i32 {
    // SAFETY: [this-xlator] the host dumps a live translator.
    let this = unsafe { Xlator::from_raw(this) };
    if let Some(instance) = Instance::of(this) {
        instance.guarded(|| crate::dump::dump(instance));
    }
    0
}
