//! Events of other translators go through gnotify untouched: the upcalls of stock features/upcall and the
//! recalls of features/leases, both of which stand below it, reach the clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use gnotify_harness::{Brick, MountSpec, Sandbox, Volfile, host_test, run, tool, wait_for};

/// A brick with stock upcall and leases between the locks and gnotify.
fn brick(t: &Sandbox) -> Brick {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/brick.vol"));
    let stock = "volume leases\n  type features/leases\n  option leases on\n  subvolumes locks\n\
                 end-volume\n\nvolume upcall\n  type features/upcall\n  \
                 option cache-invalidation on\n  subvolumes leases\nend-volume\n\n";
    let text = text
        .unwrap()
        .replace("volume gnotify\n", &format!("{stock}volume gnotify\n"))
        .replace("@OPTIONS@\n  subvolumes locks", "@OPTIONS@\n  subvolumes upcall");
    assert!(text.contains("subvolumes upcall"));
    t.brick("b").graph(Volfile::from_text(text)).option("journal", "on").start()
}

fn client(brick: &Brick, more: &str) -> Volfile {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/volfiles/client.vol"));
    Volfile::from_text(text.unwrap() + more).fill("SOCKET", brick.socket().to_string_lossy())
}

host_test!(cache_invalidations, |t| {
    let brick = brick(t);
    // Caches for ten minutes, unless it is told.
    let cache = "\nvolume cache\n  type performance/md-cache\n  option cache-invalidation on\n  \
                 option md-cache-timeout 600\n  subvolumes client\nend-volume\n";
    let caching = MountSpec::of_graph(t, "caching", client(&brick, cache)).start();
    let writing = brick.mount("writing");
    fs::write(writing.path().join("f"), "four").unwrap();
    let size = || fs::metadata(caching.path().join("f")).unwrap().len();
    assert_eq!(size(), 4);
    fs::write(writing.path().join("f"), "seventeen letters").unwrap();
    wait_for("the cache to be told", || size() == 17);
});

host_test!(lease_recalls, |t| {
    let brick = brick(t);
    // Made by another client, whose descriptor is gone when it is: one that is open is in a lease's way.
    let mount = brick.mount("m");
    fs::write(mount.path().join("leased"), "x").unwrap();
    mount.unmount();
    let volfile = client(&brick, "").write(t.path("leases.vol"));
    let said = run(tool("/usr/bin/python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lease_recall.py"))
        .arg(volfile)
        .arg(t.log("leases")));
    assert_eq!(said.trim(), "recalled");
});
