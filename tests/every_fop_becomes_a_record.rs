//! Each watched fop, made through a real mount or through gfapi, gives exactly the records of its case.
//!
//! The cases run in order on one brick with detail=all. What a case does is followed by a mkdir of its own
//! through the same mount; the records between two such marks are the case's, and every field of them is
//! compared, except those that no test can know (number, times, client).
//!
//! PUT, ICREATE and NAMELINK have no case: no client of GlusterFS 10 sends them. `record::effect` has them
//! in its table.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{Brick, Mount, MountSpec, Volfile, host_test, wait_for};
use serde_json::{Value, json};

const ROOT: &str = "00000000-0000-0000-0000-000000000001";

/// A brick, a mount of it, and what was read of its journal.
struct World {
    brick: Brick,
    mount: Mount,
    marks: u32,
    seen: u64,
}

impl World {
    /// A file as clients see it.
    fn at(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    /// The gfid of a file, from the brick itself.
    fn gfid(&self, name: &str) -> String {
        gfid(&self.brick.dir().join(name))
    }

    /// Runs a case, which returns the records that it expects.
    fn case(&mut self, what: &str, act: impl FnOnce(&World) -> Vec<Value>) {
        let want = act(self);
        let got = self.records_until_now();
        let fields: Vec<Value> = got.iter().map(comparable).collect();
        for (field, want) in fields.iter().zip(&want) {
            assert_eq!(field, want, "{what}");
        }
        assert_eq!(fields.len(), want.len(), "{what}: {got:#?}");
        for record in &got {
            assert!(record["time"].as_u64() > Some(1_700_000_000_000_000_000), "{what}: {record}");
            let pid = record["client"]["pid"].as_u64();
            assert!(pid > Some(0), "{what}: the client's process is not readable: {record}");
            assert!(record["client"]["host"].is_string(), "{what}: nor its host: {record}");
        }
    }

    /// The records since the last call, without the mark that ends them.
    fn records_until_now(&mut self) -> Vec<Value> {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        fs::create_dir(self.at(&mark)).unwrap();
        let mut entries = Vec::new();
        wait_for("the mark to be in the journal", || {
            entries = self.brick.dump();
            entries.iter().any(|entry| entry["name"] == *mark)
        });
        let seen = self.seen;
        let records = entries
            .into_iter()
            .filter(|entry| entry["seq"].as_u64() > Some(seen))
            .inspect(|entry| self.seen = entry["seq"].as_u64().unwrap())
            .filter(|entry| entry["type"] == "record");
        let mut records: Vec<Value> = records.collect();
        assert_eq!(records.pop().unwrap()["name"], *mark, "nothing comes after the mark");
        records
    }
}

/// A record without what differs from run to run.
fn comparable(record: &Value) -> Value {
    let mut fields = record.as_object().unwrap().clone();
    for unknowable in ["seq", "time", "ctime", "client", "pid", "type"] {
        fields.remove(unknowable);
    }
    // The times in a setattr come from clocks; the case looks at the mask.
    if let Some(set) = fields.get_mut("set").and_then(Value::as_object_mut) {
        for clock in ["atime", "mtime", "ctime"] {
            if let Some(value) = set.get_mut(clock) {
                *value = json!("a time");
            }
        }
    }
    Value::Object(fields)
}

/// A record by root from a client: `fop`, `class`, and the fields of `more`.
fn record(fop: &str, class: &str, gfid: &str, kind: &str, more: Value) -> Value {
    let mut fields = json!({
        "fop": fop, "class": class, "origin": "client", "gfid": gfid, "kind": kind,
        "uid": 0, "gid": 0,
    });
    let more = more.as_object().unwrap().clone();
    fields.as_object_mut().unwrap().extend(more);
    fields
}

fn gfid(path: &Path) -> String {
    let mut raw = [0u8; 16];
    let len = unix::lgetxattr(path, "trusted.gfid", &mut raw[..])
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(len, 16);
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

host_test!(through_fuse, |t| {
    let brick = t.brick("b").option("journal", "on").option("detail", "all").start();
    let mount = brick.mount("m");
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    w.records_until_now();
    entries(&mut w);
    links(&mut w);
    renames(&mut w);
    removals(&mut w);
    data(&mut w);
    metadata(&mut w);
});

fn entries(w: &mut World) {
    w.case("create", |w| {
        // O_CREAT | O_EXCL; the kernel takes O_TRUNC out.
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(w.at("f")).unwrap();
        vec![record(
            "CREATE",
            "entry",
            &w.gfid("f"),
            "file",
            json!({"parent": ROOT, "name": "f", "mode": 0o644, "nlink": 1, "flags": 0o301}),
        )]
    });
    w.case("mkdir", |w| {
        fs::create_dir(w.at("d")).unwrap();
        vec![record(
            "MKDIR",
            "entry",
            &w.gfid("d"),
            "directory",
            json!({"parent": ROOT, "name": "d", "mode": 0o755, "nlink": 2}),
        )]
    });
    w.case("mknod of a pipe, in a directory", |w| {
        mknod(&w.at("d/p"), unix::FileType::Fifo, 0o600, 0);
        vec![record(
            "MKNOD",
            "entry",
            &w.gfid("d/p"),
            "fifo",
            json!({"parent": w.gfid("d"), "name": "p", "mode": 0o600, "nlink": 1}),
        )]
    });
    w.case("mknod of a device", |w| {
        let rdev = unix::makedev(1, 3);
        mknod(&w.at("null"), unix::FileType::CharacterDevice, 0o666, rdev);
        vec![record(
            "MKNOD",
            "entry",
            &w.gfid("null"),
            "character-device",
            json!({"parent": ROOT, "name": "null", "mode": 0o644, "nlink": 1, "rdev": rdev}),
        )]
    });
    w.case("symlink", |w| {
        symlink("d/p", w.at("s")).unwrap();
        vec![record(
            "SYMLINK",
            "entry",
            &w.gfid("s"),
            "symlink",
            json!({"parent": ROOT, "name": "s", "target": "d/p", "mode": 0o777, "nlink": 1}),
        )]
    });
    w.case("a failed mkdir", |w| {
        fs::create_dir(w.at("d")).unwrap_err();
        vec![]
    });
}

fn links(w: &mut World) {
    w.case("link", |w| {
        fs::hard_link(w.at("f"), w.at("d/f2")).unwrap();
        vec![record(
            "LINK",
            "entry",
            &w.gfid("f"),
            "file",
            json!({"parent": w.gfid("d"), "name": "f2", "mode": 0o644, "nlink": 2}),
        )]
    });
}

fn renames(w: &mut World) {
    w.case("rename in a directory", |w| {
        let f2 = w.gfid("f");
        fs::rename(w.at("d/f2"), w.at("d/f3")).unwrap();
        let d = w.gfid("d");
        vec![record(
            "RENAME",
            "entry",
            &f2,
            "file",
            json!({"parent": d, "name": "f2", "new_parent": d, "new_name": "f3", "nlink": 2}),
        )]
    });
    w.case("rename over the last name of another file", |w| {
        fs::write(w.at("victim"), "").unwrap();
        let (victim, f) = (w.gfid("victim"), w.gfid("f"));
        fs::rename(w.at("d/f3"), w.at("victim")).unwrap();
        vec![
            record(
                "CREATE",
                "entry",
                &victim,
                "file",
                json!({"parent": ROOT, "name": "victim", "mode": 0o644, "nlink": 1,
                       "flags": 0o1101}),
            ),
            record(
                "RENAME",
                "entry",
                &f,
                "file",
                json!({"parent": w.gfid("d"), "name": "f3", "new_parent": ROOT,
                       "new_name": "victim", "nlink": 2, "replaced": victim, "last_link": true}),
            ),
        ]
    });
    w.case("rename of a name over another name of the same file", |w| {
        fs::rename(w.at("f"), w.at("victim")).unwrap();
        assert!(w.at("f").exists(), "POSIX: nothing happens");
        vec![]
    });
    w.case("rename over one of two names of a file", |w| {
        mknod(&w.at("q"), unix::FileType::Fifo, 0o600, 0);
        let (q, f) = (w.gfid("q"), w.gfid("f"));
        fs::rename(w.at("q"), w.at("victim")).unwrap();
        vec![
            record(
                "MKNOD",
                "entry",
                &q,
                "fifo",
                json!({"parent": ROOT, "name": "q", "mode": 0o600, "nlink": 1}),
            ),
            record(
                "RENAME",
                "entry",
                &q,
                "fifo",
                json!({"parent": ROOT, "name": "q", "new_parent": ROOT, "new_name": "victim",
                       "nlink": 1, "replaced": f, "last_link": false}),
            ),
        ]
    });
    w.case("rename of a directory over an empty one", |w| {
        fs::create_dir(w.at("e")).unwrap();
        fs::create_dir(w.at("g")).unwrap();
        let (e, g) = (w.gfid("e"), w.gfid("g"));
        fs::rename(w.at("e"), w.at("g")).unwrap();
        let made = |gfid: &str, name: &str| {
            let more = json!({"parent": ROOT, "name": name, "mode": 0o755, "nlink": 2});
            record("MKDIR", "entry", gfid, "directory", more)
        };
        vec![
            made(&e, "e"),
            made(&g, "g"),
            record(
                "RENAME",
                "entry",
                &e,
                "directory",
                json!({"parent": ROOT, "name": "e", "new_parent": ROOT, "new_name": "g",
                       "nlink": 2, "replaced": g, "last_link": true}),
            ),
        ]
    });
}

fn removals(w: &mut World) {
    w.case("unlink of one of two names, then of the last", |w| {
        fs::hard_link(w.at("f"), w.at("g/f")).unwrap();
        let (f, g) = (w.gfid("f"), w.gfid("g"));
        fs::remove_file(w.at("g/f")).unwrap();
        fs::remove_file(w.at("f")).unwrap();
        vec![
            record(
                "LINK",
                "entry",
                &f,
                "file",
                json!({"parent": g, "name": "f", "mode": 0o644, "nlink": 2}),
            ),
            record(
                "UNLINK",
                "entry",
                &f,
                "file",
                json!({"parent": g, "name": "f", "nlink": 1, "last_link": false}),
            ),
            record(
                "UNLINK",
                "entry",
                &f,
                "file",
                json!({"parent": ROOT, "name": "f", "nlink": 0, "last_link": true}),
            ),
        ]
    });
    w.case("rmdir", |w| {
        let g = w.gfid("g");
        fs::remove_dir(w.at("g")).unwrap();
        vec![record(
            "RMDIR",
            "entry",
            &g,
            "directory",
            json!({"parent": ROOT, "name": "g", "flags": 0, "last_link": true}),
        )]
    });
}

fn data(w: &mut World) {
    let create = |gfid: &str| {
        let more = json!({"parent": ROOT, "name": "data", "mode": 0o644, "nlink": 1,
                          "flags": 0o301});
        record("CREATE", "entry", gfid, "file", more)
    };
    w.case("two writes with detail=all", |w| {
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(w.at("data")).unwrap();
        file.write_all_at(&[1; 1000], 0).unwrap();
        file.write_all_at(&[2; 100], 5000).unwrap();
        let gfid = w.gfid("data");
        let wrote = |offset: u64, length: u64, size: u64| {
            let more = json!({"offset": offset, "length": length, "size": size});
            record("WRITE", "data", &gfid, "file", more)
        };
        vec![create(&gfid), wrote(0, 1000, 1000), wrote(5000, 100, 5100)]
    });
    w.case("truncate by name", |w| {
        truncate(&w.at("data"), 300);
        let more = json!({"offset": 300, "size": 300});
        vec![record("TRUNCATE", "data", &w.gfid("data"), "file", more)]
    });
    w.case("truncate of an open file", |w| {
        let file = OpenOptions::new().write(true).open(w.at("data")).unwrap();
        file.set_len(200).unwrap();
        let more = json!({"offset": 200, "size": 200});
        vec![record("FTRUNCATE", "data", &w.gfid("data"), "file", more)]
    });
    w.case("fallocate", |w| {
        let file = OpenOptions::new().write(true).open(w.at("data")).unwrap();
        unix::fallocate(&file, unix::FallocateFlags::empty(), 100, 1000).unwrap();
        let more = json!({"offset": 100, "length": 1000, "size": 1100, "flags": 0});
        vec![record("FALLOCATE", "data", &w.gfid("data"), "file", more)]
    });
    w.case("a write that fails", |w| {
        let file = File::open(w.at("data")).unwrap();
        file.write_at(b"x", 0).unwrap_err();
        vec![]
    });
}

fn metadata(w: &mut World) {
    let set = |w: &World, fop: &str, set: Value| {
        let more = json!({"set": set, "size": 1100});
        record(fop, "metadata", &w.gfid("data"), "file", more)
    };
    w.case("chmod", |w| {
        fs::set_permissions(w.at("data"), fs::Permissions::from_mode(0o4750)).unwrap();
        vec![set(w, "SETATTR", json!({"mask": ["mode"], "mode": 0o4750}))]
    });
    w.case("chown", |w| {
        std::os::unix::fs::chown(w.at("data"), Some(1000), Some(100)).unwrap();
        vec![set(
            w,
            "SETATTR",
            // The kernel takes the set-user-id bit away in the same call.
            json!({"mask": ["mode", "uid", "gid"], "mode": 0o750, "uid": 1000, "gid": 100}),
        )]
    });
    w.case("times of an open file", |w| {
        let file = OpenOptions::new().write(true).open(w.at("data")).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
        file.set_times(times).unwrap();
        let mask = json!(["atime", "mtime"]);
        vec![set(w, "SETATTR", json!({"mask": mask, "atime": "a time", "mtime": "a time"}))]
    });
    let xattr =
        |w: &World, fop: &str, more: Value| record(fop, "metadata", &w.gfid("data"), "file", more);
    w.case("setxattr and removexattr", |w| {
        let path = w.at("data");
        unix::setxattr(&path, "user.colour", b"blue", unix::XattrFlags::empty()).unwrap();
        unix::removexattr(&path, "user.colour").unwrap();
        vec![
            xattr(w, "SETXATTR", json!({"xattrs": [{"name": "user.colour"}], "flags": 0})),
            xattr(w, "REMOVEXATTR", json!({"xattrs": [{"name": "user.colour"}]})),
        ]
    });
}

host_test!(through_gfapi, |t| {
    let brick = t.brick("b").option("journal", "on").option("detail", "all").start();
    let mount = brick.mount("m");
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    w.records_until_now();
    w.case("data fops that the kernel's FUSE does not send", |w| {
        w.brick.gfapi().run(&[
            &["creat", "a", "/a", "66", "640"],
            &["write", "a", "0", "0123456789"],
            &["discard", "a", "2", "3"],
            &["zerofill", "a", "4", "20"],
            &["fallocate", "a", "1", "50", "10"],
            &["creat", "b", "/b", "66", "640"],
            &["copy_file_range", "a", "1", "b", "7", "5"],
            &["ftruncate", "b", "3"],
        ]);
        let (a, b) = (w.gfid("a"), w.gfid("b"));
        let created = |gfid: &str, name: &str| {
            let more = json!({"parent": ROOT, "name": name, "mode": 0o640, "nlink": 1,
                              "flags": 0o102});
            record("CREATE", "entry", gfid, "file", more)
        };
        let on = |fop: &str, gfid: &str, more: Value| record(fop, "data", gfid, "file", more);
        vec![
            created(&a, "a"),
            on("WRITE", &a, json!({"offset": 0, "length": 10, "size": 10})),
            on("DISCARD", &a, json!({"offset": 2, "length": 3, "size": 10})),
            on("ZEROFILL", &a, json!({"offset": 4, "length": 20, "size": 24})),
            on("FALLOCATE", &a, json!({"offset": 50, "length": 10, "size": 24, "flags": 1})),
            created(&b, "b"),
            on(
                "COPY_FILE_RANGE",
                &b,
                // The client of 10.3 loses the source's offset: what the brick copied is what is recorded.
                json!({"offset": 7, "length": 5, "size": 12,
                       "source": {"gfid": a, "offset": 0}}),
            ),
            on("FTRUNCATE", &b, json!({"offset": 3, "size": 3})),
        ]
    });
    w.case("an open that truncates, and a write at the end of a file", |w| {
        // O_RDWR | O_TRUNC, O_RDWR | O_APPEND.
        w.brick.gfapi().run(&[
            &["open", "b", "/b", "514"],
            &["open", "c", "/b", "1026"],
            &["write", "c", "0", "0123456789"],
        ]);
        let b = w.gfid("b");
        let more = json!({"length": 10, "size": 10});
        vec![
            record("OPEN", "open", &b, "file", json!({"flags": 0o1002})),
            // Where an appended byte lands the host does not tell.
            record("WRITE", "data", &b, "file", more),
        ]
    });
    w.case("a rename onto itself, which the kernel does not send", |w| {
        w.brick.gfapi().run(&[&["rename", "/b", "/b"]]);
        vec![]
    });
    w.case("metadata fops on open files", |w| {
        w.brick.gfapi().run(&[
            &["open", "a", "/a", "2"],
            &["fchmod", "a", "600"],
            &["fsetxattr", "a", "user.x", "y"],
            &["fremovexattr", "a", "user.x"],
            &["setfsuid", "1000"],
        ]);
        let a = w.gfid("a");
        let on = |fop: &str, more: Value| record(fop, "metadata", &a, "file", more);
        vec![
            on("FSETATTR", json!({"set": {"mask": ["mode"], "mode": 0o600}, "size": 24})),
            on("FSETXATTR", json!({"xattrs": [{"name": "user.x"}], "flags": 0})),
            on("FREMOVEXATTR", json!({"xattrs": [{"name": "user.x"}]})),
        ]
    });
});

// features/shard in the client's graph sends what no application does: xattrops that carry a file's size,
// and the blocks of a large file under `/.shard`.
host_test!(through_shard, |t| {
    let brick = t.brick("b").option("journal", "on").option("detail", "all").start();
    let graph = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol"))
        .unwrap()
        + "\nvolume shard\n  type features/shard\n  option shard-block-size 4MB\n  \
           subvolumes client\nend-volume\n";
    let graph = Volfile::from_text(graph).fill("SOCKET", brick.socket().to_string_lossy());
    let mount = MountSpec::of_graph(t, "m", graph).start();
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    w.records_until_now();
    let file = File::create(w.at("large")).unwrap();
    file.write_all_at(&[7; 10], 5 << 20).unwrap();
    let records = w.records_until_now();
    let of = |fop: &str| -> Vec<&Value> { records.iter().filter(|r| r["fop"] == *fop).collect() };
    let xattrops: Vec<&Value> = [of("XATTROP"), of("FXATTROP")].concat();
    assert!(
        xattrops.iter().any(|record| {
            record["class"] == "metadata"
                && record["gfid"] == *w.gfid("large")
                && record["xattrs"][0]["name"] == "trusted.glusterfs.shard.file-size"
        }),
        "{records:#?}"
    );
    let blocks = of("MKNOD");
    assert_eq!(blocks.len(), 1, "{records:#?}");
    assert_eq!(blocks[0]["origin"], "shard");
    assert_eq!(blocks[0]["parent"], "be318638-e8a0-4c6d-977d-7a937aa84806");
    let block = format!("{}.1", w.gfid("large"));
    assert_eq!(blocks[0]["name"], *block);
    // The number that matters: shard asks for one gfid and may get another.
    assert_eq!(blocks[0]["gfid"], w.gfid(&format!(".shard/{block}")));
    // What is marked as the translator's own is so whatever the origin: the stock changelog has the blocks.
    assert!(blocks[0]["marked"].is_null(), "{records:#?}");
    let directory = of("MKDIR");
    assert_eq!(
        (&directory[0]["marked"], &directory[0]["origin"]),
        (&json!(true), &json!("internal"))
    );
    drop(file);
    fs::remove_file(w.at("large")).unwrap();
    wait_for("shard's note of a removal", || {
        let is_note =
            |r: &Value| r["fop"] == "MKNOD" && r["origin"] == "shard" && r["marked"] == true;
        w.brick.dump().iter().any(is_note)
    });
});

// cluster/distribute in the client's graph tells with one fop what a rename was.
host_test!(through_distribute, |t| {
    let brick = t.brick("b").option("journal", "on").start();
    let graph = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol"))
        .unwrap()
        + "\nvolume distribute\n  type cluster/distribute\n  subvolumes client\nend-volume\n";
    let graph = Volfile::from_text(graph).fill("SOCKET", brick.socket().to_string_lossy());
    let mount = MountSpec::of_graph(t, "m", graph).start();
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    File::create(w.at("old")).unwrap();
    fs::create_dir(w.at("d")).unwrap();
    w.records_until_now();
    fs::rename(w.at("old"), w.at("d/new")).unwrap();
    let records = w.records_until_now();
    let renames: Vec<&Value> = records.iter().filter(|r| r["fop"] == "RENAME").collect();
    assert_eq!(renames.len(), 1, "{records:#?}");
    let root = "00000000-0000-0000-0000-000000000001";
    let renaming = &renames[0]["renaming"];
    assert_eq!((&renaming["parent"], &renaming["name"]), (&root.into(), &"old".into()));
    assert_eq!(renaming["new_parent"], *w.gfid("d"));
    assert_eq!(renaming["new_name"], "new");
    assert!(w.brick.statedump().contains("rename-hints-ignored=0"));
    assert!(records.iter().all(|r| r["fop"] == "RENAME" || r["renaming"].is_null()));
});

host_test!(opens_when_asked_for, |t| {
    let brick = t.brick("b").option("journal", "on").option("journal-opens", "on").start();
    let mount = brick.mount("m");
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    w.records_until_now();
    let pick = |records: &[Value], gfid: &str| -> Vec<String> {
        let mine = records.iter().filter(|record| record["gfid"] == *gfid);
        mine.map(|record| record["fop"].as_str().unwrap().to_owned()).collect()
    };
    File::create(w.at("f")).unwrap();
    let mut fops = Vec::new();
    wait_for("the close of a created file", || {
        let (gfid, records) = (w.gfid("f"), w.records_until_now());
        fops.extend(pick(&records, &gfid));
        fops.last().is_some_and(|fop| fop == "RELEASE")
    });
    assert_eq!(fops, ["CREATE", "OPEN", "RELEASE"]);
    File::open(w.at("f")).unwrap();
    let mut fops = Vec::new();
    wait_for("the close of an opened file", || {
        let (gfid, records) = (w.gfid("f"), w.records_until_now());
        fops.extend(pick(&records, &gfid));
        fops.last().is_some_and(|fop| fop == "RELEASE")
    });
    assert_eq!(fops, ["OPEN", "RELEASE"]);
    fs::read_dir(w.mount.path()).unwrap().count();
    wait_for("the close of a directory", || {
        w.records_until_now().iter().any(|r| r["fop"] == "RELEASEDIR" && r["gfid"] == ROOT)
    });
});

host_test!(xattr_values_when_asked_for, |t| {
    let brick = t.brick("b").option("journal", "on").option("xattr-values", "on").start();
    let mount = brick.mount("m");
    let mut w = World { brick, mount, marks: 0, seen: 0 };
    w.records_until_now();
    let path = w.at("d");
    fs::create_dir(&path).unwrap();
    unix::setxattr(&path, "user.small", b"blue", unix::XattrFlags::empty()).unwrap();
    unix::removexattr(&path, "user.small").unwrap();
    let records = w.records_until_now();
    let of = |fop: &str| records.iter().find(|record| record["fop"] == *fop).unwrap();
    assert_eq!(of("SETXATTR")["xattrs"], json!([{"name": "user.small", "value": "blue"}]));
    assert_eq!(of("REMOVEXATTR")["xattrs"], json!([{"name": "user.small"}]));
});

fn mknod(path: &Path, kind: unix::FileType, mode: u32, rdev: u64) {
    let mode = unix::Mode::from_raw_mode(mode);
    unix::mknodat(unix::CWD, path, kind, mode, rdev).unwrap();
}

/// truncate(2), which Rust's standard library has for open files only.
fn truncate(path: &Path, size: u64) {
    let status = std::process::Command::new("/usr/bin/python3")
        .args(["-c", "import os, sys; os.truncate(sys.argv[1], int(sys.argv[2]))"])
        .arg(path)
        .arg(size.to_string())
        .status()
        .unwrap();
    assert!(status.success());
}
