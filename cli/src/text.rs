//! Entries as text for people: a line each, what is always there in columns, the rest as `key=value`.
//!
//! No key holds a space, and no value does that is not in double quotes, so that nobody can name a file
//! in a way that makes a line say something else.

use std::fmt::Write as _;
use std::io::{self, Write};

use gnotify_journal::{Cause, Gap, Start, Statement, What};
use gnotify_record::{ClientId, FileType, Record, SetAttr, Time, set_attr};

use crate::client::Client;
use crate::escape::{self, quoted};
use crate::line::Line;
use crate::moment::Clock;
use crate::paths::Names;

/// Writes lines of text.
#[derive(Debug)]
pub(crate) struct Text {
    clock: Clock,
    line: String,
}

impl Text {
    pub(crate) fn new(clock: Clock) -> Text {
        Text { clock, line: String::new() }
    }

    pub(crate) fn write(&mut self, out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        self.put(format_args!("{:>8}  {}  ", line.seq, self.clock.show(line.time)));
        match line.what {
            What::Record(record) => self.record(record, line),
            What::Statement(statement) => self.statement(statement, line),
        }
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.line.write_fmt(text);
    }

    fn field(&mut self, key: &str, value: impl std::fmt::Display) {
        self.put(format_args!(" {key}={value}"));
    }

    fn field_if(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.field(key, value);
        }
    }

    fn record(&mut self, record: &Record<'_>, line: &Line<'_>) {
        self.put(format_args!("{:<12}  ", record.fop));
        let recorded;
        let names = match &line.names {
            Some(names) => names,
            None => {
                recorded = Names::recorded(record);
                &recorded
            }
        };
        self.put(format_args!("{}", names.path.as_deref().map_or("?".into(), quoted)));
        if let Some(to) = &names.to {
            self.put(format_args!(" -> {}", quoted(to)));
        }
        for other in &names.others {
            self.field("also", quoted(other));
        }
        // Where the name is that of an entry, the inode has not been told yet.
        if line.names.is_none() && record.at.is_some() {
            self.field_if("gfid", record.gfid);
        }
        if record.origin != gnotify_record::Origin::Client {
            self.field("origin", record.origin.name());
        }
        if record.uncertain {
            self.field("uncertain", "yes");
        }
        if record.marked {
            self.field("marked", "yes");
        }
        self.subject(record);
        self.range(record);
        if let Some(set) = &record.set {
            self.set(set);
        }
        for xattr in &record.xattrs {
            self.field("xattr", quoted(&xattr.name));
            self.field_if("value", xattr.value.as_deref().map(quoted));
        }
        if record.xattrs_cut {
            self.field("xattrs", "cut");
        }
        self.field_if("nlink", record.nlink);
        self.field_if("last-link", record.last_link.map(|last| if last { "yes" } else { "no" }));
        self.field_if("replaced", record.replaced);
        if let Some(renaming) = &record.renaming {
            for (key, link) in [("renames", &renaming.from), ("renames-to", &renaming.to)] {
                self.field(key, format_args!("<gfid:{}>/{}", link.parent, quoted(&link.name)));
            }
        }
        self.field_if("deleted-path", record.path.as_deref().map(quoted));
        if let Some(caller) = record.caller {
            self.put(format_args!(" by={}:{} pid={}", caller.uid, caller.gid, caller.pid));
        }
        match (line.client, record.client) {
            (Some(uid), _) => self.field("client", who(uid)),
            (None, Some(ClientId(id))) => self.put(format_args!(" client=#{id}")),
            (None, None) => {}
        }
    }

    /// What the inode is.
    fn subject(&mut self, record: &Record<'_>) {
        // The usual kind goes without saying.
        self.field_if(
            "kind",
            record.kind.filter(|kind| *kind != FileType::Regular).map(FileType::name),
        );
        self.field_if("target", record.target.as_deref().map(quoted));
        self.field_if("rdev", record.rdev.map(device));
        self.field_if("mode", record.mode.map(octal));
        self.field_if("owner", record.owner.map(|owner| format!("{}:{}", owner.uid, owner.gid)));
        self.field_if("flags", record.flags.map(|flags| format!("{flags:#x}")));
    }

    /// Which bytes.
    fn range(&mut self, record: &Record<'_>) {
        self.field_if("offset", record.offset);
        self.field_if("length", record.length);
        self.field_if("size", record.size);
        if let Some(source) = record.source {
            self.put(format_args!(
                " source=<gfid:{}> source-offset={}",
                source.gfid, source.offset
            ));
        }
    }

    fn set(&mut self, set: &SetAttr) {
        let has = |bits: u32| set.mask & bits != 0;
        self.field_if("set-mode", has(set_attr::MODE).then(|| octal(set.mode)));
        self.field_if("set-uid", has(set_attr::UID).then_some(set.uid));
        self.field_if("set-gid", has(set_attr::GID).then_some(set.gid));
        self.field_if("set-size", has(set_attr::SIZE).then_some(set.size));
        let time = |time: Time| self.clock.show_seconds(time.sec, time.nsec);
        let atime = has(set_attr::ATIME | set_attr::ATIME_NOW).then(|| time(set.atime));
        let mtime = has(set_attr::MTIME | set_attr::MTIME_NOW).then(|| time(set.mtime));
        let ctime = has(set_attr::CTIME).then(|| time(set.ctime));
        self.field_if("set-atime", atime);
        self.field_if("set-mtime", mtime);
        self.field_if("set-ctime", ctime);
    }

    fn statement(&mut self, statement: &Statement<'_>, line: &Line<'_>) {
        self.put(format_args!("-- {}", name(statement)));
        match statement {
            Statement::Start(start) => self.start(start),
            Statement::Stop | Statement::Unknown(_) => {}
            Statement::SliceEnd { slice } => self.put(format_args!(" {slice}")),
            Statement::Gap(gap) => self.gap(gap, line),
            Statement::Void { to } => {
                self.numbers(line.seq, *to);
                self.put(format_args!(": begun when the brick was killed, never answered"));
            }
            Statement::Client { id, uid } => {
                self.put(format_args!(" {} is {}", id.0, who(uid)));
                if Client::parse(uid).is_some() {
                    self.put(format_args!(", {}", quoted(uid)));
                }
            }
            Statement::ClientGone { id } => {
                self.put(format_args!(" {}", id.0));
                if let Some(uid) = line.client {
                    self.put(format_args!(" was {}", who(uid)));
                }
            }
            Statement::Off => self.put(format_args!(": changes from here on are not recorded")),
            Statement::On => self.put(format_args!(": changes are recorded again")),
            Statement::Trimmed { to, by } => {
                self.put(format_args!(" up to {to}: {by}"));
            }
        }
    }

    fn start(&mut self, start: &Start<'_>) {
        self.put(format_args!(" {}: {}", start.start_id, start.how));
        if start.previous != 0 {
            self.put(format_args!(", after start {}", start.previous));
        }
        if start.last_time != 0 {
            let last = self.clock.show(start.last_time);
            self.put(format_args!(", whose last entry is of {last}"));
        }
        self.put(format_args!(", gnotify {}", quoted(start.version)));
    }

    fn gap(&mut self, gap: &Gap, line: &Line<'_>) {
        self.numbers(line.seq, gap.to);
        self.put(format_args!(": {}", gap.cause));
        if let Some(lost) = gap.lost {
            self.put(format_args!(", {lost} lost"));
        }
        if let (Cause::Damaged, Some(place)) = (gap.cause, line.place) {
            self.put(format_args!(", {} at byte {}", escape::path(place.path), place.offset));
        }
    }

    fn numbers(&mut self, from: u64, to: u64) {
        self.put(format_args!(" {from} to {to}"));
    }
}

