//! The boundary against the real libglusterfs, in this process and without a brick.
//!
//! It exists because winding, dicts and inode slots are the host's memory and the host's locks: a mock would
//! agree with whatever we believe of them. The host is initialised as its daemon does it, and the graph is
//! two translators of ours, one above the other.

#![allow(missing_docs)]

use core::ffi::c_void;
use core::mem::{size_of, zeroed};
use core::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gnotify_bindings::sys::{self, glusterfs_fop_t::GF_FOP_FSYNC};
use gnotify_bindings::table::{self, XlatorTable};
use gnotify_bindings::{
    Caller, Frame, FromHost, Inode, OwnedDict, StandIn, Xlator, abi, fd_ctx, guard, inode_ctx, log,
    pass_back, this, unwind, wind, wind_tail,
};

/// The translators, leaked: `top` called us, `us` is us, `leaf` answers.
struct Graph {
    top: *mut sys::xlator_t,
    us: *mut sys::xlator_t,
    leaf: *mut sys::xlator_t,
}

// SAFETY: made once, and what the tests change in it are the host's atomics.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

static LEAF_FOPS: XlatorTable<sys::xlator_fops> =
    XlatorTable::new(sys::xlator_fops { fsync: Some(leaf_fsync), ..table::no_fops() });
static OUR_FOPS: XlatorTable<sys::xlator_fops> =
    XlatorTable::new(sys::xlator_fops { fsync: Some(our_fsync), ..table::no_fops() });

fn graph() -> &'static Graph {
    static GRAPH: OnceLock<Graph> = OnceLock::new();
    let graph = GRAPH.get_or_init(|| {
        // SAFETY: the host's own order of initialisation, once a process and before any other call.
        unsafe {
            sys::mem_pools_init();
            let ctx = sys::glusterfs_ctx_new();
            assert!(!ctx.is_null());
            assert_eq!(sys::glusterfs_globals_init(ctx), 0);
            sys::global_ctx = ctx;
            (*ctx).measure_latency = 1;
            (**sys::__glusterfs_this_location()).ctx = ctx;
            let pool = move |size: usize, name: &'static core::ffi::CStr| {
                sys::mem_pool_new_fn(ctx, size as _, 16, name.as_ptr().cast_mut())
            };
            (*ctx).dict_pool = pool(size_of::<sys::dict_t>(), c"dict_t");
            (*ctx).dict_data_pool = pool(size_of::<sys::data_t>(), c"data_t");
            (*ctx).dict_pair_pool = pool(size_of::<sys::data_pair_t>(), c"data_pair_t");
            let calls: *mut sys::call_pool_t = Box::leak(Box::new(zeroed()));
            (*calls).frame_mem_pool = pool(size_of::<sys::call_frame_t>(), c"call_frame_t");
            (*calls).stack_mem_pool = pool(size_of::<sys::call_stack_t>(), c"call_stack_t");
            libc::pthread_mutex_init(&raw mut (*calls).lock, ptr::null());
            let all = (&raw mut (*calls).__bindgen_anon_1).cast::<sys::list_head>();
            (*all).next = all;
            (*all).prev = all;
            (*ctx).pool = calls;
            let own: &'static mut sys::glusterfs_graph_t = Box::leak(Box::new(zeroed()));
            own.xl_count = 3;
            own.id = 1;
            let leaf = translator(ctx, c"leaf", c"storage/none", &LEAF_FOPS, None);
            let us = translator(ctx, c"us", c"features/gnotify", &OUR_FOPS, Some(leaf));
            let top = translator(ctx, c"top", c"debug/top", &OUR_FOPS, Some(us));
            for xlator in [leaf, us, top] {
                (*xlator).graph = own;
            }
            Graph { top, us, leaf }
        }
    });
    // SAFETY: [this-xlator] the graph is never freed. Every test has a thread of its own.
    let _for_ever = this::within(unsafe { Xlator::from_raw(graph.us) });
    graph
}

