//! Latencies in a histogram: bounded memory, quantiles within 1 %.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Longer latencies are counted as this one: a server answers within 30 s.
const MAX_LATENCY: Duration = Duration::from_secs(3600);
/// Three significant digits keep the error of a quantile below 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The latencies of completed sagas, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        let max_micros = u64::try_from(MAX_LATENCY.as_micros()).expect("an hour fits");
        let histogram = Histogram::new_with_bounds(1, max_micros, SIGNIFICANT_DIGITS)
            .expect("the bounds are valid");
        Self {
            histogram,
            max: Duration::ZERO,
        }
    }
}

impl Latencies {
    /// Adds a latency.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(micros.max(1));
        self.max = self.max.max(latency);
    }

    /// The latency that this share (0 to 1) of all did not exceed, in milliseconds; `None` without any.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let quantile = self.histogram.value_at_quantile(share) as f64 / 1000.0;
        // A bucket is reported by its upper bound, which may exceed the highest latency.
        self.max_ms().map(|max| quantile.min(max))
    }

    /// The highest latency, in milliseconds; `None` without any.
    pub fn max_ms(&self) -> Option<f64> {
        (!self.histogram.is_empty()).then_some(self.max.as_secs_f64() * 1000.0)
    }
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
            let quantile = latencies.quantile_ms(share).unwrap();
            assert!(
                (quantile - exact).abs() / exact < 0.01,
                "{share}: {quantile} is not {exact}"
            );
        }
        assert_eq!(latencies.max_ms(), Some(100.0));
    }

    #[test]
    fn empty_histogram_has_no_quantiles() {
        let latencies = Latencies::default();
        assert_eq!(
            (latencies.quantile_ms(0.5), latencies.max_ms()),
            (None, None)
        );
    }

    #[test]
    fn maximum_is_exact_beyond_the_histogram() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(10_000_000));
        assert_eq!(latencies.max_ms(), Some(10_000_000_000.0));
        assert!(latencies.quantile_ms(0.5).is_some());
    }
}