/// The statement's name, in texts and JSON.
pub(crate) fn name(statement: &Statement<'_>) -> String {
    match statement {
        Statement::Start(_) => "START".to_owned(),
        Statement::Stop => "STOP".to_owned(),
        Statement::SliceEnd { .. } => "SLICE-END".to_owned(),
        Statement::Gap(_) => "GAP".to_owned(),
        Statement::Void { .. } => "VOID".to_owned(),
        Statement::Client { .. } => "CLIENT".to_owned(),
        Statement::ClientGone { .. } => "CLIENT-GONE".to_owned(),
        Statement::Off => "OFF".to_owned(),
        Statement::On => "ON".to_owned(),
        Statement::Trimmed { .. } => "TRIMMED".to_owned(),
        Statement::Unknown(code) => format!("STATEMENT-{code}"),
    }
}

/// A client as host and process; its whole uid string where that is written in another way.
fn who(uid: &[u8]) -> String {
    match Client::parse(uid) {
        Some(client) => format!("{}/{}", quoted(client.host), client.pid),
        None => quoted(uid).into_owned(),
    }
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn device(rdev: u64) -> String {
    format!("{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::path::Path;

    use gnotify_journal::{How, Place, TrimmedBy};
    use gnotify_record::{Caller, Fop, Gfid, Link, Origin, Owner, Renaming, Source, Xattr};

    use super::*;

    const GFID: Gfid = Gfid([0xab; 16]);
    const UID: &[u8] = b"CTX_ID:6a3c-GRAPH_ID:0-PID:42-HOST:node1-PC_NAME:v-client-0-RECON_NO:-0";

    fn show(what: &What<'_>, client: Option<&[u8]>, names: Option<Names>) -> String {
        let place = Some(Place { path: Path::new("/b/1.gnj"), offset: 80 });
        let line = Line { seq: 17, time: 1_795_160_863_123_456_789, what, place, client, names };
        let mut out = Vec::new();
        Text::new(Clock::new(true)).write(&mut out, &line).unwrap();
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix("      17  2026-11-20 07:47:43.123456Z  ").unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    }

    fn record(record: Record<'_>) -> String {
        let client = record.client.map(|_| UID);
        show(&What::Record(record), client, None)
    }

    fn statement(statement: Statement<'_>) -> String {
        show(&What::Statement(statement), None, None)
    }

    fn link(parent: Gfid, name: &[u8]) -> Option<Link<'_>> {
        Some(Link { parent, name: Cow::Borrowed(name) })
    }

    fn new(fop: Fop) -> Record<'static> {
        Record {
            gfid: Some(GFID),
            kind: Some(FileType::Regular),
            ..Record::new(fop, Origin::Client)
        }
    }

    const GFID_TEXT: &str = "abababab-abab-abab-abab-abababababab";

    #[test]
    fn records_say_what_is_known() {
        let create = Record {
            at: link(Gfid::ROOT, b"letter"),
            mode: Some(0o644),
            flags: Some(0x8241),
            nlink: Some(1),
            caller: Some(Caller { uid: 1000, gid: 100, pid: 4321 }),
            client: Some(ClientId(3)),
            ..new(Fop::CREATE)
        };
        assert_eq!(
            record(create),
            format!(
                "CREATE        /letter gfid={GFID_TEXT} mode=0644 flags=0x8241 nlink=1 \
                 by=1000:100 pid=4321 client=node1/42"
            )
        );
        let write = Record {
            offset: Some(4096),
            length: Some(10),
            size: Some(u64::MAX),
            origin: Origin::SelfHeal,
            ..new(Fop::WRITE)
        };
        assert_eq!(
            record(write),
            format!(
                "WRITE         <gfid:{GFID_TEXT}> origin=self-heal offset=4096 length=10 \
                 size=18446744073709551615"
            )
        );
        let unlink = Record {
            renaming: link(Gfid::ROOT, b"a b")
                .zip(link(GFID, b"c"))
                .map(|(from, to)| Box::new(Renaming { from, to })),
            path: Some(Cow::Borrowed(b"d/a b")),
            ..new(Fop::UNLINK)
        };
        assert_eq!(
            record(unlink),
            format!(
                "UNLINK        <gfid:{GFID_TEXT}> renames=<gfid:{}>/\"a b\" \
                 renames-to=<gfid:{GFID_TEXT}>/c deleted-path=\"d/a b\"",
                Gfid::ROOT
            )
        );
        let rename = Record {
            at: link(Gfid::ROOT, b"a b"),
            to: link(GFID, b"\x1b[2J"),
            replaced: Some(Gfid([1; 16])),
            last_link: Some(true),
            kind: Some(FileType::Directory),
            ..new(Fop::RENAME)
        };
        assert_eq!(
            record(rename),
            format!(
                "RENAME        \"/a b\" -> \"<gfid:{GFID_TEXT}>/\\x1b[2J\" gfid={GFID_TEXT} \
                 kind=directory last-link=yes replaced=01010101-0101-0101-0101-010101010101"
            )
        );
    }

    #[test]
    fn the_rarer_fields_have_their_places() {
        let copy =
            Record { source: Some(Source { gfid: GFID, offset: 7 }), ..new(Fop::COPY_FILE_RANGE) };
        assert_eq!(
            record(copy),
            format!(
                "COPY_FILE_RANGE  <gfid:{GFID_TEXT}> source=<gfid:{GFID_TEXT}> source-offset=7"
            )
        );
        let mknod = Record {
            gfid: None,
            kind: Some(FileType::Block),
            rdev: Some(0x801),
            owner: Some(Owner { uid: 0, gid: 6 }),
            ..new(Fop::MKNOD)
        };
        let uncertain =
            Record { at: link(Gfid::ROOT, b"f"), uncertain: true, gfid: None, ..new(Fop::CREATE) };
        assert_eq!(record(uncertain), "CREATE        /f uncertain=yes");
        let marked =
            Record { at: link(Gfid::ROOT, b"f"), marked: true, gfid: None, ..new(Fop::LINK) };
        assert_eq!(record(marked), "LINK          /f marked=yes");
        assert_eq!(record(mknod), "MKNOD         ? kind=block-device rdev=8:1 owner=0:6");
        let symlink = Record {
            at: link(Gfid::ROOT, b"s"),
            kind: Some(FileType::Symlink),
            target: Some(Cow::Borrowed(b"../x y")),
            gfid: None,
            ..new(Fop::SYMLINK)
        };
        assert_eq!(record(symlink), "SYMLINK       /s kind=symlink target=\"../x y\"");
        let xattr = |name, value| Xattr { name: Cow::Borrowed(name), value };
        let setxattr = Record {
            gfid: Some(Gfid::ROOT),
            xattrs: vec![
                xattr(b"user.a".as_slice(), None),
                xattr(b"user.b c".as_slice(), Some(Cow::Borrowed(b"\0".as_slice()))),
            ],
            xattrs_cut: true,
            ..new(Fop::SETXATTR)
        };
        assert_eq!(
            record(setxattr),
            r#"SETXATTR      / xattr=user.a xattr="user.b c" value="\x00" xattrs=cut"#
        );
        let set = SetAttr {
            mask: set_attr::MODE | set_attr::UID | set_attr::MTIME,
            mode: 0o4755,
            mtime: Time { sec: 0, nsec: 5 },
            ..SetAttr::default()
        };
        let setattr = Record { gfid: Some(Gfid::ROOT), set: Some(set), ..new(Fop::SETATTR) };
        assert_eq!(
            record(setattr),
            "SETATTR       / set-mode=4755 set-uid=0 set-mtime=1970-01-01T00:00:00.000000005Z"
        );
    }

    #[test]
    fn resolved_names_take_the_place_of_gfids() {
        let create = Record { at: link(GFID, b"f"), ..new(Fop::CREATE) };
        let names =
            Names { path: Some(b"/d/f".to_vec()), to: None, others: vec![b"/g h".to_vec()] };
        assert_eq!(
            show(&What::Record(create), None, Some(names)),
            "CREATE        /d/f also=\"/g h\""
        );
    }

    #[test]
    fn a_client_without_a_name_is_shown_by_its_number() {
        let write = Record { gfid: None, client: Some(ClientId(9)), ..new(Fop::WRITE) };
        assert_eq!(show(&What::Record(write), None, None), "WRITE         ? client=#9");
    }

    #[test]
    fn statements_stand_apart() {
        let start = Start {
            start_id: 3,
            previous: 2,
            how: How::Killed,
            boot_id: [0; 16],
            last_time: 1_795_160_863_000_000_000,
            version: b"0.1.0",
        };
        let gap = |cause, lost| Statement::Gap(Gap { to: 20, cause, lost });
        let first = Start { start_id: 1, previous: 0, how: How::First, last_time: 0, ..start };
        let cases = [
            (
                Statement::Start(start),
                "-- START 3: killed, after start 2, whose last entry is of 2026-11-20 07:47:43.000000Z, gnotify 0.1.0",
            ),
            (Statement::Start(first), "-- START 1: first, gnotify 0.1.0"),
            (Statement::Stop, "-- STOP"),
            (Statement::SliceEnd { slice: 5 }, "-- SLICE-END 5"),
            (gap(Cause::RingFull, Some(3)), "-- GAP 17 to 20: ring-full, 3 lost"),
            (gap(Cause::Damaged, None), "-- GAP 17 to 20: damaged, /b/1.gnj at byte 80"),
            (
                Statement::Void { to: 17 },
                "-- VOID 17 to 17: begun when the brick was killed, never answered",
            ),
            (
                Statement::Client { id: ClientId(3), uid: UID },
                "-- CLIENT 3 is node1/42, CTX_ID:6a3c-GRAPH_ID:0-PID:42-HOST:node1-PC_NAME:v-client-0-RECON_NO:-0",
            ),
            (Statement::Client { id: ClientId(3), uid: b"\x07" }, r#"-- CLIENT 3 is "\x07""#),
            (Statement::ClientGone { id: ClientId(3) }, "-- CLIENT-GONE 3"),
            (Statement::Off, "-- OFF: changes from here on are not recorded"),
            (Statement::On, "-- ON: changes are recorded again"),
            (Statement::Trimmed { to: 9, by: TrimmedBy::Age }, "-- TRIMMED up to 9: age"),
            (Statement::Unknown(77), "-- STATEMENT-77"),
        ];
        for (what, want) in cases {
            assert_eq!(statement(what), want);
        }
    }
}
