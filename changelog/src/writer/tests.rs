//! What becomes of a changelog directory, whoever wrote there before.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;

use gnotify_record::{Fop, Gfid};

use super::*;
use crate::htime::{CURRENT, Item, MARK, Mark};
use crate::layout;
use crate::sim::Sim;

/// The name of a directory on the way is one that stock puts in lower case (D15).
pub(crate) const DIR: &str = "/bricks/CHANGELOG/b/.glusterfs/changelogs";
/// 2026-11-20 07:07:28 UTC.
pub(crate) const T: u64 = 1_795_160_848;

pub(crate) fn settings() -> Settings {
    Settings { dir: DIR.into(), encoding: Encoding::Ascii, sync: false }
}

pub(crate) fn start(sim: &Sim, now: u64, since: Since) -> (Writer<Sim>, Started) {
    Writer::start(sim.clone(), settings(), now, since).unwrap()
}

pub(crate) fn change(number: u8) -> Change<'static> {
    Change::Metadata { gfid: Gfid([number; 16]), fop: Fop::SETXATTR }
}

/// The numbers of the changes in a slice.
fn numbers(slice: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(slice).unwrap();
    let mut numbers = Vec::new();
    while let Some(change) = reader.next().unwrap() {
        numbers.push(change.gfid().0[0]);
    }
    numbers
}

/// An index's beginning, and its slices: time stamp and numbers of the changes.
pub(crate) type Known = (u64, Vec<(u64, Vec<u8>)>);

/// What a consumer finds: each index with its beginning, and in it each slice with its time stamp and changes. Everything
/// is as stock's history call needs it.
pub(crate) fn history(sim: &Sim) -> Vec<Known> {
    let layout = Layout::new(DIR);
    let mut history = Vec::new();
    for path in sim.files() {
        if path.parent() != Some(&layout.htime_dir()) {
            continue;
        }
        let begun = layout::htime_ts(path.file_name().unwrap()).expect("only indexes lie there");
        let bytes = sim.bytes(&path).unwrap();
        let mut reader = crate::htime::Reader::new(&bytes[..]);
        let (mut slices, mut mark) = (Vec::new(), Mark::default());
        while let Some((_, item)) = reader.next().unwrap() {
            let Item::Slice(slice) = item else { panic!("{}: {item:?}", path.display()) };
            assert_eq!(slice.path.as_os_str().len(), DIR.len() + 32);
            let is = if slice.empty { layout.empty(slice.ts) } else { layout.slice(slice.ts) };
            assert_eq!(slice.path, is);
            // A trimmed index is named after its first slice.
            assert!(slice.ts > mark.last && slice.ts >= begun, "time stamps grow");
            mark = Mark { last: slice.ts, count: mark.count + 1 };
            let file = sim.bytes(slice.path);
            assert_eq!(file.is_none(), slice.empty, "{}", slice.path.display());
            slices.push((slice.ts, file.map(|file| numbers(&file)).unwrap_or_default()));
        }
        let marked = sim.xattr(&path, MARK).unwrap().unwrap();
        assert_eq!(String::from_utf8(marked).unwrap(), mark.to_string());
        history.push((begun, slices));
    }
    let current = sim.xattr(&layout.htime_dir(), CURRENT).unwrap().unwrap();
    assert_eq!(current, layout::htime_name(history.last().unwrap().0).into_encoded_bytes());
    history
}

pub(crate) fn live_numbers(sim: &Sim) -> Vec<u8> {
    numbers(&sim.bytes(Path::new(DIR).join("CHANGELOG")).unwrap())
}

#[test]
fn a_first_life() {
    let sim = Sim::with_dir("/bricks/CHANGELOG/b");
    let (mut writer, started) = start(&sim, T, Since::Broken);
    assert_eq!(started, Started::default());
    writer.append(&[change(1), change(2)]).unwrap();
    let rolled = writer.roll(T + 15).unwrap();
    let slice = Path::new(DIR).join("2026/11/20/CHANGELOG.1795160863");
    assert_eq!(rolled, Rolled { ts: T + 15, path: Some(slice) });
    assert_eq!(writer.roll(T + 30).unwrap(), Rolled { ts: T + 30, path: None });
    writer.append(&[change(3)]).unwrap();
    assert_eq!(writer.stop(T + 40).unwrap().ts, T + 40);
    let slices = vec![(T + 15, vec![1, 2]), (T + 30, vec![]), (T + 40, vec![3])];
    assert_eq!(history(&sim), [(T, slices)]);
    assert!(writer.append(&[change(4)]).is_err());
    assert_eq!(sim.bytes(Path::new(DIR).join("CHANGELOG")), None);
}

