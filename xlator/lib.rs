//! gnotify, the translator: what `glusterfsd` loads into the brick.
//!
//! Thin on purpose. It turns the host's calls into records and hands them to the journal; what a fop means
//! is decided in `gnotify-record`, where records go in `gnotify-journal`, and how the host is spoken to in
//! `gnotify-bindings`. The host looks up one symbol, `xlator_api`.

mod barrier;
mod brick_journal;
mod changelog_role;
mod clients;
mod counters;
mod deliver;
mod dump;
mod export;
mod fops;
mod injected;
mod instance;
mod ipc;
mod life;
mod names;
mod observe;
mod options;
mod pendings;
mod persona;
mod removed_path;
mod resume;
mod retry;
mod stock_options;
mod trigger_sync;
mod unlinks;

use gnotify_bindings::notify::as_variadic;
use gnotify_bindings::sys;
use gnotify_bindings::table::{XlatorTable, no_api, no_cbks, no_dumpops};

/// How mature the host believes us to be; the ABI probe reads it back.
const CATEGORY: u32 = sys::gf_category_t::GF_TECH_PREVIEW;

static CALLBACKS: XlatorTable<sys::xlator_cbks> = XlatorTable::new({
    let mut table = no_cbks();
    table.release = Some(life::release);
    table.releasedir = Some(life::releasedir);
    table.client_destroy = Some(life::client_destroy);
    table
});

static DUMPS: XlatorTable<sys::xlator_dumpops> = XlatorTable::new({
    let mut table = no_dumpops();
    table.priv_ = Some(life::dump);
    table
});

/// What the host looks up when it has loaded the shared object.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the host's name for it")]
pub static xlator_api: XlatorTable<sys::xlator_api_t> = XlatorTable::new({
    let mut api = no_api();
    api.init = Some(life::init);
    api.fini = Some(life::fini);
    api.reconfigure = Some(life::reconfigure);
    api.notify = as_variadic(life::event);
    api.fops = fops::TABLE.as_ptr();
    api.cbks = CALLBACKS.as_ptr();
    api.dumpops = DUMPS.as_ptr();
    api.options = options::TABLE.first();
    api.identifier = c"gnotify".as_ptr().cast_mut();
    api.category = CATEGORY;
    // The oldest cluster in which the host may offer us: all of the versions that we are built for.
    api.op_version[0] = 1;
    api
});
