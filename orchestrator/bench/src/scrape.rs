//! The engine's commits, from the `/metrics` of the server.

use std::collections::BTreeMap;

/// The commits so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitMetrics {
    /// Transactions.
    pub commits: f64,
    /// Inputs in them.
    pub inputs: f64,
    /// Cumulative counts of batches, by the bound of the bucket.
    buckets: BTreeMap<String, f64>,
}

impl CommitMetrics {
    /// Parses the Prometheus text format. The series of several shards are added up.
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();

        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };

            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                "saga_commits_total" => metrics.commits += value,
                "saga_commit_batch_size_sum" => metrics.inputs += value,
                "saga_commit_batch_size_bucket" => {
                    if let Some(bound) = bucket_bound(labels) {
                        *metrics.buckets.entry(bound.to_owned()).or_default() += value;
                    }
                }
                _ => {}
            }
        }
        metrics
    }

    /// The commits since an earlier sample.
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().map(|(bound, count)| {
            let earlier_count = earlier.buckets.get(bound).copied().unwrap_or(0.0);
            (bound.clone(), count - earlier_count)
        });

        Self {
            commits: self.commits - earlier.commits,
            inputs: self.inputs - earlier.inputs,
            buckets: buckets.collect(),
        }
    }

    /// The mean batch.
    pub fn mean_batch(&self) -> Option<f64> {
        (self.commits > 0.0).then(|| self.inputs / self.commits)
    }

    /// The largest batch as far as the buckets show it: the bound of the highest bucket that is not empty.
    pub fn max_batch(&self) -> Option<f64> {
        let total = self.buckets.values().copied().fold(0.0, f64::max);
        if total <= 0.0 {
            return None;
        }

        // Counts are cumulative, so the first bucket with all batches has the largest one.
        let bounds = self.buckets.iter().filter(|(_, count)| **count >= total);
        bounds
            .filter_map(|(bound, _)| bound.parse::<f64>().ok())
            .min_by(f64::total_cmp)
            .filter(|bound| bound.is_finite())
    }
}

/// The label `le` of a bucket.
fn bucket_bound(labels: &str) -> Option<&str> {
    labels.split("le=\"").nth(1)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_parsed_and_subtracted() {
        let before = "# HELP x\nsaga_commits_total{shard=\"0\"} 10\nsaga_commits_total{shard=\"1\"} 5\n\
            saga_commit_batch_size_bucket{le=\"1\"} 15\nsaga_commit_batch_size_bucket{le=\"10\"} 15\n\
            saga_commit_batch_size_bucket{le=\"+Inf\"} 15\nsaga_commit_batch_size_sum 15\n";
        let after = "saga_commits_total{shard=\"0\"} 20\nsaga_commits_total{shard=\"1\"} 5\n\
            saga_commit_batch_size_bucket{le=\"1\"} 20\nsaga_commit_batch_size_bucket{le=\"10\"} 25\n\
            saga_commit_batch_size_bucket{le=\"+Inf\"} 25\nsaga_commit_batch_size_sum 55\n";

        let metrics = CommitMetrics::parse(after).since(&CommitMetrics::parse(before));
        assert_eq!(metrics.commits, 10.0);
        assert_eq!(
            (metrics.mean_batch(), metrics.max_batch()),
            (Some(4.0), Some(10.0))
        );

        let none = CommitMetrics::default();
        assert_eq!((none.mean_batch(), none.max_batch()), (None, None));
    }
}
