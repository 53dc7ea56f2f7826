//! The bytes of a record on disk, beside stock's, when an archive is unpacked on a mount.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use gnotify_harness::{Brick, Random, Sandbox, run, tool, wait_for};
use gnotify_journal::{Reader, What};
use gnotify_record::Fop;
use serde_json::json;

use crate::graph::Graph;
use crate::report::{Section, Table, grouped, verdict};
use crate::svg::Bars;

const DIRECTORIES: u64 = 60;
const FILES: u64 = 2500;
/// Bytes of a file, at most.
const FILE_SIZE: u64 = 40_000;
/// The directory that is made when all else is done.
const MARK: &str = "the-last-one";

/// A journal that is compared.
struct Form {
    label: &'static str,
    graph: Graph,
    options: &'static [(&'static str, &'static str)],
    /// Bytes of a record, at most.
    target: Option<f64>,
}

/// What is compared. A way to write the journal in fewer bytes is another line here.
const FORMS: &[Form] = &[
    Form { label: "gnotify, raw", graph: Graph::Gnotify, options: &[], target: None },
    Form {
        label: "changelog, ascii",
        graph: Graph::Changelog,
        options: &[("encoding", "ascii")],
        target: None,
    },
];

/// What a journal takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    records: u64,
    bytes: u64,
}

impl Size {
    fn of_a_record(self) -> f64 {
        self.bytes as f64 / self.records.max(1) as f64
    }
}

pub(crate) fn measure(t: &Sandbox) -> Result<Section, Box<dyn Error>> {
    let archive = archive(t)?;
    let mut sizes = Vec::new();
    for (number, form) in FORMS.iter().enumerate() {
        println!("bytes: {} ...", form.label);
        let spec = form.graph.brick(t, &format!("bytes-{number}"));
        let spec = form.options.iter().fold(spec, |spec, (key, value)| spec.option(key, value));
        let brick = spec.start();
        let mount = brick.mount(&format!("bytes-{number}"));
        run(tool("tar").arg("-xf").arg(&archive).arg("-C").arg(mount.path()));
        fs::create_dir(mount.path().join(MARK))?;
        sizes.push(match form.graph {
            Graph::Changelog => of_changelog(&brick)?,
            _ => of_journal(&brick)?,
        });
        mount.unmount();
    }
    Ok(section(&sizes))
}

/// An archive like that of a program's source: the same in each run.
fn archive(t: &Sandbox) -> Result<PathBuf, Box<dyn Error>> {
    const WORDS: [&str; 20] = [
        "alloc", "block", "bus", "cache", "core", "device", "driver", "entry", "file", "hash",
        "inode", "io", "lock", "main", "net", "node", "page", "queue", "sched", "table",
    ];
    const ENDINGS: [&str; 5] = [".c", ".h", ".rst", ".txt", ".S"];
    let mut random = Random::seeded(1);
    let tree = t.path("tree");
    let mut directories = vec![tree.join("program-1.0")];
    fs::create_dir_all(&directories[0])?;
    for _ in 0..DIRECTORIES {
        let parent = directories[usize::try_from(random.below(directories.len() as u64))?].clone();
        let directory = parent.join(random.pick(&WORDS));
        if !directory.exists() {
            fs::create_dir(&directory)?;
            directories.push(directory);
        }
    }
    for number in 0..FILES {
        let directory = &directories[usize::try_from(random.below(directories.len() as u64))?];
        let (one, other, ending) =
            (random.pick(&WORDS), random.pick(&WORDS), random.pick(&ENDINGS));
        let content = vec![b'x'; usize::try_from(random.below(FILE_SIZE))?];
        fs::write(directory.join(format!("{one}-{other}{number}{ending}")), content)?;
    }
    let archive = t.path("tree.tar");
    run(tool("tar")
        .arg("-cf")
        .arg(&archive)
        .args(["--sort=name", "-C"])
        .arg(&tree)
        .arg("program-1.0"));
    Ok(archive)
}

