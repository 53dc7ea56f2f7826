//! One test in mount, network and PID namespaces of its own, with a scratch directory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::brick::BrickSpec;
use crate::daemon::Daemon;
use crate::glusterd::Glusterd;
use crate::plugin::xlator_dir;
use crate::sshd;
use crate::tool::{run, tool, try_run};

/// Set inside the namespaces: the scratch directory of the test.
const SANDBOX: &str = "GNOTIFY_SANDBOX";
/// Where scratch directories are made, if the target directory will not do.
const SCRATCH: &str = "GNOTIFY_SCRATCH";
/// Seconds after which a test that hangs is killed.
const TIMEOUT: &str = "GNOTIFY_TEST_TIMEOUT";
const TIMEOUT_DEFAULT: u64 = 1200;
/// Where the overlay over the host's translator directory has its parts.
const COVER: &str = "/run/gnotify-xlators";
/// How much of each log a failed test shows.
const TAIL: usize = 30;

/// What a test sees of its namespaces: an empty directory, and a private /run,
/// /var/lib/glusterd and /var/log/glusterfs.
#[derive(Clone, Debug)]
pub struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    /// The scratch directory, on a disk file system. It is removed when the test has passed.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the scratch directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// A log file; its tail is shown when the test fails.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    /// A brick called `name`, not started yet: `volfiles/brick.vol` on a directory of its own.
    pub fn brick(&self, name: &str) -> BrickSpec {
        BrickSpec::new(self, name)
    }

    /// Installs an object under names relative to the host's translator directory, such as
    /// `features/changelog.so`. Only this sandbox sees it; what runs keeps the object that it has.
    pub fn install_as(&self, object: &Path, names: &[&str]) {
        self.cover_xlators();
        for name in names {
            let to = xlator_dir().join(name);
            run(tool("install").args(["-D", "-m", "644"]).arg(object).arg(&to));
        }
    }

    /// The stock object of this name, also where another one was installed under it.
    pub fn stock_object(&self, name: &str) -> PathBuf {
        self.cover_xlators();
        Path::new(COVER).join("lower").join(name)
    }

    /// Covers the translator directory with an overlay, so that installing touches nothing.
    pub(crate) fn cover_xlators(&self) {
        if Path::new(COVER).exists() {
            return;
        }
        let dir = xlator_dir();
        std::fs::create_dir_all(COVER).unwrap_or_else(|e| panic!("{COVER}: {e}"));
        run(tool("mount").args(["-t", "tmpfs", "tmpfs", COVER]));
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| format!("{COVER}/{name}"));
        for made in [&lower, &upper, &work] {
            std::fs::create_dir(made).unwrap_or_else(|e| panic!("{made}: {e}"));
        }
        run(tool("mount").arg("--bind").arg(&dir).arg(&lower));
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        run(tool("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&dir));
    }

    /// Starts glusterd. A sandbox has room for one.
    pub fn glusterd(&self) -> Glusterd {
        Glusterd::start(self)
    }

    /// Starts sshd at glusterd's address, where root lets root in.
    pub fn sshd(&self) -> Daemon {
        sshd::start(self)
    }
}

