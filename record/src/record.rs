//! The record: one change, with all that a replay onto another file system needs.
//!
//! One type serves both ends. The plugin fills it with names it owns, a reader gets it with names
//! that borrow from the bytes it read. What the host could not tell is `None`, never a guess.

use std::borrow::Cow;

use crate::{Fop, Gfid, Origin, Renaming};

/// A change. Its sequence number and time belong to the journal frame that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// What was done.
    pub fop: Fop,
    /// Who caused it.
    pub origin: Origin,
    /// The inode that changed: the one it really has, not the one that was asked for.
    pub gfid: Option<Gfid>,
    /// The credentials under which it was done.
    pub caller: Option<Caller>,
    /// The client process it came from; a CLIENT statement before the record gives its name. `None`: it began in the
    /// brick, as what its translators do of themselves; or the record is uncertain and cannot tell, or there was no
    /// room in the ring for the statement, which a GAP tells of.
    pub client: Option<ClientId>,
    /// The request was marked as another translator's (xdata `glusterfs-internal-fop`). The origin says so too, but not
    /// of GlusterFS's own services and of shards.
    pub marked: bool,
    /// The change time that the client stamped on it (nanoseconds since 1970), when it sent one:
    /// the same on every replica, unlike the frame's time.
    pub ctime: Option<i64>,
    /// What sort of inode it is.
    pub kind: Option<FileType>,
    /// Where it stands, or stood, in the tree: the entry that appears, disappears or moves.
    pub at: Option<Link<'a>>,
    /// Where a rename puts it.
    pub to: Option<Link<'a>>,
    /// The inode that a rename took the place of.
    pub replaced: Option<Gfid>,
    /// The inode's owner after the fop, where it is not the caller (a set-group-id directory, for one).
    pub owner: Option<Owner>,
    /// Permission bits after the fop, 0 to 0o7777.
    pub mode: Option<u32>,
    /// Device number of a device node, as `makedev(3)` composes it in 64 bits.
    pub rdev: Option<u64>,
    /// Content of a symbolic link.
    pub target: Option<Cow<'a, [u8]>>,
    /// The fop's flags: of open(2) for OPEN and CREATE, of fallocate(2) for FALLOCATE, of setxattr(2)
    /// for SETXATTR, the operation for XATTROP.
    pub flags: Option<u32>,
    /// First byte that changed.
    pub offset: Option<u64>,
    /// How many bytes changed.
    pub length: Option<u64>,
    /// Size of the file after the fop, in bytes.
    pub size: Option<u64>,
    /// Where the bytes of a COPY_FILE_RANGE came from.
    pub source: Option<Source>,
    /// What a SETATTR set.
    pub set: Option<SetAttr>,
    /// The extended attributes that were set, changed or removed.
    pub xattrs: Vec<Xattr<'a>>,
    /// Some of the extended attributes are left out, because the record would have grown too large.
    pub xattrs_cut: bool,
    /// Names that the inode still has after the fop.
    pub nlink: Option<u32>,
    /// Whether the fop took the last name away from an inode: from the subject of an UNLINK or
    /// RMDIR, from the replaced one of a RENAME.
    pub last_link: Option<bool>,
    /// The rename that the fop is a part of, as cluster/distribute told it with a RENAME or UNLINK.
    pub renaming: Option<Box<Renaming<'a>>>,
    /// Where what was deleted stood, seen from the root of the volume: at most 4096 bytes.
    pub path: Option<Cow<'a, [u8]>>,
    /// The change was under way when the brick was killed: it may have been made, or a part of it, or
    /// nothing. Such a record has no more than the fop's arguments tell.
    pub uncertain: bool,
}

