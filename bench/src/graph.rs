//! The four graphs that are compared, and the fops that are repeated on each of them.

use gnotify_harness::{BrickSpec, Disk, Sandbox, Volfile};

/// What stands directly above the brick's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Graph {
    /// Nothing.
    None,
    /// gnotify with its journal off: each fop is passed on in a tail wind.
    PassThrough,
    /// gnotify as it is used.
    Gnotify,
    /// The host's own features/changelog.
    Changelog,
}

impl Graph {
    pub(crate) const ALL: [Graph; 4] =
        [Graph::None, Graph::PassThrough, Graph::Gnotify, Graph::Changelog];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Graph::None => "none",
            Graph::PassThrough => "pass-through",
            Graph::Gnotify => "gnotify",
            Graph::Changelog => "changelog",
        }
    }

    /// The file name of what is measured.
    pub(crate) fn object(self) -> Option<&'static str> {
        match self {
            Graph::None => None,
            Graph::PassThrough | Graph::Gnotify => Some("libgnotify.so"),
            Graph::Changelog => Some("changelog.so"),
        }
    }

    /// A brick with this graph. No slice ends while it is measured.
    pub(crate) fn brick(self, t: &Sandbox, name: &str) -> BrickSpec {
        let spec = t.brick(name);
        match self {
            Graph::None => spec.plain(),
            Graph::PassThrough => spec.option("journal", "off"),
            Graph::Gnotify => {
                spec.option("journal", "on").option("detail", "slice").option("slice-time", "3600")
            }
            Graph::Changelog => {
                let brick = t.path(name).join("brick");
                let journals = brick.join(".glusterfs/changelogs");
                spec.graph(Volfile::named("brick.vol").fill("PLUGIN", "features/changelog"))
                    .option("changelog", "on")
                    .option("changelog-brick", &brick.to_string_lossy())
                    .option("changelog-dir", &journals.to_string_lossy())
                    .option("rollover-time", "3600")
            }
        }
    }
}

/// The file systems under a brick that are compared, each on an image file of its own.
pub(crate) const DISKS: [(&str, Disk); 2] = [("ext4", Disk::Ext4(4096)), ("XFS", Disk::Xfs(4096))];

/// A fop that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    /// How `gfapi_loops.py` calls it.
    pub(crate) verb: &'static str,
    pub(crate) label: &'static str,
}

/// In the order in which they must come on a set of files. The set is closed before the last one.
pub(crate) const PHASES: [Phase; 5] = [
    Phase { verb: "create", label: "create" },
    Phase { verb: "write", label: "write 4K, first" },
    Phase { verb: "again", label: "write 4K, again" },
    Phase { verb: "setattr", label: "setattr (chmod)" },
    Phase { verb: "unlink", label: "unlink" },
];
