//! The probe: a consumer tells a brick which events it wants, and where it listens for them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::rpc::{Call, Program};
use crate::xdr::{BadMessage, Reader, put_i32, put_u32};

/// The program that a brick serves ("ping" in ASCII; stock: changelog-rpc-common.h).
pub const PROGRAM: Program = Program { number: 1_885_957_735, version: 1 };
/// Its procedure.
pub const PROBE: u32 = 1;
/// Characters of the path, its NUL included: what a unix socket's address has room for.
pub const PATH_MAX: usize = 108;
/// Bytes of the arguments: a word for the selection and one for each character.
pub const PROBE_SIZE: usize = 4 + 4 * PATH_MAX;
/// Bytes of the results.
pub const REPLY_SIZE: usize = 4;

/// What a consumer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// A bit for each kind of event, as the consumer sent it: [`crate::Selection::from_bits`] takes those
    /// that mean something.
    pub filter: u32,
    /// Where it listens. Not empty, and shorter than [`PATH_MAX`].
    pub path: PathBuf,
}

impl Probe {
    /// Reads the arguments of a probe.
    ///
    /// # Errors
    /// When they are not 436 bytes, a character is none, or the path is empty or has no end. What stands
    /// behind the path's NUL is not looked at.
    pub fn decode(arguments: &[u8]) -> Result<Probe, BadMessage> {
        let mut reader = Reader::new(arguments);
        let filter = reader.u32()?;
        let mut path = Vec::with_capacity(PATH_MAX);
        for _ in 0..PATH_MAX {
            // Stock declares characters and not a string: each is a number of its own, with its sign.
            let character = reader.i32()?;
            let Ok(character) = i8::try_from(character) else {
                return Err(reader.bad("no character"));
            };
            path.push(character.cast_unsigned());
        }
        reader.end()?;
        let end =
            path.iter().position(|byte| *byte == 0).ok_or(reader.bad("a path without end"))?;
        if end == 0 {
            return Err(reader.bad("an empty path"));
        }
        Ok(Probe { filter, path: Path::new(OsStr::from_bytes(&path[..end])).into() })
    }

    /// The call as a consumer sends it, with its record mark.
    ///
    /// # Errors
    /// When the path is empty, too long, or has a NUL in it.
    pub fn encode_call(&self, xid: u32) -> Result<Vec<u8>, BadMessage> {
        let path = self.path.as_os_str().as_bytes();
        if path.is_empty() || path.len() >= PATH_MAX || path.contains(&0) {
            return Err(BadMessage { offset: 0, what: "a path that fits in no probe" });
        }
        let mut arguments = Vec::with_capacity(PROBE_SIZE);
        put_u32(self.filter, &mut arguments);
        for at in 0..PATH_MAX {
            let character = path.get(at).copied().unwrap_or(0).cast_signed();
            put_i32(i32::from(character), &mut arguments);
        }
        let mut bytes = Vec::new();
        Call { xid, program: PROGRAM, procedure: PROBE, arguments: &arguments }.encode(&mut bytes);
        Ok(bytes)
    }
}

/// The results of a probe: 0, or -1 where the brick will not connect.
#[must_use]
pub fn encode_reply(op_ret: i32) -> [u8; REPLY_SIZE] {
    let mut bytes = Vec::with_capacity(REPLY_SIZE);
    put_i32(op_ret, &mut bytes);
    bytes.try_into().unwrap_or_default()
}

/// Reads the results of a probe.
///
/// # Errors
/// When they are not 4 bytes.
pub fn decode_reply(results: &[u8]) -> Result<i32, BadMessage> {
    let mut reader = Reader::new(results);
    let op_ret = reader.i32()?;
    reader.end()?;
    Ok(op_ret)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record_mark::MARK;
    use crate::rpc::{CALL_HEAD, FIRST_XID, Outcome, Reply};

    /// Taken from the sockets of a stock brick and of libgfchangelog.
    const STOCK_CALL: &[u8] = include_bytes!("../testdata/probe-call.bin");
    const STOCK_REPLY: &[u8] = include_bytes!("../testdata/probe-reply.bin");

    #[test]
    fn a_probe_is_what_stock_sends() {
        let probe = Probe { filter: 31, path: "/var/run/gluster/.e4f14f24a63ca1d953.sock".into() };
        let call = Call::decode(&STOCK_CALL[MARK..]).unwrap().unwrap();
        assert_eq!((call.xid, call.program, call.procedure), (FIRST_XID, PROGRAM, PROBE));
        assert_eq!(Probe::decode(call.arguments).unwrap(), probe);
        assert_eq!(probe.encode_call(FIRST_XID).unwrap(), STOCK_CALL);
    }

    #[test]
    fn a_reply_is_what_stock_sends() {
        let reply = Reply::decode(&STOCK_REPLY[MARK..]).unwrap();
        let Outcome::Done(results) = reply.outcome else { panic!("{reply:?}") };
        assert_eq!((reply.xid, decode_reply(results)), (FIRST_XID, Ok(0)));
        let mut bytes = Vec::new();
        Reply { xid: FIRST_XID, outcome: Outcome::Done(&encode_reply(0)) }.encode(&mut bytes);
        assert_eq!(bytes, STOCK_REPLY);
    }

    proptest! {
        #[test]
        fn any_path_comes_back(
            filter in any::<u32>(),
            path in proptest::collection::vec(1u8.., 1..PATH_MAX),
        ) {
            let probe = Probe { filter, path: OsStr::from_bytes(&path).into() };
            let bytes = probe.encode_call(7).unwrap();
            let arguments = &bytes[MARK + CALL_HEAD..];
            prop_assert_eq!(arguments.len(), PROBE_SIZE);
            prop_assert_eq!(Probe::decode(arguments), Ok(probe));
            prop_assert!(Probe::decode(&arguments[..PROBE_SIZE - 1]).is_err());
            prop_assert!(Probe::decode(&[arguments, b"\0"].concat()).is_err());
        }
    }

    #[test]
    fn a_path_without_beginning_or_end_is_refused() {
        let with = |character: u8| {
            let mut arguments = vec![0; PROBE_SIZE];
            arguments[4..].chunks_mut(4).for_each(|word| word[3] = character);
            arguments
        };
        assert_eq!(Probe::decode(&with(b'/')).unwrap_err().what, "a path without end");
        assert_eq!(Probe::decode(&with(0)).unwrap_err().what, "an empty path");
        let mut arguments = with(0);
        arguments[4] = 1;
        assert_eq!(Probe::decode(&arguments).unwrap_err().what, "no character");
    }

    #[test]
    fn a_path_that_does_not_fit_is_not_sent() {
        for path in ["", &"p".repeat(PATH_MAX), "a\0b"] {
            assert!(Probe { filter: 1, path: path.into() }.encode_call(2).is_err(), "{path:?}");
        }
    }
}
