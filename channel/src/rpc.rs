//! ONC RPC version 2 (RFC 5531) as far as the channel needs it: the heads of calls and replies, with the
//! credentials that GlusterFS sends. No record mark is part of what is here.

use crate::record_mark::{MARK, mark};
use crate::xdr::{BadMessage, Reader, put_u32};

/// Version of the protocol.
const RPC_VERSION: u32 = 2;
/// Most bytes of credentials or of a verifier that a peer may send (RFC 5531, section 8.2).
const AUTH_MAX: usize = 400;
/// Stock's number for the credentials of its version 2 (rpc/xdr: AUTH_GLUSTERFS_v2).
const AUTH_GLUSTERFS_V2: u32 = 390_039;
/// Stock's credentials in a call of its own and not of a client: pid, uid, gid and the number of groups are
/// 0, and the lock owner is four zero bytes behind their length.
const CREDENTIALS: [u32; 6] = [0, 0, 0, 0, 4, 0];

/// The xid of a connection's first call, in stock and here.
pub const FIRST_XID: u32 = 2;
/// The procedure of every program that does nothing.
pub const NULL_PROCEDURE: u32 = 0;
/// Bytes of a call's head as it is written.
pub const CALL_HEAD: usize = 64;

/// A program, in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub number: u32,
    /// Its version.
    pub version: u32,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The caller's number for it, which the reply repeats.
    pub xid: u32,
    /// Whose procedure.
    pub program: Program,
    /// Its number.
    pub procedure: u32,
    /// The arguments, not looked at yet.
    pub arguments: &'a [u8],
}

/// A call that speaks another version of RPC. It has an xid to be answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherRpcVersion {
    /// Of the call.
    pub xid: u32,
}

impl<'a> Call<'a> {
    /// Reads a whole call. Credentials and verifier are bounded and passed over: who the peer is says the
    /// socket.
    ///
    /// # Errors
    /// When it is no call.
    pub fn decode(message: &'a [u8]) -> Result<Result<Call<'a>, OtherRpcVersion>, BadMessage> {
        let mut reader = Reader::new(message);
        let xid = reader.u32()?;
        if reader.u32()? != 0 {
            return Err(reader.bad("no call"));
        }
        if reader.u32()? != RPC_VERSION {
            return Ok(Err(OtherRpcVersion { xid }));
        }
        let program = Program { number: reader.u32()?, version: reader.u32()? };
        let procedure = reader.u32()?;
        for _credentials_and_verifier in 0..2 {
            let _flavor = reader.u32()?;
            reader.opaque(AUTH_MAX)?;
        }
        Ok(Ok(Call { xid, program, procedure, arguments: reader.rest() }))
    }

    /// Appends the call as stock writes it, with its record mark and stock's own credentials.
    ///
    /// # Panics
    /// When the arguments are longer than a fragment can be, 2 GiB.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_head(self.xid, self.program, self.procedure, self.arguments.len(), out);
        out.extend_from_slice(self.arguments);
    }
}

