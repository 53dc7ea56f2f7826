//! A brick without glusterd: one glusterfsd from a graph of `volfiles/`, on a unix socket.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use crate::daemon::Daemon;
use crate::disk::{Disk, Exhausted};
use crate::gfapi::Gfapi;
use crate::mount::{Mount, MountSpec};
use crate::sandbox::Sandbox;
use crate::tool::tool;
use crate::volfile::Volfile;
use crate::{PATIENCE, plugin, statedump};

/// A brick that is not started yet.
#[derive(Clone, Debug)]
pub struct BrickSpec {
    sandbox: Sandbox,
    name: String,
    graph: Volfile,
    options: Vec<(String, String)>,
    disk: Disk,
    plugin: Option<PathBuf>,
    wrapper: Vec<String>,
}

impl BrickSpec {
    pub(crate) fn new(sandbox: &Sandbox, name: &str) -> BrickSpec {
        BrickSpec {
            sandbox: sandbox.clone(),
            name: name.into(),
            graph: Volfile::named("brick.vol"),
            options: Vec::new(),
            disk: Disk::Directory,
            plugin: None,
            wrapper: Vec::new(),
        }
    }

    /// Another graph. `@BRICK@`, `@SOCKET@`, `@PLUGIN@` and `@OPTIONS@` are filled in.
    #[must_use]
    pub fn graph(mut self, graph: Volfile) -> BrickSpec {
        self.graph = graph;
        self
    }

    /// The graph without gnotify: `volfiles/brick-plain.vol`.
    #[must_use]
    pub fn plain(self) -> BrickSpec {
        self.graph(Volfile::named("brick-plain.vol"))
    }

    /// The graph with a translator below gnotify that holds these fops (`open,symlink`) back for so long, ahead of
    /// their change: `volfiles/brick-slowed.vol`.
    #[must_use]
    pub fn slowed(self, fops: &str, time: Duration) -> BrickSpec {
        let graph = Volfile::named("brick-slowed.vol").fill("FOPS", fops);
        self.graph(graph.fill("MICROSECONDS", time.as_micros().to_string()))
    }

    /// gnotify in the place of features/changelog: `volfiles/brick-changelog.vol`. Options are that one's.
    #[must_use]
    pub fn as_changelog(self) -> BrickSpec {
        self.sandbox.install_as(&plugin(), &["features/changelog.so"]);
        self.graph(Volfile::named("brick-changelog.vol"))
    }

    /// The same graph with the stock object.
    #[must_use]
    pub fn stock_changelog(self) -> BrickSpec {
        self.graph(Volfile::named("brick-changelog.vol"))
    }

    /// An option of gnotify. A later one replaces an earlier one of the same key.
    #[must_use]
    pub fn option(mut self, key: &str, value: &str) -> BrickSpec {
        self.options.retain(|(k, _)| k != key);
        self.options.push((key.into(), value.into()));
        self
    }

    /// What the brick's files are on.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> BrickSpec {
        self.disk = disk;
        self
    }

    /// Another build of the plugin than the one beside this test.
    #[must_use]
    pub fn plugin(mut self, plugin: &Path) -> BrickSpec {
        self.plugin = Some(plugin.into());
        self
    }

    /// Runs glusterfsd under another program, such as `["valgrind", "--tool=callgrind"]`.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> BrickSpec {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// Makes the disk and starts the brick; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(self) -> Brick {
        let at = self.sandbox.path(&self.name);
        self.disk.make(&at);
        let mut brick = Brick {
            dir: at.join("brick"),
            socket: format!("/run/gluster/{}.socket", self.name).into(),
            volfile: self.sandbox.path(format!("{}.vol", self.name)),
            spec: self,
            daemon: None,
        };
        std::fs::create_dir_all(&brick.dir)
            .unwrap_or_else(|e| panic!("{}: {e}", brick.dir.display()));
        brick.start();
        brick
    }
}

/// A brick. Dropping it kills the process.
#[derive(Debug)]
pub struct Brick {
    spec: BrickSpec,
    dir: PathBuf,
    socket: PathBuf,
    volfile: PathBuf,
    daemon: Option<Daemon>,
}

impl Brick {
    /// The brick directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The socket that it serves.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The graph that it runs.
    pub fn volfile(&self) -> &Path {
        &self.volfile
    }

