//! The time of a fop across the end of a slice and across the roll of a segment, beside the stretch between two.
//!
//! Both happen on the journal thread, and no fop may wait for them. The journal says when they were. Around each
//! lies a window; the same windows a quarter, a half and three quarters of the way to the next one say what a fop
//! takes there, in the same run and under the same load. These three differ by chance: what is not above the
//! highest of them is not above the stretch between.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use gnotify_harness::{Disk, Sandbox};
use gnotify_journal::{Reader, Statement, What};
use serde_json::{Value, json};

use crate::clients::Loops;
use crate::graph::{DISKS, Graph};
use crate::percentiles::Times;
use crate::report::{Section, Table, verdict};

/// How long each load lasts.
const RUN: Duration = Duration::from_secs(25);
/// Calls of a client between two looks at the watch.
const CALLS: usize = 2000;
const CLIENTS: [usize; 2] = [1, 8];
/// A window, from just before the time that the journal says.
const BEFORE: u64 = 1_000_000;
const AFTER: u64 = 29_000_000;
/// Where windows lie on the way from one boundary to the next, in quarters.
const PLACES: [u64; 4] = [0, 1, 2, 3];

/// What a load crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    SliceEnd,
    Roll,
}

impl Boundary {
    fn label(self) -> &'static str {
        match self {
            Boundary::SliceEnd => "slice end",
            Boundary::Roll => "segment roll",
        }
    }

    /// Options with which it comes as often as can be, and the other one not at all.
    fn options(self) -> [(&'static str, &'static str); 2] {
        match self {
            Boundary::SliceEnd => [("slice-time", "1"), ("segment-size", "1GB")],
            Boundary::Roll => [("slice-time", "1h"), ("segment-size", "1MB")],
        }
    }

    /// When it came (nanoseconds since 1970), by the journal.
    fn times(self, brick: &Path) -> Result<Vec<u64>, Box<dyn Error>> {
        let mut reader = Reader::open(&brick.join(".glusterfs/gnotify"))?;
        let mut times = Vec::new();
        let mut first_seq = None;
        while let Some(entry) = reader.next()? {
            let slice_ends = matches!(entry.what, What::Statement(Statement::SliceEnd { .. }))
                .then_some(entry.time);
            let header = reader.segment().map(|header| (header.first_seq, header.created));
            match self {
                Boundary::SliceEnd => times.extend(slice_ends),
                Boundary::Roll => {
                    let entered = header.filter(|(first, _)| Some(*first) != first_seq);
                    times.extend(
                        entered.filter(|_| first_seq.is_some()).map(|(_, created)| created),
                    );
                }
            }
            first_seq = header.map(|(first, _)| first);
        }
        Ok(times)
    }
}

/// A call: when it began (nanoseconds since 1970), and how long it took.
type Call = (u64, u64);

/// The calls in the windows of each of [`PLACES`].
type Windows = [Times; 4];

/// One load.
struct Crossed {
    title: String,
    boundary: Boundary,
    count: usize,
    windows: Windows,
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    let mut all = Vec::new();
    for (disk_name, disk) in DISKS {
        for boundary in [Boundary::SliceEnd, Boundary::Roll] {
            for clients in CLIENTS {
                println!("boundaries: {disk_name}, {}, clients: {clients} ...", boundary.label());
                all.push(crossed(t, (disk_name, disk), boundary, clients)?);
            }
        }
    }
    Ok(section(&all))
}

fn crossed(
    t: &Sandbox,
    (disk_name, disk): (&str, Disk),
    boundary: Boundary,
    clients: usize,
) -> Result<Crossed, Box<dyn Error>> {
    let name = format!("{disk_name}-{boundary:?}-{clients}");
    let options = [("detail", "all")].into_iter().chain(boundary.options());
    let spec = Graph::Gnotify.brick(t, &name).disk(disk);
    let brick = options.fold(spec, |spec, (key, value)| spec.option(key, value)).start();
    let mut loops = Loops::several(t, &name, brick.socket(), clients)?;
    Loops::together(&mut loops, "create", "file", 1)?;
    let mut calls: Vec<Call> = Vec::new();
    let start = Instant::now();
    while start.elapsed() < RUN {
        let took = Loops::together(&mut loops, "again", "file", CALLS)?;
        let begun = Loops::together(&mut loops, "begun", "file", CALLS)?;
        calls.extend(begun.into_iter().zip(took));
    }
    let at = boundary.times(brick.dir())?;
    if at.len() < 2 {
        return Err(format!(
            "{name}: {} of {} calls: too slow to say anything",
            at.len(),
            calls.len()
        )
        .into());
    }
    let title = format!("{disk_name}, clients: {clients}");
    Ok(Crossed { title, boundary, count: at.len(), windows: windows(&at, &calls) })
}

