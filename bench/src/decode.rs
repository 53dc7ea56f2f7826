//! What it costs to make a changelog's slices into records and into the lines that consumers read: gnotify's decoder
//! against the installed libgfchangelog, and against glusterfind's parser of those lines, on the same slices, in turns.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

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
    let (mut decoded, mut ours, mut stocks) = (f64::MAX, f64::MAX, f64::MAX);
    let mut parsed = f64::MAX;
    for round in 0..ROUNDS {
        let scratch = t.path(format!("scratch{round}"));
        std::fs::create_dir(&scratch)?;
        let begin = processor_seconds();
        decode(&slices)?;
        decoded = decoded.min(processor_seconds() - begin);
        let begin = processor_seconds();
        let lines = convert(&slices, &scratch)?;
        ours = ours.min(processor_seconds() - begin);
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
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/glusterfind_parser.py");
        let told = run(tool("/usr/bin/python3").arg(script).arg(scratch.join("db")).args(&lines));
        parsed = parsed.min(serde_json::from_str(&told)?);
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(section(decoded, ours, stocks, parsed))
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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

/// Reads each slice's records, as a consumer does that wants no lines.
fn decode(slices: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut count = 0;
    for slice in slices {
        let mut reader = Reader::new(File::open(slice)?)?;
        while reader.next()?.is_some() {
            count += 1;
        }
    }
    if count == SLICES * RECORDS { Ok(()) } else { Err(format!("{count} records").into()) }
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

fn section(decoded: f64, ours: f64, stocks: f64, parsed: f64) -> Section {
    let records = (SLICES * RECORDS) as f64;
    let mut table = Table::new(&["", "s", "records/s"]);
    let rows = [
        ("gnotify, records", decoded),
        ("gnotify, files of lines", ours),
        ("libgfchangelog, files of lines", stocks),
        ("glusterfind, its database from these", parsed),
    ];
    for (name, seconds) in rows {
        table.row(vec![name.into(), format!("{seconds:.3}"), format!("{:.0}", records / seconds)]);
    }
    let text = format!(
        "{SLICES} slices of {RECORDS} records, the best of {ROUNDS} turns, in processor time: gnotify gives the records\n\
         to a consumer, it makes files of lines as libgfchangelog's history call does, and that call. gnotify's\n\
         consumers need no files: {:.1} times as fast (target 20); with them, {:.1} times. glusterfind reads the files\n\
         of lines: gnotify gives the records {:.1} times as fast as its parser alone (target 10).\n\n{table}",
        stocks / decoded,
        stocks / ours,
        parsed / decoded
    );
    let json = json!({
        "records": records,
        "gnotify_records_s": decoded,
        "gnotify_lines_s": ours,
        "libgfchangelog_lines_s": stocks,
        "glusterfind_parser_s": parsed,
    });
    Section { name: "decode", text, json, plots: vec![] }
}
