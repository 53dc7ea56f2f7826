//! How long it takes until a consumer hears of an event: through our event channel, and from a stock brick.
//! Both consumers are the installed libgfchangelog.

use std::error::Error;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use gnotify_channel::{Event, Kind, Server, Settings};
use gnotify_harness::{GfEvents, Sandbox, wait_for};
use gnotify_record::Gfid;
use serde_json::json;

use crate::graph::Graph;
use crate::percentiles::Times;
use crate::report::{Section, Table};
use crate::svg::Bars;

/// Events of each brick.
const EVENTS: usize = 400;
/// Between two of them. No part of stock's tick of a second.
const PAUSE: Duration = Duration::from_millis(37);
/// A stock brick tells most of its consumers nothing: how often one registers with it, and how long it
/// listens, until one hears something.
const REGISTRATIONS: usize = 100;
const TICKS: Duration = Duration::from_millis(2500);

/// Measures both bricks, an event of each in turn.
pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("events ...");
    let name = "/bricks/events";
    let ours = Server::open(Settings::new(name))?;
    let ours_heard = GfEvents::register(t, name, Kind::Create as u32, true);
    wait_for("the connection", || ours.wants(Kind::Create));
    let brick = Graph::Changelog.brick(t, "stock-events").start();
    let mount = brick.mount("stock-events-mount");
    let (stock_heard, registrations) = heard_by(t, brick.dir(), mount.path())?;
    let (ours_before, stock_before) = (ours_heard.count(), stock_heard.count());
    let (mut ours_sent, mut stock_sent) = (Vec::new(), Vec::new());
    for number in 0..EVENTS {
        ours_sent.push(now()?);
        ours.send(Event::Create { gfid: Gfid::ROOT, flags: i32::try_from(number)? });
        sleep(PAUSE / 2);
        // The event is made in the reply, so from its end on.
        std::fs::File::create(mount.path().join(format!("f{number}")))?;
        stock_sent.push(now()?);
        sleep(PAUSE / 2);
    }
    wait_for("events of ours", || ours_heard.count() == ours_before + EVENTS);
    wait_for("events of stock's", || stock_heard.count() == stock_before + EVENTS);
    let ours = delays(&ours_sent, &ours_heard, ours_before);
    let stock = delays(&stock_sent, &stock_heard, stock_before);
    Ok(section(&ours, &stock, registrations))
}

/// A consumer that hears a stock brick, and how many it took to find one.
fn heard_by(t: &Sandbox, brick: &Path, mount: &Path) -> Result<(GfEvents, usize), Box<dyn Error>> {
    for registration in 1..=REGISTRATIONS {
        let consumer = GfEvents::register(t, &brick.to_string_lossy(), Kind::Create as u32, true);
        let start = Instant::now();
        let mut created = 0;
        while start.elapsed() < TICKS {
            std::fs::File::create(mount.join(format!("r{registration}-{created}")))?;
            created += 1;
            sleep(TICKS / 10);
        }
        if consumer.count() > 0 {
            // What was created last is still to come.
            sleep(TICKS);
            return Ok((consumer, registration));
        }
    }
    Err(format!("a stock brick was not heard in {REGISTRATIONS} registrations").into())
}

fn now() -> Result<u64, Box<dyn Error>> {
    Ok(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())?)
}

fn delays(sent: &[u64], heard: &GfEvents, before: usize) -> Times {
    let heard = heard.events().into_iter().skip(before);
    Times::new(
        sent.iter().zip(heard).map(|(sent, event)| event.time.saturating_sub(*sent)).collect(),
    )
}

fn section(ours: &Times, stock: &Times, registrations: usize) -> Section {
    let millis = |ns: u64| ns as f64 / 1e6;
    let mut table = Table::new(&["event delay, ms", "p50", "p99", "max"]);
    let mut bars = Bars::new("Until a consumer hears of an event", "ms", &["p50", "p99"]);
    for (name, times) in [("gnotify", ours), ("changelog", stock)] {
        let shown = [times.p50(), times.p99(), times.at(1000)].map(millis);
        let mut cells = vec![name.to_owned()];
        cells.extend(shown.iter().map(|value| format!("{value:.2}")));
        table.row(cells);
        bars.group(name, &shown[..2]);
    }
    let text = format!(
        "Until a consumer (libgfchangelog, ordered) hears of an event, in milliseconds: {EVENTS} creates of each, in\n\
         turns. From the event's making to the callback. Of a stock brick the first consumer counts that heard\n\
         anything: number {registrations} that registered.\n\n{table}"
    );
    let json = json!({
        "gnotify": ours.json(),
        "changelog": stock.json(),
        "changelog_registrations": registrations,
    });
    Section { name: "events", text, json, plots: vec![bars] }
}
