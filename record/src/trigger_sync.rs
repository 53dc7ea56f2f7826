//! The virtual extended attribute that asks for an inode to be looked at again.

/// The name under which `features/changelog` serves it (stock: `GF_XATTR_TRIGGER_SYNC`). A SETXATTR of it changes
/// nothing on the brick: it says that consumers shall take the inode for a new one.
pub const TRIGGER_SYNC: &[u8] = b"glusterfs.geo-rep.trigger-sync";
