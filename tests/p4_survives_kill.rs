//! P4: when a client has the reply of a fop, its record survives SIGKILL of the brick at any moment.
//! P7: every sequence number is accounted for, by a record or by a statement that covers it.
//!
//! 20 rounds; `make torture` runs 500 (GNOTIFY_ROUNDS).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, SystemTime};

use gnotify_harness::{Load, assert_accounted, gnotify, host_test, wait_for};
use serde_json::json;

/// Knuth's MMIX generator, begun differently in each run; the seed is printed.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seed = since.as_nanos() as u64;
        println!("seed {seed}");
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        let (factor, step) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);
        self.0 = self.0.wrapping_mul(factor).wrapping_add(step);
        self.0 >> 33
    }
}

host_test!(answered_fops_have_their_records_after_kill_9, |t| {
    let rounds: u64 = std::env::var("GNOTIFY_ROUNDS").map_or(20, |text| text.parse().unwrap());
    let mut random = Random::new();
    // Small segments, so that some kills meet a roll; short slices, so that some meet a slice end.
    let spec = t
        .brick("b")
        .option("journal", "on")
        .option("segment-size", "1MB")
        .option("slice-time", "1");
    let mut brick = spec.start();
    let mut answered = 0;
    let mut start_id = 1;
    for round in 1..=rounds {
        let mount = brick.mount(&format!("m{round}"));
        let load = Load::start(mount.path(), 4, &format!("r{round}"));
        // No deadline is tested here: any moment will do.
        std::thread::sleep(Duration::from_millis(random.next() % 400));
        brick.kill9();
        wait_for("the load to notice", || load.has_ended());
        let ledger = load.stop();
        assert_eq!(ledger.errors.len(), 4, "a kill ends each thread: {:?}", ledger.errors);
        drop(mount);
        // As the kill left it, a reader finds no broken record.
        assert_accounted(&brick.dump());
        brick.start();
        let mut journal = Vec::new();
        wait_for("the start to be in the journal", || {
            journal = brick.dump();
            let last = journal.iter().rfind(|entry| entry["statement"] == "START");
            last.is_some_and(|start| start["start_id"] == start_id + 1)
        });
        ledger.assert_recorded(&journal);
        assert_accounted(&journal);
        let start = journal.iter().rfind(|entry| entry["statement"] == "START").unwrap();
        assert_eq!((&start["how"], &start["previous"]), (&json!("killed"), &json!(start_id)));
        start_id += 1;
        answered += ledger.done.len();
        if round % 20 == 0 {
            println!("round {round}: {answered} answered calls, each recorded");
            // The journal is read whole in each round: begin a new one before that takes long.
            brick.kill9();
            std::fs::remove_dir_all(brick.dir().join(".glusterfs/gnotify")).unwrap();
            brick.start();
            start_id = 1;
        }
    }
});

host_test!(a_reader_that_follows_survives_the_kill, |t| {
    let mut brick = t.brick("b").option("journal", "on").start();
    let output = t.path("followed.json");
    let mut follower = gnotify()
        .args(["dump", "--json", "--follow"])
        .arg(brick.dir())
        .stdout(std::fs::File::create(&output).unwrap())
        .spawn()
        .unwrap();
    let mut ledgers = Vec::new();
    for round in 1..=3 {
        let mount = brick.mount(&format!("m{round}"));
        let load = Load::start(mount.path(), 2, &format!("r{round}"));
        load.wait_for_files(20);
        brick.kill9();
        wait_for("the load to notice", || load.has_ended());
        ledgers.push(load.stop());
        drop(mount);
        brick.start();
    }
    let journal = brick.dump();
    let mut followed = Vec::new();
    wait_for("the follower to have it all", || {
        let text = std::fs::read_to_string(&output).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        followed = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        followed.len() >= journal.len()
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_accounted(&followed);
    for ledger in ledgers {
        ledger.assert_recorded(&followed);
    }
});
