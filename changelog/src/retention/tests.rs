//! What is trimmed, and that it is true whenever a kill comes.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use super::*;
use crate::sim::Sim;
use crate::writer::Since;
use crate::writer::tests::{DIR, Known, T, change, history, start};

const HOUR: u64 = 3600;

/// Two indexes of six slices each, two hours apart; every third is empty.
fn filled() -> (Sim, Writer<Sim>) {
    let sim = Sim::with_dir("/bricks");
    for life in 0..2 {
        let (mut writer, _) = start(&sim, T + life * 100 * HOUR, Since::Broken);
        for number in 1..=6 {
            if number % 3 != 0 {
                writer.append(&[change(number as u8)]).unwrap();
            }
            writer.roll(T + (life * 100 + number * 2) * HOUR).unwrap();
        }
    }
    let (writer, _) = start(&sim, T + 200 * HOUR, Since::Continued);
    (sim, writer)
}

/// The hours at which indexes begin, and those of the slices in them.
fn hours(sim: &Sim) -> Vec<(u64, Vec<u64>)> {
    let hour = |ts: u64| (ts - T) / HOUR;
    let of = |(begun, slices): Known| {
        (hour(begun), slices.into_iter().map(|(ts, _)| hour(ts)).collect())
    };
    history(sim).into_iter().map(of).collect()
}

const ALL: Limits = Limits { bytes: None, age: None };

#[test]
fn nothing_is_trimmed_without_a_limit_or_within_it() {
    let (sim, mut writer) = filled();
    let before = (sim.files(), hours(&sim));
    let wide = Limits { bytes: Some(1 << 20), age: Some(1000 * HOUR) };
    for limits in [ALL, wide] {
        assert_eq!(trim(&mut writer, limits, T + 120 * HOUR).unwrap(), Trimmed::default());
        assert_eq!((sim.files(), hours(&sim)), before);
    }
}

#[test]
fn d31_by_age() {
    let (sim, mut writer) = filled();
    let limits = Limits { age: Some(112 * HOUR), ..ALL };
    let trimmed = trim(&mut writer, limits, T + 115 * HOUR).unwrap();
    assert_eq!((trimmed.slices, trimmed.bytes), (1, (51 + 41)));
    assert_eq!(hours(&sim)[0], (4, vec![4, 6, 8, 10, 12]));
    assert_eq!(hours(&sim)[1].0, 100);
    // Into the index that is written, which goes on.
    let limits = Limits { age: Some(10 * HOUR), ..ALL };
    assert_eq!(trim(&mut writer, limits, T + 116 * HOUR).unwrap().slices, 5);
    assert_eq!(hours(&sim), [(108, vec![108, 110, 112])]);
    writer.append(&[change(9)]).unwrap();
    writer.roll(T + 202 * HOUR).unwrap();
    assert_eq!(hours(&sim), [(108, vec![108, 110, 112, 202])]);
    let days = sim.files().into_iter().filter(|path| path.starts_with(format!("{DIR}/2026")));
    assert_eq!(days.count(), 3);
    assert!(sim.list(&Layout::new(DIR).day(T)).is_err(), "an empty day goes too");
}

#[test]
fn d31_by_bytes_but_never_the_newest() {
    let (sim, mut writer) = filled();
    let limits = Limits { bytes: Some(3 * 92 + 10), ..ALL };
    trim(&mut writer, limits, T).unwrap();
    assert_eq!(hours(&sim), [(104, vec![104, 106, 108, 110, 112])]);
    let limits = Limits { bytes: Some(0), ..ALL };
    trim(&mut writer, limits, T).unwrap();
    assert_eq!(hours(&sim), [(110, vec![110, 112])]);
    assert_eq!(trim(&mut writer, limits, T).unwrap(), Trimmed::default());
}

/// A trim, and what it leaves: the hours of the indexes.
type Case = (Limits, u64, Vec<(u64, Vec<u64>)>);

/// Into the index that is written, and into one of a former life.
fn cases() -> [Case; 2] {
    let age = |hours: u64| Limits { age: Some(hours * HOUR), ..ALL };
    let second = vec![102, 104, 106, 108, 110, 112];
    [
        (age(10), T + 116 * HOUR, vec![(108, vec![108, 110, 112])]),
        (age(108), T + 115 * HOUR, vec![(8, vec![8, 10, 12]), (100, second)]),
    ]
}

#[test]
fn killed_anywhere_it_is_true_and_the_next_one_ends_it() {
    for (limits, now, expected) in cases() {
        for calls in 0.. {
            let (sim, mut writer) = filled();
            sim.fail_after(calls, true);
            let done = trim(&mut writer, limits, now);
            let failed = sim.heal();
            for (names, content) in [(true, true), (false, false), (true, false), (false, true)] {
                let sim = sim.after_power_loss(names, content);
                assert_true(&sim);
                let (mut writer, started) = start(&sim, now + HOUR * 90, Since::Continued);
                assert_eq!(started.last_ts, Some(T + 112 * HOUR));
                assert_true(&sim);
                let what = format!("killed at call {calls}, names {names}, content {content}");
                assert!(
                    hours(&sim).is_sorted_by(|one, next| one.1.last() < next.1.first()),
                    "{what}"
                );
                trim(&mut writer, limits, now).unwrap();
                assert_eq!(hours(&sim), expected, "{what}");
            }
            // The process that saw the error lives on.
            trim(&mut writer, limits, now).unwrap();
            assert_eq!(hours(&sim), expected, "call {calls} failed");
            if failed == 0 {
                done.unwrap();
                assert!(calls > 30, "{calls}");
                break;
            }
        }
    }
}

#[test]
fn a_call_that_fails_once_leaves_what_is_true() {
    for (limits, now, expected) in cases() {
        for calls in 0.. {
            let (sim, mut writer) = filled();
            sim.fail_after(calls, false);
            let done = trim(&mut writer, limits, now);
            let failed = sim.heal();
            assert_true(&sim);
            if failed == 0 {
                done.unwrap();
                break;
            }
            trim(&mut writer, limits, now).unwrap();
            assert_eq!(hours(&sim), expected, "call {calls} failed");
            writer.append(&[change(9)]).unwrap();
            writer.roll(now + 100 * HOUR).unwrap();
            assert_true(&sim);
            let last = hours(&sim).pop().and_then(|(_, slices)| slices.last().copied());
            assert_eq!(last, Some((now - T) / HOUR + 100), "call {calls} failed");
        }
    }
}

/// No index tells of a slice that is not there.
fn assert_true(sim: &Sim) {
    let layout = Layout::new(DIR);
    for path in sim.files() {
        if path.parent() != Some(&layout.htime_dir()) {
            continue;
        }
        let bytes = sim.bytes(&path).unwrap();
        let mut reader = Reader::new(&bytes[..]);
        while let Some((_, item)) = reader.next().unwrap() {
            let Item::Slice(slice) = item else { panic!("{item:?}") };
            assert!(slice.empty || sim.bytes(slice.path).is_some(), "{:?}", slice.path);
        }
    }
}
