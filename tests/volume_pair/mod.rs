//! Two volumes of one layout in one node, one with stock features/changelog in its bricks and one with gnotify in its
//! place, and what their changelogs say.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use gnotify_changelog::export::Exporter;
use gnotify_changelog::layout::Layout;
use gnotify_changelog::rules::Scope;
use gnotify_changelog::{Birth, Change, Entry};
use gnotify_harness::{Glusterd, Mount, Sandbox, plugin, statedump, wait_for};
use gnotify_record::{Fop, Gfid, Link};

use crate::brick_changelog::{dated, slice};

/// With the stock object, and with ours.
const STOCK: &str = "S";
const OURS: &str = "G";
/// Replicas' healer makes a directory of this name when it first has time.
const OF_THE_HEALER: &str = "/.glusterfs-anonymous-inode-";
/// Seconds: no slice ends by itself while a test runs.
const ROLLOVER: &str = "86400";

/// Whether changes of names must be in the same order in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One client did one thing after the other.
    Kept,
    /// Services worked beside it, in whatever order.
    Any,
    /// As before; and in which brick a file is depends on its gfid, as that of a shard does: all bricks count together.
    AnyBrick,
}

/// The volumes, started.
pub(crate) struct Pair {
    pub(crate) node: Glusterd,
    stock_object: PathBuf,
    bricks: HashMap<&'static str, Vec<PathBuf>>,
}

impl Pair {
    /// Makes and starts them, with the changelog on.
    pub(crate) fn start(
        t: &Sandbox,
        layout: &[&str],
        bricks: usize,
        options: &[(&str, &str)],
    ) -> Pair {
        let node = t.glusterd();
        let stock_object = t.stock_object("features/changelog.so");
        let mut pair = Pair { node, stock_object, bricks: HashMap::new() };
        for volume in pair.volumes() {
            let made = pair.node.create_with(volume, layout, bricks);
            pair.bricks.insert(volume, made);
            // A write is on the brick when it is answered.
            let own = [
                ("changelog.changelog", "on"),
                ("changelog.rollover-time", ROLLOVER),
                ("performance.write-behind", "off"),
            ];
            for (key, value) in own.iter().chain(options) {
                pair.node.set(volume, key, value);
            }
            pair.start_volume(volume);
        }
        pair
    }

    /// The stock one first.
    pub(crate) fn volumes(&self) -> [&'static str; 2] {
        [STOCK, OURS]
    }

    pub(crate) fn bricks(&self, volume: &str) -> &[PathBuf] {
        &self.bricks[volume]
    }

    /// Installs the object of this volume: bricks that start from now on have it.
    pub(crate) fn install_for(&self, volume: &str) {
        let object = if volume == OURS { plugin() } else { self.stock_object.clone() };
        self.node.install_as(&object, &["features/changelog.so"]);
    }

    /// Starts the bricks of a volume that do not run.
    pub(crate) fn start_volume(&self, volume: &str) {
        self.install_for(volume);
        self.node.start_volume(volume);
        for brick in self.bricks(volume) {
            let dump = statedump(self.node.brick_pid(volume, brick));
            let is_ours = dump.lines().any(|line| line == "persona=changelog");
            assert_eq!(is_ours, volume == OURS, "the object in {}", brick.display());
        }
    }

    pub(crate) fn add_bricks(&mut self, volume: &'static str, layout: &[&str], bricks: &[PathBuf]) {
        self.install_for(volume);
        self.node.add_bricks(volume, layout, bricks);
        self.bricks.entry(volume).or_default().extend(bricks.iter().cloned());
    }

    pub(crate) fn mount(&self, volume: &str, name: &str) -> Mount {
        self.node.mount(volume, name)
    }

    /// That both volumes' changelogs say the same of all that was done until now.
    pub(crate) fn assert_alike(&self, order: Order) {
        let [stock, ours] = self.volumes().map(|volume| self.told(volume, order));
        for (number, (stock, ours)) in stock.iter().zip(&ours).enumerate() {
            println!("brick {number}: {} records", stock.len());
            if let Some(difference) = difference(stock, ours) {
                panic!("brick {}, {difference}", self.bricks(OURS)[number].display());
            }
        }
        let all: usize = stock.iter().map(Vec::len).sum();
        assert!(all > 10, "something was recorded: {stock:#?}");
    }

    /// Of each brick what its changelog says.
    fn told(&self, volume: &str, order: Order) -> Vec<Vec<String>> {
        let end = format!("the end {order:?}");
        fs::create_dir(self.mount(volume, &format!("end-{volume}")).path().join(&end)).unwrap();
        let mut names = Names::new();
        let told = self.bricks(volume).iter().map(|brick| {
            let layout = Layout::new(brick.join(".glusterfs/changelogs"));
            let mut changes = Vec::new();
            wait_for("the last record", || {
                changes = everything(&layout);
                let at = changes.iter().position(|change| is_mkdir(change, &end));
                // What belongs to the mark itself may follow or not.
                changes.truncate(at.unwrap_or(0));
                at.is_some()
            });
            names.tell(&changes)
        });
        let mut told: Vec<_> = told.collect();
        if order == Order::AnyBrick {
            told = vec![told.concat()];
        }
        if order != Order::Kept {
            told.iter_mut().for_each(|told| told.sort());
        }
        told
    }
}

