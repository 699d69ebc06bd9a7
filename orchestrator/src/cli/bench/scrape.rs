//! What the server counts, read off its `/metrics`.

use std::collections::BTreeMap;

/// Figures of the engine's commits, as counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commits {
    /// Transactions.
    pub commits: f64,
    /// Inputs in them.
    pub inputs: f64,
    /// How many batches had at most so many inputs, by that number's text.
    buckets: BTreeMap<String, f64>,
}

impl Commits {
    /// Reads Prometheus' text; several replicas' or shards' series are added up.
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                "saga_commits_total" => read.commits += value,
                "saga_commit_batch_size_sum" => read.inputs += value,
                "saga_commit_batch_size_bucket" => {
                    if let Some(bound) = labels
                        .split("le=\"")
                        .nth(1)
                        .and_then(|rest| rest.split('"').next())
                    {
                        *read.buckets.entry(bound.to_owned()).or_default() += value;
                    }
                }
                _ => {}
            }
        }
        read
    }

    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let less =
            |bound: &String, count: &f64| count - before.buckets.get(bound).copied().unwrap_or(0.0);
        Self {
            commits: self.commits - before.commits,
            inputs: self.inputs - before.inputs,
            buckets: self
                .buckets
                .iter()
                .map(|(bound, count)| (bound.clone(), less(bound, count)))
                .collect(),
        }
    }

    /// Inputs a commit.
    pub fn mean(&self) -> Option<f64> {
        (self.commits > 0.0).then(|| self.inputs / self.commits)
    }

    /// The largest batch, as far as buckets can tell: the bound of the highest one that holds any.
    pub fn max(&self) -> Option<f64> {
        let all = self.buckets.values().copied().fold(0.0, f64::max);
        let mut bounds: Vec<_> = self
            .buckets
            .iter()
            .filter_map(|(b, count)| Some((b.parse::<f64>().ok()?, *count)))
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds
            .into_iter()
            .find(|(_, count)| all > 0.0 && *count >= all)
            .map(|(bound, _)| bound)
            .filter(|b| b.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_and_batches_are_read_and_subtracted() {
        let before = "# HELP x\nsaga_commits_total{shard=\"0\"} 10\nsaga_commits_total{shard=\"1\"} 5\n\
            saga_commit_batch_size_bucket{le=\"1\"} 15\nsaga_commit_batch_size_bucket{le=\"10\"} 15\n\
            saga_commit_batch_size_bucket{le=\"+Inf\"} 15\nsaga_commit_batch_size_sum 15\n";
        let after = "saga_commits_total{shard=\"0\"} 20\nsaga_commits_total{shard=\"1\"} 5\n\
            saga_commit_batch_size_bucket{le=\"1\"} 20\nsaga_commit_batch_size_bucket{le=\"10\"} 25\n\
            saga_commit_batch_size_bucket{le=\"+Inf\"} 25\nsaga_commit_batch_size_sum 55\n";
        let between = Commits::read(after).since(&Commits::read(before));
        assert_eq!(
            (between.commits, between.mean(), between.max()),
            (10.0, Some(4.0), Some(10.0))
        );
        assert_eq!(Commits::default().mean(), None);
        assert_eq!(Commits::default().max(), None);
    }
}
