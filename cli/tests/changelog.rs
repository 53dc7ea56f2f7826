//! `gnotify dump` and `gnotify verify` on GlusterFS's own changelogs: told by content, printed, and what is wrong found.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use gnotify_changelog::codec::encode;
use gnotify_changelog::layout::Layout;
use gnotify_changelog::{Change, Encoding, Entry, Header, Removal};
use gnotify_record::{Fop, Gfid, Link};
use serde_json::Value;
use support::gnotify;

const T: u64 = 1_795_160_848;

fn stock(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../changelog/testdata").join(file)
}

fn run(args: &[&str], path: &Path) -> Output {
    gnotify().args(args).arg(path).output().unwrap()
}

fn lines(args: &[&str], path: &Path) -> (i32, Vec<Value>) {
    let output = run(&[args, &["--json"]].concat(), path);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), lines)
}

#[test]
fn a_slice_of_stock_in_either_encoding() {
    for encoding in ["ascii", "binary"] {
        let path = stock(&format!("stock-{encoding}-v1.2.CHANGELOG"));
        let output = run(&["dump"], &path);
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
        let text = String::from_utf8(output.stdout).unwrap();
        let of_stock = fs::read(stock("stock-ascii-v1.2.txt")).unwrap();
        let count = of_stock.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(text.lines().count(), count);
        assert!(text.contains(r#"/"a b%c\nd" "x/y z/a b%c\nd""#), "{text}");
        let (status, changes) = lines(&["dump"], &path);
        assert_eq!((status, changes.len()), (0, count));
        let removed = changes.iter().find(|change| change["fop"] == "UNLINK").unwrap();
        assert_eq!(
            (&removed["name"], &removed["path"]),
            (&"a b%c\nd".into(), &"x/y z/a b%c\nd".into())
        );
        let named = changes.iter().find(|change| change.get("name_hex").is_some()).unwrap();
        assert_eq!(named["name_hex"], "01ff");
        let (status, found) = lines(&["verify"], &path);
        assert_eq!((status, found.len()), (0, 1), "{found:?}");
        assert_eq!(found[0]["records"], count);
    }
}

#[test]
fn a_damaged_slice_is_printed_up_to_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("CHANGELOG.1795160863");
    let whole = fs::read(stock("stock-ascii-v1.2.CHANGELOG")).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let output = run(&["dump"], &path);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 21);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the file ends inside a record"), "{told}");
    let (status, found) = lines(&["verify"], &path);
    assert_eq!((status, &found[0]["problem"]), (1, &"record".into()));
    // The same of a live slice is what a reader of it must expect.
    let live = dir.path().join("CHANGELOG");
    fs::rename(&path, &live).unwrap();
    let (status, found) = lines(&["verify"], &live);
    assert_eq!((status, &found[0]["problem"]), (0, &"unfinished".into()));
    fs::write(&path, [&whole[..35], b"9", &whole[36..]].concat()).unwrap();
    let (status, found) = lines(&["verify"], &path);
    assert_eq!((status, &found[0]["problem"]), (1, &"header".into()));
}

#[test]
fn only_json_can_be_asked_for() {
    let path = stock("stock-ascii-v1.2.CHANGELOG");
    for option in
        ["--follow", "--paths", "--since=now", "--fop=create", "--client=x", "--origin=shard"]
    {
        assert_eq!(run(&["dump", option], &path).status.code(), Some(2), "{option}");
    }
}

/// A changelog directory of three slices, the second of them empty. Its attributes only root could set.
struct Directory {
    _root: tempfile::TempDir,
    layout: Layout,
}

impl Directory {
    fn new() -> Directory {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(fs::canonicalize(root.path()).unwrap().join("changelogs"));
        fs::create_dir_all(layout.htime_dir()).unwrap();
        fs::create_dir_all(layout.day(T)).unwrap();
        let directory = Directory { _root: root, layout };
        for ts in [T + 15, T + 45] {
            directory.put(&directory.layout.slice(ts));
        }
        directory.put(&directory.layout.live());
        directory.index(&directory.records());
        directory
    }

    fn put(&self, path: &Path) {
        let mut slice = Header::new(Encoding::Ascii).encode().to_vec();
        let at = Link { parent: Gfid::ROOT, name: b"f"[..].into() };
        let removal = Removal { at, path: None };
        let gfid = Gfid([7; 16]);
        for change in [
            Change::Data { gfid },
            Change::Metadata { gfid, fop: Fop::SETATTR },
            Change::Entry { gfid, entry: Entry::Unlink(removal) },
        ] {
            encode(&change, Encoding::Ascii, &mut slice);
        }
        fs::write(path, slice).unwrap();
    }

