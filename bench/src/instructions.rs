//! How many instructions and system calls a fop costs the brick: counted by callgrind.
//!
//! Callgrind counts what runs in user space, so that a number hardly depends on the machine's load. What
//! the kernel does in a system call it does not see: the calls are counted beside.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gnotify_harness::rustix::process::Pid;
use gnotify_harness::{Sandbox, run, tool};
use serde_json::{Value, json};

use crate::clients::Loops;
use crate::graph::{Graph, PHASES};
use crate::quartiles::Quartiles;
use crate::report::{Section, Table, grouped, verdict};
use crate::svg::Bars;
use crate::usage::FOP_PATH;

/// Bricks of each graph. What memory is where, and which thread comes first, is chance that stays with a brick.
const BRICKS: usize = 3;
/// Calls of each fop.
const CALLS: usize = 1000;
/// Calls before, so that everything is loaded, linked and allocated.
const WARM_UP: usize = 100;
/// How long threads behind the fop path get to finish.
const SETTLE: Duration = Duration::from_millis(500);

/// The functions of libc through which a process looks at a clock. Only under valgrind is that a system
/// call.
const CLOCKS: [&str; 3] = ["clock_gettime", "gettimeofday", "time"];

/// What a fop costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cost {
    instructions: f64,
    /// Those in the translator's own code, and not in what it calls.
    own: f64,
    /// System calls, but for looks at a clock.
    calls: f64,
}

impl Cost {
    /// Adds what [`CALLS`] fops cost.
    fn add(&mut self, of_all: Cost) {
        self.instructions += of_all.instructions / CALLS as f64;
        self.own += of_all.own / CALLS as f64;
        self.calls += of_all.calls / CALLS as f64;
    }
}

/// What a fop costs on the threads that carry it through the translators (io-threads), and on all.
#[derive(Debug, Clone, Copy, Default)]
struct Costs {
    path: Cost,
    all: Cost,
}

/// The costs of each of [`PHASES`], on each brick of a graph.
type Column = Vec<Vec<Costs>>;

/// Measures the four graphs in turns.
pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    let mut columns: Vec<Column> = vec![Vec::new(); Graph::ALL.len()];
    for brick in 1..=BRICKS {
        for (graph, column) in Graph::ALL.into_iter().zip(&mut columns) {
            println!("instructions: {}, brick {brick} of {BRICKS} ...", graph.name());
            column.push(of_brick(t, graph, brick)?);
        }
    }
    Ok(section(&columns))
}

/// The costs of each of [`PHASES`].
fn of_brick(t: &Sandbox, graph: Graph, brick: usize) -> Result<Vec<Costs>, Box<dyn Error>> {
    let name = format!("ir-{}-{brick}", graph.name());
    let callgrind = Callgrind::new(t, &name, graph)?;
    let wrapper = callgrind.wrapper();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let brick = graph.brick(t, &name).under(&wrapper).start();
    let mut loops = Loops::start(t, &name, brick.socket())?;
    for phase in PHASES {
        if phase.verb == "unlink" {
            loops.phase("close", "warm", WARM_UP)?;
        }
        loops.phase(phase.verb, "warm", WARM_UP)?;
    }
    let mut costs = Vec::new();
    for phase in PHASES {
        if phase.verb == "unlink" {
            loops.phase("close", "file", CALLS)?;
        }
        std::thread::sleep(SETTLE);
        callgrind.costs(brick.pid())?;
        loops.phase(phase.verb, "file", CALLS)?;
        std::thread::sleep(SETTLE);
        let cost = callgrind.costs(brick.pid())?;
        if cost.path.instructions == 0.0 {
            return Err(format!("{name}: {}: no instructions of io-threads", phase.verb).into());
        }
        costs.push(cost);
    }
    Ok(costs)
}

/// A brick under callgrind, whose counts are asked for while it runs.
#[derive(Debug)]
struct Callgrind {
    /// For the counts: a file for each thread at each asking.
    counts: PathBuf,
    /// Where valgrind listens. Not in /tmp: there the same pid of another namespace would be met.
    pipes: PathBuf,
    log: PathBuf,
    /// The file name of the translator that is measured.
    own: Option<&'static str>,
}

impl Callgrind {
    fn new(t: &Sandbox, name: &str, graph: Graph) -> Result<Callgrind, Box<dyn Error>> {
        let counts = t.path(format!("{name}-counts"));
        fs::create_dir(&counts)?;
        let pipes = t.path(format!("{name}-vgdb"));
        Ok(Callgrind { counts, pipes, log: t.log(name), own: graph.object() })
    }

    fn wrapper(&self) -> Vec<String> {
        vec![
            "valgrind".into(),
            "--quiet".into(),
            format!("--log-file={}", self.log.with_extension("valgrind.log").display()),
            format!("--vgdb-prefix={}", self.pipes.display()),
            "--tool=callgrind".into(),
            "--separate-threads=yes".into(),
            "--collect-systime=nsec".into(),
            format!("--callgrind-out-file={}", self.counts.join("counts").display()),
        ]
    }

