//! What a brick has used: processor time, and page faults of the threads that carry fops.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gnotify_harness::rustix::process::Pid;
use nix::time::clock_getcpuclockid;

/// The threads of the host that carry a fop through the translators and back.
pub(crate) const FOP_PATH: &str = "glfs_iotwr";

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads, also of those that have ended. The clock of the process
    /// says it to the nanosecond; /proc/PID/stat counts ticks of 10 ms.
    pub(crate) cpu: Duration,
    /// Minor page faults of the threads named [`FOP_PATH`].
    pub(crate) faults: u64,
}

impl Usage {
    pub(crate) fn of(pid: Pid) -> Result<Usage, Box<dyn Error>> {
        let number = pid.as_raw_nonzero().get();
        let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(number))?;
        let mut faults = 0;
        for task in fs::read_dir(Path::new("/proc").join(number.to_string()).join("task"))? {
            // A thread may just have ended.
            let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
            let (name, of_thread) = minor_faults(&stat).ok_or_else(|| format!("stat: {stat}"))?;
            if name.starts_with(FOP_PATH) {
                faults += of_thread;
            }
        }
        Ok(Usage { cpu: clock.now()?.into(), faults })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(before.cpu),
            // Those of a thread that has ended are gone.
            faults: self.faults.saturating_sub(before.faults),
        }
    }
}

/// The name of a thread and its minor faults, from its `stat`: proc(5), fields 2 and 10.
fn minor_faults(stat: &str) -> Option<(&str, u64)> {
    // A name may hold brackets and blanks.
    let (head, fields) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    Some((name, fields.split(' ').nth(10 - 3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_behind_any_name() {
        let stat =
            "4711 (glfs_iotwr) (000) S 1 4711 4711 0 -1 4194368 1234 0 5 0 10 20 0 0 20 0 25";
        assert_eq!(minor_faults(stat), Some(("glfs_iotwr) (000", 1234)));
        assert_eq!(minor_faults("4711 (short) S 1"), None);
    }

    #[test]
    fn what_this_process_uses_grows() {
        let me = gnotify_harness::rustix::process::getpid();
        let before = Usage::of(me).unwrap();
        let mut sum = 0_u64;
        while Usage::of(me).unwrap().since(&before).cpu < Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
