//! THE fop table: one row for each fop that changes something.
//!
//! A row names the arguments, those of the reply, and what is taken from both. The macro makes the entry
//! and the reply of it, and the compiler checks both against the host's own table. Every fop without a row
//! is served by the host's pass-through; `record::HOST_FOPS` says why.

use std::ffi::CStr;

use gnotify_bindings::sys::{self, glusterfs_fop_t, xlator_fops};
use gnotify_bindings::table::{XlatorTable, no_fops};
use gnotify_bindings::{
    Dict, Fd, Frame, FromHost, Hold, Iatt, Inode, Loc, Xlator, pass_back, unwind, wind, wind_tail,
};
use gnotify_record::Fop;
use gnotify_record::effect::truncates;

use crate::deliver::deliver;
use crate::injected;
use crate::instance::{Instance, go_on};
use crate::observe::{After, Before, length_of};
use crate::pendings::OnFrame;
use crate::resume::resume;
use crate::{ipc, trigger_sync};

macro_rules! fops {
    ($(
        $name:ident $FOP:ident $NUMBER:ident ($($arg:ident: $type:ty),*)
            -> ($($answer:ident: $answer_type:ty),*)
            $(changes if $condition:expr;)?
            $(served by $server:ident($($given:ident),*);)?
            before($before:ident) $observe:block
            after($after:ident) $complete:block
    )*) => {
        $(
            mod $name {
                use super::*;

                /// The fop comes down.
                #[allow(clippy::too_many_arguments, reason = "the host's own argument lists")]
                pub(super) unsafe extern "C" fn entry(
                    frame: *mut sys::call_frame_t,
                    this: *mut sys::xlator_t,
                    $($arg: <$type as FromHost>::C,)*
                    xdata: *mut sys::dict_t,
                ) -> i32 {
                    let (frame, this) =
                        // SAFETY: [host-args] the host calls its translators with a live frame that is
                        // ours to answer, and with ourselves.
                        unsafe { (Frame::from_raw(frame), Xlator::from_raw(this)) };
                    let instance = Instance::of(this);
                    $(
                        // SAFETY: [host-args] the arguments live until we wind or answer.
                        let given = unsafe { ($(FromHost::from_host($given),)*) };
                        let answer = instance.filter(|instance| instance.role().is_some()).and_then(
                            |instance| {
                                instance.guarded(|| {
                                    $server::answer(instance, frame.caller(), given)
                                })?
                            },
                        );
                        if let Some((op_ret, op_errno)) = answer {
                            // SAFETY: [host-args] an answer of nothing but its result needs no xdata.
                            unsafe {
                                unwind!(frame, $name, op_ret, op_errno, core::ptr::null_mut());
                            }
                            return 0;
                        }
                    )?
                    let seen = instance
                        .and_then(|instance| {
                            let switches = instance.switches();
                            let recorded = switches.watch(Fop::$FOP.class())
                                $(|| $condition && switches.journal())?;
                            (recorded || instance.announces(Fop::$FOP))
                                .then_some((instance, recorded))
                        })
                        .and_then(|(instance, recorded)| {
                            instance.recording(|| {
                                let _visit = instance.counters.visit();
                                // SAFETY: [host-args] the arguments live until we wind.
                                let given = unsafe { Option::<Dict<'_>>::from_host(xdata) };
                                let mut seen =
                                    Before::new(instance, Fop::$FOP, frame.caller(), given);
                                {
                                    $(#[allow(unused_variables)]
                                    let $arg =
                                        // SAFETY: as above.
                                        unsafe { <$type as FromHost>::from_host($arg) };)*
                                    let $before = &mut seen;
                                    $observe
                                }
                                let (pending, xdata) = seen.finish(recorded);
                                injected::panic_on(injected::BEFORE, &pending.record);
                                (pending, xdata)
                            })
                        });
                    // The frame stayed outside, so that the fop goes on whatever happened in there.
                    let (Some((mut pending, replaced)), Some(instance)) = (seen, instance) else {
                        // SAFETY: [host-args] the host's own arguments. [one-child] checked by init.
                        unsafe {
                            wind_tail!(
                                frame, this, $name, glusterfs_fop_t::$NUMBER $(, $arg)*, xdata
                            );
                        }
                        return 0;
                    };
                    // A panic in it costs nothing: the reply gives back what was taken.
                    let waiter = instance.guarded(|| {
                        let waiter = instance.enter(&mut pending);
                        injected::panic_on(injected::ENTERED, &pending.record);
                        waiter
                    });
                    let waiter = waiter.flatten();
                    let xdata = replaced.as_ref().map_or(xdata, |xdata| xdata.as_ptr());
                    if waiter.is_none() && !instance.hold_back(&mut pending) {
                        // SAFETY: as above, with an xdata of ours that outlives the call.
                        unsafe { go(frame, this, pending $(, $arg)*, xdata) };
                        return 0;
                    }
                    let keep = || {
                        Some((
                            $(
                                // SAFETY: [host-args] the arguments live now.
                                unsafe { <$type as Hold>::hold($arg)? },
                            )*
                            // SAFETY: as above.
                            unsafe { Option::<Dict<'_>>::hold(xdata)? },
                        ))
                    };
                    let Some(kept) = keep() else {
                        // It cannot be parked, so it goes ahead of its turn, or past the barrier.
                        let names = waiter.as_ref().and_then(|_| pending.names.take());
                        instance.go_ahead(&mut pending, waiter.is_some());
                        // SAFETY: as for the other one.
                        unsafe { go(frame, this, pending $(, $arg)*, xdata) };
                        let turn = waiter.map(|waiter| waiter.park(instance.give_up_turn(names)));
                        resume([turn.flatten(), None]);
                        return 0;
                    };
                    // SAFETY: [joined-threads] a fop that is parked is under way: fini comes after it.
                    let here = unsafe { this.share() };
                    let wind = move |pending: OnFrame| {
                        let ($(mut $arg,)* mut xdata,) = kept;
                        // SAFETY: [host-args] the arguments are kept until the call returns.
                        unsafe {
                            go(
                                frame, here.get(), pending
                                $(, <$type as Hold>::lend(&mut $arg))*,
                                Option::<Dict<'_>>::lend(&mut xdata)
                            );
                        }
                    };
                    let call = match waiter {
                        Some(waiter) => waiter.park(Box::new(move || {
                            if let Some(instance) = Instance::of(here.get()) {
                                instance.resume(&mut pending);
                            }
                            go_on(here, pending, wind);
                        })),
                        None => instance.hold(Box::new(move || go_on(here, pending, wind))),
                    };
                    resume([call, None]);
                    0
                }

                /// Winds the fop with what its reply needs.
                ///
                /// # Safety
                /// [host-args] the arguments are good for a call of the child.
                #[allow(clippy::too_many_arguments, reason = "the host's own argument lists")]
                unsafe fn go(
                    frame: Frame,
                    this: Xlator<'_>,
                    pending: OnFrame,
                    $($arg: <$type as FromHost>::C,)*
                    xdata: *mut sys::dict_t,
                ) {
                    // SAFETY: by the caller. [one-child] checked by init. [stand-in] `reply` takes it.
                    unsafe {
                        wind!(
                            frame, pending.into_raw(), this, $name, glusterfs_fop_t::$NUMBER, reply
                            $(, $arg)*, xdata
                        );
                    }
                }

                /// Its reply comes up.
                #[allow(clippy::too_many_arguments, reason = "the host's own argument lists")]
                unsafe extern "C" fn reply(
                    frame: *mut sys::call_frame_t,
                    _cookie: *mut core::ffi::c_void,
                    this: *mut sys::xlator_t,
                    op_ret: i32,
                    op_errno: i32,
                    $($answer: <$answer_type as FromHost>::C,)*
                    xdata: *mut sys::dict_t,
                ) -> i32 {
                    let ((frame, mut pending), this) =
                        // SAFETY: [stand-in] only `go` winds to here. [host-args] with ourselves.
                        unsafe { (OnFrame::of(frame), Xlator::from_raw(this)) };
                    let (next, door) = Instance::of(this).map_or_else(|| ([None, None], None), |instance| {
                        let recorded = instance.recording(|| {
                            let _visit = instance.counters.visit();
                            // SAFETY: [host-args] the arguments live until we unwind.
                            let xdata = unsafe { Option::<Dict<'_>>::from_host(xdata) };
                            let mut seen =
                                After::new(&mut pending, op_ret, xdata, &instance.unlinks);
                            if op_ret < 0 {
                                return None;
                            }
                            {
                                $(#[allow(unused_variables)]
                                let $answer =
                                    // SAFETY: as above.
                                    unsafe { <$answer_type as FromHost>::from_host($answer) };)*
                                #[allow(unused_variables, reason = "some replies say nothing")]
                                let $after = &mut seen;
                                $complete
                            }
                            injected::panic_on(injected::AFTER, &seen.pending.record);
                            deliver(instance, seen, frame.caller().client)
                        });
                        let next = instance.leave(&mut pending, op_ret >= 0);
                        (next, instance.door().zip(recorded.flatten()))
                    });
                    drop(pending);
                    let keep = || {
                        Some((
                            $(
                                // SAFETY: [host-args] the arguments live until we unwind.
                                unsafe { <$answer_type as Hold>::hold($answer)? },
                            )*
                            // SAFETY: as above.
                            unsafe { Option::<Dict<'_>>::hold(xdata)? },
                        ))
                    };
                    if let Some((door, number)) = door
                        && let Some(kept) = keep()
                    {
                        door.leave(number, Box::new(move || {
                            let ($(mut $answer,)* mut xdata,) = kept;
                            // SAFETY: [host-args] what the child answered with, kept until this returns.
                            unsafe {
                                pass_back!(
                                    frame, $name, op_ret, op_errno
                                    $(, <$answer_type as Hold>::lend(&mut $answer))*,
                                    Option::<Dict<'_>>::lend(&mut xdata)
                                );
                            }
                        }));
                        resume(next);
                        return 0;
                    }
                    // SAFETY: [host-args] what the child answered with.
                    unsafe { pass_back!(frame, $name, op_ret, op_errno $(, $answer)*, xdata) };
                    resume(next);
                    0
                }
            }
        )*

        /// What the host calls. It fills the slots that are empty here.
        pub(crate) static TABLE: XlatorTable<xlator_fops> = XlatorTable::new({
            let mut table = no_fops();
            $(table.$name = Some($name::entry);)*
            table.ipc = Some(ipc::entry);
            table
        });

        /// The fops that have a row: their slots' names, ours, and the host's numbers.
        #[cfg(test)]
        const ROWS: &[(&str, Fop, u32)] =
            &[$((stringify!($name), Fop::$FOP, glusterfs_fop_t::$NUMBER)),*];
    };
}

fops! {
    // Entries.
    create CREATE GF_FOP_CREATE(
        loc: Option<Loc>, flags: i32, mode: u32, umask: u32, fd: Option<Fd>)
        -> (fd: Option<Fd>, inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.at(loc); see.flags(flags); see.birth_xattrs(); }
        after(see) { see.born(buf); see.opened(fd); }

    mkdir MKDIR GF_FOP_MKDIR(loc: Option<Loc>, mode: u32, umask: u32)
        -> (inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.at(loc); see.birth_xattrs(); }
        after(see) { see.born(buf); }

    mknod MKNOD GF_FOP_MKNOD(loc: Option<Loc>, mode: u32, rdev: u64, umask: u32)
        -> (inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.at(loc); see.rdev(rdev); see.birth_xattrs(); }
        after(see) { see.born(buf); see.device_only(); }

    symlink SYMLINK GF_FOP_SYMLINK(target: Option<&CStr>, loc: Option<Loc>, umask: u32)
        -> (inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.at(loc); see.target(target); see.birth_xattrs(); }
        after(see) { see.born(buf); }

    link LINK GF_FOP_LINK(oldloc: Option<Loc>, newloc: Option<Loc>)
        -> (inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.subject(oldloc); see.at(newloc); }
        after(see) { see.born(buf); }

    rename RENAME GF_FOP_RENAME(oldloc: Option<Loc>, newloc: Option<Loc>)
        -> (buf: Option<Iatt>, preoldparent: Option<Iatt>, postoldparent: Option<Iatt>,
            prenewparent: Option<Iatt>, postnewparent: Option<Iatt>)
        before(see) {
            see.subject(oldloc);
            see.at(oldloc);
            see.to(newloc);
            see.replaced_loses_name();
            see.renaming();
        }
        after(see) { see.renamed(buf); }

    unlink UNLINK GF_FOP_UNLINK(loc: Option<Loc>, xflags: i32)
        -> (preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.subject(loc); see.at(loc); see.subject_loses_name(); see.renaming(); see.removed_path(); }
        after(see) { see.unlinked(); }

    rmdir RMDIR GF_FOP_RMDIR(loc: Option<Loc>, xflags: i32)
        -> (preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.subject(loc); see.at(loc); see.flags(xflags); see.removed_path(); }
        after(see) { see.directory_removed(); }

    put PUT GF_FOP_PUT(
        loc: Option<Loc>, mode: u32, umask: u32, flags: u32, vector: *mut libc::iovec, count: i32,
        offset: i64, iobref: *mut sys::iobref, xattr: Option<Dict>)
        -> (inode: Option<Inode>, buf: Option<Iatt>,
            preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) {
            see.at(loc);
            see.flags(flags.cast_signed());
            see.range(offset, length_of(vector, count));
            see.xattrs(xattr);
        }
        after(see) { see.born(buf); see.changed(buf); }

    icreate ICREATE GF_FOP_ICREATE(loc: Option<Loc>, mode: u32)
        -> (inode: Option<Inode>, buf: Option<Iatt>)
        before(see) { see.at(loc); }
        after(see) { see.born(buf); }

    namelink NAMELINK GF_FOP_NAMELINK(loc: Option<Loc>)
        -> (preparent: Option<Iatt>, postparent: Option<Iatt>)
        before(see) { see.subject(loc); see.at(loc); }
        after(see) {}

    // Data.
    writev WRITE GF_FOP_WRITE(
        fd: Option<Fd>, vector: *mut libc::iovec, count: i32, offset: i64, flags: u32,
        iobref: *mut sys::iobref)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change_fd(fd); see.write_at(fd, offset); }
        after(see) { see.changed(postbuf); see.moved(); }

    truncate TRUNCATE GF_FOP_TRUNCATE(loc: Option<Loc>, offset: i64)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change(loc); see.offset(offset); }
        after(see) { see.changed(postbuf); }

    ftruncate FTRUNCATE GF_FOP_FTRUNCATE(fd: Option<Fd>, offset: i64)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change_fd(fd); see.offset(offset); }
        after(see) { see.changed(postbuf); }

    fallocate FALLOCATE GF_FOP_FALLOCATE(fd: Option<Fd>, keep_size: i32, offset: i64, length: usize)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) {
            see.change_fd(fd);
            see.flags(keep_size);
            see.range(offset, length as u64);
        }
        after(see) { see.changed(postbuf); }

    discard DISCARD GF_FOP_DISCARD(fd: Option<Fd>, offset: i64, length: usize)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change_fd(fd); see.range(offset, length as u64); }
        after(see) { see.changed(postbuf); }

    zerofill ZEROFILL GF_FOP_ZEROFILL(fd: Option<Fd>, offset: i64, length: i64)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change_fd(fd); see.range(offset, length.max(0).cast_unsigned()); }
        after(see) { see.changed(postbuf); }

    copy_file_range COPY_FILE_RANGE GF_FOP_COPY_FILE_RANGE(
        fd_in: Option<Fd>, offset_in: i64, fd_out: Option<Fd>, offset_out: i64, length: usize,
        flags: u32)
        -> (stbuf: Option<Iatt>, prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) {
            see.change_fd(fd_out);
            see.offset(offset_out);
            see.source(fd_in, offset_in);
        }
        after(see) { see.changed(postbuf); see.moved(); }

    // Metadata.
    setattr SETATTR GF_FOP_SETATTR(loc: Option<Loc>, values: Option<Iatt>, valid: i32)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change(loc); see.set(values, valid); }
        after(see) { see.changed(postbuf); }

    fsetattr FSETATTR GF_FOP_FSETATTR(fd: Option<Fd>, values: Option<Iatt>, valid: i32)
        -> (prebuf: Option<Iatt>, postbuf: Option<Iatt>)
        before(see) { see.change_fd(fd); see.set(values, valid); }
        after(see) { see.changed(postbuf); }

    setxattr SETXATTR GF_FOP_SETXATTR(loc: Option<Loc>, dict: Option<Dict>, flags: i32)
        -> ()
        served by trigger_sync(loc, dict);
        before(see) { see.change(loc); see.xattrs(dict); see.flags(flags); }
        after(see) {}

    fsetxattr FSETXATTR GF_FOP_FSETXATTR(fd: Option<Fd>, dict: Option<Dict>, flags: i32)
        -> ()
        before(see) { see.change_fd(fd); see.xattrs(dict); see.flags(flags); }
        after(see) {}

    removexattr REMOVEXATTR GF_FOP_REMOVEXATTR(loc: Option<Loc>, key: Option<&CStr>)
        -> ()
        before(see) { see.change(loc); see.xattr_name(key); }
        after(see) {}

    fremovexattr FREMOVEXATTR GF_FOP_FREMOVEXATTR(fd: Option<Fd>, key: Option<&CStr>)
        -> ()
        before(see) { see.change_fd(fd); see.xattr_name(key); }
        after(see) {}

    xattrop XATTROP GF_FOP_XATTROP(loc: Option<Loc>, operation: u32, dict: Option<Dict>)
        -> (values: Option<Dict>)
        before(see) { see.change(loc); see.xattrs(dict); see.flags(operation.cast_signed()); }
        after(see) {}

    fxattrop FXATTROP GF_FOP_FXATTROP(fd: Option<Fd>, operation: u32, dict: Option<Dict>)
        -> (values: Option<Dict>)
        before(see) { see.change_fd(fd); see.xattrs(dict); see.flags(operation.cast_signed()); }
        after(see) {}

    // Opens; closes are callbacks and not fops, they stand in life.rs.
    open OPEN GF_FOP_OPEN(loc: Option<Loc>, flags: i32, fd: Option<Fd>)
        -> (fd: Option<Fd>)
        changes if truncates(Fop::OPEN, Some(flags.cast_unsigned()));
        before(see) { see.subject(loc); see.flags(flags); }
        after(see) { see.opened(fd); }

    opendir OPENDIR GF_FOP_OPENDIR(loc: Option<Loc>, fd: Option<Fd>)
        -> (fd: Option<Fd>)
        before(see) { see.subject(loc); }
        after(see) { see.opened(fd); }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnotify_bindings::fops::ALL;
    use gnotify_record::{HOST_FOPS, Watch};
    use std::collections::BTreeMap;

    /// Every fop of the host is watched, with a row here, or unwatched, with a reason there.
    #[test]
    fn every_fop_of_the_host_is_accounted_for() {
        let rows: BTreeMap<u32, &str> =
            ROWS.iter().map(|(name, _, number)| (*number, *name)).collect();
        assert_eq!(rows.len(), ROWS.len());
        for &(_, fop, number) in ROWS {
            assert_eq!(u32::from(fop.0), number, "{fop} has another number in the host");
        }
        for &(slot, number) in ALL {
            let row = HOST_FOPS.get(number as usize);
            let row = row.unwrap_or_else(|| panic!("fop {number}, {slot}, is not in HOST_FOPS"));
            match row.watch {
                Watch::Watched(_) => {
                    assert_eq!(rows.get(&number), Some(&slot), "{} has no row here", row.name);
                }
                Watch::Unwatched(reason) => {
                    assert!(!rows.contains_key(&number), "{} has a row here", row.name);
                    assert!(!reason.is_empty());
                }
            }
        }
        // Watched without being fops: the host's callbacks.
        let callbacks = HOST_FOPS.iter().filter(|row| {
            matches!(row.watch, Watch::Watched(_)) && !rows.contains_key(&u32::from(row.fop.0))
        });
        let callbacks: Vec<Fop> = callbacks.map(|row| row.fop).collect();
        assert_eq!(callbacks, [Fop::RELEASE, Fop::RELEASEDIR]);
        assert_eq!(u32::from(Fop::RELEASE.0), glusterfs_fop_t::GF_FOP_RELEASE);
        assert_eq!(u32::from(Fop::RELEASEDIR.0), glusterfs_fop_t::GF_FOP_RELEASEDIR);
    }
}