/// # Safety
/// `ctx` is the process's context.
unsafe fn translator(
    ctx: *mut sys::glusterfs_ctx_t,
    name: &'static core::ffi::CStr,
    kind: &'static core::ffi::CStr,
    fops: &'static XlatorTable<sys::xlator_fops>,
    child: Option<*mut sys::xlator_t>,
) -> *mut sys::xlator_t {
    static NEXT_ID: AtomicU32 = AtomicU32::new(1);
    // SAFETY: all zero is how the host allocates a translator, too.
    let xlator: &'static mut sys::xlator_t = unsafe { Box::leak(Box::new(zeroed())) };
    xlator.name = name.as_ptr().cast_mut();
    xlator.type_ = kind.as_ptr().cast_mut();
    xlator.fops = fops.as_ptr();
    xlator.ctx = ctx;
    xlator.category = 3;
    xlator.xl_id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    if let Some(child) = child {
        // SAFETY: as above.
        let list: &'static mut sys::xlator_list_t = unsafe { Box::leak(Box::new(zeroed())) };
        list.xlator = child;
        xlator.children = list;
    }
    xlator
}

/// What the fops below leave for the test that called them, in the state pointer of the call's root.
struct Seen {
    leaf: u32,
    /// The frame that came to the leaf, and the translator that it was to answer.
    frame: *mut sys::call_frame_t,
    parent: Option<*mut sys::xlator_t>,
    reply: Option<(u32, i32, i32)>,
    top: Option<(i32, i32)>,
    order: Vec<&'static str>,
    /// The frame and its cookie as the top made them, and the cookie as it came back.
    made: (*mut sys::call_frame_t, *mut c_void),
    cookie: *mut c_void,
    /// Frames on the stack's list when the call had been answered.
    frames: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            leaf: 0,
            frame: ptr::null_mut(),
            parent: None,
            reply: None,
            top: None,
            order: Vec::new(),
            made: (ptr::null_mut(), ptr::null_mut()),
            cookie: ptr::null_mut(),
            frames: 0,
        }
    }
}

/// # Safety
/// `frame` belongs to a call made by `call`.
unsafe fn seen<'a>(frame: *mut sys::call_frame_t) -> &'a mut Seen {
    // SAFETY: `call` stored it and outlives the call.
    unsafe { &mut *(*(*frame).root).state.cast::<Seen>() }
}

fn running() -> *mut sys::xlator_t {
    // SAFETY: a thread-local of this thread.
    unsafe { *sys::__glusterfs_this_location() }
}

unsafe extern "C" fn our_fsync(
    frame: *mut sys::call_frame_t,
    this: *mut sys::xlator_t,
    fd: *mut sys::fd_t,
    flags: i32,
    xdata: *mut sys::dict_t,
) -> i32 {
    // SAFETY: [live-frame] [this-xlator] [host-args] the test's own call.
    unsafe {
        let frame = Frame::from_raw(frame);
        let this = Xlator::from_raw(this);
        if flags == 1 {
            wind_tail!(frame, this, fsync, GF_FOP_FSYNC, fd, flags, xdata);
        } else {
            let kept = Box::into_raw(Box::new(StandIn::new(this, 0xabcd_u32)));
            wind!(frame, kept, this, fsync, GF_FOP_FSYNC, our_reply, fd, flags, xdata);
        }
    }
    0
}

unsafe extern "C" fn our_reply(
    frame: *mut sys::call_frame_t,
    _cookie: *mut c_void,
    this: *mut sys::xlator_t,
    op_ret: i32,
    op_errno: i32,
    prebuf: *mut sys::iatt,
    postbuf: *mut sys::iatt,
    xdata: *mut sys::dict_t,
) -> i32 {
    // SAFETY: as in `our_fsync`.
    unsafe {
        assert_eq!(running(), this);
        // What the host's statedump may find from the frame on: its parent, whose translator has a name.
        assert_eq!((*frame).this, this);
        assert!(!(*frame).parent.is_null());
        let (frame, kept) = StandIn::<u32>::step_aside(frame);
        let seen = seen(frame.as_ptr());
        assert_eq!((*frame.as_ptr()).this, this);
        seen.reply = Some((*StandIn::local(kept), op_ret, op_errno));
        seen.order.push("reply");
        drop(Box::from_raw(kept.cast_mut()));
        pass_back!(frame, fsync, op_ret, op_errno, prebuf, postbuf, xdata);
    }
    0
}