    /// What each call has cost since the last time of asking.
    fn costs(&self, pid: Pid) -> Result<Costs, Box<dyn Error>> {
        let threads = thread_names(pid, &self.ask(pid, &["v.info", "scheduler"]))?;
        self.ask(pid, &["dump"]);
        let mut costs = Costs::default();
        for file in fs::read_dir(&self.counts)? {
            let file = file?.path();
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            fs::remove_file(&file)?;
            // Callgrind makes a file without counts first.
            if text.is_empty() {
                continue;
            }
            let (thread, cost) =
                count(&text, self.own).ok_or_else(|| format!("{}: ?", file.display()))?;
            let on_path = threads.get(&thread).is_some_and(|name| name.starts_with(FOP_PATH));
            costs.all.add(cost);
            if on_path {
                costs.path.add(cost);
            }
        }
        Ok(costs)
    }

    fn ask(&self, pid: Pid, what: &[&str]) -> String {
        run(tool("vgdb")
            .arg(format!("--vgdb-prefix={}", self.pipes.display()))
            .arg(format!("--pid={pid}"))
            .args(what))
    }
}

/// The host's names of the threads, by valgrind's numbers.
fn thread_names(pid: Pid, told: &str) -> Result<HashMap<u32, String>, Box<dyn Error>> {
    let mut names = HashMap::new();
    // Thread 18: status = VgTs_WaitSys syscall 202 (lwpid 24)
    for line in told.lines().filter_map(|line| line.strip_prefix("Thread ")) {
        let Some((number, rest)) = line.split_once(':') else { continue };
        let Some((_, task)) = rest.split_once("(lwpid ") else { continue };
        let task = task.trim_end().trim_end_matches(')');
        let comm = Path::new("/proc").join(pid.to_string()).join("task").join(task).join("comm");
        // A thread may just have ended.
        if let Ok(name) = fs::read_to_string(comm) {
            names.insert(number.parse()?, name.trim().to_owned());
        }
    }
    Ok(names)
}

/// The thread of a file of counts, and what it did. `own` is the file name of the translator.
fn count(text: &str, own: Option<&str>) -> Option<(u32, Cost)> {
    let after = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let thread = after("thread:")?.trim().parse().ok()?;
    let events: Vec<_> = after("events:")?.split_whitespace().collect();
    let place = |event: &str| events.iter().position(|name| *name == event);
    let (instructions, calls) = (place("Ir")?, place("sysCount")?);
    // Zeros at the end of a line are left out.
    let value = |costs: &[&str], place: usize| match costs.get(place) {
        Some(cost) => cost.parse().ok(),
        None => Some(0.0),
    };
    let sums: Vec<_> = after("summary:")?.split_whitespace().collect();
    let mut cost =
        Cost { instructions: value(&sums, instructions)?, calls: value(&sums, calls)?, own: 0.0 };
    // The body: "ob=(3) /lib/libc.so.6" says in which object the lines are that follow, "fn=(7) name" in
    // which function; a name is given once, its number stands for it afterwards. A line of costs begins
    // with its place in the source; one that follows "calls=" says what a called function cost.
    let mut names = HashMap::new();
    let (mut in_own, mut in_clock, mut of_called) = (false, false, false);
    for line in text.lines() {
        if let Some((key, rest)) = line.split_once("=(")
            && let Some((number, name)) = rest.split_once(')')
        {
            let kind = key.trim_start_matches('c');
            let name = match name.trim_start() {
                "" => names.get(&(kind, number)).copied().unwrap_or(""),
                name => {
                    names.insert((kind, number), name);
                    name
                }
            };
            match key {
                "ob" => in_own = own.is_some_and(|own| name.rsplit('/').next() == Some(own)),
                "fn" => in_clock = CLOCKS.contains(&name.split('@').next().unwrap_or(name)),
                _ => {}
            }
        } else if line.starts_with("calls=") {
            of_called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let costs: Vec<_> = line.split_whitespace().skip(1).collect();
            if std::mem::take(&mut of_called) {
                continue;
            }
            if in_own {
                cost.own += value(&costs, instructions)?;
            }
            if in_clock {
                cost.calls -= value(&costs, calls)?;
            }
        }
    }
    Some((thread, cost))
}

type Pick = fn(&Costs) -> f64;

/// What is shown of the costs.
const SHOWN: [(&str, &str, Pick); 4] = [
    ("fop path", "path_instructions", |costs| costs.path.instructions),
    ("its own code", "own_instructions", |costs| costs.path.own),
    ("all threads", "all_instructions", |costs| costs.all.instructions),
    ("system calls", "path_syscalls", |costs| costs.path.calls),
];

/// The median of a graph's bricks.
fn median(column: &Column, row: usize, pick: Pick) -> f64 {
    Quartiles::new(column.iter().map(|brick| pick(&brick[row])).collect()).median
}

