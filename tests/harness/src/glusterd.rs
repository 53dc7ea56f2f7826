//! A node with glusterd: volumes made, started, set and stopped as an administrator does it.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::daemon::Daemon;
use crate::gfapi::Gfapi;
use crate::mount::{Mount, MountSpec};
use crate::plugin::plugin;
use crate::sandbox::Sandbox;
use crate::tool::{run, tool, try_run};
use crate::wait::{PATIENCE, poll_until, wait_for};

/// The address of the node. glusterd does not take 127.0.0.1 for a brick.
pub const ADDRESS: &str = "10.77.1.1";

/// A running glusterd, with the plugin installed if it was asked to be.
#[derive(Debug)]
pub struct Glusterd {
    sandbox: Sandbox,
    daemon: Daemon,
}

impl Glusterd {
    pub(crate) fn start(sandbox: &Sandbox) -> Glusterd {
        run(tool("ip").args(["addr", "add", &format!("{ADDRESS}/24"), "dev", "lo"]));
        sandbox.cover_xlators();
        let log = sandbox.log("glusterd");
        let mut command = tool("glusterd");
        command.args(["-N", "-p", "/run/glusterd.pid", "-l"]).arg(&log);
        let mut daemon = Daemon::start(&mut command, &log);
        daemon.wait_until(PATIENCE, "glusterd to answer", |_| gluster(&["pool", "list"]).is_ok());
        Glusterd { sandbox: sandbox.clone(), daemon }
    }

    /// Installs the built plugin as `user/gnotify` and `features/gnotify`.
    pub fn install_plugin(&self) {
        self.install_as(&plugin(), &["user/gnotify.so", "features/gnotify.so"]);
    }

    /// Installs an object under names relative to the translator directory. Only this sandbox
    /// sees it.
    pub fn install_as(&self, object: &Path, names: &[&str]) {
        self.sandbox.install_as(object, names);
    }

