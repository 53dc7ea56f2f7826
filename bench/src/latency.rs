//! How long a fop takes for a client, outside valgrind. For information: most of it is not the translator.

use std::error::Error;

use gnotify_harness::Sandbox;
use serde_json::{Value, json};

use crate::graph::{Graph, Loops, PHASES};
use crate::percentiles::Times;
use crate::report::{Section, Table};
use crate::svg::Bars;

/// Rounds; in each, every graph has its turn.
const ROUNDS: usize = 40;
/// Calls of each fop in a turn.
const CALLS: usize = 100;
/// The rounds before, which do not count.
const WARM_UP: usize = 4;

/// Measures the four graphs in turns.
pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("latency ...");
    let mut clients = Vec::new();
    for graph in Graph::ALL {
        let name = format!("wall-{}", graph.name());
        let brick = graph.brick(t, &name).start();
        let loops = Loops::start(t, &name, brick.socket())?;
        clients.push((brick, loops));
    }
    let mut times = vec![vec![Vec::new(); PHASES.len()]; Graph::ALL.len()];
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..clients.len() {
            // Another one is the first in each round.
            let graph = (turn + round) % clients.len();
            let (_, loops) = &mut clients[graph];
            let set = format!("r{round:03}");
            for (place, phase) in PHASES.iter().enumerate() {
                if phase.verb == "unlink" {
                    loops.phase("close", &set, CALLS)?;
                }
                let taken = loops.phase(phase.verb, &set, CALLS)?;
                if round >= WARM_UP {
                    times[graph][place].extend(taken);
                }
            }
        }
    }
    let times: Vec<Vec<Times>> =
        times.into_iter().map(|graph| graph.into_iter().map(Times::new).collect()).collect();
    Ok(section(&times))
}

fn section(times: &[Vec<Times>]) -> Section {
    let names = Graph::ALL.map(Graph::name);
    let mut header = vec!["fop", "us"];
    header.extend(names);
    let mut table = Table::new(&header);
    let mut fops = serde_json::Map::new();
    let mut bars = Bars::new("A fop as its client sees it: p50", "us", &names);
    let micros = |ns: u64| ns as f64 / 1000.0;
    for (place, phase) in PHASES.iter().enumerate() {
        let of_fop: Vec<&Times> = times.iter().map(|graph| &graph[place]).collect();
        for (label, shown, pick) in [
            (phase.label, "p50", Times::p50 as fn(&Times) -> u64),
            ("", "p99", Times::p99 as fn(&Times) -> u64),
        ] {
            let mut cells = vec![label.to_owned(), shown.to_owned()];
            cells.extend(of_fop.iter().map(|times| format!("{:.1}", micros(pick(times)))));
            table.row(cells);
        }
        let p50: Vec<f64> = of_fop.iter().map(|times| micros(times.p50())).collect();
        bars.group(phase.label, &p50);
        let by_graph: serde_json::Map<String, Value> =
            names.iter().zip(of_fop).map(|(name, times)| ((*name).into(), times.json())).collect();
        fops.insert(phase.label.to_owned(), json!(by_graph));
    }
    let text = format!(
        "A fop as a gfapi client on a unix socket sees it, in microseconds: {} calls of each fop and graph, in\n\
         turns of {CALLS}. For information: most of it is the host's and the client's, all of them share the\n\
         machine, and a thread that naps behind the fop path can make a fop look faster: it keeps a CPU from\n\
         falling asleep.\n\n{table}",
        ROUNDS * CALLS
    );
    Section { name: "latency", text, json: fops.into(), plots: vec![bars] }
}
