//! The bytes of records: as stock writes them, all of them back, and whatever else stands there refused.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const FILE: Gfid = Gfid([0xab; 16]);

fn link(name: &[u8]) -> Link<'static> {
    Link { parent: Gfid::ROOT, name: Cow::Owned(name.to_vec()) }
}

/// Gfids, among them such as have NULs, line feeds and slashes in them.
pub(crate) fn gfids() -> impl Strategy<Value = Gfid> {
    prop_oneof![any::<[u8; 16]>().prop_map(Gfid), Just(Gfid::ROOT), Just(Gfid([b'/'; 16]))]
}

fn bytes(max: usize) -> impl Strategy<Value = Cow<'static, [u8]>> {
    vec(1..=u8::MAX, 1..max).prop_map(Cow::Owned)
}

pub(crate) fn links() -> impl Strategy<Value = Link<'static>> {
    let name = bytes(255).prop_filter("a name", |name| !name.contains(&b'/'));
    (gfids(), name).prop_map(|(parent, name)| Link { parent, name })
}

fn births() -> impl Strategy<Value = Birth<'static>> {
    (any::<u32>(), any::<u32>(), any::<u32>(), links()).prop_map(|(mode, uid, gid, at)| Birth {
        mode,
        uid,
        gid,
        at,
    })
}

fn removals() -> impl Strategy<Value = Removal<'static>> {
    (links(), option::of(bytes(600))).prop_map(|(at, path)| Removal { at, path })
}

/// Every sort of change.
pub(crate) fn changes() -> impl Strategy<Value = Change<'static>> {
    let directory =
        births().prop_map(|birth| Entry::Mkdir(Birth { mode: birth.mode | DIRECTORY, ..birth }));
    let entries = prop_oneof![
        births().prop_map(Entry::Create),
        directory,
        births().prop_map(Entry::Mknod),
        links().prop_map(Entry::Symlink),
        links().prop_map(Entry::Link),
        (links(), links()).prop_map(|(old, new)| Entry::Rename { old, new }),
        removals().prop_map(Entry::Unlink),
        removals().prop_map(Entry::Rmdir),
    ];
    prop_oneof![
        gfids().prop_map(|gfid| Change::Data { gfid }),
        (gfids(), 0..HOST_FOPS.len() as u8)
            .prop_map(|(gfid, fop)| Change::Metadata { gfid, fop: Fop(fop) }),
        (gfids(), entries).prop_map(|(gfid, entry)| Change::Entry { gfid, entry }),
    ]
}

pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Ascii];

pub(crate) fn file(changes: &[Change<'_>], encoding: Encoding) -> Vec<u8> {
    let mut file = Header::new(encoding).encode().to_vec();
    changes.iter().for_each(|change| encode(change, encoding, &mut file));
    file
}

/// What a file gives, up to its end or damage.
fn read(file: &[u8]) -> (Vec<Change<'static>>, Option<ReadError>) {
    let mut changes = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (changes, Some(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(change)) => changes.push(change.into_owned()),
            Ok(None) => return (changes, None),
            Err(error) => return (changes, Some(error)),
        }
    }
}

#[test]
fn the_bytes_of_stock() {
    let entry = |entry| Change::Entry { gfid: FILE, entry };
    let birth = |mode| Birth { mode, uid: 0, gid: u32::MAX, at: link(b"f") };
    let removal =
        |path: Option<&'static [u8]>| Removal { at: link(b"h2"), path: path.map(Cow::Borrowed) };
    let (old, new) = (link(b"h"), Link { parent: FILE, name: b"h2"[..].into() });
    let cases = [
        (Change::Data { gfid: FILE }, "D<G>~"),
        (Change::Metadata { gfid: FILE, fop: Fop::SETATTR }, "M<G>~38~"),
        (entry(Entry::Create(birth(0o100_644))), "E<G>~23~33188~0~4294967295~<P>/f~"),
        // Also where the client did not say that it is a directory.
        (entry(Entry::Mkdir(birth(0o755))), "E<G>~4~16877~0~4294967295~<P>/f~"),
        (entry(Entry::Mknod(birth(8612))), "E<G>~3~8612~0~4294967295~<P>/f~"),
        (entry(Entry::Symlink(link(b"s"))), "E<G>~7~<P>/s~"),
        (entry(Entry::Link(link(b"h"))), "E<G>~9~<P>/h~"),
        (entry(Entry::Rename { old, new }), "E<G>~8~<P>/h~<G>/h2~"),
        (entry(Entry::Unlink(removal(None))), "E<G>~5~<P>/h2~~~"),
        (entry(Entry::Unlink(removal(Some(b"")))), "E<G>~5~<P>/h2~~~"),
        (entry(Entry::Rmdir(removal(Some(b"x/y/z")))), "E<G>~6~<P>/h2~x/y/z~"),
    ];
    for (change, want) in cases {
        let want = want.replace("<G>", "abababab-abab-abab-abab-abababababab");
        let want = want.replace("<P>", "00000000-0000-0000-0000-000000000001").replace('~', "\0");
        let mut got = Vec::new();
        encode(&change, Encoding::Ascii, &mut got);
        assert_eq!(got.escape_ascii().to_string(), want.as_bytes().escape_ascii().to_string());
    }
}

