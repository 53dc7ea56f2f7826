//! What `gnotify dump` prints of a journal, and what it leaves out.
//!
//! The texts in testdata/ are the whole output for a journal with a record of each sort. A golden brick
//! lies beside them, written by the version 1 of the format; a brick that is written now must look the
//! same.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use gnotify_record::ClientId;
use serde_json::json;
use support::{Brick, SECOND, TIME, append_100, dump, dumped, fill, gfid, json, kinds, uid};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Everything that is not a record and has the time of the day on which it was written.
fn without_clock(text: &str) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for line in text.lines() {
        let is_record = line.contains("\"type\":\"record\"")
            || !line.contains("\"type\"") && !line.contains("  -- ");
        if is_record {
            out.push_str(line);
        } else if let Ok(mut value) = serde_json::from_str::<serde_json::Value>(line) {
            for key in ["time", "boot_id", "version"] {
                value.as_object_mut().unwrap().remove(key);
            }
            out.push_str(&value.to_string());
        } else {
            let (seq, rest) = line.split_at(line.find("  20").unwrap());
            let statement = &rest[rest.find("  -- ").unwrap()..];
            let statement = statement.split(", gnotify ").next().unwrap();
            out.extend([seq, statement]);
        }
        at += 1;
        out.push('\n');
    }
    assert!(at > 0, "nothing was printed");
    out
}

/// Whether what is printed now becomes the golden text: for changes of the output, to be looked at with
/// `git diff`.
fn writes_golden() -> bool {
    std::env::var_os("GNOTIFY_GOLDEN").is_some_and(|value| value == "write")
}

fn assert_golden(name: &str, text: &str) {
    let path = testdata(name);
    if writes_golden() {
        fs::write(&path, text).unwrap();
    }
    let want = fs::read_to_string(&path).unwrap();
    assert_eq!(without_clock(text), without_clock(&want), "see {}", path.display());
}

#[test]
fn a_brick_written_now_looks_as_documented() {
    let brick = Brick::filled();
    assert_golden("dump.txt", &dumped(&[], &brick.dir()));
    assert_golden("dump.jsonl", &dumped(&["--json"], &brick.dir()));
}

#[test]
fn a_brick_of_format_1_looks_the_same_for_ever() {
    let brick = testdata("brick-v1");
    let segment = brick.join(".glusterfs/gnotify/00000000000000000001.gnj");
    for path in [brick, segment] {
        assert_golden("dump.txt", &dumped(&[], &path));
        assert_golden("dump.jsonl", &dumped(&["--json"], &path));
    }
}

#[test]
fn times_are_local_or_utc() {
    let brick = Brick::filled();
    let mkdir = |args: &[&str]| {
        let text = dumped(args, &brick.dir());
        text.lines().find(|line| line.contains("MKDIR")).unwrap().to_owned()
    };
    assert!(mkdir(&[]).contains("  2026-11-20 10:47:43.001000  "), "{}", mkdir(&[]));
    assert!(mkdir(&["--utc"]).contains("  2026-11-20 07:47:43.001000Z  "), "{}", mkdir(&["--utc"]));
}

#[test]
fn a_name_cannot_reach_the_terminal() {
    let brick = Brick::filled();
    let printed = dumped(&[], &brick.dir());
    let harmful = |ch: char| ch.is_control() && ch != '\n' || ch == '\u{202e}';
    assert!(!printed.contains(harmful), "{printed:?}");
    let json = dumped(&["--json"], &brick.dir());
    assert!(!json.contains(|ch: char| ch.is_control() && ch != '\n'), "{json:?}");
}

#[test]
fn records_are_filtered() {
    let brick = Brick::filled();
    let lines = |args: &[&str]| {
        let lines = json(args, &brick.dir());
        kinds(&lines).join(" ")
    };
    assert_eq!(lines(&["--fop", "write,Rename"]), "WRITE RENAME");
    assert_eq!(lines(&["--fop", "write", "--fop=rename"]), "WRITE RENAME");
    assert_eq!(lines(&["--gfid", &gfid(0xa).to_string()]), "MKDIR CREATE RENAME");
    assert_eq!(lines(&["--gfid", &gfid(0xc).to_string()]), "RENAME COPY_FILE_RANGE");
    assert_eq!(lines(&["--origin", "self-heal,rebalance"]), "COPY_FILE_RANGE UNLINK");
    assert_eq!(lines(&["--client", "gfapi"]), "WRITE");
    assert_eq!(lines(&["--client", "HOST:node1", "--fop", "write,create"]), "CREATE");
    assert_eq!(lines(&["--client", "node2"]), "");
}

#[test]
fn times_are_filtered() {
    let brick = Brick::filled();
    let window = |since: &str, until: &str| {
        let lines = json(&["--since", since, "--until", until], &brick.dir());
        let records = lines.iter().filter(|line| line["type"] == "record").cloned();
        kinds(&records.collect::<Vec<_>>()).join(" ")
    };
    let second = |number: u64| {
        let time = TIME + number * SECOND;
        format!("@{}.{:09}", time / SECOND, time % SECOND)
    };
    assert_eq!(window(&second(1), &second(3)), "CREATE WRITE");
    let local = "2026-11-20 10:47:44.001";
    assert_eq!(window(local, "2026-11-20T07:47:46.001Z"), "CREATE WRITE");
    assert_eq!(window("-1min", "now"), "", "the records are of another time");
}

