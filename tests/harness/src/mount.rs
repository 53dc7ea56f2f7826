//! A FUSE mount of a brick or of a volume.

use std::path::{Path, PathBuf};

use crate::PATIENCE;
use crate::daemon::Daemon;
use crate::sandbox::Sandbox;
use crate::tool::{tool, try_run};
use crate::volfile::Volfile;

/// What a mount is of.
#[derive(Clone, Debug)]
enum Source {
    Graph(Volfile),
    Volume { server: String, id: String },
}

/// A mount that is not started yet.
#[derive(Clone, Debug)]
pub struct MountSpec {
    sandbox: Sandbox,
    name: String,
    source: Source,
    args: Vec<String>,
}

impl MountSpec {
    fn new(sandbox: &Sandbox, name: &str, source: Source) -> MountSpec {
        MountSpec { sandbox: sandbox.clone(), name: name.into(), source, args: Vec::new() }
    }

    /// `volfiles/client.vol` on the socket of a brick.
    pub(crate) fn of_socket(sandbox: &Sandbox, name: &str, socket: &Path) -> MountSpec {
        let graph = Volfile::named("client.vol").fill("SOCKET", socket.to_string_lossy());
        MountSpec::new(sandbox, name, Source::Graph(graph))
    }

    /// A graph of the test's own, finished.
    pub fn of_graph(sandbox: &Sandbox, name: &str, graph: Volfile) -> MountSpec {
        MountSpec::new(sandbox, name, Source::Graph(graph))
    }

    /// A volume, as `mount -t glusterfs SERVER:VOLUME` has it.
    pub(crate) fn of_volume(sandbox: &Sandbox, name: &str, server: &str, id: &str) -> MountSpec {
        let source = Source::Volume { server: server.into(), id: id.into() };
        MountSpec::new(sandbox, name, source)
    }

    /// Another argument of `glusterfs`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> MountSpec {
        self.args.push(arg.into());
        self
    }

    /// Starts the client; returns when the mount answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(self) -> Mount {
        let path = self.sandbox.path(format!("mnt-{}", self.name));
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let log = self.sandbox.log(&format!("mnt-{}", self.name));
        let mut command = tool("glusterfs");
        // Nothing may come from the kernel's caches: the tests look at what the brick says.
        command.args(["-N", "--attribute-timeout=0", "--entry-timeout=0", "--negative-timeout=0"]);
        command.args(&self.args).arg("-l").arg(&log);
        match &self.source {
            Source::Graph(graph) => {
                let volfile = self.sandbox.path(format!("mnt-{}.vol", self.name));
                command.arg("-f").arg(graph.write(volfile));
            }
            Source::Volume { server, id } => {
                command.arg(format!("--volfile-server={server}"));
                command.arg(format!("--volfile-id={id}"));
            }
        }
        let mut daemon = Daemon::start(command.arg(&path), &log);
        let mounted = path.clone();
        daemon.wait_until(PATIENCE, "a mount to answer", |_| {
            is_mounted(&mounted) && answers(&mounted)
        });
        Mount { path, daemon }
    }
}

/// A FUSE mount. Dropping it unmounts it and ends the client.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    daemon: Daemon,
}

impl Mount {
    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The client process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// What the client has logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Waits until the mount answers, as after a restart of the brick.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_connected(&mut self) {
        let path = self.path.clone();
        self.daemon.wait_until(PATIENCE, "a mount to answer again", |_| answers(&path));
    }

    /// Unmounts, and waits for the end of the client.
    ///
    /// # Panics
    /// When the mount is busy or the client does not end.
    pub fn unmount(mut self) {
        if let Err(told) = try_run(tool("umount").arg(&self.path)) {
            panic!("{told}");
        }
        self.daemon.wait();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if is_mounted(&self.path) {
            let _ = try_run(tool("umount").arg("-l").arg(&self.path));
        }
    }
}

/// Whether something is mounted exactly there.
fn is_mounted(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

/// Whether the root of a mount can be looked at. In a process of its own, that can be killed.
fn answers(path: &Path) -> bool {
    try_run(tool("timeout").args(["-s", "KILL", "20", "stat"]).arg(path)).is_ok()
}
