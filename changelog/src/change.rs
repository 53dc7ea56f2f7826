//! One record of a changelog: what stock keeps of a fop.
//!
//! It is less than gnotify's own record tells: no offsets, no names of extended attributes, no client, no time.

use std::borrow::Cow;

use gnotify_record::{Fop, Gfid, Link};

/// A record of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change<'a> {
    /// `D`: the content of a file changed.
    Data {
        /// The file.
        gfid: Gfid,
    },
    /// `M`: attributes or extended attributes of an inode changed.
    Metadata {
        /// The inode.
        gfid: Gfid,
        /// What was done to it.
        fop: Fop,
    },
    /// `E`: a name appeared, went or moved.
    Entry {
        /// The inode that the name stands or stood for.
        gfid: Gfid,
        /// What was done to it.
        entry: Entry<'a>,
    },
}

/// What was done to a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry<'a> {
    /// A file was made and opened.
    Create(Birth<'a>),
    /// A directory was made.
    Mkdir(Birth<'a>),
    /// A file, device node, pipe or socket was made.
    Mknod(Birth<'a>),
    /// A symbolic link was made; what it points to is not told.
    Symlink(Link<'a>),
    /// An inode got another name, which is this.
    Link(Link<'a>),
    /// A name was moved.
    Rename {
        /// From here.
        old: Link<'a>,
        /// To here.
        new: Link<'a>,
    },
    /// A name of anything but a directory was removed.
    Unlink(Removal<'a>),
    /// A directory was removed.
    Rmdir(Removal<'a>),
}

/// An inode that got its first name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Birth<'a> {
    /// Type and permission bits, as `stat(2)` gives them. Stock writes what the client asked for, which may lack the
    /// type and may have any of the upper bits set.
    pub mode: u32,
    /// User who made it.
    pub uid: u32,
    /// Group of the user who made it; not always that of the inode.
    pub gid: u32,
    /// Its name.
    pub at: Link<'a>,
}

/// A name that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Removal<'a> {
    /// The name.
    pub at: Link<'a>,
    /// Where it stood, from the root of the volume on and without a leading slash: with the volume option
    /// `changelog.capture-del-path` alone.
    pub path: Option<Cow<'a, [u8]>>,
}

impl<'a> Change<'a> {
    /// The inode that changed.
    #[must_use]
    pub fn gfid(&self) -> Gfid {
        match self {
            Change::Data { gfid } | Change::Metadata { gfid, .. } | Change::Entry { gfid, .. } => {
                *gfid
            }
        }
    }

    /// What was done; `None` for content, of which a changelog does not say it.
    #[must_use]
    pub fn fop(&self) -> Option<Fop> {
        match self {
            Change::Data { .. } => None,
            Change::Metadata { fop, .. } => Some(*fop),
            Change::Entry { entry, .. } => Some(entry.fop()),
        }
    }

    /// The same, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Change<'static> {
        match self {
            Change::Data { gfid } => Change::Data { gfid },
            Change::Metadata { gfid, fop } => Change::Metadata { gfid, fop },
            Change::Entry { gfid, entry } => Change::Entry { gfid, entry: entry.into_owned() },
        }
    }
}

impl Entry<'_> {
    /// The fop's number and name.
    #[must_use]
    pub fn fop(&self) -> Fop {
        match self {
            Entry::Create(_) => Fop::CREATE,
            Entry::Mkdir(_) => Fop::MKDIR,
            Entry::Mknod(_) => Fop::MKNOD,
            Entry::Symlink(_) => Fop::SYMLINK,
            Entry::Link(_) => Fop::LINK,
            Entry::Rename { .. } => Fop::RENAME,
            Entry::Unlink(_) => Fop::UNLINK,
            Entry::Rmdir(_) => Fop::RMDIR,
        }
    }

    fn into_owned(self) -> Entry<'static> {
        match self {
            Entry::Create(birth) => Entry::Create(birth.into_owned()),
            Entry::Mkdir(birth) => Entry::Mkdir(birth.into_owned()),
            Entry::Mknod(birth) => Entry::Mknod(birth.into_owned()),
            Entry::Symlink(at) => Entry::Symlink(at.into_owned()),
            Entry::Link(at) => Entry::Link(at.into_owned()),
            Entry::Rename { old, new } => {
                Entry::Rename { old: old.into_owned(), new: new.into_owned() }
            }
            Entry::Unlink(removal) => Entry::Unlink(removal.into_owned()),
            Entry::Rmdir(removal) => Entry::Rmdir(removal.into_owned()),
        }
    }
}

impl Birth<'_> {
    fn into_owned(self) -> Birth<'static> {
        let Birth { mode, uid, gid, at } = self;
        Birth { mode, uid, gid, at: at.into_owned() }
    }
}

impl Removal<'_> {
    fn into_owned(self) -> Removal<'static> {
        let path = self.path.map(|path| Cow::Owned(path.into_owned()));
        Removal { at: self.at.into_owned(), path }
    }
}