/// All records on the disk, also of slices that stock left out of its index when the brick was restarted (D1).
fn everything(layout: &Layout) -> Vec<Change<'static>> {
    let mut changes: Vec<Change<'static>> =
        dated(layout).iter().flat_map(|path| slice(path)).collect();
    changes.extend(slice(&layout.live()));
    changes
}

fn is_mkdir(change: &Change<'_>, name: &str) -> bool {
    matches!(change, Change::Entry { entry: Entry::Mkdir(birth), .. } if *birth.at.name == *name.as_bytes())
}

/// The first line in which they differ, with those before it.
fn difference(stock: &[String], ours: &[String]) -> Option<String> {
    let at = (0..stock.len().max(ours.len())).find(|at| stock.get(*at) != ours.get(*at))?;
    let before = &stock[at.saturating_sub(3)..at];
    let [stock, ours] = [stock, ours].map(|told| told.get(at..told.len().min(at + 4)));
    Some(format!("record {at}, after {before:#?}: stock {stock:#?}, gnotify {ours:#?}"))
}

/// Names for the gfids of a volume that are the same in each volume in which the same was done: where each inode was
/// born, and how many were born there before.
struct Names {
    of: HashMap<Gfid, String>,
    births: HashMap<String, usize>,
}

impl Names {
    fn new() -> Names {
        Names { of: HashMap::from([(Gfid::ROOT, String::new())]), births: HashMap::new() }
    }

    fn of(&self, gfid: Gfid) -> &str {
        self.of.get(&gfid).map_or("?", String::as_str)
    }

    fn link(&self, link: &Link<'_>) -> String {
        let name = link.name.escape_ascii().to_string();
        format!("{}/{}", self.of(link.parent), self.without_gfids(&name))
    }

    /// Shards, and some directories of services, have a gfid or a random UUID in their names.
    fn without_gfids(&self, name: &str) -> String {
        let mut rest = name;
        let mut text = String::new();
        while let Some(character) = rest.chars().next() {
            if let Some(gfid) = rest.get(..36).and_then(|text| text.parse::<Gfid>().ok()) {
                text += &format!("<{}>", self.of(gfid));
                rest = &rest[36..];
            } else {
                text.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        text
    }

    fn born(&mut self, gfid: Gfid, at: &Link<'_>) {
        if !self.of.contains_key(&gfid) {
            let place = self.link(at);
            let births = self.births.entry(place.clone()).or_default();
            *births += 1;
            self.of.insert(gfid, if *births == 1 { place } else { format!("{place}#{births}") });
        }
    }

    /// What a brick's changelog says, without repetitions.
    fn tell(&mut self, changes: &[Change<'static>]) -> Vec<String> {
        for change in changes {
            match change {
                Change::Entry {
                    gfid,
                    entry: Entry::Create(b) | Entry::Mkdir(b) | Entry::Mknod(b),
                } => {
                    self.born(*gfid, &b.at);
                }
                Change::Entry { gfid, entry: Entry::Symlink(at) } => self.born(*gfid, at),
                _ => {}
            }
        }
        let mut firsts = Exporter::new(Scope::Stock);
        let firsts = changes.iter().filter(|change| firsts.is_new(change));
        let lines = firsts.map(|change| self.line(change));
        lines.filter(|line| !line.contains(OF_THE_HEALER)).collect()
    }

    fn line(&self, change: &Change<'_>) -> String {
        let of = self.of(change.gfid());
        // S9
        let done = change.fop().map(|fop| match change {
            Change::Metadata { .. } if fop == Fop::RENAME => Fop::REMOVEXATTR,
            _ => fop,
        });
        let fop = done.map(|fop| fop.to_string()).unwrap_or_default();
        let Change::Entry { entry, .. } = change else {
            let kind = if change.fop().is_some() { 'M' } else { 'D' };
            return format!("{kind} {of} {fop}");
        };
        let birth = |birth: &Birth<'_>| {
            format!(
                "{:o} {} {} {}",
                asked(birth, change),
                birth.uid,
                birth.gid,
                self.link(&birth.at)
            )
        };
        let what = match entry {
            Entry::Create(b) | Entry::Mkdir(b) | Entry::Mknod(b) => birth(b),
            Entry::Symlink(at) | Entry::Link(at) => self.link(at),
            Entry::Rename { old, new } => format!("{} {}", self.link(old), self.link(new)),
            Entry::Unlink(removal) | Entry::Rmdir(removal) => {
                let path = removal.path.as_ref().map(|path| path.escape_ascii().to_string());
                format!("{} {path:?}", self.link(&removal.at))
            }
        };
        format!("E {of} {fop} {what}")
    }
}

/// S3: the part of a mode that the request and the reply have in common.
fn asked(birth: &Birth<'_>, change: &Change<'_>) -> u32 {
    match change.fop() {
        Some(Fop::CREATE) => birth.mode & 0o7777,
        Some(Fop::MKDIR) => birth.mode & !0o2000,
        _ => birth.mode,
    }
}
