//! Latencies, counted in buckets whose width grows with the value: fixed memory, every figure within 1 %.

use std::time::Duration;

/// Values below this many microseconds have a bucket each; above, each doubling has half as many. 2⁸ keeps the error of
/// a bucket's middle below 0.4 %.
const LINEAR: usize = 256;
/// Doublings above the linear part: up to 2⁸⁺³² µs, over 300 hours.
const DOUBLINGS: usize = 32;

/// How often each latency was seen.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    seen: u64,
    most: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: vec![0; LINEAR + DOUBLINGS * LINEAR / 2],
            seen: 0,
            most: Duration::ZERO,
        }
    }
}

impl Latencies {
    /// One more.
    pub fn record(&mut self, latency: Duration) {
        let micros = usize::try_from(latency.as_micros()).unwrap_or(usize::MAX);
        let bucket = bucket(micros).min(self.counts.len() - 1);
        self.counts[bucket] += 1;
        self.seen += 1;
        self.most = self.most.max(latency);
    }

    /// The latency that this share (0 to 1) of all stayed within, in milliseconds; `None` if there were none.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        if self.seen == 0 {
            return None;
        }
        let rank = ((self.seen as f64 * share).ceil() as u64).clamp(1, self.seen);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some((middle(bucket) / 1000.0).min(self.max_ms()?))
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.most.as_secs_f64() * 1000.0)
    }
}

fn bucket(micros: usize) -> usize {
    if micros < LINEAR {
        return micros;
    }
    let shift = (usize::BITS - micros.leading_zeros()) as usize - LINEAR.trailing_zeros() as usize;
    LINEAR + (shift - 1) * LINEAR / 2 + (micros >> shift) - LINEAR / 2
}

fn middle(bucket: usize) -> f64 {
    if bucket < LINEAR {
        return bucket as f64;
    }
    let (doubling, within) = (
        (bucket - LINEAR) / (LINEAR / 2),
        (bucket - LINEAR) % (LINEAR / 2),
    );
    let width = 2f64.powi(doubling as i32 + 1);
    (LINEAR / 2 + within) as f64 * width + width / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut latencies = Latencies::default();
        for micros in 1..=100_000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            let got = latencies.quantile_ms(share).unwrap();
            assert!(
                (got - exact).abs() / exact < 0.01,
                "{share}: {got} is not {exact}"
            );
        }
        assert_eq!(latencies.max_ms(), Some(100.0));
        assert_eq!(latencies.seen, 100_000);
    }

    #[test]
    fn nothing_seen_has_no_quantiles_and_the_longest_is_kept_whole() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), None);
        latencies.record(Duration::from_secs(10_000_000));
        assert_eq!(latencies.max_ms(), Some(10_000_000_000.0));
        assert!(latencies.quantile_ms(0.5).is_some());
    }
}
