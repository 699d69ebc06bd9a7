//! CPU and memory of processes, from /proc. A process includes its descendants, because PostgreSQL serves each
//! connection in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

/// A tick of `utime` and `stime` in /proc: USER_HZ, which is 100 on Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process to measure: `NAME=PID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessTarget {
    /// Its name in the report.
    pub name: String,
    pub pid: u32,
}

/// A text that names no process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("expected NAME=PID, such as postgres=4711")]
    Syntax,
    #[error("process {0} does not exist")]
    NotFound(u32),
}

impl FromStr for ProcessTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (name, pid) = text.split_once('=').ok_or(InvalidTarget::Syntax)?;
        let pid = pid.parse().map_err(|_| InvalidTarget::Syntax)?;

        // `total` is the sum of all in the report.
        if name.is_empty() || name == "total" {
            return Err(InvalidTarget::Syntax);
        }
        if !fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
            return Err(InvalidTarget::NotFound(pid));
        }
        Ok(Self {
            name: name.to_owned(),
            pid,
        })
    }
}

/// CPU time used so far, by name. Targets of the same name are added up.
pub fn cpu_time(targets: &[ProcessTarget]) -> BTreeMap<String, Duration> {
    let processes = Processes::read();
    let mut by_name = BTreeMap::new();

    for target in targets {
        let tree = processes.tree(target.pid);
        let used: Duration = tree
            .iter()
            .filter_map(|pid| processes.0.get(pid))
            .map(|process| process.cpu)
            .sum();
        *by_name.entry(target.name.clone()).or_default() += used;
    }
    by_name
}

/// Memory in MB (10⁶ bytes), by name: the resident set of a process; of several the proportional one, which counts
/// shared pages once.
pub fn memory_mb(targets: &[ProcessTarget]) -> BTreeMap<String, f64> {
    let processes = Processes::read();
    let mut by_name = BTreeMap::new();

    for target in targets {
        let tree = processes.tree(target.pid);
        let kib: u64 = match tree.as_slice() {
            [pid] => resident_kib(*pid),
            tree => tree
                .iter()
                .map(|pid| proportional_kib(*pid).unwrap_or_else(|| resident_kib(*pid)))
                .sum(),
        };
        *by_name.entry(target.name.clone()).or_default() += kib as f64 * 1024.0 / 1e6;
    }
    by_name
}

/// Limit of the open files of this process; `None` if it is unknown.
pub fn max_open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn resident_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:").unwrap_or(0)
}

fn proportional_kib(pid: u32) -> Option<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

struct Process {
    parent: u32,
    /// Its own, and that of its children that have ended.
    cpu: Duration,
}

struct Processes(BTreeMap<u32, Process>);

impl Processes {
    fn read() -> Self {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Self(BTreeMap::new());
        };
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(
            pids.filter_map(|pid: u32| Some((pid, Process::read(pid)?)))
                .collect(),
        )
    }

    /// A process and its descendants.
    fn tree(&self, root: u32) -> Vec<u32> {
        let mut tree = vec![root];
        let mut index = 0;
        while let Some(&parent) = tree.get(index) {
            let children = self
                .0
                .iter()
                .filter(|(_, process)| process.parent == parent);
            tree.extend(children.map(|(pid, _)| *pid));
            index += 1;
        }
        tree
    }
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses /proc/PID/stat. The fields follow the name in parentheses, which may contain any character.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();

        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self {
            parent: number(1)?,
            cpu: TICK * ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_with_any_process_name() {
        let stat = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 100 50 25 5 20 0 1 0 9 0 0";
        let process = Process::parse(stat).unwrap();
        assert_eq!(
            (process.parent, process.cpu),
            (7, Duration::from_millis(1800))
        );
    }

    #[test]
    fn own_process_is_measured() {
        let own: ProcessTarget = format!("own={}", std::process::id()).parse().unwrap();
        assert!(memory_mb(std::slice::from_ref(&own))["own"] > 1.0);
        assert!(cpu_time(std::slice::from_ref(&own)).contains_key("own"));
        assert!(max_open_files().is_some_and(|limit| limit > 2));
    }

    #[test]
    fn invalid_target_is_rejected() {
        assert_eq!("own".parse::<ProcessTarget>(), Err(InvalidTarget::Syntax));
        assert_eq!(
            "own=0".parse::<ProcessTarget>(),
            Err(InvalidTarget::NotFound(0))
        );
        assert_eq!(
            "total=1".parse::<ProcessTarget>(),
            Err(InvalidTarget::Syntax)
        );
    }
}
