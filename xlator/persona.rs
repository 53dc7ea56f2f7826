//! The role that a volfile gives the plugin: one shared object serves several translator types.
//!
//! Under its own name it has gnotify's options, each part switched on by itself. Under the name of a stock translator it
//! takes that one's place: same options, same effects.

use std::ffi::CStr;

/// What the plugin is in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persona {
    /// `features/gnotify`, `user/gnotify` or any name of the administrator's.
    Gnotify,
    /// `features/changelog`: the journal is exported to GlusterFS's own files and announced on its own channel.
    Changelog,
}

impl Persona {
    /// The role of a translator of this type; a type may be a path that leads out of the host's directory.
    pub(crate) fn of(kind: &CStr) -> Persona {
        let kind = kind.to_bytes();
        if kind == b"features/changelog" || kind.ends_with(b"/features/changelog") {
            Persona::Changelog
        } else {
            Persona::Gnotify
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides() {
        for (kind, persona) in [
            (c"features/changelog", Persona::Changelog),
            (c"../../tmp/features/changelog", Persona::Changelog),
            (c"features/gnotify", Persona::Gnotify),
            (c"user/gnotify", Persona::Gnotify),
            (c"user/changelog", Persona::Gnotify),
            (c"../target/debug/libgnotify", Persona::Gnotify),
        ] {
            assert_eq!(Persona::of(kind), persona, "{kind:?}");
        }
    }
}