#[test]
fn d25_the_longest_numbers_have_room() {
    let birth = Birth { mode: u32::MAX, uid: u32::MAX, gid: u32::MAX, at: link(&[b'x'; 255]) };
    let change = Change::Entry { gfid: FILE, entry: Entry::Create(birth) };
    let file = file(&[change.clone(), Change::Data { gfid: FILE }], Encoding::Ascii);
    let numbers = b"\x0023\x004294967295\x004294967295\x004294967295\0";
    assert!(file.windows(numbers.len()).any(|bytes| bytes == numbers));
    assert_eq!(read(&file).0, [change, Change::Data { gfid: FILE }]);
}

#[test]
fn the_binary_bytes_of_stock() {
    let removal = Removal { at: link(b"bf"), path: Some(b"bf"[..].into()) };
    let mut got = Vec::new();
    encode(
        &Change::Entry { gfid: FILE, entry: Entry::Unlink(removal) },
        Encoding::Binary,
        &mut got,
    );
    let want = [b"E", &FILE.0[..], b"\0\x05\0\0\0\0", &Gfid::ROOT.0, b"/bf\0bf\0"].concat();
    assert_eq!(got, want);
}

#[test]
fn version_1_1_has_no_paths() {
    let mut file = Header { version: Version::V1_1, encoding: Encoding::Ascii }.encode().to_vec();
    let record = |fop: u8| format!("E{FILE}\0{fop}\0{}/gone\0", Gfid::ROOT);
    file.extend_from_slice((record(5) + &record(6)).as_bytes());
    let removal = || Removal { at: link(b"gone"), path: None };
    let want = [Entry::Unlink(removal()), Entry::Rmdir(removal())];
    let want = want.map(|entry| Change::Entry { gfid: FILE, entry });
    let (changes, error) = read(&file);
    assert_eq!((&changes[..], error.is_none()), (&want[..], true));
}

#[test]
fn a_nul_ends_a_name() {
    for encoding in ENCODINGS {
        let feigned = [b"f\0D", &[b'0'; 36][..], b"\0"].concat();
        let at = Link { parent: FILE, name: Cow::Owned(feigned) };
        let change = Change::Entry { gfid: FILE, entry: Entry::Symlink(at) };
        let at = Link { parent: FILE, name: b"f"[..].into() };
        let want = Change::Entry { gfid: FILE, entry: Entry::Symlink(at) };
        assert_eq!(read(&file(&[change], encoding)).0, [want]);
    }
}

