//! What it costs to make a changelog's slices into the lines that consumers read: gnotify's decoder against the installed
//! libgfchangelog, on the same slices, in turns.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gnotify_changelog::codec::Reader;
use gnotify_changelog::storage::Disk;
use gnotify_changelog::writer::{Settings, Since, Writer};
use gnotify_changelog::{Birth, Change, Encoding, Entry, text};
use gnotify_harness::{Sandbox, run, tool};
use gnotify_record::{Fop, Gfid, Link};
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::report::{Section, Table};

const ROUNDS: usize = 5;
const SLICES: u64 = 4;
const RECORDS: u64 = 150_000;
/// 2026-11-20.
const BEGIN: u64 = 1_795_160_848;

/// Measures both in turns, and sees that they agree.
pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    println!("decode ...");
    // The library converts nothing before a brick has answered it.
    let registrar = Graph::Changelog.brick(t, "registrar").start();
    let dir = t.path("changelogs");
    let slices = fill(&dir)?;
    let (mut ours, mut stocks) = (f64::MAX, f64::MAX);
    for round in 0..ROUNDS {
        let scratch = t.path(format!("scratch{round}"));
        std::fs::create_dir(&scratch)?;
        let begin = Instant::now();
        let lines = convert(&slices, &scratch)?;
        ours = ours.min(begin.elapsed().as_secs_f64());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/harness/gfchangelog.py");
        let told = run(tool("/usr/bin/python3")
            .arg(script)
            .args([registrar.dir(), &scratch, &t.log("gfchangelog"), &dir])
            .args([BEGIN.to_string(), (BEGIN + SLICES).to_string()]));
        let told: Value = serde_json::from_str(&told)?;
        stocks = stocks.min(told["seconds"].as_f64().ok_or("no seconds")?);
        for (ours, theirs) in lines.iter().zip(told["slices"].as_array().ok_or("no slices")?) {
            let theirs = std::fs::read(theirs.as_str().ok_or("no slice")?)?;
            if std::fs::read(ours)? != theirs {
                return Err(format!("{}: the two do not agree", ours.display()).into());
            }
        }
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(section(ours, stocks))
}

/// Writes slices of all that a busy brick records.
fn fill(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let settings = Settings { dir: dir.to_owned(), encoding: Encoding::Ascii, sync: false };
    let (mut writer, _) = Writer::start(Disk, settings, BEGIN, Since::Broken)?;
    let mut slices = Vec::new();
    for slice in 1..=SLICES {
        for number in (0..RECORDS).step_by(3) {
            let gfid =
                Gfid((u128::from(number + slice * RECORDS) * 0x9e37_79b9_7f4a_7c15).to_le_bytes());
            let name = format!("a file {number}.txt").into_bytes();
            let at = Link { parent: Gfid::SHARD_ROOT, name: name.into() };
            let birth = Birth { mode: 0o100_644, uid: 1000, gid: 1000, at };
            writer.append(&[
                Change::Entry { gfid, entry: Entry::Create(birth) },
                Change::Data { gfid },
                Change::Metadata { gfid, fop: Fop::SETATTR },
            ])?;
        }
        slices.extend(writer.roll(BEGIN + slice)?.path);
    }
    Ok(slices)
}

/// Does what the library does: reads each slice and writes its lines to a file.
fn convert(slices: &[PathBuf], scratch: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for slice in slices {
        let path = scratch.join(slice.file_name().ok_or("a slice without a name")?);
        let (mut reader, mut file) = (Reader::new(File::open(slice)?)?, File::create(&path)?);
        let mut lines = Vec::with_capacity(1 << 17);
        while let Some(change) = reader.next()? {
            text::write(&change, &mut lines);
            if lines.len() >= 1 << 16 {
                file.write_all(&lines)?;
                lines.clear();
            }
        }
        file.write_all(&lines)?;
        files.push(path);
    }
    Ok(files)
}

fn section(ours: f64, stocks: f64) -> Section {
    let records = (SLICES * RECORDS) as f64;
    let mut table = Table::new(&["", "s", "records/s"]);
    for (name, seconds) in [("gnotify", ours), ("libgfchangelog", stocks)] {
        table.row(vec![name.into(), format!("{seconds:.3}"), format!("{:.0}", records / seconds)]);
    }
    let text = format!(
        "{} slices of {RECORDS} records made into lines, the best of {ROUNDS} turns: time of gnotify's decoder, processor\n\
         time of libgfchangelog's history call. gnotify is {:.1} times as fast.\n\n{table}",
        SLICES,
        stocks / ours
    );
    let json = json!({"records": records, "gnotify_s": ours, "libgfchangelog_s": stocks});
    Section { name: "decode", text, json, plots: vec![] }
}