unsafe extern "C" fn leaf_fsync(
    frame: *mut sys::call_frame_t,
    this: *mut sys::xlator_t,
    _fd: *mut sys::fd_t,
    flags: i32,
    xdata: *mut sys::dict_t,
) -> i32 {
    // SAFETY: as in `our_fsync`.
    unsafe {
        assert_eq!(running(), this);
        let seen = seen(frame);
        seen.leaf += 1;
        seen.order.push("leaf");
        seen.frame = frame;
        seen.parent = Some((*(*frame).parent).this);
        let (op_ret, op_errno) = if flags == 2 { (-1, libc::ENOSPC) } else { (0, 0) };
        let frame = Frame::from_raw(frame);
        unwind!(frame, fsync, op_ret, op_errno, ptr::null_mut(), ptr::null_mut(), xdata);
    }
    0
}

unsafe extern "C" fn top_reply(
    frame: *mut sys::call_frame_t,
    cookie: *mut c_void,
    this: *mut sys::xlator_t,
    op_ret: i32,
    op_errno: i32,
    _prebuf: *mut sys::iatt,
    _postbuf: *mut sys::iatt,
    _xdata: *mut sys::dict_t,
) -> i32 {
    // SAFETY: as in `our_fsync`.
    unsafe {
        assert_eq!(running(), this);
        let seen = seen(frame);
        seen.top = Some((op_ret, op_errno));
        seen.cookie = cookie;
        seen.order.push("top");
    }
    0
}

type FsyncReply = unsafe extern "C" fn(
    *mut sys::call_frame_t,
    *mut c_void,
    *mut sys::xlator_t,
    i32,
    i32,
    *mut sys::iatt,
    *mut sys::iatt,
    *mut sys::dict_t,
) -> i32;

/// What STACK_WIND does ahead of the call: the frame for `to`.
///
/// # Safety
/// `parent` is a live frame.
unsafe fn wind_as_the_host_does(
    parent: *mut sys::call_frame_t,
    to: *mut sys::xlator_t,
    reply: FsyncReply,
) -> *mut sys::call_frame_t {
    // SAFETY: by the caller.
    unsafe {
        let root = (*parent).root;
        let new = sys::mem_get_calloc((*(*root).pool).frame_mem_pool).cast::<sys::call_frame_t>();
        assert!(!new.is_null());
        (*new).root = root;
        (*new).this = to;
        (*new).ret = core::mem::transmute::<Option<FsyncReply>, sys::ret_fn_t>(Some(reply));
        (*new).parent = parent;
        (*new).cookie = new.cast();
        (*new).op = GF_FOP_FSYNC;
        libc::pthread_mutex_init(&raw mut (*new).lock, ptr::null());
        let (list, item) = (&raw mut (*root).myframes, &raw mut (*new).frames);
        (*item).prev = list;
        (*item).next = (*list).next;
        (*(*list).next).prev = item;
        (*list).next = item;
        new
    }
}

