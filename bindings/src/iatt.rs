//! The host's attributes of a file.
//!
//! It exists because the host spells the mode in bit fields and the validity in flags; here it is what stat
//! says.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::inode::Gfid;
use crate::sys;

/// Attributes, borrowed from a call or from a reply.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Iatt<'a>(NonNull<sys::iatt>, PhantomData<&'a sys::iatt>);

/// Seconds and nanoseconds.
pub type Time = (i64, u32);

impl<'a> Iatt<'a> {
    /// The handle of attributes of the host.
    ///
    /// # Safety
    /// [host-args] `iatt` is null or attributes that nobody writes for `'a`.
    #[inline]
    pub unsafe fn from_raw(iatt: *const sys::iatt) -> Option<Self> {
        NonNull::new(iatt.cast_mut()).map(|iatt| Self(iatt, PhantomData))
    }

    /// The host's structure, to copy it whole.
    #[inline]
    pub fn raw(self) -> &'a sys::iatt {
        // SAFETY: [host-args] valid and not written for 'a, by `from_raw`.
        unsafe { self.0.as_ref() }
    }

    /// The identity of the file.
    #[inline]
    pub fn gfid(self) -> Gfid {
        self.raw().ia_gfid
    }

    /// What kind of file, one of `sys::ia_type_t`.
    #[inline]
    pub fn ia_type(self) -> u32 {
        self.raw().ia_type
    }

    /// Type and permissions as stat has them.
    pub fn mode(self) -> u32 {
        let prot = self.raw().ia_prot;
        let rwx = |bits: sys::ia_prot_t__bindgen_ty_1| {
            u32::from(bits.read()) << 2 | u32::from(bits.write()) << 1 | u32::from(bits.exec())
        };
        let special =
            u32::from(prot.suid()) << 2 | u32::from(prot.sgid()) << 1 | u32::from(prot.sticky());
        let permissions =
            special << 9 | rwx(prot.owner) << 6 | rwx(prot.group) << 3 | rwx(prot.other);
        file_type_bits(self.ia_type()) | permissions
    }

    /// Number of names.
    #[inline]
    pub fn nlink(self) -> u32 {
        self.raw().ia_nlink
    }

    /// Owner.
    #[inline]
    pub fn uid(self) -> u32 {
        self.raw().ia_uid
    }

    /// Group.
    #[inline]
    pub fn gid(self) -> u32 {
        self.raw().ia_gid
    }

    /// The device of a device node, in the host's own encoding: major in the high half, minor in the low.
    #[inline]
    pub fn rdev(self) -> u64 {
        self.raw().ia_rdev
    }

    /// Length in bytes.
    #[inline]
    pub fn size(self) -> u64 {
        self.raw().ia_size
    }

    /// Last access.
    #[inline]
    pub fn atime(self) -> Time {
        (self.raw().ia_atime, self.raw().ia_atime_nsec)
    }

    /// Last change of the content.
    #[inline]
    pub fn mtime(self) -> Time {
        (self.raw().ia_mtime, self.raw().ia_mtime_nsec)
    }

    /// Last change of the attributes.
    #[inline]
    pub fn ctime(self) -> Time {
        (self.raw().ia_ctime, self.raw().ia_ctime_nsec)
    }

    /// Which fields mean something: `sys::IATT_*`.
    #[inline]
    pub fn flags(self) -> u64 {
        self.raw().ia_flags
    }

    /// Whether the field of `flag` (one of `sys::IATT_*`) means something.
    #[inline]
    pub fn has(self, flag: u32) -> bool {
        self.flags() & u64::from(flag) != 0
    }
}

/// The host's file type as the type bits of stat's mode.
pub fn file_type_bits(ia_type: u32) -> u32 {
    use sys::ia_type_t as ia;
    match ia_type {
        ia::IA_IFREG => libc::S_IFREG,
        ia::IA_IFDIR => libc::S_IFDIR,
        ia::IA_IFLNK => libc::S_IFLNK,
        ia::IA_IFBLK => libc::S_IFBLK,
        ia::IA_IFCHR => libc::S_IFCHR,
        ia::IA_IFIFO => libc::S_IFIFO,
        ia::IA_IFSOCK => libc::S_IFSOCK,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_is_what_stat_says() {
        // SAFETY: plain numbers.
        let mut raw: sys::iatt = unsafe { core::mem::zeroed() };
        raw.ia_type = sys::ia_type_t::IA_IFDIR;
        raw.ia_prot.set_sticky(1);
        raw.ia_prot.owner.set_read(1);
        raw.ia_prot.owner.set_write(1);
        raw.ia_prot.owner.set_exec(1);
        raw.ia_prot.group.set_read(1);
        raw.ia_prot.other.set_exec(1);
        raw.ia_flags = u64::from(sys::IATT_MODE);
        // SAFETY: [host-args] it is on our stack.
        let iatt = unsafe { Iatt::from_raw(&raw const raw) }.unwrap();
        assert_eq!(iatt.mode(), libc::S_IFDIR | 0o1741);
        assert!(iatt.has(sys::IATT_MODE) && !iatt.has(sys::IATT_SIZE));
        raw.ia_prot.set_suid(1);
        raw.ia_type = 99;
        // SAFETY: as above.
        let iatt = unsafe { Iatt::from_raw(&raw const raw) }.unwrap();
        assert_eq!(iatt.mode(), 0o5741);
    }
}
