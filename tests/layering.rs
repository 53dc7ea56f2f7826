//! Who may use whom: the dependency direction of ARCHITECTURE.md, held against what cargo sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each of our packages may use of the others, besides in its tests. A package that is not here may
/// not exist: name it, and what it may use, in ARCHITECTURE.md first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("gnotify-record", &[]),
    ("gnotify-journal", &["gnotify-record"]),
    ("gnotify-changelog", &["gnotify-record"]),
    ("gnotify-channel", &["gnotify-record"]),
    ("gnotify-bindings", &[]),
    (
        "gnotify",
        &[
            "gnotify-bindings",
            "gnotify-changelog",
            "gnotify-channel",
            "gnotify-journal",
            "gnotify-record",
        ],
    ),
    ("gnotify-cli", &["gnotify-changelog", "gnotify-journal", "gnotify-record"]),
    // Not part of the product: they may use all of it but the plugin, which they load as the host does.
    ("gnotify-harness", &[]),
    (
        "gnotify-bench",
        &[
            "gnotify-changelog",
            "gnotify-channel",
            "gnotify-harness",
            "gnotify-journal",
            "gnotify-record",
        ],
    ),
];

#[test]
fn dependencies_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> =
        packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, may_use.keys().copied().collect(), "the packages of the workspace");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let in_tests_only = dependency["kind"] == "dev";
            assert!(
                in_tests_only || !names.contains(used) || may_use[name].contains(&used),
                "{name} uses {used}, which ARCHITECTURE.md does not allow"
            );
        }
    }
}

/// Only the crates that cannot do without may say `unsafe`; all others forbid it.
#[test]
fn unsafe_stays_where_it_belongs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let roots = [
        "record/src/lib.rs",
        "changelog/src/lib.rs",
        "channel/src/lib.rs",
        "cli/src/main.rs",
        "tests/harness/src/lib.rs",
    ];
    for crate_root in roots {
        let text = std::fs::read_to_string(root.join(crate_root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{crate_root} does not forbid unsafe");
    }
    let text = std::fs::read_to_string(root.join("journal/src/lib.rs")).unwrap();
    assert!(text.contains("#![deny(unsafe_code)]"), "the journal does not deny unsafe");
}

/// A panic must unwind to the guard at the boundary to C: an abort would take every brick of the process.
#[test]
fn no_profile_aborts() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let manifest: String = manifest.unwrap().chars().filter(|c| !c.is_whitespace()).collect();
    assert!(manifest.contains("panic=\"unwind\""));
    assert!(!manifest.contains("panic=\"abort\""));
}