    /// The sandbox that it is in.
    pub fn sandbox(&self) -> &Sandbox {
        &self.spec.sandbox
    }

    /// The process.
    ///
    /// # Panics
    /// When the brick is stopped.
    pub fn daemon(&mut self) -> &mut Daemon {
        let Some(daemon) = &mut self.daemon else { panic!("{}: not running", self.spec.name) };
        daemon
    }

    /// The process id.
    ///
    /// # Panics
    /// When the brick is stopped.
    pub fn pid(&self) -> Pid {
        let Some(daemon) = &self.daemon else { panic!("{}: not running", self.spec.name) };
        daemon.pid()
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Daemon::is_alive)
    }

    /// Sets an option for the next start. Only glusterd can change those of a running brick.
    pub fn set_option(&mut self, key: &str, value: &str) {
        self.spec = self.spec.clone().option(key, value);
    }

    /// Starts a stopped brick on the same directory; returns when it serves.
    ///
    /// # Panics
    /// When it runs already, or does not come up.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "{}: runs already", self.spec.name);
        self.write_volfile();
        let _ = std::fs::remove_file(&self.socket);
        let log = self.spec.sandbox.log(&self.spec.name);
        let mut words = self.spec.wrapper.clone();
        words.push("glusterfsd".into());
        let mut command = tool(&words[0]);
        command.args(&words[1..]).arg("-N").arg("-f").arg(&self.volfile).arg("-l").arg(&log);
        let mut daemon = Daemon::start(&mut command, &log);
        let socket = self.socket.clone();
        // The host prints its graph when every translator is up; the server listens before that.
        daemon.wait_until(PATIENCE, "a brick to serve", |daemon| {
            daemon.log().contains("Final graph:") && UnixStream::connect(&socket).is_ok()
        });
        self.daemon = Some(daemon);
    }

    fn write_volfile(&self) {
        let mut graph = self
            .spec
            .graph
            .clone()
            .fill("BRICK", self.dir.to_string_lossy())
            .fill("SOCKET", self.socket.to_string_lossy())
            .options(&self.spec.options);
        if graph.has("PLUGIN") {
            let plugin = self.spec.plugin.clone().unwrap_or_else(plugin::plugin);
            graph = graph.fill("PLUGIN", plugin::volfile_type(&plugin));
        }
        graph.write(self.volfile.clone());
    }

    /// SIGKILL. The directory and the mounts stay; [`Brick::start`] brings it back.
    pub fn kill9(&mut self) {
        self.daemon().kill9();
        self.daemon = None;
    }

    /// SIGTERM, as `gluster volume stop` sends it.
    pub fn terminate(&mut self) {
        self.daemon().terminate();
        self.daemon = None;
    }

    /// Uses up the memory under its disk, a [`Disk::Ext4InMemory`]: writes fail from now on.
    ///
    /// # Panics
    /// When it has another disk.
    pub fn exhaust_disk(&self) -> Exhausted {
        Exhausted::memory_of(&self.spec.sandbox.path(&self.spec.name))
    }

    /// Repairs the ext4 of a stopped brick, as after a disk that failed. What was not on disk is gone.
    ///
    /// # Panics
    /// When the brick runs, or the file system is beyond repair.
    pub fn repair_disk(&mut self) {
        assert!(self.daemon.is_none(), "{}: runs", self.spec.name);
        self.spec.disk.repair(&self.spec.sandbox.path(&self.spec.name));
    }

    /// What the running process has logged.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// All that was logged by this brick, also by earlier processes.
    pub fn whole_log(&self) -> String {
        let text = std::fs::read(self.spec.sandbox.log(&self.spec.name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The text of a new statedump.
    pub fn statedump(&self) -> String {
        statedump(self.pid())
    }

    /// The journal: what `gnotify dump --json` prints.
    pub fn dump(&self) -> Vec<serde_json::Value> {
        crate::dump(&self.dir)
    }

    /// Mounts the brick under the name `name`.
    pub fn mount(&self, name: &str) -> Mount {
        self.mount_spec(name).start()
    }

    /// A mount that is not started yet.
    pub fn mount_spec(&self, name: &str) -> MountSpec {
        MountSpec::of_socket(&self.spec.sandbox, name, &self.socket)
    }

    /// A gfapi client.
    pub fn gfapi(&self) -> Gfapi {
        Gfapi::new(&self.spec.sandbox, &self.socket)
    }
}
