//! An ssh server, by which root reaches root in the same sandbox: geo-replication goes to its secondary volume so.

use std::path::Path;

use crate::daemon::Daemon;
use crate::glusterd::ADDRESS;
use crate::sandbox::Sandbox;
use crate::tool::{run, tool, try_run};
use crate::wait::PATIENCE;

/// Settings and keys in private directories, where GlusterFS's tools look for them too. Nothing is taken from those of
/// the machine, and a locked password of root's keeps nobody out.
const PREPARE: &str = "
mount -t tmpfs -o mode=755 tmpfs /etc/ssh
cat > /etc/ssh/sshd_config <<'end'
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
MaxStartups 100
SetEnv TMPDIR=/run/tmp
Subsystem sftp internal-sftp
end
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f ~root/.ssh/id_ed25519
cp ~root/.ssh/id_ed25519.pub ~root/.ssh/authorized_keys
mkdir -p /run/sshd
(umask 077; echo 'root:*:::::::' > /run/shadow)
mount --bind /run/shadow /etc/shadow
";

/// Starts it; returns when it lets root in.
pub(crate) fn start(sandbox: &Sandbox) -> Daemon {
    let sshd = Path::new("/usr/sbin/sshd");
    assert!(sshd.exists(), "this test needs sshd: apt-get install openssh-server");
    run(tool("bash").args(["-euc", PREPARE]));
    let log = sandbox.log("sshd");
    let mut daemon = Daemon::start(tool(sshd).args(["-D", "-E"]).arg(&log), &log);
    daemon.wait_until(PATIENCE, "sshd to let root in", |_| {
        let options = ["-oBatchMode=yes", "-oStrictHostKeyChecking=no"];
        try_run(tool("ssh").args(options).args([&format!("root@{ADDRESS}"), "true"])).is_ok()
    });
    daemon
}
