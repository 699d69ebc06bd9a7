//! What processes cost: CPU and memory, from /proc. A process stands for itself and all its descendants, since
//! PostgreSQL answers each connection from a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

/// A tick of `utime` and `stime` in /proc: USER_HZ, which is 100 on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// A process to be measured: `NAME=PID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What it is called in the figures.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "NAME=PID is wanted, such as postgres=4711".to_owned();
        let (name, pid) = text.split_once('=').ok_or_else(wanted)?;
        let pid = pid.parse().map_err(|_| wanted())?;
        if name.is_empty() || name == "total" {
            return Err(wanted());
        }
        if !fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
            return Err(format!("there is no process {pid}"));
        }
        Ok(Self {
            name: name.to_owned(),
            pid,
        })
    }
}

/// CPU time used so far, by name; processes of one name are added up.
pub fn cpu(watched: &[Watched]) -> BTreeMap<String, Duration> {
    let all = Processes::now();
    let mut by_name = BTreeMap::new();
    for one in watched {
        let used: Duration = all
            .tree(one.pid)
            .iter()
            .filter_map(|pid| all.0.get(pid))
            .map(|process| process.cpu)
            .sum();
        *by_name.entry(one.name.clone()).or_default() += used;
    }
    by_name
}

/// Memory in MB (10⁶ bytes), by name: resident; of several processes the proportional share, so that what they share
/// counts once.
pub fn memory_mb(watched: &[Watched]) -> BTreeMap<String, f64> {
    let all = Processes::now();
    let mut by_name = BTreeMap::new();
    for one in watched {
        let tree = all.tree(one.pid);
        let kib: u64 = match tree.as_slice() {
            [pid] => resident_kib(*pid),
            tree => tree
                .iter()
                .map(|pid| proportional_kib(*pid).unwrap_or_else(|| resident_kib(*pid)))
                .sum(),
        };
        *by_name.entry(one.name.clone()).or_default() += kib as f64 * 1024.0 / 1e6;
    }
    by_name
}

/// How many files and connections this process may have open at once; `None`: it cannot be known.
pub fn open_files_most() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn resident_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:").unwrap_or(0)
}

fn proportional_kib(pid: u32) -> Option<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

struct Process {
    parent: u32,
    /// Its own, and that of its children that have ended: those alive count themselves.
    cpu: Duration,
}

struct Processes(BTreeMap<u32, Process>);

impl Processes {
    fn now() -> Self {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Self(BTreeMap::new());
        };
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(
            pids.filter_map(|pid| {
                Some((
                    pid,
                    Process::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
                ))
            })
            .collect(),
        )
    }

    /// A process and all its descendants.
    fn tree(&self, root: u32) -> Vec<u32> {
        let mut tree = vec![root];
        let mut at = 0;
        while let Some(&pid) = tree.get(at) {
            tree.extend(
                self.0
                    .iter()
                    .filter(|(_, process)| process.parent == pid)
                    .map(|(pid, _)| *pid),
            );
            at += 1;
        }
        tree
    }
}

impl Process {
    /// Out of /proc/PID/stat, behind the name in brackets, which may hold anything.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
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
    fn a_process_is_read_whatever_its_name() {
        let stat = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 100 50 25 5 20 0 1 0 9 0 0";
        let process = Process::read(stat).unwrap();
        assert_eq!(
            (process.parent, process.cpu),
            (7, Duration::from_millis(1800))
        );
    }

    #[test]
    fn this_process_has_memory_and_a_name() {
        let me = format!("me={}", std::process::id())
            .parse::<Watched>()
            .unwrap();
        assert!(memory_mb(std::slice::from_ref(&me))["me"] > 1.0);
        assert!(cpu(std::slice::from_ref(&me)).contains_key("me"));
        assert!(open_files_most().is_some_and(|most| most > 2));
        assert!("me".parse::<Watched>().is_err());
        assert!("me=0".parse::<Watched>().is_err());
        assert!("total=1".parse::<Watched>().is_err());
    }
}