#[test]
fn a_pause_is_told_whatever_is_asked_for() {
    let brick = Brick::new();
    let journal = brick.start();
    assert!(journal.pause() && journal.resume());
    journal.stop();
    let lines = json(&["--fop", "unlink", "--since", "@9999999999"], &brick.dir());
    assert_eq!(kinds(&lines), ["OFF", "ON"]);
}

#[test]
fn a_later_segment_alone_names_its_clients() {
    let brick = Brick::new();
    let journal = brick.start();
    assert!(journal.append_client(ClientId(1), uid("node1").as_bytes()));
    while brick.segments().len() < 3 {
        append_100(&journal);
    }
    let segments = brick.segments();
    let lines = json(&[], &segments[1]);
    assert!(lines.len() > 100);
    assert!(lines.iter().all(|line| line["client"]["host"] == "node1"), "{}", lines[0]);
    assert!(lines[0]["seq"].as_u64() > Some(100));
    // All of them together are the journal.
    let whole = json(&[], &brick.dir());
    let numbers = whole.iter().map(|line| line["seq"].as_u64().unwrap());
    assert!(numbers.eq(1..=whole.len() as u64));
    journal.stop();
}

#[test]
fn starts_and_stops_are_told() {
    let brick = Brick::new();
    for _ in 0..2 {
        assert!(brick.start().stop());
    }
    let lines = json(&[], &brick.dir());
    assert_eq!(kinds(&lines), ["START", "STOP", "START", "STOP"]);
    assert_eq!(lines[0]["how"], "first");
    assert!(lines[0].get("previous").is_none());
    assert_eq!(lines[2]["how"], "clean");
    assert_eq!(lines[2]["start_id"], 2);
    assert_eq!(lines[2]["previous"], 1);
    assert_eq!(lines[2]["last_time"], lines[1]["time"]);
}

#[test]
fn damage_is_told_and_what_follows_is_printed() {
    let brick = Brick::filled();
    let segment = brick.segments().remove(0);
    let whole = json(&[], &brick.dir());
    let mut bytes = fs::read(&segment).unwrap();
    let name = bytes.windows(6).position(|window| window == b"letter").unwrap();
    bytes[name] = b'L';
    fs::write(&segment, bytes).unwrap();
    for path in [brick.dir(), segment.clone()] {
        let output = dump(&["--json"], &path);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let start = format!("gnotify: {}: damaged at byte ", segment.display());
        assert!(stderr.starts_with(&start), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), whole.len());
        let gap = lines.iter().position(|line| line["statement"] == "GAP").unwrap();
        assert_eq!(whole[gap]["fop"], "CREATE");
        assert_eq!(lines[gap]["cause"], "damaged");
        assert_eq!(lines[gap]["to"], lines[gap]["seq"]);
        assert_eq!(lines[gap]["segment"], json!(segment));
        assert!(lines[gap]["offset"].as_u64() > Some(0));
        assert_eq!(lines[gap + 1..], whole[gap + 1..]);
    }
    // No filter hides it.
    let output = dump(&["--fop", "rmdir", "--since=-1min", "--until=now"], &brick.dir());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.contains("-- GAP ") && stdout.contains(": damaged, "), "{stdout}");
}

#[test]
fn paths_are_those_of_the_handles() {
    let brick = Brick::new();
    let journal = brick.start();
    fill(&journal);
    let text = gfid(0xa).to_string();
    let handles = brick.dir().join(".glusterfs").join(&text[0..2]).join(&text[2..4]);
    fs::create_dir_all(&handles).unwrap();
    let root = "../../00/00/00000000-0000-0000-0000-000000000001/now here";
    std::os::unix::fs::symlink(root, handles.join(&text)).unwrap();
    let lines = json(&["--paths", "--fop", "create,write,rename"], &brick.dir());
    assert_eq!(lines[0]["path"], "/now here/letter");
    assert_eq!(lines[0]["name"], "letter");
    assert_eq!(lines[0]["parent"], text);
    assert_eq!(lines[1]["path"], format!("<gfid:{}>", gfid(0xb)));
    assert_eq!(lines[2]["path"], "/now here/letter");
    assert_eq!(lines[2]["new_path"], "/my \u{fffd}t\u{fffd}\n");
    assert_eq!(lines[2]["new_path_hex"], "2f6d7920e974e90a");
    for path in [brick.dir(), brick.segments().remove(0)] {
        let text = dumped(&["--paths", "--fop", "create,rename"], &path);
        let mut lines = text.lines();
        assert!(lines.next().unwrap().contains("CREATE        \"/now here/letter\" mode=0644"));
        let rename = r#"RENAME        "/now here/letter" -> "/my \xe9t\xe9\n" nlink=1"#;
        assert!(lines.next().unwrap().contains(rename), "{text}");
    }
    journal.stop();
}
