//! Each way to fail: one clear line on standard error, and the documented status.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{Brick, append_many, dump, gnotify};

/// That `output` is nothing but one line on standard error, which it returns.
fn failed(output: Output, status: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(output.stdout, b"", "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.strip_prefix("gnotify: ").unwrap().trim_end().to_owned()
}

#[test]
fn no_brick_no_journal_no_segment() {
    let brick = Brick::new();
    let dir = brick.dir();
    let dir = dir.to_str().unwrap();

    let missing = format!("{dir}/missing");
    let told = failed(dump(&[], Path::new(&missing)), 3);
    assert_eq!(told, format!("{missing}: there is nothing here; check the path"));
    failed(dump(&["--follow"], Path::new(&missing)), 3);

    let told = failed(dump(&[], Path::new(dir)), 3);
    assert!(told.starts_with(&format!("{dir}: a brick without a gnotify journal; ")), "{told}");

    let told = failed(dump(&[], Path::new("/proc/self")), 3);
    assert!(told.starts_with("/proc/self: not a brick"), "{told}");
    failed(dump(&["--follow"], Path::new("/proc/self")), 3);

    let told = failed(dump(&[], Path::new("/dev/null")), 3);
    assert!(told.starts_with("/dev/null: neither"), "{told}");

    let foreign = format!("{dir}/foreign");
    fs::write(&foreign, "PAR1, or any other file that is none of ours, of some length\n").unwrap();
    let told = failed(dump(&[], Path::new(&foreign)), 3);
    assert!(told.starts_with(&format!("{foreign}: not a gnotify journal")), "{told}");

    let odd = format!("{dir}/\x1b[2J");
    let told = failed(dump(&[], Path::new(&odd)), 3);
    assert!(told.starts_with('"') && told.contains("\\x1b[2J"), "{told}");
}

#[test]
fn a_directory_of_other_files_is_no_journal() {
    let brick = Brick::new();
    fs::create_dir(brick.journal()).unwrap();
    failed(dump(&[], &brick.dir()), 3);
    fs::write(brick.journal().join("00000000000000000001.gnj"), "something else, of some length")
        .unwrap();
    let told = failed(dump(&[], &brick.dir()), 3);
    assert!(told.contains("00000000000000000001.gnj: not a gnotify journal"), "{told}");
}

#[test]
fn a_journal_without_entries_is_none_to_complain_of() {
    let brick = Brick::new();
    fs::create_dir(brick.journal()).unwrap();
    fs::write(brick.journal().join("lock"), "").unwrap();
    let output = dump(&[], &brick.dir());
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn a_damaged_header() {
    let brick = Brick::filled();
    let segment = brick.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for path in [brick.dir(), segment.clone()] {
        let told = failed(dump(&[], &path), 1);
        assert!(told.starts_with(&format!("{}: ", segment.display())), "{told}");
    }
}

#[test]
fn a_newer_format() {
    let brick = Brick::filled();
    let segment = brick.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 9;
    fs::write(&segment, bytes).unwrap();
    for path in [brick.dir(), segment.clone()] {
        let told = failed(dump(&[], &path), 5);
        assert!(told.contains("format version 9"), "{told}");
    }
}

#[test]
fn no_permission() {
    let brick = Brick::filled();
    // Root may read everything, so the command runs as somebody who may reach it.
    let command = brick.dir().with_file_name("gnotify");
    // By another process: a file that this one has open for writing could not be run, and each test
    // that starts a command beside this one would hold it open for a moment.
    let copy = Command::new("cp").arg(env!("CARGO_BIN_EXE_gnotify")).arg(&command).status();
    assert!(copy.unwrap().success());
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(command.parent().unwrap(), 0o755);
    set(&brick.dir(), 0o755);
    let dump = |path: &Path| {
        let mut dump = Command::new(&command);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            dump.uid(65534).gid(65534);
        }
        dump.arg("dump").arg(path).output().unwrap()
    };
    let segment = brick.segments().remove(0);
    set(&segment, 0);
    for closed in [brick.journal(), brick.dir().join(".glusterfs"), brick.dir()] {
        for path in [brick.dir(), segment.clone()] {
            let told = failed(dump(&path), 4);
            assert!(told.ends_with("permission denied; a journal is read as root"), "{told}");
        }
        set(&closed, 0);
    }
    // So that it can be removed.
    for opened in [brick.dir(), brick.dir().join(".glusterfs"), brick.journal()] {
        set(&opened, 0o755);
    }
}

#[test]
fn paths_need_a_brick() {
    let brick = Brick::filled();
    let copy = brick.dir().join("copy.gnj");
    fs::copy(brick.segments().remove(0), &copy).unwrap();
    assert_eq!(dump(&[], &copy).status.code(), Some(0));
    let told = failed(dump(&["--paths"], &copy), 3);
    assert!(told.contains("--paths"), "{told}");
}

#[test]
fn a_wrong_command_line() {
    for args in [
        &["dump"][..],
        &["dump", "--fop", "frobnicate", "/b"],
        &["dump", "--since", "soon", "/b"],
        &["dump", "--json", "--utc", "/b"],
        &["watch"],
        &[],
    ] {
        let output = gnotify().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version() {
    for (args, want) in [
        (&["--help"][..], "Exit status:"),
        (&["dump", "--help"], "permission denied"),
        (&["--version"], concat!("gnotify ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = gnotify().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains(want), "{stdout}");
    }
}

#[test]
fn a_reader_that_has_seen_enough() {
    let brick = Brick::new();
    let journal = brick.start();
    append_many(&journal);
    journal.stop();
    let mut command = gnotify();
    command.arg("dump").arg(brick.dir());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("-- START"), "{line}");
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk() {
    let brick = Brick::filled();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = gnotify().arg("dump").arg(brick.dir()).stdout(full).output().unwrap();
    let told = failed(output, 1);
    assert!(told.starts_with("standard output: No space left"), "{told}");
}
