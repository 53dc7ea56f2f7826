//! Finding what cargo built: the plugin and the `gnotify` command.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::{run, tool};

/// The freshly built `libgnotify.so`: `GNOTIFY_PLUGIN`, or the newest beside this executable.
///
/// # Panics
/// When it is not built.
pub fn plugin() -> PathBuf {
    built("GNOTIFY_PLUGIN", "libgnotify.so", "cargo build")
}

/// The built `gnotify` command: `GNOTIFY_COMMAND`, or the newest beside this executable.
pub(crate) fn command() -> PathBuf {
    built("GNOTIFY_COMMAND", "gnotify", "cargo build -p gnotify-cli")
}

fn built(variable: &str, file: &str, make: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable}={}: no such file", path.display());
        return path;
    }
    let profile = profile_dir();
    let mut found: Vec<_> = [profile.join("deps").join(file), profile.join(file)]
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    let Some((_, newest)) = found.pop() else {
        panic!("{file} is not in {}: run `make test`, or first `{make}`", profile.display());
    };
    newest
}

/// `target/<profile>`: the executables of tests are in its `deps`.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_else(|e| panic!("current_exe: {e}"));
    exe.ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Builds the plugin with a cargo feature, in a target directory of its own, and returns it.
///
/// # Panics
/// When it does not build.
pub fn built_with(feature: &str) -> PathBuf {
    let target = profile_dir().parent().map_or_else(PathBuf::new, |t| t.join(feature));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .args(["build", "--offline", "--quiet", "--package", "gnotify", "--lib"])
        .args(["--features", feature, "--target-dir"])
        .arg(&target));
    target.join("debug").join("libgnotify.so")
}

/// The directory from which GlusterFS loads translators.
pub(crate) fn xlator_dir() -> PathBuf {
    PathBuf::from(run(tool("glusterfsd").arg("--print-xlatordir")).trim())
}

/// A volfile `type` that names `plugin` where it lies. The host pastes a type between its
/// translator directory and `.so`, so that enough `..` lead to the root, from there to the file.
pub(crate) fn volfile_type(plugin: &Path) -> String {
    let plugin = plugin.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", plugin.display()));
    let up = vec![".."; xlator_dir().components().count()];
    format!("{}{}", up.join("/"), plugin.with_extension("").display())
}