/// Reads until the last record is there.
fn of_journal(brick: &Brick) -> Result<Size, Box<dyn Error>> {
    let mut reader = Reader::open(&brick.dir().join(".glusterfs/gnotify"))?;
    let mut segments = BTreeSet::new();
    let mut records = 0;
    let mut failed = None;
    wait_for("the last record", || {
        loop {
            match reader.next() {
                Ok(Some(entry)) => {
                    segments.insert(entry.place.path.to_owned());
                    let What::Record(record) = entry.what else { continue };
                    records += 1;
                    let is_mark = record.at.is_some_and(|at| *at.name == *MARK.as_bytes());
                    if record.fop == Fop::MKDIR && is_mark {
                        return true;
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    failed = Some(error);
                    return true;
                }
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut bytes = 0;
    for segment in segments {
        bytes += fs::metadata(&segment)?.len();
    }
    Ok(Size { records, bytes })
}

/// Stock's file of the running slice, which lasts longer than this.
fn of_changelog(brick: &Brick) -> Result<Size, Box<dyn Error>> {
    let path = brick.dir().join(".glusterfs/changelogs/CHANGELOG");
    let name = format!("/{MARK}\0");
    wait_for("stock's last record", || {
        let text = fs::read(&path).unwrap_or_default();
        text.windows(name.len()).any(|part| part == name.as_bytes())
    });
    let text = fs::read(&path)?;
    Ok(Size { records: stock_records(&text, &path)?, bytes: text.len() as u64 })
}

/// The records of a CHANGELOG: behind the line of its header, each begins with a letter and a gfid in text.
fn stock_records(text: &[u8], path: &Path) -> Result<u64, Box<dyn Error>> {
    let end = text.iter().position(|byte| *byte == b'\n');
    let Some(end) = end.filter(|_| text.starts_with(b"GlusterFS Changelog")) else {
        return Err(format!("{}: no header of a changelog", path.display()).into());
    };
    let is_gfid = |part: &[u8]| {
        part.len() == 36 && part.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
    };
    let begins = |part: &&[u8]| matches!(part, [b'E' | b'D' | b'M', gfid @ ..] if is_gfid(gfid));
    Ok(text[end + 1..].split(|byte| *byte == 0).filter(begins).count() as u64)
}

fn section(sizes: &[Size]) -> Section {
    let mut table = Table::new(&["", "records", "bytes", "a record", "a file", "target", ""]);
    let mut results = serde_json::Map::new();
    let mut bars =
        Bars::new("An archive is unpacked: bytes of a record", "bytes", &["a record", "a file"]);
    for (Form { label, target, .. }, size) in FORMS.iter().zip(sizes) {
        let (record, file) = (size.of_a_record(), size.bytes as f64 / FILES as f64);
        let is_met = target.map(|target| record <= target);
        table.row(vec![
            (*label).to_owned(),
            grouped(size.records as f64),
            grouped(size.bytes as f64),
            format!("{record:.1}"),
            format!("{file:.1}"),
            target.map(|target| format!("<= {target}")).unwrap_or_default(),
            is_met.map(verdict).unwrap_or_default().to_owned(),
        ]);
        bars.group(label, &[record, file]);
        let value = json!({ "records": size.records, "bytes": size.bytes, "met": is_met });
        results.insert((*label).to_owned(), value);
    }
    let text = format!(
        "{FILES} files in {DIRECTORIES} directories are unpacked by tar on a FUSE mount. Bytes of a record and of a\n\
         file, on disk, with all that stands beside records. A record of stock's says neither when nor who.\n\n{table}"
    );
    Section { name: "bytes", text, json: results.into(), plots: vec![bars] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_stock_are_counted() {
        let gfid = "6d1c5ecd-5a5e-4e0b-8d4c-2b1f3a9c7e10";
        let text = format!(
            "GlusterFS Changelog | version: v1.2 | encoding : 2\nE{gfid}\x0023\x0033188\x000\x000\0{gfid}/D-name\0\
             D{gfid}\0M{gfid}\x0038\0"
        );
        let path = Path::new("CHANGELOG");
        assert_eq!(stock_records(text.as_bytes(), path).unwrap(), 3);
        assert!(stock_records(b"E", path).is_err());
        assert_eq!(Size { records: 4, bytes: 90 }.of_a_record(), 22.5);
    }
}
