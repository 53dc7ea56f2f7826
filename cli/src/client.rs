//! What a client's uid string says to a person: the machine and the process.

use std::ops::Range;

/// The parts of a uid string such as
/// `CTX_ID:6a3c...-GRAPH_ID:0-PID:1234-HOST:node1-PC_NAME:vol-client-0-RECON_NO:-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    /// The machine's name, as the client gave it.
    pub(crate) host: &'a [u8],
    /// The process of the mount or of the gfapi application, on that machine.
    pub(crate) pid: u32,
}

impl<'a> Client<'a> {
    /// Takes a uid string apart; `None` where it is written in another way.
    ///
    /// A host's name may hold hyphens, so it reaches to the last `-PC_NAME:`, which a volume's name
    /// cannot hold.
    pub(crate) fn parse(uid: &'a [u8]) -> Option<Client<'a>> {
        let pid = after(uid, b"-PID:", 0)?;
        let host = after(uid, b"-HOST:", pid)?;
        let pid = str::from_utf8(&uid[pid..host - b"-HOST:".len()]).ok()?.parse().ok()?;
        let end = uid.windows(PC_NAME.len()).rposition(|window| window == PC_NAME)?;
        let host: Range<usize> = host..end;
        Some(Client { host: uid.get(host)?, pid })
    }
}

const PC_NAME: &[u8] = b"-PC_NAME:";

/// Where the text behind the first `mark` at or behind `from` begins.
fn after(uid: &[u8], mark: &[u8], from: usize) -> Option<usize> {
    let at = uid.get(from..)?.windows(mark.len()).position(|window| window == mark)?;
    Some(from + at + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_pid_are_found() {
        let cases: [(&str, Option<(&str, u32)>); 8] = [
            (
                "CTX_ID:6a3c1e0e-6b4a-4f0f-9d39-0b6f3f0f0f0f-GRAPH_ID:0-PID:1234-HOST:node1-PC_NAME:vol-client-0-RECON_NO:-0",
                Some(("node1", 1234)),
            ),
            (
                "CTX_ID:a-GRAPH_ID:0-PID:1-HOST:web-3.example.org-PC_NAME:v-client-11-RECON_NO:-2",
                Some(("web-3.example.org", 1)),
            ),
            ("CTX_ID:a-GRAPH_ID:0-PID:1-HOST:-PC_NAME:v-RECON_NO:-0", Some(("", 1))),
            (
                "CTX_ID:a-GRAPH_ID:0-PID:1-HOST:x-PC_NAME:y-PC_NAME:v-RECON_NO:-0",
                Some(("x-PC_NAME:y", 1)),
            ),
            ("node1-1234-2013/07/02-10:21:07:428473-vol-client-0-0", None),
            ("CTX_ID:a-PID:many-HOST:h-PC_NAME:v", None),
            ("-PC_NAME:v-PID:1-HOST:h", None),
            ("", None),
        ];
        for (uid, want) in cases {
            let want = want.map(|(host, pid)| Client { host: host.as_bytes(), pid });
            assert_eq!(Client::parse(uid.as_bytes()), want, "{uid}");
        }
    }
}