/// How much gnotify may add beyond the pass-through, as a share of what stock adds beyond it.
fn target(verb: &str) -> Option<f64> {
    match verb {
        "create" | "write" => Some(0.5),
        "again" => Some(1.0),
        _ => None,
    }
}

fn section(columns: &[Column]) -> Section {
    let mut header = vec!["fop", "counted"];
    header.extend(Graph::ALL.map(Graph::name));
    header.extend(["pass-through adds", "gnotify adds", "changelog adds"]);
    let mut table = Table::new(&header);
    let mut beyond =
        Table::new(&["beyond the pass-through", "gnotify", "changelog", "share", "target", ""]);
    let mut fops = serde_json::Map::new();
    let mut bars = Bars::new(
        "What a translator adds to a fop on the fop path",
        "instructions",
        &["pass-through", "gnotify", "changelog"],
    );
    for (row, phase) in PHASES.iter().enumerate() {
        let mut fop = serde_json::Map::new();
        for (shown, key, pick) in SHOWN {
            let values: Vec<f64> = columns.iter().map(|column| median(column, row, pick)).collect();
            let [none, pass, gnotify, changelog] = values[..] else { continue };
            let format = |value: f64| match key {
                "path_syscalls" => format!("{value:.2}"),
                _ => grouped(value),
            };
            let signed = |value: f64| match value >= 0.0 {
                true => format!("+{}", format(value)),
                false => format(value),
            };
            let is_first = key == SHOWN[0].1;
            let label = if is_first { phase.label } else { "" };
            let mut cells = vec![label.to_owned(), shown.to_owned()];
            cells.extend(values.iter().map(|value| format(*value)));
            cells.extend([pass - none, gnotify - none, changelog - none].map(signed));
            table.row(cells);
            if is_first {
                bars.group(phase.label, &[pass - none, gnotify - none, changelog - none]);
                let (ours, stocks) = (gnotify - pass, changelog - pass);
                let target = target(phase.verb);
                let is_met = target.map(|target| ours <= target * stocks);
                beyond.row(vec![
                    phase.label.to_owned(),
                    signed(ours),
                    signed(stocks),
                    format!("{:.2}", ours / stocks),
                    target.map(|target| format!("<= {target}")).unwrap_or_default(),
                    is_met.map(verdict).unwrap_or_default().to_owned(),
                ]);
                fop.insert("met".into(), json!(is_met));
            }
            let by_graph: serde_json::Map<String, Value> = Graph::ALL
                .iter()
                .zip(&values)
                .map(|(graph, value)| (graph.name().to_owned(), json!(value)))
                .collect();
            fop.insert(key.to_owned(), by_graph.into());
        }
        fops.insert(phase.label.to_owned(), fop.into());
    }
    let text = format!(
        "Instructions of a brick for a fop, counted by callgrind: {CALLS} calls of each, one at a time, by a\n\
         gfapi client on a unix socket; medians of {BRICKS} bricks. Each translator in its turn stands directly above\n\
         locks; no slice ends meanwhile. Numbers of two bricks differ by some hundreds.\n\
         \x20 fop path      io-threads, which carry a fop through all translators and back\n\
         \x20 its own code  of these, those in the translator's object, and not in what it calls\n\
         \x20 all threads   also those of the socket, whose counts vary with their luck at locks, and the\n\
         \x20               journal thread, which looks at its ring more often while valgrind slows the rest\n\
         \x20 system calls  of the fop path; what the kernel does in them is not among the instructions.\n\
         \x20               Looks at a clock, system calls only under valgrind, are left out\n\
         An unlink is a lookup too.\n\n{table}\n{beyond}"
    );
    Section { name: "instructions", text, json: fops.into(), plots: vec![bars] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let text = "# callgrind format\npart: 1\nthread: 12\n\nevents: Ir sysCount sysTime\n\
                    summary: 500 9 144288455\n\n\
                    ob=(1) /usr/lib/libother.so\nfl=(1) ???\nfn=(1) main\n0 5\n\
                    cob=(2) /target/libgnotify.so\ncfn=(2) entry\ncalls=1 0\n0 70 1\n+3 5\n\
                    ob=(2)\nfn=(2)\n0 40\n* 30 1\n\
                    ob=(1)\nfn=(3) clock_gettime@@GLIBC_2.17\n0 9 2 77\nfn=(1)\n0 8 1\n";
        let (thread, cost) = count(text, Some("libgnotify.so")).unwrap();
        assert_eq!(thread, 12);
        assert_eq!(cost, Cost { instructions: 500.0, own: 70.0, calls: 7.0 });
        assert_eq!(count(text, None).unwrap().1.own, 0.0);
        let idle = "thread: 1\nevents: Ir sysCount sysTime\nsummary: 0\n";
        assert_eq!(count(idle, None), Some((1, Cost::default())));
    }
}
