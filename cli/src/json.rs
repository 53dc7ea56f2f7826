//! Entries as JSON lines for programs: one object a line, its fields always in the same order.
//!
//! The names are documented in gnotify(1) and stay what they are. What is not known is left out. Bytes
//! that are not UTF-8 come twice: as text with U+FFFD in their places, and whole, in hexadecimal digits,
//! under the same name with `_hex`. Numbers are integers of up to 64 bits, never rounded.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use gnotify_journal::{Cause, How, Start, Statement, What};
use gnotify_record::{Class, ClientId, FileType, Gfid, Record, SetAttr, Time, set_attr};
use serde_json::Value;

use crate::client::Client;
use crate::line::Line;
use crate::paths::Names;
use crate::text;

/// Writes lines of JSON.
#[derive(Debug, Default)]
pub(crate) struct Json {
    line: Vec<u8>,
}

impl Json {
    pub(crate) fn write(&mut self, out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        object(&mut self.line, |object| {
            object.put("seq", line.seq);
            object.put("time", line.time);
            match line.what {
                What::Record(of) => record(object, of, line),
                What::Statement(of) => statement(object, of, line),
            }
        });
        self.line.push(b'\n');
        out.write_all(&self.line)
    }
}

fn record(object: &mut Object<'_>, record: &Record<'_>, line: &Line<'_>) {
    object.put("type", "record");
    object.put("fop", record.fop.to_string());
    object.known("class", record.fop.class().map(Class::name));
    object.put("origin", record.origin.name());
    if record.uncertain {
        object.put("uncertain", true);
    }
    if record.marked {
        object.put("marked", true);
    }
    object.known("gfid", text_of(record.gfid));
    object.known("kind", record.kind.map(FileType::name));
    object.known("parent", text_of(record.at.as_ref().map(|link| link.parent)));
    object.bytes("name", record.at.as_ref().map(|link| &*link.name));
    object.known("new_parent", text_of(record.to.as_ref().map(|link| link.parent)));
    object.bytes("new_name", record.to.as_ref().map(|link| &*link.name));
    object.known("replaced", text_of(record.replaced));
    if let Some(renaming) = &record.renaming {
        object.object("renaming", |object| {
            object.put("parent", renaming.from.parent.to_string());
            object.bytes("name", Some(&renaming.from.name));
            object.put("new_parent", renaming.to.parent.to_string());
            object.bytes("new_name", Some(&renaming.to.name));
        });
    }
    object.bytes("deleted_path", record.path.as_deref());
    if let Some(names) = &line.names {
        paths(object, names);
    }
    object.known("mode", record.mode);
    if let Some(owner) = record.owner {
        object.object("owner", |object| {
            object.put("uid", owner.uid);
            object.put("gid", owner.gid);
        });
    }
    object.known("rdev", record.rdev);
    object.bytes("target", record.target.as_deref());
    object.known("flags", record.flags);
    object.known("offset", record.offset);
    object.known("length", record.length);
    object.known("size", record.size);
    if let Some(source) = record.source {
        object.object("source", |object| {
            object.put("gfid", source.gfid.to_string());
            object.put("offset", source.offset);
        });
    }
    if let Some(set) = &record.set {
        object.object("set", |object| set_values(object, set));
    }
    if !record.xattrs.is_empty() {
        object.objects("xattrs", &record.xattrs, |object, xattr| {
            object.bytes("name", Some(&xattr.name));
            object.bytes("value", xattr.value.as_deref());
        });
    }
    if record.xattrs_cut {
        object.put("xattrs_cut", true);
    }
    object.known("nlink", record.nlink);
    object.known("last_link", record.last_link);
    if let Some(caller) = record.caller {
        object.put("uid", caller.uid);
        object.put("gid", caller.gid);
        object.put("pid", caller.pid);
    }
    client(object, record.client, line.client);
    object.known("ctime", record.ctime);
}

fn paths(object: &mut Object<'_>, names: &Names) {
    object.bytes("path", names.path.as_deref());
    object.bytes("new_path", names.to.as_deref());
    if !names.others.is_empty() {
        object.objects("other_paths", &names.others, |object, path| {
            object.bytes("path", Some(path));
        });
    }
}