    /// The glusterd process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Runs `gluster --mode=script`, and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn gluster(&self, args: &[&str]) -> String {
        gluster(args).unwrap_or_else(|told| panic!("{told}"))
    }

    /// Like [`Glusterd::gluster`], for what may fail.
    ///
    /// # Errors
    /// The command's status and output.
    pub fn try_gluster(&self, args: &[&str]) -> Result<String, String> {
        gluster(args)
    }

    /// Creates a volume with so many bricks (distributed), and returns their directories.
    pub fn create(&self, volume: &str, bricks: usize) -> Vec<PathBuf> {
        self.create_with(volume, &[], bricks)
    }

    /// Creates a volume with words such as `["replica", "3"]`.
    pub fn create_with(&self, volume: &str, layout: &[&str], bricks: usize) -> Vec<PathBuf> {
        let dir = self.sandbox.path("bricks");
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let dirs: Vec<_> = (1..=bricks).map(|k| dir.join(format!("{volume}-{k}"))).collect();
        self.with_bricks(&["volume", "create", volume], layout, &dirs);
        dirs
    }

    /// Adds bricks on these directories to a volume, with words such as `["replica", "3"]`.
    pub fn add_bricks(&self, volume: &str, layout: &[&str], dirs: &[PathBuf]) {
        self.with_bricks(&["volume", "add-brick", volume], layout, dirs);
    }

    fn with_bricks(&self, command: &[&str], layout: &[&str], dirs: &[PathBuf]) {
        let names: Vec<_> = dirs.iter().map(|d| format!("{ADDRESS}:{}", d.display())).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        // The bricks are on the root file system.
        self.gluster(&[command, layout, &names, &["force"]].concat());
    }

    /// Starts a volume; returns when its bricks are up.
    pub fn start_volume(&self, volume: &str) {
        self.gluster(&["volume", "start", volume, "force"]);
        self.wait_bricks(volume);
    }

    /// Stops a volume: SIGTERM to its bricks, or a detach when they are multiplexed.
    pub fn stop_volume(&self, volume: &str) {
        self.gluster(&["volume", "stop", volume]);
    }

    /// Sets an option of a volume, or with "all" of the cluster.
    pub fn set(&self, volume: &str, key: &str, value: &str) {
        self.gluster(&["volume", "set", volume, key, value]);
    }

    /// Puts gnotify into the graph of a volume's bricks, directly above stock upcall. It is there
    /// from the next start.
    pub fn add_gnotify(&self, volume: &str) {
        self.set(volume, "user.xlator.gnotify", "upcall");
    }

    /// Sets an option of gnotify.
    pub fn set_gnotify(&self, volume: &str, key: &str, value: &str) {
        self.set(volume, &format!("user.xlator.gnotify.{key}"), value);
    }

    /// From now on, bricks share one process (`cluster.brick-multiplex`).
    pub fn multiplex(&self) {
        self.set("all", "cluster.brick-multiplex", "on");
    }

    /// The process of a brick, or of all multiplexed bricks.
    ///
    /// # Panics
    /// When it does not run.
    pub fn brick_pid(&self, volume: &str, brick: &Path) -> Pid {
        running(&pid_file(volume, brick))
            .unwrap_or_else(|| panic!("brick {} does not run", brick.display()))
    }

    /// SIGKILL to a brick; returns when it is gone. [`Glusterd::start_volume`] brings it back.
    pub fn kill9_brick(&self, volume: &str, brick: &Path) {
        let pid = self.brick_pid(volume, brick);
        kill_process(pid, Signal::KILL).unwrap_or_else(|e| panic!("kill {pid:?}: {e}"));
        wait_for("a killed brick to go", || test_kill_process(pid).is_err());
    }

    /// The log of a brick.
    pub fn brick_log(&self, brick: &Path) -> String {
        let log = format!("bricks/{}", dashed(brick));
        let text = std::fs::read(self.sandbox.log(&log)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Mounts a volume under the name `name`.
    pub fn mount(&self, volume: &str, name: &str) -> Mount {
        self.mount_spec(volume, name).start()
    }

    /// A mount that is not started yet.
    pub fn mount_spec(&self, volume: &str, name: &str) -> MountSpec {
        MountSpec::of_volume(&self.sandbox, name, ADDRESS, volume)
    }

    /// A gfapi client of a volume as it is now.
    pub fn gfapi(&self, volume: &str) -> Gfapi {
        Gfapi::of_volume(&self.sandbox, volume)
    }

    /// Waits until the self-heal daemon has nothing left to do.
    ///
    /// # Panics
    /// When it does not come to an end.
    pub fn wait_healed(&self, volume: &str) {
        poll_until(PATIENCE, "a volume to be healed", || {
            // It is told to begin: by itself it looks every ten minutes, or when a brick comes back.
            let _ = gluster(&["volume", "heal", volume]);
            let text = gluster(&["volume", "heal", volume, "info", "summary"]).ok()?;
            let key = "Total Number of entries: ";
            let mut left = text.lines().filter_map(|line| line.strip_prefix(key)).peekable();
            left.peek()?;
            left.all(|count| count.trim() == "0").then_some(())
        });
    }

    /// Rebalances a volume, and waits until that is done.
    ///
    /// # Panics
    /// When it fails, or does not come to an end.
    pub fn rebalance(&self, volume: &str) {
        self.gluster(&["volume", "rebalance", volume, "start", "force"]);
        poll_until(PATIENCE, "a rebalance to be done", || {
            let text = gluster(&["volume", "rebalance", volume, "status"]).ok()?;
            assert!(!text.contains("failed "), "{text}");
            text.lines().any(|line| line.contains(" completed ")).then_some(())
        });
    }

    /// Waits until every brick of a volume is online.
    ///
    /// # Panics
    /// When one does not come.
    pub fn wait_bricks(&self, volume: &str) {
        let status = || gluster(&["volume", "status", volume, "detail"]);
        poll_until(PATIENCE, "all bricks to be online", || {
            let text = status().ok()?;
            let mut online = text.lines().filter(|line| line.starts_with("Online")).peekable();
            online.peek()?;
            online.all(|line| line.trim_end().ends_with('Y')).then_some(())
        });
    }
}

fn gluster(args: &[&str]) -> Result<String, String> {
    let mut command = tool("timeout");
    command.args(["-s", "KILL", "180", "gluster", "--mode=script"]).args(args);
    try_run(&mut command)
}

/// `/a/b` as GlusterFS writes it in names of files: `a-b`.
fn dashed(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').replace('/', "-")
}

fn pid_file(volume: &str, brick: &Path) -> PathBuf {
    format!("/run/gluster/vols/{volume}/{ADDRESS}-{}.pid", dashed(brick)).into()
}

/// The process in a pid file, if it lives.
fn running(pid_file: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?)?;
    test_kill_process(pid).is_ok().then_some(pid)
}
