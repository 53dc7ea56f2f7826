//! The host's fop table, one module a fop: the types of call and reply, and the number.
//!
//! It exists because a macro that is given `writev` cannot name `writev_cbk` or `fop_writev_cbk_t`. It is
//! generated from the host's own `struct xlator_fops`, so that no list of fops is kept by hand.

/// The number that belongs to a slot of `xlator_fops`: its position, counted from one, as the host counts.
pub const fn number(offset: usize) -> u32 {
    (1 + offset / size_of::<*const ()>()) as u32
}

include!(concat!(env!("OUT_DIR"), "/fops.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::glusterfs_fop_t as fop;

    #[test]
    fn positions_are_the_hosts_numbers() {
        assert_eq!(stat::NUMBER, fop::GF_FOP_STAT);
        assert_eq!(writev::NUMBER, fop::GF_FOP_WRITE);
        assert_eq!(readdirp::NUMBER, fop::GF_FOP_READDIRP);
        assert_eq!(getspec::NUMBER, fop::GF_FOP_GETSPEC);
        assert_eq!(copy_file_range::NUMBER, fop::GF_FOP_COPY_FILE_RANGE);
    }

    #[test]
    fn all_names_every_number_but_the_placeholders() {
        let placeholders = [fop::GF_FOP_FORGET, fop::GF_FOP_RELEASE, fop::GF_FOP_RELEASEDIR];
        let expected: Vec<u32> =
            (1..fop::GF_FOP_MAXVALUE).filter(|n| !placeholders.contains(n)).collect();
        let listed: Vec<u32> = ALL.iter().map(|&(_, number)| number).collect();
        assert_eq!(listed, expected);
    }
}