/// The names of what a SETATTR can set, as in its `mask`.
const SETTABLE: [(u32, &str); 9] = [
    (set_attr::MODE, "mode"),
    (set_attr::UID, "uid"),
    (set_attr::GID, "gid"),
    (set_attr::SIZE, "size"),
    (set_attr::ATIME, "atime"),
    (set_attr::MTIME, "mtime"),
    (set_attr::CTIME, "ctime"),
    (set_attr::ATIME_NOW, "atime-now"),
    (set_attr::MTIME_NOW, "mtime-now"),
];

fn set_values(object: &mut Object<'_>, set: &SetAttr) {
    let has = |bits: u32| set.mask & bits != 0;
    let mask = SETTABLE.iter().filter(|(bit, _)| has(*bit)).map(|(_, name)| *name);
    object.put("mask", mask.collect::<Vec<_>>());
    object.known("mode", has(set_attr::MODE).then_some(set.mode));
    object.known("uid", has(set_attr::UID).then_some(set.uid));
    object.known("gid", has(set_attr::GID).then_some(set.gid));
    object.known("size", has(set_attr::SIZE).then_some(set.size));
    let mut time = |key, time: Time, bits: u32| {
        if has(bits) {
            object.object(key, |object| {
                object.put("sec", time.sec);
                object.put("nsec", time.nsec);
            });
        }
    };
    time("atime", set.atime, set_attr::ATIME | set_attr::ATIME_NOW);
    time("mtime", set.mtime, set_attr::MTIME | set_attr::MTIME_NOW);
    time("ctime", set.ctime, set_attr::CTIME);
}

fn client(object: &mut Object<'_>, id: Option<ClientId>, uid: Option<&[u8]>) {
    let Some(ClientId(id)) = id else { return };
    object.object("client", |object| {
        object.put("id", id);
        object.bytes("uid", uid);
        if let Some(client) = uid.and_then(Client::parse) {
            object.bytes("host", Some(client.host));
            object.put("pid", client.pid);
        }
    });
}

fn statement(object: &mut Object<'_>, statement: &Statement<'_>, line: &Line<'_>) {
    object.put("type", "statement");
    object.put("statement", text::name(statement));
    match statement {
        Statement::Start(of) => start(object, of),
        Statement::SliceEnd { slice } => object.put("slice", *slice),
        Statement::Gap(gap) => {
            object.put("to", gap.to);
            object.put("cause", gap.cause.to_string());
            object.known("lost", gap.lost);
            if let (Cause::Damaged, Some(place)) = (gap.cause, line.place) {
                object.bytes("segment", Some(place.path.as_os_str().as_bytes()));
                object.put("offset", place.offset);
            }
        }
        Statement::Void { to } => object.put("to", *to),
        Statement::Client { id, uid } => client(object, Some(*id), Some(uid)),
        Statement::ClientGone { id } => client(object, Some(*id), line.client),
        Statement::Trimmed { to, by } => {
            object.put("to", *to);
            object.put("why", by.to_string());
        }
        Statement::Stop | Statement::Off | Statement::On | Statement::Unknown(_) => {}
    }
}

fn start(object: &mut Object<'_>, start: &Start<'_>) {
    object.put("start_id", start.start_id);
    object.put("how", start.how.to_string());
    if start.how != How::First {
        object.put("previous", start.previous);
        object.put("last_time", start.last_time);
    }
    if start.boot_id != [0; 16] {
        // A boot id is written as a gfid is.
        object.put("boot_id", Gfid(start.boot_id).to_string());
    }
    object.bytes("version", Some(start.version));
}

fn text_of(gfid: Option<Gfid>) -> Option<String> {
    gfid.map(|gfid| gfid.to_string())
}

/// A line that is one object, whose fields `fill` puts into it.
pub(crate) fn line(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut line = Vec::new();
    object(&mut line, fill);
    line.push(b'\n');
    line
}

/// Writes an object whose fields `fill` puts into it.
fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    let mut object = Object { out, first: true };
    fill(&mut object);
    out.push(b'}');
}

