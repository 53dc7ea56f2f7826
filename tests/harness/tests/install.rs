//! `scripts/install.sh` puts files where the host looks for them, and never writes over one.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gnotify_harness::{run, tool};

/// Installs files that say what they are and of which version, and returns where they went.
fn install(dest: &Path, version: &str) -> Vec<PathBuf> {
    let built = tempfile::tempdir().expect("a directory");
    let make = |name: &str| {
        let path = built.path().join(name);
        fs::write(&path, format!("{name} {version}")).expect("a file");
        path
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/install.sh");
    let said = run(tool(script)
        .args([make("plugin"), make("command"), make("man")])
        .env("DESTDIR", dest)
        .env("PREFIX", "/opt/usr"));
    said.lines().map(PathBuf::from).collect()
}

#[test]
fn files_are_where_they_belong_and_are_replaced_by_rename() {
    let dest = tempfile::tempdir().unwrap();
    let xlators = run(tool("glusterfsd").arg("--print-xlatordir"));
    let expected: Vec<_> = [
        (format!("{}/features/gnotify.so", xlators.trim()), "plugin", 0o644),
        (format!("{}/user/gnotify.so", xlators.trim()), "plugin", 0o644),
        ("/opt/usr/bin/gnotify".into(), "command", 0o755),
        ("/opt/usr/share/man/man1/gnotify.1".into(), "man", 0o644),
    ]
    .into_iter()
    .map(|(path, what, mode)| (dest.path().join(path.trim_start_matches('/')), what, mode))
    .collect();

    let installed = install(dest.path(), "1");
    assert_eq!(installed, expected.iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>());
    for (path, what, mode) in &expected {
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{what} 1"));
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, *mode, "{}", path.display());
    }

    let in_use: Vec<_> = expected.iter().map(|(path, ..)| File::open(path).unwrap()).collect();
    install(dest.path(), "2");
    for ((path, what, _), mut old) in expected.iter().zip(in_use) {
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{what} 2"));
        assert_ne!(path.metadata().unwrap().ino(), old.metadata().unwrap().ino());
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{what} 1"), "what is in use must stay whole");
        let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing else may lie beside {}", path.display());
    }
}
