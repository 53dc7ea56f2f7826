//! gnotify as `features/changelog`: the files that stock would have written, whatever becomes of the brick.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gnotify_changelog::layout::Layout;
use gnotify_harness::{BrickSpec, host_test, run, tool, wait_for};
use gnotify_record::Fop;

use brick_changelog::{
    assert_created, assert_created_in, assert_whole, created, created_in, indexed, indexes, layout,
    slice, touch,
};

host_test!(the_live_changelog_follows, |t| {
    let brick =
        t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "1h").start();
    let mount = brick.mount("m");
    let names = touch(mount.path(), 0..3);
    fs::set_permissions(mount.path().join("f1"), fs::Permissions::from_mode(0o640)).unwrap();
    wait_for("the last record", || {
        slice(&layout(&brick).live()).iter().any(|change| change.fop() == Some(Fop::SETATTR))
    });
    assert_created(&brick, &names);
    let dump = brick.statedump();
    for line in ["persona=changelog", "barrier=down", "fops-under-way=0"] {
        assert!(dump.lines().any(|found| found == line), "{line}: {dump}");
    }
});

host_test!(d1_d7_a_restart_loses_no_slice, |t| {
    let spec = t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "2");
    let mut brick = spec.start();
    let mut names = Vec::new();
    for round in 0..6 {
        let mount = brick.mount(&format!("m{round}"));
        names.extend(touch(mount.path(), round * 100..round * 100 + 20));
        if round % 3 == 1 {
            let slices = indexed(&layout(&brick)).len();
            wait_for("two roll-overs", || indexed(&layout(&brick)).len() > slices + 1);
        }
        if round % 3 == 2 {
            // The next start may fall between two records.
            wait_for("all records", || created(&brick).len() == names.len());
        }
        if round % 2 == 0 {
            brick.kill9();
        } else {
            brick.terminate();
        }
        drop(mount);
        brick.start();
        wait_for("all records", || created(&brick).len() >= names.len());
        assert_created(&brick, &names);
    }
    assert_whole(&layout(&brick));
});

host_test!(stock_goes_on_and_back, |t| {
    let options = |spec: gnotify_harness::BrickSpec| {
        spec.option("changelog", "on").option("rollover-time", "2")
    };
    let stock = t.stock_object("features/changelog.so");
    let mut brick = options(t.brick("b").stock_changelog()).start();
    let mut names = Vec::new();
    for round in 0..4 {
        let mount = brick.mount(&format!("m{round}"));
        names.extend(touch(mount.path(), round * 100..round * 100 + 20));
        // Stock loses the slice that a restart meets (D1), so it is given the time to finish it.
        let slices = indexed(&layout(&brick)).len();
        wait_for("two roll-overs", || indexed(&layout(&brick)).len() > slices + 1);
        if round == 1 {
            names.extend(touch(mount.path(), 150..160));
        }
        brick.terminate();
        drop(mount);
        if round % 2 == 0 {
            t.install_as(&gnotify_harness::plugin(), &["features/changelog.so"]);
        } else {
            t.install_as(&stock, &["features/changelog.so"]);
        }
        brick.start();
        if round == 1 {
            // What gnotify left in its live slice is in a dated file, but stock does not index that (D1).
            names.truncate(names.len() - 10);
        }
        wait_for("all records", || created(&brick).len() >= names.len());
        assert_created(&brick, &names);
        assert_eq!(indexes(&layout(&brick)).len(), 1, "one index");
    }
});