/// Calls fsync at the top, as FUSE or the server would, and gives what was seen and the root's error.
fn call(flags: i32, look: impl FnOnce(Caller<'_>)) -> (Seen, i32) {
    let graph = graph();
    let mut seen = Seen::default();
    // SAFETY: a root as the host makes them; it is leaked, the frames are the pool's.
    unsafe {
        let root = sys::create_frame(graph.top, (*(*graph.top).ctx).pool);
        assert!(!root.is_null());
        (*(*root).root).state = (&raw mut seen).cast();
        (*(*root).root).pid = -3;
        (*(*root).root).op = GF_FOP_FSYNC as i32;
        (*(*root).root).ctime = libc::timespec { tv_sec: 0, tv_nsec: 5 };
        look(Frame::from_raw(root).caller());
        let before = running();
        let made = wind_as_the_host_does(root, graph.us, top_reply);
        seen.made = (made, (*made).cookie);
        our_fsync(made, graph.us, ptr::null_mut(), flags, ptr::null_mut());
        assert_eq!(running(), before);
        let list = &raw mut (*(*root).root).myframes;
        let ring = core::iter::successors(Some((*list).next), |at| Some((**at).next));
        seen.frames = ring.take_while(|at| *at != list).count();
        assert_eq!((*made).parent, root);
        (seen, (*(*root).root).error)
    }
}

#[test]
fn a_wound_call_comes_back_through_its_reply() {
    let (seen, error) = call(0, |caller| {
        assert_eq!((caller.pid, caller.ctime), (-3, Some((0, 5))));
        assert!(caller.is_fop() && caller.client.is_none());
    });
    assert_eq!(seen.order, ["leaf", "reply", "top"]);
    assert_eq!((seen.reply, seen.top), (Some((0xabcd, 0, 0)), Some((0, 0))));
    assert_eq!(error, 0);
}

#[test]
fn the_leaf_gets_the_frame_that_we_were_given() {
    let (seen, _) = call(0, |_| ());
    assert_eq!(seen.frame, seen.made.0);
    assert_eq!(seen.parent, Some(graph().us), "a statedump tells the leaf's parent by its name");
    assert_eq!(seen.cookie, seen.made.1, "the caller's cookie comes back to it");
    assert_eq!(seen.frames, 2, "the root's and the one");
    // SAFETY: frames of a call that is never freed.
    unsafe {
        let frame = &*seen.made.0;
        assert_eq!((frame.this, frame.complete), (graph().us, 1));
        assert!((frame.end.tv_sec, frame.end.tv_nsec) > (0, 0));
        assert!((*frame.parent).end.tv_sec > 0, "the topmost frame is closed by its child's reply");
    }
}

#[test]
fn a_tail_wind_is_answered_past_us() {
    let (seen, _) = call(1, |_| ());
    assert_eq!(seen.order, ["leaf", "top"]);
    assert_eq!((seen.frame, seen.parent), (seen.made.0, Some(graph().top)));
}

#[test]
fn a_failure_is_noted_on_the_root_and_counted() {
    let us = graph().us;
    let failures = || {
        // SAFETY: a counter of a translator that is never freed.
        unsafe { (*us).stats[GF_FOP_FSYNC as usize].total_fop_cbk.value }
    };
    let before = failures();
    let (seen, error) = call(2, |_| ());
    assert_eq!(seen.reply, Some((0xabcd, -1, libc::ENOSPC)));
    assert_eq!((seen.top, error), (Some((-1, libc::ENOSPC)), libc::ENOSPC));
    assert_eq!(failures(), before + 1);
}

#[test]
fn the_probe_knows_its_host() {
    let graph = graph();
    // SAFETY: [this-xlator] never freed.
    unsafe {
        let us = Xlator::from_raw(graph.us);
        assert_eq!(abi::probe(us, OUR_FOPS.as_ptr(), 3), Ok(()));
        assert!(abi::probe(us, LEAF_FOPS.as_ptr(), 3).is_err());
        assert!(abi::probe(us, OUR_FOPS.as_ptr(), 4).is_err());
    }
}

#[test]
fn the_graph_is_walked_down_to_the_storage() {
    let graph = graph();
    // SAFETY: [this-xlator] never freed.
    let top = unsafe { Xlator::from_raw(graph.top) };
    assert_eq!(top.first_child().unwrap().name(), c"us");
    assert_eq!(top.children(), 1);
    assert_eq!(top.storage().unwrap().as_ptr(), graph.leaf);
    assert_eq!(top.brick_directory(), None);
    assert_eq!(top.graph_id(), Some(1));
}

#[test]
fn a_dict_gives_back_what_it_was_given() {
    graph();
    let mut dict = OwnedDict::new().unwrap();
    assert!(dict.get().is_empty());
    assert!(dict.set_i32(c"number", -5) && dict.set_u32(c"count", 7));
    assert!(dict.set_str(c"word", c"on"));
    let get = dict.get();
    assert_eq!((get.i32(c"number"), get.u32(c"count"), get.len()), (Some(-5), Some(7), 3));
    assert_eq!((get.text(c"word"), get.bytes(c"word")), (Some(&b"on"[..]), Some(&b"on\0"[..])));
    assert_eq!((get.text(c"none"), get.contains(c"word")), (None, true));
    let mut keys: Vec<_> = get.iter().map(|(key, _)| key.to_owned()).collect();
    keys.sort();
    assert_eq!(keys, [c"count".to_owned(), c"number".to_owned(), c"word".to_owned()]);

    let mut copy = OwnedDict::copy_with_ref(Some(get)).unwrap();
    copy.del(c"word");
    assert!(!copy.get().contains(c"word") && dict.get().contains(c"word"));
    assert!(OwnedDict::copy_with_ref(None).unwrap().get().is_empty());
    let held = dict.get().hold();
    drop(dict);
    assert_eq!(held.get().i32(c"number"), Some(-5));
}

#[test]
fn slots_on_inodes_and_descriptors() {
    let graph = graph();
    // SAFETY: a table as the host makes it; it is leaked. [this-xlator] never freed.
    let (us, inode, fd) = unsafe {
        let table = sys::inode_table_new(16, graph.us, 0, 0);
        let inode = sys::inode_new(table);
        (Xlator::from_raw(graph.us), Inode::from_raw(inode).unwrap(), sys::fd_create(inode, 1))
    };
    // What the host finds in the slot of a translator.
    let host = |of: Xlator<'_>| {
        let mut number = 0;
        // SAFETY: [live-inode] [this-xlator] both are leaked; the host locks the inode.
        let found = unsafe { sys::inode_ctx_get0(inode.as_ptr(), of.as_ptr(), &mut number) };
        (found == 0).then_some(number)
    };
    assert_eq!((inode_ctx::get(inode, us), host(us)), (0, None));
    inode_ctx::update(inode, us, |number| number + 42);
    assert_eq!((inode_ctx::get(inode, us), host(us)), (42, Some(42)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // SAFETY: as above.
            let (inode, us) = unsafe { (inode.hold(), us.share()) };
            scope.spawn(move || {
                (0..1000)
                    .for_each(|_| inode_ctx::update(inode.get(), us.get(), |number| number + 1));
            });
        }
    });
    assert_eq!(host(us), Some(4042));
    // SAFETY: [this-xlator] never freed.
    let other = unsafe { Xlator::from_raw(graph.leaf) };
    assert_eq!(inode_ctx::get(inode, other), 0, "another translator's slot is another one");
    // SAFETY: nobody else knows it, and it is leaked.
    let intruder = unsafe {
        let xlator: *mut sys::xlator_t = Box::leak(Box::new(std::mem::zeroed()));
        (*xlator).xl_id = (*us.as_ptr()).xl_id;
        Xlator::from_raw(xlator)
    };
    inode_ctx::update(inode, intruder, |_| 7);
    assert_eq!((inode_ctx::get(inode, intruder), host(us)), (0, Some(4042)));

    // SAFETY: [host-args] the descriptor was just made.
    let fd = unsafe { <Option<gnotify_bindings::Fd<'_>>>::from_host(fd) }.unwrap();
    assert_eq!(fd.inode().unwrap().as_ptr(), inode.as_ptr());
    assert_eq!(fd_ctx::get(fd, us), None);
    assert!(fd_ctx::set(fd, us, 9));
    assert_eq!((fd_ctx::get(fd, us), fd_ctx::del(fd, us)), (Some(9), Some(9)));

    let held = inode.hold();
    let again = held.clone();
    drop(held);
    assert_eq!(again.get().gfid(), [0; 16]);
}

#[test]
fn logging_and_panics_reach_the_hosts_log_without_harm() {
    let graph = graph();
    // SAFETY: [this-xlator] never freed.
    let us = unsafe { Xlator::from_raw(graph.us) };
    guard::install_panic_hook();
    log::log(us, log::Level::Error, 7, format_args!("100%s of\0what {}", "it says"));
    let caught = guard::guard(|| -> () { panic!("100%n") }).unwrap_err();
    assert_eq!(caught.message, "100%n");
    assert!(caught.place.contains("in_process_host.rs:"));
}