/// An object that is being written. (A map of `serde_json` would sort its fields by name.)
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    pub(crate) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.key(key);
        self.value(&value.into());
    }

    pub(crate) fn known(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// Text, and the bytes themselves where they are no text.
    pub(crate) fn bytes(&mut self, key: &str, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return };
        let text = String::from_utf8_lossy(bytes);
        let whole = matches!(text, std::borrow::Cow::Borrowed(_));
        self.put(key, &*text);
        if !whole {
            let digits = |byte: &u8| format!("{byte:02x}");
            self.put(&format!("{key}_hex"), bytes.iter().map(digits).collect::<String>());
        }
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.out, fill);
    }

    fn objects<T>(&mut self, key: &str, items: &[T], fill: impl Fn(&mut Object<'_>, &T)) {
        self.key(key);
        self.out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            object(self.out, |object| fill(object, item));
        }
        self.out.push(b']');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.value(&key.into());
        self.out.push(b':');
    }

    fn value(&mut self, value: &Value) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::path::Path;

    use gnotify_journal::{Gap, Place, TrimmedBy};
    use gnotify_record::{Caller, Fop, Link, Origin, Owner, Renaming, Source, Xattr};

    use super::*;

    const GFID: &str = "abababab-abab-abab-abab-abababababab";
    const ROOT: &str = "00000000-0000-0000-0000-000000000001";
    const UID: &[u8] = b"CTX_ID:6a-GRAPH_ID:0-PID:42-HOST:node1-PC_NAME:v-RECON_NO:-0";

    /// The line behind the sequence number and time.
    fn show(what: &What<'_>, client: Option<&[u8]>, names: Option<Names>) -> String {
        let place = Some(Place { path: Path::new("/b/1.gnj"), offset: 80 });
        let line =
            Line { seq: u64::MAX, time: 1_795_160_863_123_456_789, what, place, client, names };
        let mut out = Vec::new();
        Json::default().write(&mut out, &line).unwrap();
        let text = String::from_utf8(out).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["seq"], u64::MAX, "a sequence number is rounded");
        let text = text.strip_prefix(r#"{"seq":18446744073709551615,"time":1795160863123456789,"#);
        text.unwrap().strip_suffix("}\n").unwrap().to_owned()
    }

    fn link(parent: Gfid, name: &[u8]) -> Option<Link<'_>> {
        Some(Link { parent, name: Cow::Borrowed(name) })
    }

    #[test]
    fn a_bare_record_has_no_field_that_is_not_known() {
        let record = Record::new(Fop(200), Origin::Unknown);
        assert_eq!(
            show(&What::Record(record), None, None),
            r#""type":"record","fop":"FOP-200","origin":"unknown""#
        );
    }

    #[test]
    fn every_field_has_its_name_and_place() {
        let time = |sec| Time { sec, nsec: 5 };
        let record = Record {
            gfid: Some(Gfid([0xab; 16])),
            caller: Some(Caller { uid: 1, gid: 2, pid: -3 }),
            client: Some(ClientId(7)),
            ctime: Some(-1),
            kind: Some(FileType::Regular),
            at: link(Gfid::ROOT, b"a\n\"b"),
            to: link(Gfid::ROOT, b"caf\xe9"),
            replaced: Some(Gfid([0xab; 16])),
            owner: Some(Owner { uid: 4, gid: 5 }),
            mode: Some(0o644),
            rdev: Some(2049),
            target: Some(Cow::Borrowed(b"t")),
            flags: Some(6),
            offset: Some(u64::MAX),
            length: Some(7),
            size: Some(8),
            source: Some(Source { gfid: Gfid([0xab; 16]), offset: 9 }),
            set: Some(SetAttr {
                mask: 0x1ff & !set_attr::ATIME_NOW & !set_attr::MTIME,
                mode: 1,
                uid: 2,
                gid: 3,
                size: 4,
                atime: time(-10),
                mtime: time(11),
                ctime: time(12),
            }),
            xattrs: vec![
                Xattr { name: Cow::Borrowed(b"user.a"), value: None },
                Xattr { name: Cow::Borrowed(b"user.b"), value: Some(Cow::Borrowed(b"\xff")) },
            ],
            xattrs_cut: true,
            nlink: Some(0),
            last_link: Some(false),
            uncertain: true,
            marked: true,
            renaming: link(Gfid::ROOT, b"r")
                .zip(link(Gfid::ROOT, b"s"))
                .map(|(from, to)| Box::new(Renaming { from, to })),
            path: Some(Cow::Borrowed(b"d/p")),
            ..Record::new(Fop::RENAME, Origin::Shard)
        };
        let names = Names {
            path: Some(b"/a".to_vec()),
            to: Some(b"/\xff".to_vec()),
            others: vec![b"/c".to_vec()],
        };
        let want = [
            r#""type":"record","fop":"RENAME","class":"entry","origin":"shard","uncertain":true"#,
            &format!(r#""marked":true,"gfid":"{GFID}","kind":"file""#),
            &format!(r#""parent":"{ROOT}","name":"a\n\"b""#),
            &format!(r#""new_parent":"{ROOT}","new_name":"caf"#),
            r#"","new_name_hex":"636166e9""#,
        ];
        let text = show(&What::Record(record), Some(UID), Some(names));
        let start = want[..4].join(",") + "\u{fffd}" + want[4];
        let rest = text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}"));
        let want = [
            "",
            &format!(
                r#""replaced":"{GFID}","renaming":{{"parent":"{ROOT}","name":"r","new_parent":"{ROOT}""#
            ),
            r#""new_name":"s"},"deleted_path":"d/p","path":"/a","new_path":"/�","new_path_hex":"2fff""#,
            r#""other_paths":[{"path":"/c"}],"mode":420,"owner":{"uid":4,"gid":5},"rdev":2049"#,
            r#""target":"t","flags":6,"offset":18446744073709551615,"length":7,"size":8"#,
            &format!(r#""source":{{"gfid":"{GFID}","offset":9}}"#),
            r#""set":{"mask":["mode","uid","gid","size","atime","ctime","mtime-now"]"#,
            r#""mode":1,"uid":2,"gid":3,"size":4,"atime":{"sec":-10,"nsec":5}"#,
            r#""mtime":{"sec":11,"nsec":5},"ctime":{"sec":12,"nsec":5}}"#,
            r#""xattrs":[{"name":"user.a"},{"name":"user.b","value":"�","value_hex":"ff"}]"#,
            r#""xattrs_cut":true,"nlink":0,"last_link":false,"uid":1,"gid":2,"pid":-3"#,
            r#""client":{"id":7,"uid":"CTX_ID:6a-GRAPH_ID:0-PID:42-HOST:node1-PC_NAME:v-RECON_NO:-0""#,
            r#""host":"node1","pid":42},"ctime":-1"#,
        ];
        assert_eq!(rest, want.join(","));
    }

    #[test]
    fn statements_have_their_fields() {
        let start = Start {
            start_id: 3,
            previous: 2,
            how: How::PowerLoss,
            boot_id: [0xab; 16],
            last_time: 9,
            version: b"0.1.0",
        };
        let first = Start { start_id: 1, previous: 0, how: How::First, boot_id: [0; 16], ..start };
        let gap = |cause, lost| Statement::Gap(Gap { to: 20, cause, lost });
        let start_text = format!(
            r#"START","start_id":3,"how":"power-loss","previous":2,"last_time":9,"boot_id":"{GFID}","version":"0.1.0""#
        );
        let cases = [
            (Statement::Start(start), start_text.as_str()),
            (Statement::Start(first), r#"START","start_id":1,"how":"first","version":"0.1.0""#),
            (Statement::Stop, r#"STOP""#),
            (Statement::SliceEnd { slice: 5 }, r#"SLICE-END","slice":5"#),
            (gap(Cause::RingFull, Some(3)), r#"GAP","to":20,"cause":"ring-full","lost":3"#),
            (
                gap(Cause::Damaged, None),
                r#"GAP","to":20,"cause":"damaged","segment":"/b/1.gnj","offset":80"#,
            ),
            (Statement::Void { to: 20 }, r#"VOID","to":20"#),
            (
                Statement::Client { id: ClientId(3), uid: b"x" },
                r#"CLIENT","client":{"id":3,"uid":"x"}"#,
            ),
            (Statement::ClientGone { id: ClientId(3) }, r#"CLIENT-GONE","client":{"id":3}"#),
            (Statement::Off, r#"OFF""#),
            (Statement::On, r#"ON""#),
            (
                Statement::Trimmed { to: 9, by: TrimmedBy::Reserve },
                r#"TRIMMED","to":9,"why":"reserve""#,
            ),
            (Statement::Unknown(77), r#"STATEMENT-77""#),
        ];
        for (statement, want) in cases {
            let text = show(&What::Statement(statement), None, None);
            assert_eq!(text, format!(r#""type":"statement","statement":"{want}"#));
        }
    }
}
