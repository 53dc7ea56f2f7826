//! The extended attributes by whose names it is decided what becomes of a record.
//!
//! The stock changelog looks for them in a request, so that whoever decides by the record alone must find them there:
//! where a record's extended attributes are cut, these are the last to go.

use crate::{Fop, Record};

/// The virtual extended attribute under which `features/changelog` is asked to have an inode looked at again (stock:
/// `GF_XATTR_TRIGGER_SYNC`). A SETXATTR of it changes nothing on the brick: it says that consumers shall take the inode
/// for a new one.
pub const TRIGGER_SYNC: &[u8] = b"glusterfs.geo-rep.trigger-sync";

/// The size of a sharded file (stock: `GF_XATTR_SHARD_FILE_SIZE`), which features/shard changes with an (F)XATTROP.
pub const SHARD_SIZE: &[u8] = b"trusted.glusterfs.shard.file-size";

/// The mark of a file that tiering moved, which it has from its MKNOD on.
pub const TIER_LINK: &[u8] = b"trusted.tier.tier-dht.linkto";

/// Whether the extended attribute `name` decides what becomes of a `fop` that has it.
#[must_use]
pub(crate) fn decides(fop: Fop, name: &[u8]) -> bool {
    match fop {
        Fop::SETXATTR => name == TRIGGER_SYNC,
        Fop::XATTROP | Fop::FXATTROP => name == SHARD_SIZE,
        Fop::MKNOD => name == TIER_LINK,
        _ => false,
    }
}

impl Record<'_> {
    /// Whether it has the extended attribute that decides what becomes of its fop: [`TRIGGER_SYNC`] of a SETXATTR,
    /// [`SHARD_SIZE`] of an XATTROP or FXATTROP, [`TIER_LINK`] of a MKNOD.
    #[must_use]
    pub fn has_deciding_xattr(&self) -> bool {
        self.xattrs.iter().any(|xattr| decides(self.fop, &xattr.name))
    }

    /// Whether it asks for an inode to be looked at again ([`TRIGGER_SYNC`]).
    #[must_use]
    #[inline]
    pub fn triggers_sync(&self) -> bool {
        self.fop == Fop::SETXATTR && self.has_deciding_xattr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HOST_FOPS, Origin, Xattr};

    #[test]
    fn each_name_decides_for_its_fops_alone() {
        for row in HOST_FOPS {
            for (name, fops) in [
                (TRIGGER_SYNC, &[Fop::SETXATTR][..]),
                (SHARD_SIZE, &[Fop::XATTROP, Fop::FXATTROP]),
                (TIER_LINK, &[Fop::MKNOD]),
                (b"user.a", &[]),
            ] {
                let xattr = |name: &'static [u8]| Xattr { name: name.into(), value: None };
                let xattrs = vec![xattr(b"trusted.other"), xattr(name)];
                let record = Record { xattrs, ..Record::new(row.fop, Origin::Client) };
                let decides = fops.contains(&row.fop);
                assert_eq!(record.has_deciding_xattr(), decides, "{} {name:?}", row.name);
                let asks = decides && name == TRIGGER_SYNC;
                assert_eq!(record.triggers_sync(), asks, "{} {name:?}", row.name);
            }
        }
    }
}
