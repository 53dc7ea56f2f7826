//! What a brick and its clients have of each graph: processor time, page faults and the time of a fop, on ext4
//! and XFS, with one client and with many.
//!
//! The graphs take turns, and every second time in the reverse order, so that what drifts meanwhile (the load of
//! the machine, the fullness of the file system) falls on all of them alike. A figure is the median of all turns;
//! where the machine is shared, the quartiles show how little it may mean.

use std::error::Error;
use std::time::Duration;

use gnotify_harness::{Brick, Disk, Sandbox};
use serde_json::{Value, json};

use crate::clients::Loops;
use crate::graph::{DISKS, Graph, PHASES};
use crate::percentiles::Times;
use crate::quartiles::Quartiles;
use crate::report::{Section, Table};
use crate::svg::Bars;
use crate::usage::Usage;

/// Clients at once, and the calls of each fop that each of them makes in a turn.
const LOADS: [(usize, usize); 2] = [(1, 400), (8, 100)];
/// Rounds; in each, every graph has two turns.
const ROUNDS: usize = 10;
/// The rounds before, which do not count.
const WARM_UP: usize = 1;
/// How long threads behind the fop path get to finish: what they use belongs to the fop.
const SETTLE: Duration = Duration::from_millis(60);

const GNOTIFY: usize = 2;
const CHANGELOG: usize = 3;

/// Of one graph and one fop.
#[derive(Debug, Default, Clone)]
struct Measured {
    /// Microseconds of processor time for a fop, in each turn.
    cpu: Vec<f64>,
    /// Minor faults of the fop path, and the fops, in all turns.
    faults: u64,
    fops: usize,
    times: Vec<u64>,
}

/// By graph, then by fop in the order of [`PHASES`].
type Cell = Vec<Vec<Measured>>;