impl Record<'_> {
    /// A record of which only the fop and the origin are known.
    #[must_use]
    pub fn new(fop: Fop, origin: Origin) -> Self {
        Record {
            fop,
            origin,
            gfid: None,
            caller: None,
            client: None,
            marked: false,
            ctime: None,
            kind: None,
            at: None,
            to: None,
            replaced: None,
            owner: None,
            mode: None,
            rdev: None,
            target: None,
            flags: None,
            offset: None,
            length: None,
            size: None,
            source: None,
            set: None,
            xattrs: Vec::new(),
            xattrs_cut: false,
            nlink: None,
            last_link: None,
            renaming: None,
            path: None,
            uncertain: false,
        }
    }

    /// Makes it one of which only the fop and the origin are known, in place: no more is written than must be.
    #[inline]
    pub fn renew(&mut self, fop: Fop, origin: Origin) {
        let Record {
            fop: its_fop,
            origin: its_origin,
            gfid,
            caller,
            client,
            marked,
            ctime,
            kind,
            at,
            to,
            replaced,
            owner,
            mode,
            rdev,
            target,
            flags,
            offset,
            length,
            size,
            source,
            set,
            xattrs,
            xattrs_cut,
            nlink,
            last_link,
            renaming,
            path,
            uncertain,
        } = self;
        (*its_fop, *its_origin) = (fop, origin);
        (*gfid, *caller, *client, *ctime, *kind) = (None, None, None, None, None);
        (*at, *to, *replaced, *owner, *mode) = (None, None, None, None, None);
        (*rdev, *target, *flags, *offset, *length) = (None, None, None, None, None);
        (*size, *source, *set, *nlink, *last_link) = (None, None, None, None, None);
        (*renaming, *path) = (None, None);
        xattrs.clear();
        (*marked, *xattrs_cut, *uncertain) = (false, false, false);
    }

    /// The same record, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Record<'static> {
        Record {
            at: self.at.map(Link::into_owned),
            to: self.to.map(Link::into_owned),
            target: self.target.map(|target| Cow::Owned(target.into_owned())),
            xattrs: self.xattrs.into_iter().map(Xattr::into_owned).collect(),
            renaming: self.renaming.map(|renaming| Box::new(renaming.into_owned())),
            path: self.path.map(|path| Cow::Owned(path.into_owned())),
            ..self
        }
    }
}

/// A number that stands for a client's uid string; a CLIENT statement in the same segment gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClientId(pub u32);

/// Under whose name a fop was done, on the client's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Process; negative for GlusterFS's own services.
    pub pid: i32,
}

/// Owner of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Link<'a> {
    /// The directory.
    pub parent: Gfid,
    /// The name in it: 1 to 255 bytes, any but NUL and '/'.
    pub name: Cow<'a, [u8]>,
}

impl Link<'_> {
    /// The same, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Link<'static> {
        Link { parent: self.parent, name: Cow::Owned(self.name.into_owned()) }
    }
}

/// Where copied bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The file they were read from.
    pub gfid: Gfid,
    /// The first byte that was read.
    pub offset: u64,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr<'a> {
    /// Its name, with namespace.
    pub name: Cow<'a, [u8]>,
    /// Its value, where the option `xattr-values` asks for values and it is not too large.
    pub value: Option<Cow<'a, [u8]>>,
}

impl Xattr<'_> {
    fn into_owned(self) -> Xattr<'static> {
        Xattr {
            name: Cow::Owned(self.name.into_owned()),
            value: self.value.map(|value| Cow::Owned(value.into_owned())),
        }
    }
}

/// A point in time as a file system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds since 1970; negative before.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
}

/// What a SETATTR set. A value counts where its bit is in the mask and is 0 elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAttr {
    /// Which of the values were set: the bits of [`set_attr`].
    pub mask: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Access time; where the server's clock was asked for, what it gave.
    pub atime: Time,
    /// Modification time; where the server's clock was asked for, what it gave.
    pub mtime: Time,
    /// Change time; only GlusterFS's own services can set it.
    pub ctime: Time,
}

/// The host's bits for what a SETATTR sets (stock `GF_SET_ATTR_*` and `GF_ATTR_*_NOW` in xlator.h).
pub mod set_attr {
    /// Permission bits.
    pub const MODE: u32 = 0x1;
    /// Owner.
    pub const UID: u32 = 0x2;
    /// Group.
    pub const GID: u32 = 0x4;
    /// Size.
    pub const SIZE: u32 = 0x8;
    /// Access time, to a value the caller gave.
    pub const ATIME: u32 = 0x10;
    /// Modification time, to a value the caller gave.
    pub const MTIME: u32 = 0x20;
    /// Change time.
    pub const CTIME: u32 = 0x40;
    /// Access time, to the server's clock.
    pub const ATIME_NOW: u32 = 0x80;
    /// Modification time, to the server's clock.
    pub const MTIME_NOW: u32 = 0x100;
}

/// What sort of inode it is (the host's `ia_type_t`, whose numbers are kept).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileType {
    /// Regular file.
    Regular = 1,
    /// Directory.
    Directory = 2,
    /// Symbolic link.
    Symlink = 3,
    /// Block device.
    Block = 4,
    /// Character device.
    Character = 5,
    /// Named pipe.
    Fifo = 6,
    /// Socket.
    Socket = 7,
}

impl FileType {
    /// Every type.
    pub const ALL: [FileType; 7] = [
        FileType::Regular,
        FileType::Directory,
        FileType::Symlink,
        FileType::Block,
        FileType::Character,
        FileType::Fifo,
        FileType::Socket,
    ];

    /// The type with the host's number; `None` for 0 ("invalid") and for what is not known.
    #[must_use]
    #[inline]
    pub fn from_host(number: u32) -> Option<FileType> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The name in texts and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Block => "block-device",
            FileType::Character => "character-device",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
        }
    }
}
