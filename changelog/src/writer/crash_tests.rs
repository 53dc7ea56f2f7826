//! Every call of the writer's life killed, failing, or followed by a power loss: nothing is lost or doubled.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use super::tests::{T, change, history, live_numbers, settings};
use super::*;
use crate::sim::Sim;

/// What the journal has: changes by number, and the ends of slices with their time stamps.
#[derive(Debug, Clone, Copy)]
enum Step {
    Change(u8),
    Sync,
    End(u64),
}

use Step::{Change as C, End, Sync};

const JOURNAL: [Step; 13] = [
    C(1),
    C(2),
    Sync,
    C(3),
    End(T + 15),
    End(T + 30),
    C(4),
    Sync,
    C(5),
    End(T + 86_400),
    C(6),
    End(T + 86_401),
    C(7),
];

fn expected() -> Vec<(u64, Vec<u8>)> {
    vec![(T + 15, vec![1, 2, 3]), (T + 30, vec![]), (T + 86_400, vec![4, 5]), (T + 86_401, vec![6])]
}

/// As the exporter does: finds where it was, and makes the rest. Each call is repeated `tries` times where it fails.
fn export(sim: &Sim, tries: u32) -> io::Result<()> {
    let (mut writer, started) =
        again(tries, || Writer::start(sim.clone(), settings(), T, Since::Continued))?;
    let (mut at, mut skip) = match started.newest {
        Some(Slice { ts: None, cursor: Some(cursor), len }) => (usize::from(cursor[0]), len),
        _ => {
            let done = |step: &Step| matches!(step, End(ts) if Some(*ts) == started.last_ts);
            (JOURNAL.iter().position(done).map_or(0, |at| at + 1), 0)
        }
    };
    if writer.cursor().is_none() {
        again(tries, || writer.set_cursor(&[at as u8]))?;
    }
    while let Some(step) = JOURNAL.get(at) {
        at += 1;
        match *step {
            C(number) => {
                let mut record = Vec::new();
                codec::encode(&change(number), writer.encoding(), &mut record);
                match skip.checked_sub(record.len() as u64) {
                    Some(rest) => skip = rest,
                    None => again(tries, || writer.append_encoded(&record))?,
                }
            }
            Sync => again(tries, || writer.sync())?,
            End(ts) => {
                assert_eq!(skip, 0, "there is nothing that the journal has not");
                let rolled = again(tries, || writer.roll(ts))?;
                assert_eq!(rolled.ts, ts);
                again(tries, || writer.set_cursor(&[at as u8]))?;
            }
        }
    }
    Ok(())
}

fn again<T>(tries: u32, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..tries {
        if let Ok(done) = work() {
            return Ok(done);
        }
    }
    work()
}

fn assert_whole(sim: &Sim, what: &str) {
    let history = history(sim);
    assert_eq!(history.len(), 1, "{what}: one index");
    assert_eq!(history[0].1, expected(), "{what}");
    assert_eq!(live_numbers(sim), [7], "{what}");
    // Live slice, index and the three slices.
    assert_eq!(sim.files().len(), 5, "{what}: {:?}", sim.files());
}

#[test]
fn a_life_without_trouble() {
    let sim = Sim::with_dir("/bricks");
    export(&sim, 1).unwrap();
    assert_whole(&sim, "at once");
    export(&sim, 1).unwrap();
    assert_whole(&sim, "once more");
}

/// Killed before each call in turn; then before each call of the next life too, in strides.
#[test]
fn killed_anywhere_it_goes_on_exactly() {
    let mut second = 0;
    for calls in 0.. {
        let sim = Sim::with_dir("/bricks");
        sim.fail_after(calls, true);
        let done = export(&sim, 1);
        assert_eq!(done.is_ok(), sim.heal() == 0);
        if done.is_ok() {
            assert!(calls > 150, "{calls}");
            return;
        }
        for (all_names, all_content) in [(true, true), (false, false), (true, false), (false, true)]
        {
            let sim = sim.after_power_loss(all_names, all_content);
            let again = sim.copy();
            let what = format!("killed at call {calls}, names {all_names}, content {all_content}");
            export(&sim, 1).unwrap();
            assert_whole(&sim, &what);
            second = (second + 7) % 60;
            again.fail_after(second, true);
            let _ = export(&again, 1);
            again.heal();
            let again = again.after_power_loss(all_names, all_content);
            export(&again, 1).unwrap();
            assert_whole(&again, &format!("{what}, and at call {second} of the next life"));
        }
    }
}

#[test]
fn a_call_that_fails_once_is_repeated() {
    for calls in 0.. {
        let sim = Sim::with_dir("/bricks");
        sim.fail_after(calls, false);
        export(&sim, 2).unwrap();
        let failed = sim.heal();
        assert_whole(&sim, &format!("call {calls} fails"));
        let durable = sim.after_power_loss(false, false);
        export(&durable, 1).unwrap();
        assert_whole(&durable, &format!("call {calls} fails, then the power"));
        if failed == 0 {
            assert!(calls > 150, "{calls}");
            return;
        }
    }
}

/// The disk is full for a while, and the process lives on.
#[test]
fn a_disk_that_fails_for_long_and_heals() {
    for calls in 0.. {
        let sim = Sim::with_dir("/bricks");
        let (mut writer, _) = Writer::start(sim.clone(), settings(), T, Since::Continued).unwrap();
        sim.fail_after(calls, true);
        let mut told = 0;
        for step in JOURNAL {
            let done = |writer: &mut Writer<Sim>| match step {
                C(number) => writer.append(&[change(number)]),
                Sync => writer.sync(),
                End(ts) => writer.roll(ts).map(|rolled| assert_eq!(rolled.ts, ts)),
            };
            let mut failures = 0;
            while done(&mut writer).is_err() {
                failures += 1;
                if failures == 3 {
                    told += 1;
                    sim.heal();
                }
                assert!(failures < 5);
            }
        }
        sim.heal();
        assert_whole(&sim, &format!("from call {calls} on"));
        if told == 0 {
            return;
        }
    }
}