host_test!(a_roll_over_without_room_is_repeated, |t| {
    let room = t.path("room");
    fs::create_dir(&room).unwrap();
    run(tool("mount").args(["-t", "tmpfs", "-o", "nr_inodes=2000", "tmpfs"]).arg(&room));
    let dir = room.join("changelogs");
    let brick = t
        .brick("b")
        .as_changelog()
        .option("changelog", "on")
        .option("rollover-time", "2")
        .option("changelog-dir", &dir.to_string_lossy())
        .start();
    let layout = Layout::new(&dir);
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..5);
    wait_for("the first slice, and the directories of its day", || !indexed(&layout).is_empty());

    // The slice that is finished gets its name, and there is no inode for the next.
    let filler = |number: u32| room.join(format!("filler{number}"));
    let fillers = (0..).take_while(|number| fs::File::create(filler(*number)).is_ok()).count();
    names.extend(touch(mount.path(), 100..105));
    wait_for("the failure", || brick.log().contains("it is tried again, and the journal keeps"));
    assert!(!layout.live().exists());
    names.extend(touch(mount.path(), 200..205));
    (0..fillers as u32).for_each(|number| fs::remove_file(filler(number)).unwrap());
    wait_for("all records", || created_in(&layout).len() >= names.len());
    names.extend(touch(mount.path(), 300..305));
    wait_for("the records behind them", || created_in(&layout).len() >= names.len());
    assert_created_in(&layout, &names);
    assert_whole(&layout);
});

host_test!(its_directories_are_there_while_it_is_off, |t| {
    let made = |spec: BrickSpec| {
        let brick = spec.start();
        let dir = layout(&brick).dir().to_owned();
        let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut made: Vec<_> = names
            .map(|name| {
                let mode = fs::metadata(dir.join(&name)).unwrap().permissions().mode();
                (name, format!("{mode:o}"))
            })
            .collect();
        made.sort();
        made
    };
    let stock = made(t.brick("stock").stock_changelog());
    assert_eq!(made(t.brick("ours").as_changelog()), stock);
    assert_eq!(stock.len(), 2, "{stock:?}");
});

host_test!(removed_files_begin_a_new_index, |t| {
    let spec = t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "2");
    let brick = spec.start();
    let mount = brick.mount("m");
    touch(mount.path(), 0..5);
    let layout = layout(&brick);
    wait_for("a slice", || !indexed(&layout).is_empty());
    // What administrators do when stock's changelog has grown too large.
    fs::remove_dir_all(layout.dir()).unwrap();
    let mut names = Vec::new();
    let mut round = 1;
    wait_for("a new index", || {
        names = touch(mount.path(), round * 10..round * 10 + 5);
        round += 1;
        layout.htime_dir().is_dir() && created_in(&layout).ends_with(&names)
    });
    names = touch(mount.path(), 100_000..100_005);
    wait_for("the records behind it", || created_in(&layout).ends_with(&names));
    assert_whole(&layout);
    assert!(brick.log().contains("somebody has removed files of it"));
});

/// Overwrites a part of a slice with what is no record.
fn damage(slice: &Path) {
    let mut bytes = fs::read(slice).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 60].fill(b'!');
    fs::write(slice, bytes).unwrap();
}

host_test!(a_damaged_slice_is_made_again_or_begins_a_new_index, |t| {
    let spec = t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "1h");
    let mut brick = spec.start();
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..5);
    let layout = layout(&brick);
    wait_for("all records", || created_in(&layout) == names);
    brick.kill9();
    drop(mount);
    // The journal still has all that the live one had.
    damage(&layout.live());
    brick.start();
    wait_for("all records", || created_in(&layout).len() >= names.len());
    let mount = brick.mount("again");
    names.extend(touch(mount.path(), 10..15));
    wait_for("all records", || created_in(&layout).len() >= names.len());
    assert_created_in(&layout, &names);
    assert_whole(&layout);
    brick.terminate();
    drop(mount);
    // Of one that is finished it is not known how much of the journal it has.
    fs::remove_file(layout.live()).unwrap();
    damage(indexed(&layout).last().unwrap());
    brick.start();
    wait_for("a new index", || indexes(&layout).len() == 2);
    let mount = brick.mount("third");
    touch(mount.path(), 20..25);
    let told = || slice(&layout.live()).iter().filter(|c| c.fop() == Some(Fop::CREATE)).count();
    wait_for("the records behind it", || told() == 5);
});