#[test]
fn d22_what_is_no_record_is_refused_where_it_stands() {
    let good = file(&[Change::Data { gfid: FILE }], Encoding::Ascii);
    let gfid = FILE.to_string();
    let cases = [
        ("X".to_owned(), Fault::Kind(b'X')),
        ("\0".to_owned(), Fault::Kind(0)),
        (format!("D{}\0", gfid.to_uppercase()), Fault::Gfid),
        ("Dxy".to_owned(), Fault::Gfid),
        (format!("D{gfid}x"), Fault::Separator),
        (format!("M{gfid}\x0059\0"), Fault::Fop(59)),
        (format!("M{gfid}\x004294967296\0"), Fault::Number),
        (format!("M{gfid}\0\0"), Fault::Number),
        (format!("M{gfid}\0-1\0"), Fault::Number),
        (format!("E{gfid}\x0013\0"), Fault::Fop(13)),
        (format!("E{gfid}\x00300\0"), Fault::Fop(300)),
        (format!("E{gfid}\x007\0{gfid}name\0"), Fault::Name),
        (format!("E{gfid}\x005\0{gfid}/name\0\0x"), Fault::Separator),
        (format!("E{gfid}\x007\0{gfid}/{}\0", "x".repeat(RECORD_MAX)), Fault::TooLong),
    ];
    for (bytes, want) in cases {
        let (changes, error) = read(&[&good[..], bytes.as_bytes()].concat());
        assert_eq!(changes.len(), 1);
        match error.unwrap() {
            ReadError::Damaged { offset, fault } => {
                assert_eq!((offset, fault), (good.len() as u64, want), "{bytes:?}");
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_file_that_grows_is_read_on() {
    let whole =
        file(&[Change::Data { gfid: FILE }, Change::Data { gfid: Gfid::ROOT }], Encoding::Ascii);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("CHANGELOG");
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let mut reader = Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.next().unwrap(), Some(Change::Data { gfid: FILE }));
    assert!(reader.next().unwrap_err().is_truncation());
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(reader.next().unwrap(), Some(Change::Data { gfid: Gfid::ROOT }));
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.offset(), whole.len() as u64);
}

/// A source that gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.1.min(into.len()).min(self.0.len());
        into[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

proptest! {
    #[test]
    fn every_change_comes_back(all in vec(changes(), 0..20), step in 1usize..200) {
        for encoding in ENCODINGS {
            let file = file(&all, encoding);
            let mut reader = Reader::new(Trickle(&file, step)).unwrap();
            for change in &all {
                let read = reader.next().unwrap();
                prop_assert_eq!(read.as_ref(), Some(change));
            }
            prop_assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn d22_a_cut_file_gives_all_before_the_cut(all in vec(changes(), 1..8), at in any::<prop::sample::Index>()) {
        for encoding in ENCODINGS {
            let whole = file(&all, encoding);
            let cut = &whole[..at.index(whole.len())];
            let mut ends = vec![HEADER_LEN];
            for number in 1..=all.len() {
                ends.push(file(&all[..number], encoding).len());
            }
            let (changes, error) = read(cut);
            let whole_ones = ends.iter().skip(1).filter(|end| **end <= cut.len()).count();
            prop_assert_eq!(&changes[..], &all[..whole_ones]);
            match error {
                None => prop_assert!(ends.contains(&cut.len())),
                Some(error) => prop_assert!(error.is_truncation(), "{error}"),
            }
        }
    }

    #[test]
    fn a_damaged_file_gives_all_before_the_damage(
        all in vec(changes(), 1..8), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for encoding in ENCODINGS {
            let mut damaged = file(&all, encoding);
            let at = at.index(damaged.len());
            damaged[at] = byte;
            let before = (0..=all.len()).rev().find(|n| file(&all[..*n], encoding).len() <= at);
            let (changes, _) = read(&damaged);
            let before = before.unwrap_or(0);
            prop_assert!(changes.len() >= before || at < HEADER_LEN);
            if at >= HEADER_LEN {
                prop_assert_eq!(&changes[..before], &all[..before]);
            }
        }
    }

    #[test]
    fn anything_is_read_without_a_panic(tail in vec(any::<u8>(), 0..300)) {
        for encoding in ENCODINGS {
            let mut bytes = Header::new(encoding).encode().to_vec();
            bytes.extend_from_slice(&tail);
            let (changes, error) = read(&bytes);
            if error.is_none() {
                // What is whole is what would be written, but for the one freedom of mkdir's mode.
                prop_assert!(file(&changes, encoding).len() <= bytes.len() + 2 * changes.len());
            }
        }
    }

    #[test]
    fn gfids_are_read_as_they_print(gfid in gfids()) {
        prop_assert_eq!(&gfid_text(gfid)[..], gfid.to_string().as_bytes().to_vec());
        prop_assert_eq!(parse_gfid(&gfid_text(gfid)), Some(gfid));
    }
}