    fn records(&self) -> Vec<String> {
        let Directory { layout, .. } = self;
        let paths = [layout.slice(T + 15), layout.empty(T + 30), layout.slice(T + 45)];
        paths.map(|path| format!("{}\0", path.display())).into()
    }

    fn index(&self, records: &[String]) {
        fs::write(self.layout.htime(T), records.concat()).unwrap();
    }

    /// What a verification finds, without what only root can put right.
    fn problems(&self) -> Vec<(String, String)> {
        let (status, found) = lines(&["verify"], self.layout.dir());
        let root = found.iter().any(|line| line["problem"] == "mark" && line["level"] == "damage");
        let problem = |line: &Value| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (text("level"), text("problem"))
        };
        let problems: Vec<_> = found
            .iter()
            .map(problem)
            .filter(|(level, problem)| level != "summary" && problem != "mark")
            .collect();
        let damaged = root || problems.iter().any(|(level, _)| level == "damage");
        assert_eq!(status, i32::from(damaged), "{found:?}");
        problems
    }

    fn assert_found(&self, level: &str, problem: &str) {
        assert_eq!(self.problems(), [(level.to_owned(), problem.to_owned())]);
    }
}

#[test]
fn a_whole_directory() {
    let directory = Directory::new();
    assert_eq!(directory.problems(), []);
    let (status, printed) = lines(&["dump"], directory.layout.dir());
    let types: Vec<&str> = printed.iter().map(|line| line["type"].as_str().unwrap()).collect();
    let three = ["slice", "change", "change", "change"];
    assert_eq!((status, types), (0, [&three[..], &["slice"], &three, &three].concat()));
    let stamps: Vec<_> = printed.iter().filter_map(|line| line["ts"].as_u64()).collect();
    assert_eq!(stamps, [T + 15, T + 30, T + 45]);
    let text = run(&["dump"], directory.layout.dir()).stdout;
    assert!(String::from_utf8(text).unwrap().contains("changelog.1795160878 (empty)\n-- slice"));
    let (status, printed) = lines(&["dump"], &directory.layout.htime(T));
    assert_eq!((status, printed.len()), (0, 3));
}

#[test]
fn what_is_wrong_is_found() {
    let directory = Directory::new();
    let Directory { layout, .. } = &directory;
    let whole = directory.records();
    let change = |at: usize, to: &str| {
        let mut records = whole.clone();
        records[at] = to.to_owned();
        directory.index(&records);
    };
    change(1, "/torn");
    directory.assert_found("damage", "torn");
    change(1, &whole[0]);
    directory.assert_found("damage", "order");
    change(1, &format!("/changelog.{}\0", T + 30));
    directory.assert_found("damage", "length");
    change(2, "");
    directory.assert_found("damage", "unindexed");
    directory.index(&whole);
    fs::remove_file(layout.slice(T + 45)).unwrap();
    directory.assert_found("damage", "missing");
    directory.put(&layout.slice(T + 45));
    directory.put(&layout.slice(T - 1));
    directory.assert_found("note", "unindexed");
    fs::remove_file(layout.slice(T - 1)).unwrap();
    let stray = layout.htime_dir().join("HTIME.1795160848.bak");
    fs::write(&stray, "").unwrap();
    directory.assert_found("damage", "stray");
    fs::remove_file(&stray).unwrap();
    fs::write(layout.slice(T + 15), "GlusterFS Changelog | version: v9.2 | encoding : 2\n")
        .unwrap();
    directory.assert_found("damage", "header");
}

#[test]
fn the_file_of_a_snapshot_is_text_whatever_it_states() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("CHANGELOG.SNAP");
    let record = format!("D{}\0", Gfid::ROOT).into_bytes();
    fs::write(&path, [&Header::new(Encoding::Binary).encode()[..], &record].concat()).unwrap();
    let output = run(&["dump"], &path);
    assert_eq!(output.stdout, format!("D {}\n", Gfid::ROOT).into_bytes());
}

#[test]
fn an_index_of_nothing_is_one_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("HTIME.1795160848");
    fs::write(&path, "").unwrap();
    assert_eq!(lines(&["dump"], &path), (0, vec![]));
}