#[test]
fn a_slice_that_lost_bytes_to_a_failed_fsync_is_not_finished() {
    let sim = Sim::with_dir("/bricks/CHANGELOG/b");
    let (mut writer, _) = start(&sim, T, Since::Broken);
    writer.append(&[change(1), change(2)]).unwrap();
    sim.fail_after(0, false);
    assert!(writer.sync().is_err());
    sim.heal();
    let live = Path::new(DIR).join("CHANGELOG");
    let mut bytes = sim.bytes(&live).unwrap();
    let end = bytes.len();
    bytes[end - 20..].fill(0);
    sim.put(&live, &bytes);
    let error = writer.roll(T + 15).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    // Another index begins then, and this one ends with what is left.
    let (_, started) = start(&sim, T + 16, Since::Broken);
    assert_eq!(started.indexed.len(), 1);
    assert_eq!(history(&sim)[0].1.last().unwrap().1, [1]);
}

#[test]
fn d2_no_two_slices_have_one_time_stamp() {
    let sim = Sim::with_dir("/bricks");
    let (mut writer, _) = start(&sim, T, Since::Broken);
    // The clock stands, goes back, and another program has left a slice.
    sim.put(Layout::new(DIR).slice(T + 3), &Header::new(Encoding::Ascii).encode());
    let mut stamps = Vec::new();
    for (number, now) in [T, T, T - 1000, T + 1, T + 9, 0].into_iter().enumerate() {
        writer.append(&[change(number as u8)]).unwrap();
        stamps.push(writer.roll(now).unwrap().ts - T);
    }
    assert_eq!(stamps, [1, 2, 4, 5, 9, 10]);
    let slices = (0..6).map(|number| (T + stamps[number as usize], vec![number])).collect();
    assert_eq!(history(&sim), [(T, slices)]);
}