/// Sorts calls into the windows that they overlap. Where two boundaries are too near for windows between them,
/// there are none, on neither.
fn windows(at: &[u64], calls: &[Call]) -> Windows {
    PLACES.map(|quarters| {
        let centres =
            at.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) > 4 * (BEFORE + AFTER));
        let windows: Vec<(u64, u64)> = centres
            .map(|pair| pair[0] + (pair[1] - pair[0]) / 4 * quarters)
            .map(|centre| (centre - BEFORE, centre + AFTER))
            .collect();
        let is_inside = |(begun, took): &&Call| {
            // The last window that begins before the call ends.
            let next = windows.partition_point(|(from, _)| *from <= begun + took);
            next > 0 && *begun <= windows[next - 1].1
        };
        Times::new(calls.iter().filter(is_inside).map(|(_, took)| *took).collect())
    })
}

type Pick = fn(&Times) -> u64;
const SHOWN: [(&str, Pick); 3] = [("p50", Times::p50), ("p99", Times::p99), ("p99.9", Times::p999)];

fn section(all: &[Crossed]) -> Section {
    let mut table = Table::new(&[
        "",
        "boundary",
        "us",
        "across",
        "1/4",
        "1/2",
        "3/4",
        "target",
        "",
        "calls across",
    ]);
    let mut results = serde_json::Map::new();
    for Crossed { title, boundary, count, windows } in all {
        let mut met = serde_json::Map::new();
        for (row, (shown, pick)) in SHOWN.iter().enumerate() {
            let micros = windows.each_ref().map(|times| pick(times) as f64 / 1000.0);
            let target = micros[1..].iter().copied().fold(0.0, f64::max);
            let is_met = micros[0] <= target;
            let first = |text: String| if row == 0 { text } else { String::new() };
            let mut cells = vec![
                first(title.clone()),
                first(format!("{} x {count}", boundary.label())),
                (*shown).to_owned(),
            ];
            cells.extend(micros.iter().map(|micros| format!("{micros:.1}")));
            cells.extend([format!("<= {target:.1}"), verdict(is_met).into()]);
            cells.push(windows[0].len().to_string());
            table.row(cells);
            met.insert((*shown).to_owned(), json!(is_met));
        }
        let windows: Vec<Value> = windows.iter().map(Times::json).collect();
        results.insert(
            format!("{title}, {}", boundary.label()),
            json!({ "boundaries": count, "across": windows[0], "between": windows[1..], "met": met }),
        );
    }
    let text = format!(
        "A repeated write, each of which becomes a record, as its client sees it, in windows of {} ms: across a slice\n\
         end or a segment roll, and a quarter, a half and three quarters of the way to the next one. The target is\n\
         the highest of these three.\n\n{table}",
        (BEFORE + AFTER) / 1_000_000
    );
    Section { name: "boundaries", text, json: results.into(), plots: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_sorted_into_windows() {
        const S: u64 = 1_000_000_000;
        let at = [10 * S, 12 * S, 14 * S, 14 * S + AFTER];
        let calls = [
            // Across the first: one that begins far ahead, one that begins at its end, one too late.
            (8 * S, 2 * S),
            (10 * S + AFTER, 5),
            (10 * S + AFTER + 1, 5),
            // Half of the way from the second to the third, and on the third, whose next one is too near.
            (13 * S, 7),
            (14 * S, 9),
        ];
        let windows = windows(&at, &calls);
        let all = |times: &Times| (times.len(), times.at(1000));
        assert_eq!(windows.each_ref().map(all), [(2, 2 * S), (0, 0), (1, 7), (0, 0)]);
    }
}
