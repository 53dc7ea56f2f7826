//! Every file operation of the host: its number, its name, and whether it changes something.
//!
//! The numbers are `glusterfs_fop_t` of the stock `glusterfs-fops.h`; they are the same on the wire,
//! in stock changelog files and here. The plugin's own table (`xlator/fops.rs`) has a row for each
//! watched one and says how its arguments become a record; this table says which they are and why the
//! others are not. Tests hold the two tables, and this one and the host's header, together.

use std::fmt;

/// What kind of change a fop makes, which decides whether a slice may drop its repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A name appears, disappears or moves. Every one is recorded.
    Entry,
    /// The content of a file changes.
    Data,
    /// Attributes or extended attributes change.
    Metadata,
    /// A file is opened or closed; nothing changes by it.
    OpenClose,
}

impl Class {
    /// The name in texts and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Entry => "entry",
            Class::Data => "data",
            Class::Metadata => "metadata",
            Class::OpenClose => "open",
        }
    }
}

/// Whether gnotify watches a fop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// It has a row in the plugin's table.
    Watched(Class),
    /// The host's own pass-through serves it, for this reason.
    Unwatched(&'static str),
}

/// A row of [`HOST_FOPS`].
#[derive(Debug, Clone, Copy)]
pub struct HostFop {
    /// The number and name.
    pub fop: Fop,
    /// The upper-case name without prefix, as stock prints it.
    pub name: &'static str,
    /// Whether gnotify watches it.
    pub watch: Watch,
}

/// The number of a fop. One that this version does not know is kept, shown by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fop(pub u8);

impl fmt::Debug for Fop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.pad(row.name),
            None => f.pad(&format!("FOP-{}", self.0)),
        }
    }
}

impl Fop {
    fn row(self) -> Option<&'static HostFop> {
        HOST_FOPS.get(usize::from(self.0))
    }

    /// The fop with this name, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Fop> {
        HOST_FOPS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.fop)
    }

    /// The class of a watched fop; `None` for all others.
    #[must_use]
    #[inline]
    pub fn class(self) -> Option<Class> {
        match self.row()?.watch {
            Watch::Watched(class) => Some(class),
            Watch::Unwatched(_) => None,
        }
    }

    /// The place of a data or metadata fop in the per-slice mask of an inode: 0 to 15, one each.
    #[must_use]
    #[inline]
    pub fn slice_bit(self) -> Option<u8> {
        *SLICE_BITS.get(usize::from(self.0))?
    }
}

/// The place of each fop among the sliced ones, computed once: the fop path must not count.
const SLICE_BITS: [Option<u8>; HOST_FOPS.len()] = {
    let mut bits = [None; HOST_FOPS.len()];
    let mut next = 0;
    let mut at = 0;
    while at < HOST_FOPS.len() {
        if let Watch::Watched(Class::Data | Class::Metadata) = HOST_FOPS[at].watch {
            bits[at] = Some(next);
            next += 1;
        }
        at += 1;
    }
    assert!(next <= 16, "an inode's slice mask has 16 bits");
    bits
};

macro_rules! host_fops {
    ($($number:literal $name:ident $watch:expr;)*) => {
        impl Fop {
            $(#[doc = concat!("`GF_FOP_", stringify!($name), "`")]
            pub const $name: Fop = Fop($number);)*
        }
        /// Every fop of the host (GlusterFS 10), at the index that is its number.
        pub const HOST_FOPS: [HostFop; 59] =
            [$(HostFop { fop: Fop($number), name: stringify!($name), watch: $watch }),*];
    };
}

const ENTRY: Watch = Watch::Watched(Class::Entry);
const DATA: Watch = Watch::Watched(Class::Data);
const META: Watch = Watch::Watched(Class::Metadata);
const OPEN: Watch = Watch::Watched(Class::OpenClose);
const READS: Watch = Watch::Unwatched("reads only");
const LOCKS: Watch = Watch::Unwatched("takes or shows locks, which are not part of a file's state");
const SYNCS: Watch = Watch::Unwatched("makes earlier changes durable, changes nothing itself");

host_fops! {
    0 NULL Watch::Unwatched("not a fop: the number 0");
    1 STAT READS;
    2 READLINK READS;
    3 MKNOD ENTRY;
    4 MKDIR ENTRY;
    5 UNLINK ENTRY;
    6 RMDIR ENTRY;
    7 SYMLINK ENTRY;
    8 RENAME ENTRY;
    9 LINK ENTRY;
    10 TRUNCATE DATA;
    11 OPEN OPEN;
    12 READ READS;
    13 WRITE DATA;
    14 STATFS READS;
    15 FLUSH SYNCS;
    16 FSYNC SYNCS;
    17 SETXATTR META;
    18 GETXATTR READS;
    19 REMOVEXATTR META;
    20 OPENDIR OPEN;
    21 FSYNCDIR SYNCS;
    22 ACCESS READS;
    23 CREATE ENTRY;
    24 FTRUNCATE DATA;
    25 FSTAT READS;
    26 LK LOCKS;
    27 LOOKUP READS;
    28 READDIR READS;
    29 INODELK LOCKS;
    30 FINODELK LOCKS;
    31 ENTRYLK LOCKS;
    32 FENTRYLK LOCKS;
    33 XATTROP META;
    34 FXATTROP META;
    35 FGETXATTR READS;
    36 FSETXATTR META;
    37 RCHECKSUM READS;
    38 SETATTR META;
    39 FSETATTR META;
    40 READDIRP READS;
    41 FORGET Watch::Unwatched("not a fop: the host drops an inode from memory");
    42 RELEASE OPEN;
    43 RELEASEDIR OPEN;
    44 GETSPEC Watch::Unwatched("asks the management daemon, never reaches a file");
    45 FREMOVEXATTR META;
    46 FALLOCATE DATA;
    47 DISCARD DATA;
    48 ZEROFILL DATA;
    49 IPC Watch::Unwatched("talks to translators, changes no file");
    50 SEEK READS;
    51 LEASE LOCKS;
    52 COMPOUND Watch::Unwatched("retired: GlusterFS 10 neither sends nor serves it");
    53 GETACTIVELK LOCKS;
    54 SETACTIVELK LOCKS;
    55 PUT ENTRY;
    56 ICREATE ENTRY;
    57 NAMELINK ENTRY;
    58 COPY_FILE_RANGE DATA;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_stands_at_its_number() {
        for (at, row) in HOST_FOPS.iter().enumerate() {
            assert_eq!(usize::from(row.fop.0), at, "{}", row.name);
            assert_eq!(Fop::by_name(&row.name.to_lowercase()), Some(row.fop));
        }
        assert_eq!(Fop(200).to_string(), "FOP-200");
    }

    #[test]
    fn each_sliced_fop_has_a_bit_of_its_own() {
        let bits: Vec<u8> = HOST_FOPS.iter().filter_map(|row| row.fop.slice_bit()).collect();
        assert_eq!(bits.len(), 15);
        assert_eq!(bits.iter().collect::<BTreeSet<_>>().len(), bits.len());
    }
}