#[test]
fn a_live_slice_is_gone_on_with() {
    let sim = Sim::with_dir("/bricks");
    let (mut writer, _) = start(&sim, T, Since::Broken);
    writer.set_cursor(b"here").unwrap();
    writer.append(&[change(1)]).unwrap();
    let len = writer.live_len();
    drop(writer);
    // The last append of a brick that was killed.
    let live = Path::new(DIR).join("CHANGELOG");
    let whole = sim.bytes(&live).unwrap();
    sim.put(&live, &[&whole[..], b"M0202"].concat());
    let (mut writer, started) = start(&sim, T + 7, Since::Continued);
    let newest = Slice { ts: None, cursor: Some(b"here".to_vec()), len };
    assert_eq!((started.newest, started.last_ts), (Some(newest), None));
    assert_eq!(started.repairs.len(), 1);
    assert_eq!(writer.cursor(), Some(&b"here"[..]));
    writer.append(&[change(2)]).unwrap();
    writer.cut(len).unwrap();
    assert_eq!(writer.cut(len + 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    writer.append(&[change(3)]).unwrap();
    let rolled = writer.roll(T + 8).unwrap();
    assert_eq!(history(&sim), [(T, vec![(T + 8, vec![1, 3])])]);
    // The cursor stays where it was put.
    assert_eq!(writer.cursor(), None);
    drop(writer);
    let (_, started) = start(&sim, T + 9, Since::Continued);
    let len = sim.bytes(rolled.path.unwrap()).unwrap().len() as u64 - 51;
    let newest = Slice { ts: Some(T + 8), cursor: Some(b"here".to_vec()), len };
    assert_eq!((started.newest, started.last_ts), (Some(newest), Some(T + 8)));
}

#[test]
fn another_encoding_begins_with_the_next_slice() {
    let sim = Sim::with_dir("/bricks");
    let (mut writer, _) = start(&sim, T, Since::Broken);
    writer.set_cursor(b"here").unwrap();
    writer.append(&[change(1)]).unwrap();
    drop(writer);
    let binary = Settings { encoding: Encoding::Binary, ..settings() };
    let (mut writer, _) = Writer::start(sim.clone(), binary, T + 1, Since::Continued).unwrap();
    assert_eq!(writer.encoding(), Encoding::Ascii);
    writer.append(&[change(2)]).unwrap();
    writer.roll(T + 2).unwrap();
    assert_eq!(writer.encoding(), Encoding::Binary);
    writer.append(&[change(3)]).unwrap();
    writer.roll(T + 3).unwrap();
    assert_eq!(history(&sim), [(T, vec![(T + 2, vec![1, 2]), (T + 3, vec![3])])]);
}

#[test]
fn d17_a_gap_is_not_papered_over() {
    let sim = Sim::with_dir("/bricks");
    let (mut writer, _) = start(&sim, T, Since::Broken);
    writer.set_cursor(b"here").unwrap();
    sim.set_clock(T + 5);
    writer.append(&[change(1)]).unwrap();
    drop(writer);
    // It was off from the last change on, at the latest.
    let (mut writer, started) = start(&sim, T + 1000, Since::Broken);
    assert_eq!((started.newest, started.last_ts), (None, None));
    writer.append(&[change(2)]).unwrap();
    writer.roll(T + 1015).unwrap();
    let first = (T, vec![(T + 5, vec![1])]);
    assert_eq!(history(&sim), [first, (T + 1000, vec![(T + 1015, vec![2])])]);
}

/// As a stock brick leaves it that was killed after two slices, with what it does wrong.
fn stock(sim: &Sim, dir: &str, slices: &[(u64, u8)], count: u64) {
    let layout = Layout::new(dir);
    let mut index = Vec::new();
    for (ts, number) in slices {
        let mut file = Header::new(Encoding::Ascii).encode().to_vec();
        codec::encode(&change(*number), Encoding::Ascii, &mut file);
        sim.put(layout.slice(*ts), &file);
        index.extend_from_slice(layout.slice(*ts).as_os_str().as_encoded_bytes());
        index.push(0);
    }
    sim.put(layout.htime(T), &index);
    let last = slices.last().unwrap().0;
    sim.put_xattr(layout.htime(T), MARK, format!("{last}:{count}").as_bytes());
    sim.put_xattr(layout.htime_dir(), CURRENT, format!("HTIME.{T}").as_bytes());
    let mut file = Header::new(Encoding::Ascii).encode().to_vec();
    codec::encode(&change(9), Encoding::Ascii, &mut file);
    sim.put(layout.live(), &file);
}

#[test]
fn d1_d7_a_changelog_of_stock_is_continued() {
    let sim = Sim::with_dir("/bricks");
    stock(&sim, DIR, &[(T + 15, 1), (T + 30, 2)], 27);
    // A start of stock's gave it its name and forgot to index it.
    let mut forgotten = Header::new(Encoding::Ascii).encode().to_vec();
    codec::encode(&change(3), Encoding::Ascii, &mut forgotten);
    sim.put(Layout::new(DIR).slice(T + 50), &forgotten);
    let (_, started) = start(&sim, T + 60, Since::Continued);
    let layout = Layout::new(DIR);
    assert_eq!(started.indexed, [layout.slice(T + 50), layout.slice(T + 60)]);
    assert_eq!(started.last_ts, Some(T + 60));
    assert_eq!(started.newest.unwrap().ts, Some(T + 60));
    assert_eq!(started.repairs.len(), 1, "{:?}", started.repairs);
    let slices = [(15, 1), (30, 2), (50, 3), (60, 9)];
    let slices = slices.map(|(ts, number)| (T + ts, vec![number])).to_vec();
    assert_eq!(history(&sim), [(T, slices)]);
}

#[test]
fn d15_slices_that_stock_named_wrongly() {
    let sim = Sim::with_dir("/bricks");
    stock(&sim, DIR, &[(T + 15, 1)], 2);
    let layout = Layout::new(DIR);
    let mut index = sim.bytes(layout.htime(T)).unwrap();
    let wrong = layout.slice(T + 30).to_str().unwrap().replacen("CHANGELOG", "changelog", 1);
    index.extend_from_slice(format!("{wrong}\0").as_bytes());
    sim.put(layout.htime(T), &index);
    start(&sim, T + 60, Since::Continued);
    let slices = vec![(T + 15, vec![1]), (T + 30, vec![]), (T + 60, vec![9])];
    assert_eq!(history(&sim), [(T, slices)]);
}

#[test]
fn d16_a_brick_that_was_moved() {
    let sim = Sim::with_dir("/bricks");
    stock(&sim, DIR, &[(T + 15, 1), (T + 30, 2)], 2);
    let layout = Layout::new(DIR);
    let index = String::from_utf8(sim.bytes(layout.htime(T)).unwrap()).unwrap();
    sim.put(layout.htime(T), index.replace(DIR, "/run/snaps/s1/brick/changelogs").as_bytes());
    let (_, started) = start(&sim, T + 60, Since::Broken);
    assert_eq!(started.repairs.len(), 1, "{:?}", started.repairs);
    let old = vec![(T + 15, vec![1]), (T + 30, vec![2]), (T + 31, vec![9])];
    assert_eq!(history(&sim), [(T, old), (T + 60, vec![])]);
}

#[test]
fn d20b_a_torn_index_is_mended() {
    for cut in [1, 20, 60] {
        for at in 1..3 {
            let sim = Sim::with_dir("/bricks");
            stock(&sim, DIR, &[(T + 15, 1), (T + 30, 2)], 3);
            let layout = Layout::new(DIR);
            let mut index = sim.bytes(layout.htime(T)).unwrap();
            let record = index.len() / 2;
            let torn = index[..cut].to_vec();
            index.splice(at * record..at * record, torn);
            sim.put(layout.htime(T), &index);
            let (_, started) = start(&sim, T + 60, Since::Continued);
            assert!(!started.repairs.is_empty());
            let slices = vec![(T + 15, vec![1]), (T + 30, vec![2]), (T + 60, vec![9])];
            assert_eq!(history(&sim), [(T, slices)], "{cut} bytes behind {at} records");
        }
    }
}

#[test]
fn d18_a_stray_file_is_told_of_and_left() {
    let sim = Sim::with_dir("/bricks");
    stock(&sim, DIR, &[(T + 15, 1)], 1);
    let stray = Path::new(DIR).join(format!("htime/HTIME.{T}.bak"));
    sim.put(&stray, b"whatever");
    let (_, started) = start(&sim, T + 60, Since::Continued);
    assert_eq!(started.repairs.len(), 1, "{:?}", started.repairs);
    assert!(started.repairs[0].contains(".bak"));
    assert_eq!(sim.bytes(&stray).unwrap(), b"whatever");
}

#[test]
fn a_directory_without_its_attribute_has_its_newest_index_gone_on_with() {
    let sim = Sim::with_dir("/bricks");
    stock(&sim, DIR, &[(T + 15, 1)], 1);
    sim.put_xattr(Layout::new(DIR).htime_dir(), CURRENT, b"HTIME.1000000009");
    start(&sim, T + 60, Since::Continued);
    assert_eq!(history(&sim), [(T, vec![(T + 15, vec![1]), (T + 60, vec![9])])]);
}

#[test]
fn a_live_slice_that_is_none_is_set_aside() {
    let sim = Sim::with_dir("/bricks");
    let live = Path::new(DIR).join("CHANGELOG");
    sim.put(&live, &[0; 100]);
    let (_, started) = start(&sim, T, Since::Continued);
    assert_eq!(started.repairs.len(), 1);
    assert_eq!(
        sim.bytes(Path::new(DIR).join(format!("CHANGELOG.damaged.{T}"))),
        Some(vec![0; 100])
    );
    // One whose header did not get through has nothing in it.
    sim.put(&live, b"GlusterFS Change");
    let (_, started) = start(&sim, T + 1, Since::Continued);
    assert_eq!(started.repairs, [""; 0]);
    assert_eq!(live_numbers(&sim), [0; 0]);
}
