//! What stands on a slice so that it can be made again: where its records begin in the journal.
//!
//! FORMAT: the extended attribute `trusted.gnotify.cursor` of a slice, text: a cursor of the journal at which a slice
//! of the journal began, the number of the first entry from there on that counts, how many of the changes that it leads
//! to lie in slices before this one, and the scope of the export (`docs/changelog.md`).

use gnotify_changelog::rules::Scope;
use gnotify_journal::Cursor;

/// Where the records of a slice begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// A place in the journal where nothing was a repetition yet.
    pub(super) cursor: Cursor,
    /// Entries below this number do not count: it is where the export began.
    pub(super) from: u64,
    /// How many changes from there on lie in slices before.
    pub(super) passed: u64,
    /// Which changes records become.
    pub(super) scope: Scope,
}

impl Place {
    pub(super) fn encode(&self) -> String {
        let Place { cursor, from, passed, scope } = self;
        let scope = match scope {
            Scope::Stock => "stock",
            Scope::Extended => "extended",
        };
        format!("{cursor} {from} {passed} {scope}")
    }

    /// `None`: it is of a later version, or damaged.
    pub(super) fn decode(text: &[u8]) -> Option<Place> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let place = Place {
            cursor: words.next()?.parse().ok()?,
            from: words.next()?.parse().ok()?,
            passed: words.next()?.parse().ok()?,
            scope: match words.next()? {
                "stock" => Scope::Stock,
                "extended" => Scope::Extended,
                _ => return None,
            },
        };
        words.next().is_none().then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back() {
        let cursor = Cursor { epoch: [7; 16], start_id: 2, start_key: 3, seq: 4, check: 5 };
        for (passed, scope) in [(0, Scope::Stock), (u64::MAX, Scope::Extended)] {
            let place = Place { cursor, from: 9, passed, scope };
            assert_eq!(Place::decode(place.encode().as_bytes()), Some(place));
        }
        let text = Place { cursor, from: 4, passed: 1, scope: Scope::Stock }.encode();
        for bad in ["", "x 1 1 stock", &text[1..], &text[..text.len() - 1], &format!("{text} 1")] {
            assert_eq!(Place::decode(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Place::decode(b"\xff"), None);
    }
}
