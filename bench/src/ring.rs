//! Records through the ring, and out of it again: how many in a second.
//!
//! What threads append in one go is a burst that fits into the ring; the drain is what the journal thread carries
//! from the ring to the segment until nothing is left. The two run at the same time, as in a brick.

use std::error::Error;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use gnotify_harness::Sandbox;
use serde_json::json;

use crate::append::Sides;
use crate::quartiles::Quartiles;
use crate::report::{Section, Table};
use crate::svg::Bars;

/// Records of a burst: well below half of the ring.
const BURST: usize = 10_000;
/// Bursts, and those before that do not count.
const BURSTS: usize = 60;
const WARM_UP: usize = 5;

/// Of each burst.
#[derive(Debug, Default)]
struct Rates {
    /// Records that were appended in a second.
    appended: Vec<f64>,
    /// Records that reached the segment in a second, from the first append to the last write.
    drained: Vec<f64>,
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("ring ...");
    let sides = Sides::open(&t.path("ring"))?;
    let rows = [("1 thread", bursts(&sides, 1)?), ("2 threads", bursts(&sides, 2)?)];
    sides.nothing_lost()?;
    Ok(section(&rows, sides.record_len()))
}

fn bursts(sides: &Sides, threads: usize) -> Result<Rates, Box<dyn Error>> {
    let mut rates = Rates::default();
    for burst in 0..WARM_UP + BURSTS {
        sides.carried()?;
        let start = Instant::now();
        append(sides, threads);
        let appended = start.elapsed();
        sides.carried()?;
        let drained = start.elapsed();
        if burst >= WARM_UP {
            rates.appended.push(rate(appended));
            rates.drained.push(rate(drained));
        }
    }
    Ok(rates)
}

fn rate(took: Duration) -> f64 {
    BURST as f64 / took.as_secs_f64().max(1e-9)
}

/// A burst, in equal parts by `threads` threads.
fn append(sides: &Sides, threads: usize) {
    let each = BURST / threads;
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for number in 0..each {
                    sides.append_one(thread * each + number);
                }
            });
        }
    });
}

fn section(rows: &[(&str, Rates)], record: usize) -> Section {
    let mut table = Table::new(&["", "million records/s", "MB/s"]);
    let mut results = serde_json::Map::new();
    let mut bars =
        Bars::new("Records through the ring", "thousand in a second", &["appended", "drained"]);
    for (label, rates) in rows {
        let of = |rates: &Vec<f64>| Quartiles::new(rates.clone());
        let (appended, drained) = (of(&rates.appended), of(&rates.drained));
        for (first, what, rate) in [(*label, "appended", appended), ("", "drained", drained)] {
            let label = format!("{first:9} {what}");
            let scaled = |by: f64| Quartiles {
                low: rate.low * by,
                median: rate.median * by,
                high: rate.high * by,
            };
            table.row(vec![label, scaled(1e-6).shown(2), scaled(record as f64 * 1e-6).shown(0)]);
        }
        bars.group(label, &[appended.median / 1e3, drained.median / 1e3]);
        let value = json!({ "appended": appended.json(), "drained": drained.json() });
        results.insert((*label).to_owned(), value);
    }
    results.insert("bytes".into(), json!(record));
    let text = format!(
        "{BURSTS} bursts of {BURST} creates' records of {record} bytes, by one thread or in equal parts by two,\n\
         which are begun and joined in that time. Appended: until all are in the ring. Drained: until all are in\n\
         the segment, the appends included. Medians, and quartiles in brackets.\n\n{table}"
    );
    Section { name: "ring", text, json: results.into(), plots: vec![bars] }
}
