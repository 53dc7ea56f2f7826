//! The manual names all that there is to name.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use gnotify_record::{HOST_FOPS, Origin, Watch};
use serde_json::Value;
use support::{Brick, gnotify, json};

/// The words of the manual, without the marks of its macros.
fn words() -> BTreeSet<String> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gnotify.1");
    let text = fs::read_to_string(manual).unwrap().replace("\\-", "-").replace("\\(dq", " ");
    let in_word = |ch: char| ch.is_alphanumeric() || ch == '-' || ch == '_';
    text.split(|ch| !in_word(ch)).map(str::to_owned).collect()
}

#[test]
fn every_option_is_in_the_manual() {
    let words = words();
    let help = ["dump", "verify"].map(|command| {
        let output = gnotify().args([command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let help = help.concat();
    let options = help.split_whitespace().map(|word| word.trim_end_matches(','));
    let options: Vec<&str> = options.filter(|word| word.starts_with("--")).collect();
    assert!(options.len() > 9, "{help}");
    for option in options {
        assert!(words.contains(option), "{option}");
    }
}

#[test]
fn every_fop_and_origin_is_in_the_manual() {
    let words = words();
    for row in HOST_FOPS {
        let name = row.name.to_lowercase();
        if matches!(row.watch, Watch::Watched(_)) {
            assert!(words.contains(&name), "{name}");
        }
    }
    for origin in Origin::ALL {
        assert!(words.contains(origin.name()), "{}", origin.name());
    }
}

fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            into.extend(object.keys().cloned());
            object.values().for_each(|value| fields(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, into)),
        _ => {}
    }
}

#[test]
fn every_field_of_a_line_is_in_the_manual() {
    let words = words();
    let brick = Brick::filled();
    let mut found = BTreeSet::new();
    json(&["--paths"], &brick.dir()).iter().for_each(|line| fields(line, &mut found));
    assert!(found.len() > 40, "{found:?}");
    for field in found {
        let field = field.strip_suffix("_hex").unwrap_or(&field);
        assert!(words.contains(field), "{field}");
    }
}

#[test]
fn every_finding_of_a_verification_is_in_the_manual() {
    let words = words();
    // As the code spells them, because no journal has all of them.
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/verify");
    let mut text = fs::read_to_string(format!("{sources}.rs")).unwrap();
    for dir in [sources, concat!(env!("CARGO_MANIFEST_DIR"), "/src/verify/scan")] {
        let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.is_file()) {
            text += &fs::read_to_string(file).unwrap();
        }
    }
    for part in ["dump", "verify"] {
        let path = format!("{}/src/changelog/{part}.rs", env!("CARGO_MANIFEST_DIR"));
        text += &fs::read_to_string(path).unwrap();
    }
    let text: String = text.split_whitespace().collect();
    let mut found = BTreeSet::new();
    let marks =
        [".damage(", "Level::Damage,", "Level::Note,", "Level::Gap,", "note(report,", "object."];
    for mark in marks {
        for (at, _) in text.match_indices(mark) {
            let rest = &text[at + mark.len()..];
            let rest = match mark {
                "object." => rest.split_once('(').map_or("", |(_, rest)| rest),
                _ => rest,
            };
            let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            found.extend(quoted.map(|(word, _)| word.to_owned()));
        }
    }
    assert!(found.len() > 30, "{found:?}");
    for word in found {
        assert!(words.contains(&word), "{word}");
    }
}
