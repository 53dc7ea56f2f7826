//! Is the host that loads us the one we were built for?
//!
//! Layouts differ between the host's major releases and with its build options. A wrong one would not fail:
//! it would write into the wrong field. So init asks the running host for every size that it states itself,
//! and refuses to run where one differs.

use core::fmt;
use core::mem::size_of;

use crate::sys;
use crate::this;
use crate::xlator::Xlator;

/// What the running host says of itself, in numbers that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the process's context is; ours is read from the translator, the host's from its global.
    pub context: usize,
    /// Where THIS points.
    pub this: usize,
    /// Where the translator's fop table is.
    pub fops: usize,
    /// The translator's category: a field near the end of its structure.
    pub category: u32,
    /// Bytes of a call frame.
    pub frame: usize,
    /// Bytes of a call's root.
    pub stack: usize,
    /// Bytes of a dict.
    pub dict: usize,
    /// Bytes of a dict's value.
    pub dict_data: usize,
    /// Bytes of a dict's pair.
    pub dict_pair: usize,
}

/// A host that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbiMismatch {
    /// What differs.
    pub what: &'static str,
    /// What the host has.
    pub found: usize,
    /// What this build expects.
    pub expected: usize,
}

impl fmt::Display for AbiMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, expected } = self;
        write!(
            f,
            "{what} {found}, this build expects {expected}: \
             rebuild gnotify against the headers of the installed GlusterFS"
        )
    }
}

impl std::error::Error for AbiMismatch {}

/// Compares the running host with what this build was made for. The first difference is told.
///
/// # Safety
/// [this-xlator] by `this`, and the host is calling our init. That much of the structures must be right for
/// the rest to be read at all: the fields read first are those that differ least between releases.
pub unsafe fn probe(
    this: Xlator<'_>,
    fops: *const sys::xlator_fops,
    category: u32,
) -> Result<(), AbiMismatch> {
    // SAFETY: by the caller.
    let found = unsafe { measure(this) }?;
    // SAFETY: [host-ready] the host sets it before it loads any translator, and never again.
    let context = unsafe { sys::global_ctx }.addr();
    compare(&found, &expected(context, this.as_ptr().addr(), fops.addr(), category))
}

fn expected(context: usize, this: usize, fops: usize, category: u32) -> Layout {
    Layout {
        context,
        this,
        fops,
        category,
        frame: size_of::<sys::call_frame_t>(),
        stack: size_of::<sys::call_stack_t>(),
        dict: size_of::<sys::dict_t>(),
        dict_data: size_of::<sys::data_t>(),
        dict_pair: size_of::<sys::data_pair_t>(),
    }
}

/// # Safety
/// As for [`probe`].
unsafe fn measure(this: Xlator<'_>) -> Result<Layout, AbiMismatch> {
    // SAFETY: by the caller. Nothing is followed before it is known to be there: the context is compared with
    // the host's own, exported pointer, and each pool is looked at only if it is not null.
    unsafe {
        let xlator = this.as_ptr();
        let ctx = (*xlator).ctx;
        if ctx.is_null() || ctx != sys::global_ctx {
            let (found, expected) = (ctx.addr(), sys::global_ctx.addr());
            return Err(AbiMismatch { what: CONTEXT, found, expected });
        }
        let calls = (*ctx).pool;
        let (frames, stacks) = if calls.is_null() {
            (core::ptr::null_mut(), core::ptr::null_mut())
        } else {
            ((*calls).frame_mem_pool, (*calls).stack_mem_pool)
        };
        Ok(Layout {
            context: ctx.addr(),
            this: this::current().addr(),
            fops: (*xlator).fops.addr(),
            category: this.category(),
            frame: size_in(frames),
            stack: size_in(stacks),
            dict: size_in((*ctx).dict_pool),
            dict_data: size_in((*ctx).dict_data_pool),
            dict_pair: size_in((*ctx).dict_pair_pool),
        })
    }
}

/// # Safety
/// `pool` is null or a pool of the host.
unsafe fn size_in(pool: *mut sys::mem_pool) -> usize {
    // SAFETY: by the caller.
    if pool.is_null() { 0 } else { unsafe { (*pool).sizeof_type as usize } }
}

const CONTEXT: &str = "the translator's context is at";

fn compare(found: &Layout, expected: &Layout) -> Result<(), AbiMismatch> {
    let category = |layout: &Layout| layout.category as usize;
    let rows = [
        (CONTEXT, found.context, expected.context),
        ("THIS is the translator at", found.this, expected.this),
        ("the translator's fop table is at", found.fops, expected.fops),
        ("the translator's category reads as", category(found), category(expected)),
        ("bytes that the host's frame pool hands out:", found.frame, expected.frame),
        ("bytes that the host's stack pool hands out:", found.stack, expected.stack),
        ("bytes that the host's dict pool hands out:", found.dict, expected.dict),
        ("bytes that the host's dict data pool hands out:", found.dict_data, expected.dict_data),
        ("bytes that the host's dict pair pool hands out:", found.dict_pair, expected.dict_pair),
    ];
    match rows.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(AbiMismatch { what, found, expected }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Layout {
        expected(0x1000, 0x2000, 0x3000, 3)
    }

    #[test]
    fn our_own_host_passes() {
        assert_eq!(compare(&ours(), &ours()), Ok(()));
    }

    #[test]
    fn another_frame_is_refused_in_clear_words() {
        let wrong = compare(&Layout { frame: 180, ..ours() }, &ours()).unwrap_err();
        let text = wrong.to_string();
        let size = size_of::<sys::call_frame_t>();
        assert!(
            text.starts_with(&format!(
                "bytes that the host's frame pool hands out: 180, this build expects {size}"
            )),
            "{text}"
        );
    }

    #[test]
    fn every_number_counts() {
        let ours = ours();
        let wrong = [
            Layout { context: 1, ..ours },
            Layout { this: 1, ..ours },
            Layout { fops: 1, ..ours },
            Layout { category: 1, ..ours },
            Layout { frame: 1, ..ours },
            Layout { stack: 1, ..ours },
            Layout { dict: 1, ..ours },
            Layout { dict_data: 1, ..ours },
            Layout { dict_pair: 1, ..ours },
        ];
        let told: Vec<&str> =
            wrong.iter().map(|layout| compare(layout, &ours).unwrap_err().what).collect();
        let mut distinct = told.clone();
        distinct.dedup();
        assert_eq!(told.len(), distinct.len());
    }
}
