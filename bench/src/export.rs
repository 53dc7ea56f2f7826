//! What GlusterFS's own changelog costs a brick: written by gnotify from its journal, and by stock in the fop path.
//!
//! Both stand where glusterd puts them, directly above the storage translator, and roll over as often as they can. The
//! bricks take turns, there and back, and a turn's figures are compared with those of the turn beside it.

use std::error::Error;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use gnotify_harness::{Brick, Disk, Sandbox, plugin};
use serde_json::json;

use crate::clients::Loops;
use crate::percentiles::Times;
use crate::quartiles::Quartiles;
use crate::report::{Section, Table, verdict};
use crate::svg::Bars;
use crate::usage::Usage;

const OBJECT: &str = "features/changelog.so";
/// The shortest that both keep to: a slice's name counts seconds.
const ROLLOVER: &str = "2";
const CLIENTS: usize = 4;
/// Creates of a client in a turn.
const CALLS: usize = 500;
const ROUNDS: usize = 12;
/// How long threads behind the fop path get to finish: what they use belongs to the creates.
const SETTLE: Duration = Duration::from_millis(60);
/// Creates whose way to the live changelog is watched, and what lies between two: no part of the journal's naps.
const LAGS: usize = 200;
const PAUSE: Duration = Duration::from_millis(37);

struct Side {
    name: &'static str,
    brick: Brick,
    clients: Vec<Loops>,
    /// Microseconds of processor time for a create, in each turn.
    cpu: Vec<f64>,
    times: Vec<u64>,
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("export ...");
    let stock = t.stock_object(OBJECT);
    let mut sides = [side(t, "changelog", true)?, side(t, "gnotify", false)?];
    // Other parts begin bricks of their own.
    t.install_as(&stock, &[OBJECT]);
    for round in 0..=ROUNDS {
        for (turn, at) in [round % 2, 1 - round % 2].into_iter().enumerate() {
            let Side { brick, clients, cpu, times, .. } = &mut sides[at];
            let set = format!("{round:03}-{turn}");
            let before = Usage::of(brick.pid())?;
            let took = Loops::together(clients, "create", &set, CALLS)?;
            std::thread::sleep(SETTLE);
            let used = Usage::of(brick.pid())?.since(&before);
            // The first round warms up.
            if round > 0 {
                cpu.push(used.cpu.as_secs_f64() * 1e6 / took.len() as f64);
                times.extend(took);
            }
            Loops::together(clients, "close", &set, CALLS)?;
            Loops::together(clients, "unlink", &set, CALLS)?;
        }
    }
    let [stock, mut ours] = sides;
    let lag = lag(&mut ours)?;
    Ok(section(&ours, &stock, &lag))
}

/// How long after its reply a create stands in the live changelog, on a brick with nothing else to do.
fn lag(side: &mut Side) -> Result<Times, Box<dyn Error>> {
    let dir = side.brick.dir().join(".glusterfs/changelogs");
    // A roll-over begins the file anew: what is looked for is another length of the same file.
    let look = || std::fs::metadata(dir.join("CHANGELOG")).map(|live| (live.ino(), live.len()));
    let mut times = Vec::new();
    for number in 0..LAGS {
        std::thread::sleep(PAUSE);
        let Ok((inode, before)) = look() else { continue };
        side.clients[0].phase("create", &format!("lag-{number}"), 1)?;
        let replied = Instant::now();
        let deadline = replied + Duration::from_secs(60);
        loop {
            match look() {
                Ok((live, len)) if live == inode && len > before => {
                    times.push(u64::try_from(replied.elapsed().as_nanos())?);
                    break;
                }
                Ok((live, _)) if live != inode => break,
                _ if Instant::now() > deadline => {
                    return Err("the live changelog stands still".into());
                }
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }
    Ok(Times::new(times))
}

fn side(t: &Sandbox, name: &'static str, stock: bool) -> Result<Side, Box<dyn Error>> {
    let dir = format!("export-{name}");
    let spec = t.brick(&dir).disk(Disk::Ext4(2048));
    let spec = if stock {
        spec.stock_changelog()
    } else {
        t.install_as(&plugin(), &[OBJECT]);
        spec.as_changelog()
    };
    let brick = spec.option("changelog", "on").option("rollover-time", ROLLOVER).start();
    let clients = Loops::several(t, &dir, brick.socket(), CLIENTS)?;
    Ok(Side { name, brick, clients, cpu: Vec::new(), times: Vec::new() })
}

fn section(ours: &Side, stock: &Side, lag: &Times) -> Section {
    let relation =
        Quartiles::new(ours.cpu.iter().zip(&stock.cpu).map(|(ours, stock)| ours / stock).collect());
    let all = [ours, stock].map(|side| Times::new(side.times.clone()));
    let mut table =
        Table::new(&["changelog by", "CPU s per 100,000 creates", "p50 us", "p99 us", "p99.9 us"]);
    let mut bars = Bars::new("Processor time of 100,000 creates with the changelog", "s", &["CPU"]);
    for (side, times) in [ours, stock].into_iter().zip(&all) {
        // Microseconds for one are tenths of a second for as many.
        let cpu = Quartiles::new(side.cpu.iter().map(|us| us / 10.0).collect());
        let micros = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
        table.row(vec![
            side.name.to_owned(),
            cpu.shown(2),
            micros(times.p50()),
            micros(times.p99()),
            micros(times.p999()),
        ]);
        bars.group(side.name, &[cpu.median]);
    }
    let tail = all[0].p999() as f64 / all[1].p999().max(1) as f64;
    let text = format!(
        "A brick with features/changelog, in turns: {CLIENTS} gfapi clients, {CALLS} creates each in a turn, {ROUNDS}\n\
         rounds, a roll-over every {ROLLOVER} seconds or less. A figure is worth what its quartiles, in brackets, allow.\n\n\
         {table}\n\
         processor time, gnotify / stock: {} (target <= 1: {})\n\
         p99.9 of a create across roll-overs, gnotify / stock: {tail:.2} ({} when at most 1)\n\
         from the reply of a create to its record in the live changelog of gnotify, {} creates one by one:\n\
         p50 {:.1} ms, p99 {:.1} ms (target <= 20 on an idle machine: {})\n",
        relation.shown(3),
        relation.verdict(1.0),
        verdict(tail <= 1.0),
        lag.len(),
        lag.p50() as f64 / 1e6,
        lag.p99() as f64 / 1e6,
        verdict(lag.p99() <= 20_000_000),
    );
    let json = json!({
        "cpu_relation": relation.json(),
        "lag": lag.json(),
        "gnotify": all[0].json(),
        "changelog": all[1].json(),
    });
    Section { name: "export", text, json, plots: vec![bars] }
}