/// Declares a test that runs in namespaces of its own: `host_test!(name, |t| { ... })`.
///
/// `t` is a [`Sandbox`]. Attributes go in front of the name, such as
/// `host_test!(#[ignore = "long: make test-long"] name, |t| { ... })`.
#[macro_export]
macro_rules! host_test {
    ($(#[$attribute:meta])* $name:ident, |$t:ident| $body:expr) => {
        #[test]
        $(#[$attribute])*
        fn $name() {
            $crate::isolated(concat!(module_path!(), "::", stringify!($name)), |$t| $body);
        }
    };
}

/// Runs `body` in new namespaces, in a child process: this test executable again, told to run
/// only the test `test` (its path as `module_path!()` gives it, crate name first).
///
/// Called from that child, it just runs `body`. So it must be the first thing that the test does.
///
/// # Panics
/// When the test fails inside, or the machine cannot run it.
pub fn isolated(test: &str, body: impl FnOnce(&Sandbox)) {
    if let Some(dir) = std::env::var_os(SANDBOX) {
        body(&Sandbox { dir: dir.into() });
        return;
    }
    if let Err(missing) = machine_is_able() {
        panic!("{test}: {missing}");
    }
    let test = test.split_once("::").map_or(test, |(_crate, name)| name);
    let scratch = scratch(test);
    let status = in_namespaces(test, scratch.path());
    if !status.success() {
        let kept = scratch.keep();
        show_logs(&kept);
        panic!("{test}: {status}; kept for you to look at: {}", kept.display());
    }
    scratch.close().unwrap_or_else(|e| panic!("{test}: cannot remove its scratch directory: {e}"));
}

/// What every host test needs, or one line that says what is missing and what to do.
fn machine_is_able() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("host tests need root: run them as root".into());
    }
    if let Err(e) = std::fs::File::open("/dev/fuse") {
        return Err(format!("host tests need FUSE: /dev/fuse: {e}; load the fuse module"));
    }
    for (program, package) in [
        ("glusterfsd", "glusterfs-server"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
        ("setfattr", "attr"),
    ] {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists());
        if !found {
            return Err(format!("host tests need {program}: apt-get install {package}"));
        }
    }
    Ok(())
}

/// An empty directory that can hold bricks.
fn scratch(test: &str) -> tempfile::TempDir {
    let parent = std::env::var_os(SCRATCH).map_or_else(target_tmp, PathBuf::from);
    std::fs::create_dir_all(&parent)
        .unwrap_or_else(|e| panic!("{}: {e}; set {SCRATCH}", parent.display()));
    // Short: glusterd makes file names of whole brick paths.
    let name: String = test.rsplit("::").next().unwrap_or(test).chars().take(32).collect();
    let dir = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(&parent)
        .unwrap_or_else(|e| panic!("{}: {e}; set {SCRATCH}", parent.display()));
    let mut probe = tool("setfattr");
    probe.args(["-n", "trusted.gnotify.probe", "-v", "1"]).arg(dir.path());
    if let Err(told) = try_run(&mut probe) {
        panic!("bricks need trusted xattrs; set {SCRATCH} to a directory on ext4 or XFS: {told}");
    }
    dir
}

/// `target/tmp`: the executables of tests are in `target/<profile>/deps`.
fn target_tmp() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_else(|e| panic!("current_exe: {e}"));
    exe.ancestors().nth(3).map_or_else(std::env::temp_dir, |target| target.join("tmp"))
}

/// Runs the test again as the second process of new namespaces, and passes on what it says.
fn in_namespaces(test: &str, scratch: &Path) -> ExitStatus {
    let exe = std::env::current_exe().unwrap_or_else(|e| panic!("current_exe: {e}"));
    // When this process dies, so does unshare; then its child, which is pid 1 in there; and
    // with it everything in the namespaces.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", "--propagation", "private"])
        .args(["bash", "-c", include_str!("pid1.sh"), "bash"])
        .arg(exe)
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads", "1"])
        .env(SANDBOX, scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("setpriv: {e}"));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| stdout.map(pass_on));
        scope.spawn(|| stderr.map(pass_on));
        let timeout = std::env::var(TIMEOUT).ok().and_then(|t| t.parse().ok());
        let timeout = Duration::from_secs(timeout.unwrap_or(TIMEOUT_DEFAULT));
        let start = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) if start.elapsed() > timeout => {
                    println!("{test}: no end after {timeout:?} ({TIMEOUT}): killed");
                    let _ = child.kill();
                    return child.wait().unwrap_or_else(|e| panic!("wait: {e}"));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(e) => panic!("wait: {e}"),
            }
        }
    })
}

/// Prints line by line, so that the test runner captures it as output of this test.
fn pass_on(from: impl Read) {
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { return };
        println!("{}", String::from_utf8_lossy(&line));
    }
}

/// The ends of all log files.
fn show_logs(scratch: &Path) {
    let mut dirs = vec![scratch.join("log")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension() == Some(OsStr::new("log")) {
                let text = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<_> = text.lines().collect();
                println!("==> {} <==", path.display());
                for line in &lines[lines.len().saturating_sub(TAIL)..] {
                    println!("{line}");
                }
            }
        }
    }
}