/// Appends record mark and head of a call whose arguments, `length` bytes, are yet to be appended.
pub(crate) fn encode_head(
    xid: u32,
    program: Program,
    procedure: u32,
    length: usize,
    out: &mut Vec<u8>,
) {
    put_mark(CALL_HEAD + length, out);
    for word in [xid, 0, RPC_VERSION, program.number, program.version, procedure] {
        put_u32(word, out);
    }
    put_u32(AUTH_GLUSTERFS_V2, out);
    put_u32(4 * CREDENTIALS.len() as u32, out);
    for word in CREDENTIALS {
        put_u32(word, out);
    }
    // The verifier: none.
    put_u32(0, out);
    put_u32(0, out);
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was done, with these results.
    Done(&'a [u8]),
    /// The program is not served here.
    NoProgram,
    /// Only this version of the program is served here.
    OtherVersion {
        /// The one that is.
        served: u32,
    },
    /// The program has no such procedure.
    NoProcedure,
    /// The arguments are not the procedure's.
    BadArguments,
    /// The call was refused: RPC itself is spoken in another version.
    OtherRpcVersion,
    /// Refused for another reason.
    Refused,
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Of the call.
    pub xid: u32,
    /// How it went.
    pub outcome: Outcome<'a>,
}

impl<'a> Reply<'a> {
    /// Reads a whole reply.
    ///
    /// # Errors
    /// When it is no reply.
    pub fn decode(message: &'a [u8]) -> Result<Reply<'a>, BadMessage> {
        let mut reader = Reader::new(message);
        let xid = reader.u32()?;
        if reader.u32()? != 1 {
            return Err(reader.bad("no reply"));
        }
        let outcome = match reader.u32()? {
            0 => accepted(&mut reader)?,
            1 => match reader.u32()? {
                0 => Outcome::OtherRpcVersion,
                _ => Outcome::Refused,
            },
            _ => return Err(reader.bad("neither accepted nor denied")),
        };
        Ok(Reply { xid, outcome })
    }

    /// Appends the reply with its record mark.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(64);
        put_u32(self.xid, &mut body);
        put_u32(1, &mut body);
        let words: &[u32] = match self.outcome {
            // Accepted, no verifier, and then the state.
            Outcome::Done(_) => &[0, 0, 0, 0],
            Outcome::NoProgram => &[0, 0, 0, 1],
            Outcome::OtherVersion { served } => &[0, 0, 0, 2, served, served],
            Outcome::NoProcedure => &[0, 0, 0, 3],
            Outcome::BadArguments => &[0, 0, 0, 4],
            // Denied, and why.
            Outcome::OtherRpcVersion => &[1, 0, RPC_VERSION, RPC_VERSION],
            // AUTH_ERROR with AUTH_FAILED.
            Outcome::Refused => &[1, 1, 7],
        };
        words.iter().for_each(|word| put_u32(*word, &mut body));
        if let Outcome::Done(results) = self.outcome {
            body.extend_from_slice(results);
        }
        put_mark(body.len(), out);
        out.extend_from_slice(&body);
    }
}

fn accepted<'a>(reader: &mut Reader<'a>) -> Result<Outcome<'a>, BadMessage> {
    let _flavor = reader.u32()?;
    reader.opaque(AUTH_MAX)?;
    Ok(match reader.u32()? {
        0 => Outcome::Done(reader.rest()),
        1 => Outcome::NoProgram,
        2 => {
            let _lowest = reader.u32()?;
            Outcome::OtherVersion { served: reader.u32()? }
        }
        3 => Outcome::NoProcedure,
        4 => Outcome::BadArguments,
        _ => Outcome::Refused,
    })
}

fn put_mark(length: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(length).ok().filter(|length| length >> 31 == 0);
    out.reserve(MARK);
    out.extend_from_slice(&mark(length.expect("a message is shorter than 2 GiB")));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome() -> impl Strategy<Value = Outcome<'static>> {
        prop_oneof![
            Just(Outcome::Done(b"")),
            Just(Outcome::Done(b"results")),
            Just(Outcome::NoProgram),
            any::<u32>().prop_map(|served| Outcome::OtherVersion { served }),
            Just(Outcome::NoProcedure),
            Just(Outcome::BadArguments),
            Just(Outcome::OtherRpcVersion),
            Just(Outcome::Refused),
        ]
    }

    proptest! {
        #[test]
        fn a_call_comes_back(
            (xid, number, version, procedure) in any::<(u32, u32, u32, u32)>(),
            arguments in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let call =
                Call { xid, program: Program { number, version }, procedure, arguments: &arguments };
            let mut bytes = Vec::new();
            call.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), MARK + CALL_HEAD + arguments.len());
            prop_assert_eq!(Call::decode(&bytes[MARK..]), Ok(Ok(call)));
            // Every shorter head is refused.
            for end in 0..CALL_HEAD {
                prop_assert!(Call::decode(&bytes[MARK..MARK + end]).is_err());
            }
        }

        #[test]
        fn a_reply_comes_back(xid in any::<u32>(), outcome in outcome()) {
            let reply = Reply { xid, outcome };
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            prop_assert_eq!(Reply::decode(&bytes[MARK..]), Ok(reply));
        }
    }

    #[test]
    fn credentials_are_bounded() {
        let call = Call {
            xid: 1,
            program: Program { number: 2, version: 3 },
            procedure: 4,
            arguments: &[0; 500],
        };
        let mut bytes = Vec::new();
        call.encode(&mut bytes);
        let message = &mut bytes[MARK..];
        // The length of the credentials, behind seven words.
        message[28..32].copy_from_slice(&[0, 0, 1, 0x91]);
        assert!(Call::decode(message).is_err(), "401 bytes");
        message[28..32].copy_from_slice(&[0xff; 4]);
        assert!(Call::decode(message).is_err(), "4 GiB");
    }

    #[test]
    fn another_version_of_rpc_is_told_apart() {
        let message = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(Call::decode(&message), Ok(Err(OtherRpcVersion { xid: 9 })));
    }
}
