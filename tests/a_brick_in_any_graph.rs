//! How an instance behaves in graphs that are not as they should be, or not as usual: bad options, journal
//! off, two instances on one brick, no brick below, one process without a network.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use gnotify_harness::{Brick, MountSpec, Volfile, dump, host_test, wait_for};

fn shows(brick: &Brick, line: &str) -> bool {
    brick.statedump().lines().any(|at| at == line)
}

host_test!(bad_options_keep_no_brick_from_starting, |t| {
    let bad = [
        ("journal", "on"),
        ("detail", "ranges"),
        ("slice-time", "banana"),
        ("segment-size", "12"),
        ("ring-size", "3MB"),
        ("sync-interval", "-1"),
        ("journal-opens", "perhaps"),
        ("xattr-values", "2"),
    ];
    let mut spec = t.brick("b");
    for (key, value) in bad {
        spec = spec.option(key, value);
    }
    let brick = spec.start();
    let log = brick.log();
    for (key, value) in &bad[1..] {
        let complaint = format!("option {key}: \"{value}\" is not accepted, expected ");
        assert!(log.contains(&complaint), "{complaint}\n{log}");
    }
    let mount = brick.mount("m");
    fs::write(mount.path().join("f"), "x").unwrap();
    wait_for("a record", || brick.dump().iter().any(|entry| entry["name"] == "f"));
    for default in
        ["option.detail=slice", "option.slice-time=15s", "option.ring-size=4194304", "panics=0"]
    {
        assert!(shows(&brick, default), "{default}");
    }
});

host_test!(journal_off_leaves_no_trace, |t| {
    // Off is the default.
    let brick = t.brick("b").start();
    let mount = brick.mount("m");
    fs::write(mount.path().join("f"), "x").unwrap();
    assert!(!brick.dir().join(".glusterfs/gnotify").exists());
    assert!(!std::path::Path::new("/run/gluster/gnotify").exists());
    for line in ["journal.state=off", "fop-path.visits=0", "clients=0"] {
        assert!(shows(&brick, line), "{line}");
    }
});

host_test!(two_instances_never_write_one_journal, |t| {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/brick.vol"));
    let second = "volume second\n  type @PLUGIN@\n  option journal on\n  subvolumes gnotify\n\
                  end-volume\n\nvolume brick\n  type performance/io-threads\n  subvolumes second";
    let text = text
        .unwrap()
        .replace("volume brick\n  type performance/io-threads\n  subvolumes gnotify", second);
    assert!(text.contains("volume second"));
    let brick = t.brick("b").graph(Volfile::from_text(text)).option("journal", "on").start();
    let mount = brick.mount("m");
    for number in 0..100 {
        fs::write(mount.path().join(format!("f{number}")), "x").unwrap();
    }
    wait_for("the last record", || brick.dump().iter().any(|entry| entry["name"] == "f99"));
    let journal = brick.dump();
    gnotify_harness::assert_accounted(&journal);
    let creates = journal.iter().filter(|entry| entry["fop"] == "CREATE").count();
    assert_eq!(creates, 100, "each change is recorded once");

    // The loser says so, in the log and in the statedump, with what to do.
    let log = brick.log();
    assert!(log.lines().any(|line| line.contains(" C ") && line.contains("no journal: ")), "{log}");
    let dump = brick.statedump();
    assert!(dump.contains("journal.refused="), "{dump}");
    assert!(dump.contains("journal.state=refused"), "{dump}");
});

host_test!(a_journal_that_cannot_be_opened_is_opened_later, |t| {
    let mut brick = t.brick("b").start();
    brick.kill9();
    // In the way of the journal's directory.
    let in_the_way = brick.dir().join(".glusterfs/gnotify");
    fs::write(&in_the_way, "").unwrap();
    brick.set_option("journal", "on");
    brick.start();
    let mount = brick.mount("m");
    fs::write(mount.path().join("unrecorded"), "x").unwrap();
    assert!(brick.statedump().contains("journal.state=refused"));
    fs::remove_file(&in_the_way).unwrap();
    wait_for("the journal to open", || shows(&brick, "journal.state=on"));
    fs::write(mount.path().join("recorded"), "x").unwrap();
    wait_for("a record", || brick.dump().iter().any(|entry| entry["name"] == "recorded"));
    let journal = brick.dump();
    gnotify_harness::assert_accounted(&journal);
    let told =
        journal.iter().any(|entry| entry["statement"] == "GAP" || entry["statement"] == "OFF");
    assert!(told, "nobody would know that there are changes without a record: {journal:#?}");
    let log = brick.log();
    assert_eq!(log.matches("no journal: ").count(), 1, "said once: {log}");
});

host_test!(a_graph_without_storage_below_has_no_journal, |t| {
    // gnotify above a client: nothing names a brick.
    let brick = t.brick("b").plain().start();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol"));
    let text = text.unwrap()
        + "\nvolume gnotify\n  type @PLUGIN@\n  option journal on\n  subvolumes client\nend-volume\n";
    let plugin = format!("../../../../../..{}", {
        let path = gnotify_harness::plugin();
        path.with_extension("").display().to_string()
    });
    let graph = Volfile::from_text(text)
        .fill("SOCKET", brick.socket().to_string_lossy())
        .fill("PLUGIN", plugin);
    let mount = MountSpec::of_graph(t, "m", graph).start();
    fs::write(mount.path().join("f"), "x").unwrap();
    assert!(mount.log().contains("set the option brick-path"), "{}", mount.log());
});

host_test!(one_process_without_a_network, |t| {
    let dir = t.path("alone");
    fs::create_dir(&dir).unwrap();
    let plugin = gnotify_harness::plugin().with_extension("").display().to_string();
    let graph = Volfile::named("local.vol")
        .fill("BRICK", dir.to_string_lossy())
        .fill("PLUGIN", format!("../../../../../..{plugin}"))
        .options(&[("journal".into(), "on".into())]);
    let mount = MountSpec::of_graph(t, "m", graph).start();
    fs::write(mount.path().join("f"), "x").unwrap();
    wait_for("a record", || {
        let journal = dump(&dir);
        let create = journal.iter().find(|entry| entry["name"] == "f").cloned();
        create.is_some_and(|create| {
            assert_eq!(create["origin"], "client");
            assert!(create.get("client").is_none(), "no client is known here: {create}");
            true
        })
    });
});
