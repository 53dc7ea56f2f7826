//! Who caused a change: an application, or one of GlusterFS's own services.
//!
//! Stock changelog drops internal changes by rules of its own; gnotify records them all and says
//! where they came from, so that each consumer may choose.

use crate::Gfid;

/// Where a fop came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// An application, through a mount, gfapi or a gateway.
    Client = 0,
    /// Self-heal: the daemon, `gluster volume heal`, or a client that heals while it reads.
    SelfHeal = 1,
    /// Rebalance and tiering move files between bricks.
    Rebalance = 2,
    /// Geo-replication writes what another volume has.
    GeoRep = 3,
    /// The quota crawler.
    Quota = 4,
    /// The bitrot signer and scrubber.
    Bitrot = 5,
    /// features/shard handles the blocks of a large file.
    Shard = 6,
    /// Another internal action: a distribute link file, a service of the brick itself.
    Internal = 7,
    /// Written by a later version that knows more origins than this one.
    Unknown = 15,
}

impl Origin {
    /// Every origin that is written.
    pub const ALL: [Origin; 8] = [
        Origin::Client,
        Origin::SelfHeal,
        Origin::Rebalance,
        Origin::GeoRep,
        Origin::Quota,
        Origin::Bitrot,
        Origin::Shard,
        Origin::Internal,
    ];

    /// Decides from the special client pids (stock `enum _gf_special_pid` in common-utils.h), the mark
    /// `glusterfs-internal-fop` in the request's xdata, whether a client sent it at all, and the
    /// directory it works in.
    #[must_use]
    #[inline]
    pub fn decide(pid: i32, internal_mark: bool, from_client: bool, parent: Option<Gfid>) -> Self {
        match pid {
            -1 => Origin::GeoRep,
            -3 | -10 => Origin::Rebalance,
            -5 => Origin::Quota,
            -6 | -7 | -12 => Origin::SelfHeal,
            -8 | -9 => Origin::Bitrot,
            -11 | -13 => Origin::Internal,
            _ if matches!(parent, Some(Gfid::SHARD_ROOT | Gfid::SHARD_REMOVE_ME)) => Origin::Shard,
            _ if internal_mark || !from_client => Origin::Internal,
            _ => Origin::Client,
        }
    }

    /// The four bits of the record's tag.
    #[must_use]
    pub fn bits(self) -> u8 {
        self as u8
    }

    /// The origin of four bits; those that this version does not know are [`Origin::Unknown`].
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self::ALL.get(usize::from(bits)).copied().unwrap_or(Origin::Unknown)
    }

    /// The name in texts, JSON and filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Origin::Client => "client",
            Origin::SelfHeal => "self-heal",
            Origin::Rebalance => "rebalance",
            Origin::GeoRep => "geo-rep",
            Origin::Quota => "quota",
            Origin::Bitrot => "bitrot",
            Origin::Shard => "shard",
            Origin::Internal => "internal",
            Origin::Unknown => "unknown",
        }
    }

    /// The origin with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Origin> {
        Self::ALL.into_iter().find(|origin| origin.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip_and_names_are_distinct() {
        for origin in Origin::ALL {
            assert_eq!(Origin::from_bits(origin.bits()), origin);
            assert_eq!(Origin::by_name(origin.name()), Some(origin));
        }
        assert_eq!(Origin::from_bits(9), Origin::Unknown);
    }

    #[test]
    fn the_pid_decides_before_the_mark() {
        let cases = [
            (1234, false, true, None, Origin::Client),
            // NO_ROOT_SQUASH and HADOOP are ways of access, not services.
            (-4, false, true, None, Origin::Client),
            (-2, false, true, None, Origin::Client),
            (1234, true, true, None, Origin::Internal),
            (0, false, false, None, Origin::Internal),
            (-1, true, true, None, Origin::GeoRep),
            (-3, true, true, None, Origin::Rebalance),
            (-10, false, true, None, Origin::Rebalance),
            (-5, false, true, None, Origin::Quota),
            (-6, true, true, None, Origin::SelfHeal),
            (-7, false, true, None, Origin::SelfHeal),
            (-12, false, true, None, Origin::SelfHeal),
            (-8, false, true, None, Origin::Bitrot),
            (-9, false, true, None, Origin::Bitrot),
            (-11, false, false, None, Origin::Internal),
            (-13, false, true, None, Origin::Internal),
            (1234, true, true, Some(Gfid::SHARD_ROOT), Origin::Shard),
            (1234, false, true, Some(Gfid::SHARD_REMOVE_ME), Origin::Shard),
            (-6, true, true, Some(Gfid::SHARD_ROOT), Origin::SelfHeal),
            (1234, false, true, Some(Gfid::ROOT), Origin::Client),
        ];
        for (pid, mark, client, parent, want) in cases {
            let got = Origin::decide(pid, mark, client, parent);
            assert_eq!(got, want, "pid {pid}, mark {mark}, client {client}, parent {parent:?}");
        }
    }
}