/// A brick with its clients.
struct Side {
    brick: Brick,
    clients: Vec<Loops>,
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    let mut cells = Vec::new();
    for (disk_name, disk) in DISKS {
        let mut sides = sides(t, disk_name, disk)?;
        for (clients, calls) in LOADS {
            println!("matrix: {disk_name}, clients: {clients} ...");
            let title = format!("{disk_name}, {}", plural(clients, "client"));
            cells.push((title, in_turns(&mut sides, clients, calls)?));
        }
    }
    Ok(section(&cells))
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn sides(t: &Sandbox, disk_name: &str, disk: Disk) -> Result<Vec<Side>, Box<dyn Error>> {
    let most = LOADS.iter().map(|(clients, _)| *clients).max().unwrap_or(1);
    let mut sides = Vec::new();
    for graph in Graph::ALL {
        let name = format!("matrix-{disk_name}-{}", graph.name());
        let brick = graph.brick(t, &name).disk(disk).start();
        let clients = Loops::several(t, &name, brick.socket(), most)?;
        sides.push(Side { brick, clients });
    }
    Ok(sides)
}

/// Who comes when in a round: each twice, there and back, and another one first in each round.
fn order(round: usize, graphs: usize) -> Vec<usize> {
    let there: Vec<usize> = (0..graphs).map(|turn| (turn + round) % graphs).collect();
    let back = there.iter().rev().copied();
    there.iter().copied().chain(back).collect()
}

fn in_turns(sides: &mut [Side], clients: usize, calls: usize) -> Result<Cell, Box<dyn Error>> {
    let mut cell = vec![vec![Measured::default(); PHASES.len()]; sides.len()];
    for round in 0..WARM_UP + ROUNDS {
        for (turn, graph) in order(round, sides.len()).into_iter().enumerate() {
            let set = format!("{clients}-{round:03}-{turn}");
            let Side { brick, clients: all } = &mut sides[graph];
            let chosen = &mut all[..clients];
            for (phase, measured) in PHASES.iter().zip(&mut cell[graph]) {
                if phase.verb == "unlink" {
                    Loops::together(chosen, "close", &set, calls)?;
                    std::thread::sleep(SETTLE);
                }
                let before = Usage::of(brick.pid())?;
                let times = Loops::together(chosen, phase.verb, &set, calls)?;
                std::thread::sleep(SETTLE);
                let used = Usage::of(brick.pid())?.since(&before);
                if round >= WARM_UP {
                    measured.cpu.push(used.cpu.as_secs_f64() * 1e6 / times.len() as f64);
                    measured.faults += used.faults;
                    measured.fops += times.len();
                    measured.times.extend(times);
                }
            }
        }
    }
    Ok(cell)
}

/// The relation of two graphs' processor time, round by round: there and back together, so that what drifts in a
/// round cancels out.
fn relations(of: &[f64], to: &[f64]) -> Vec<f64> {
    let rounds = of.chunks(2).zip(to.chunks(2));
    rounds.map(|(of, to)| of.iter().sum::<f64>() / to.iter().sum::<f64>()).collect()
}

/// Of all relations together the geometric mean, and the bounds between which it lies with a confidence of 95 percent.
fn together(relations: &[f64]) -> (f64, f64, f64) {
    let logs: Vec<f64> = relations.iter().map(|relation| relation.ln()).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // Of the normal distribution: there are hundreds of them.
    let error = 1.96 * (variance / count).sqrt();
    (mean.exp(), (mean - error).exp(), (mean + error).exp())
}

fn section(cells: &[(String, Cell)]) -> Section {
    let mut text = format!(
        "Four graphs in turns, there and back, {ROUNDS} rounds; each translator stands directly above locks, and no\n\
         slice ends meanwhile. Clients are gfapi processes on a unix socket; in a turn each makes {} calls of\n\
         each fop when it is alone, {} when there are {}. The machine is shared with the clients, and perhaps with\n\
         others: a figure is worth what its quartiles, in brackets, allow. \"?\": they lie on both sides of the\n\
         target. An unlink is a lookup too.\n",
        LOADS[0].1, LOADS[1].1, LOADS[1].0,
    );
    let all: Vec<f64> = cells
        .iter()
        .flat_map(|(_, cell)| cell[GNOTIFY].iter().zip(&cell[CHANGELOG]))
        .flat_map(|(gnotify, changelog)| relations(&gnotify.cpu, &changelog.cpu))
        .collect();
    let (mean, low, high) = together(&all);
    text += &format!(
        "\nProcessor time of gnotify in relation to changelog, all fops, clients and file systems together: {mean:.3}\n\
         (geometric mean of {} rounds; 95 % confidence: {low:.3} to {high:.3}; target: <= 1)\n",
        all.len()
    );
    let mut results = serde_json::Map::new();
    results.insert(
        "gnotify / changelog".to_owned(),
        json!({ "mean": mean, "low": low, "high": high, "rounds": all.len() }),
    );
    let mut plots = Vec::new();
    for (title, cell) in cells {
        let (table, bars) = cpu(title, cell);
        text += &format!(
            "\n{title}: processor time of the brick for a fop, user and system, in microseconds; the last three\n\
             columns are its minor faults on io-threads in 1000 fops\n\n{table}\n\
             {title}: a fop as its client sees it, in microseconds\n\n{}",
            times(cell)
        );
        plots.push(bars);
        results.insert(title.clone(), json_of(cell));
    }
    Section { name: "matrix", text, json: results.into(), plots }
}

fn cpu(title: &str, cell: &Cell) -> (Table, Bars) {
    let names = Graph::ALL.map(Graph::name);
    let mut header = vec!["fop"];
    header.extend(names);
    header.extend(["gnotify / changelog", "target", "", "pass-through", "gnotify", "changelog"]);
    let mut table = Table::new(&header);
    let mut bars = Bars::new(&format!("Processor time of a fop, {title}"), "us", &names);
    for (place, phase) in PHASES.iter().enumerate() {
        let of_fop: Vec<&Measured> = cell.iter().map(|graph| &graph[place]).collect();
        let quartiles: Vec<Quartiles> =
            of_fop.iter().map(|measured| Quartiles::new(measured.cpu.clone())).collect();
        let mut cells = vec![phase.label.to_owned()];
        cells.extend(quartiles.iter().map(|quartiles| quartiles.shown(1)));
        let relation = Quartiles::new(relations(&of_fop[GNOTIFY].cpu, &of_fop[CHANGELOG].cpu));
        cells.extend([relation.shown(3), "<= 1".into(), relation.verdict(1.0)]);
        cells.extend(of_fop[1..].iter().map(|measured| {
            format!("{:.1}", 1000.0 * measured.faults as f64 / measured.fops.max(1) as f64)
        }));
        table.row(cells);
        let medians: Vec<f64> = quartiles.iter().map(|quartiles| quartiles.median).collect();
        bars.group(phase.label, &medians);
    }
    (table, bars)
}

fn times(cell: &Cell) -> Table {
    let mut header = vec!["fop", "us"];
    header.extend(Graph::ALL.map(Graph::name));
    let mut table = Table::new(&header);
    for (place, phase) in PHASES.iter().enumerate() {
        let of_fop: Vec<Times> =
            cell.iter().map(|graph| Times::new(graph[place].times.clone())).collect();
        for (label, shown, pick) in [
            (phase.label, "p50", Times::p50 as fn(&Times) -> u64),
            ("", "p99", Times::p99),
            ("", "p99.9", Times::p999),
        ] {
            let mut cells = vec![label.to_owned(), shown.to_owned()];
            let micros = |times: &Times| format!("{:.1}", pick(times) as f64 / 1000.0);
            cells.extend(of_fop.iter().map(micros));
            table.row(cells);
        }
    }
    table
}

fn json_of(cell: &Cell) -> Value {
    let of_fop = |place: usize| -> Value {
        let graphs = Graph::ALL.iter().zip(cell).map(|(graph, measured)| {
            let Measured { cpu, faults, fops, times } = &measured[place];
            let value = json!({
                "cpu_us": Quartiles::new(cpu.clone()).json(),
                "fops": fops,
                "minor_faults_of_io_threads": faults,
                "times": Times::new(times.clone()).json(),
            });
            (graph.name().to_owned(), value)
        });
        Value::Object(graphs.collect())
    };
    let fops =
        PHASES.iter().enumerate().map(|(place, phase)| (phase.label.to_owned(), of_fop(place)));
    Value::Object(fops.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_there_and_back() {
        assert_eq!(order(0, 4), [0, 1, 2, 3, 3, 2, 1, 0]);
        assert_eq!(order(5, 4), [1, 2, 3, 0, 0, 3, 2, 1]);
    }

    #[test]
    fn rounds_are_compared_there_and_back() {
        assert_eq!(relations(&[1.0, 3.0, 20.0, 10.0], &[2.0, 2.0, 10.0, 5.0]), [1.0, 2.0]);
    }

    #[test]
    fn the_mean_of_relations_is_that_of_their_logarithms() {
        let (mean, low, high) = together(&[0.5, 2.0, 0.5, 2.0]);
        assert!((mean - 1.0).abs() < 1e-9 && (low * high - 1.0).abs() < 1e-9, "{low} to {high}");
        // The standard error of +-ln 2 is 0.4.
        assert!((high.ln() - 1.96 * 2f64.ln() / 3f64.sqrt()).abs() < 1e-9);
    }
}
