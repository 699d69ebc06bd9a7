//! The retry schedule: a pure function of the policy and of the attempt that failed.
//!
//! Exponential backoff with a symmetric jitter. The jitter is not random but a hash of (saga, step, action, attempt):
//! replaying a saga's history gives the same times, while a thousand sagas that failed at one moment still do not
//! retry at one moment.

use crate::{Action, Failure};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// A retry schedule: the delay before attempt n+1 is `first · factor^(n−1)`, at most `max`, plus or minus `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Maximum number of attempts, the first included.
    pub attempts: u32,
    /// The delay after the first attempt.
    #[serde(with = "humantime_serde")]
    pub first: Duration,
    /// The factor between two delays: 1 to 10.
    pub factor: f64,
    /// The longest delay.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
    /// The share by which a delay is shortened or lengthened: 0 to 1.
    pub jitter: f64,
    /// Error codes that are final even if the worker reports them as retryable, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_retryable: Vec<String>,
}

impl RetryPolicy {
    /// The default of a step.
    pub const STEP: Self = Self {
        attempts: 5,
        first: Duration::from_millis(200),
        factor: 2.0,
        max: Duration::from_secs(30),
        jitter: 0.2,
        not_retryable: Vec::new(),
    };

    /// The default of a compensation: 20 attempts over 58 minutes.
    pub const COMPENSATION: Self = Self {
        attempts: 20,
        first: Duration::from_secs(1),
        factor: 2.0,
        max: Duration::from_secs(300),
        jitter: 0.2,
        not_retryable: Vec::new(),
    };

    /// Marks the failure as final if its code is one of [`Self::not_retryable`].
    #[must_use]
    pub fn classify(&self, failure: Failure) -> Failure {
        let is_final = self.not_retryable.contains(&failure.code);
        Failure {
            retryable: failure.retryable && !is_final,
            ..failure
        }
    }

    /// The delay after the nth failure (`failures` counts from 1), without jitter.
    pub fn base_delay(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let micros = as_micros(self.first) * self.factor.powi(exponent);

        if micros >= as_micros(self.max) {
            self.max
        } else {
            from_micros(micros)
        }
    }

    /// The delay after the nth failure, with the jitter of the attempt that failed.
    pub fn delay(&self, failures: u32, attempt: &AttemptId<'_>) -> Duration {
        let scale = 1.0 + self.jitter * attempt.jitter();
        from_micros(as_micros(self.base_delay(failures)) * scale)
    }
}

/// Identifies an attempt: the seed of its jitter.
#[derive(Clone, Copy, Debug)]
pub struct AttemptId<'a> {
    /// The saga.
    pub saga: Uuid,
    /// The step's name.
    pub step: &'a str,
    /// The direction.
    pub action: Action,
    /// The attempt that failed, from 1.
    pub attempt: u32,
}

impl AttemptId<'_> {
    /// A number from −1 to 1, the same for the same attempt.
    ///
    /// FNV-1a (RFC 9923), finished by the mixer of `SplitMix64` (Steele, Lea, Flood, 2014), because the last bytes
    /// of FNV reach too few of the high bits.
    fn jitter(&self) -> f64 {
        let action = [self.action as u8];
        let attempt = self.attempt.to_le_bytes();
        let parts: [&[u8]; 4] = [
            self.saga.as_bytes(),
            self.step.as_bytes(),
            &action,
            &attempt,
        ];

        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in parts.into_iter().flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }

        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;

        let unit = f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        unit * 2.0 - 1.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "365 days of microseconds need 45 of the 53 bits"
)]
fn as_micros(duration: Duration) -> f64 {
    duration.as_micros() as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "delays are positive and under 2⁵³ µs"
)]
fn from_micros(micros: f64) -> Duration {
    Duration::from_micros(micros.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attempt(saga: u128, attempt: u32) -> AttemptId<'static> {
        AttemptId {
            saga: Uuid::from_u128(saga),
            step: "pay",
            action: Action::Execute,
            attempt,
        }
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let delays: Vec<_> = (1..=9)
            .map(|n| RetryPolicy::STEP.base_delay(n).as_millis())
            .collect();
        assert_eq!(
            delays,
            [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]
        );
    }

    #[test]
    fn compensation_retries_last_about_an_hour() {
        let total: u64 = (1..20)
            .map(|n| RetryPolicy::COMPENSATION.base_delay(n).as_secs())
            .sum();
        assert_eq!(total, 3511);
    }

    #[test]
    fn jitter_spreads_a_thousand_sagas() {
        let delays: Vec<_> = (0..1000)
            .map(|saga| RetryPolicy::STEP.delay(1, &attempt(saga, 1)).as_millis())
            .collect();
        assert!(
            delays.iter().any(|ms| *ms < 165) && delays.iter().any(|ms| *ms > 235),
            "{delays:?}"
        );
        assert!(
            delays.iter().all(|ms| (160..=240).contains(ms)),
            "{delays:?}"
        );
    }

    proptest! {
        #[test]
        fn delay_is_deterministic_and_within_its_jitter(
            saga: u128, n in 1..2000_u32, factor in 1.0..10.0_f64
        ) {
            let retry = RetryPolicy { factor, ..RetryPolicy::STEP };
            let delay = retry.delay(n, &attempt(saga, n));
            prop_assert_eq!(delay, retry.delay(n, &attempt(saga, n)));
            let base = retry.base_delay(n);
            prop_assert!(delay >= base.mul_f64(0.799) && delay <= base.mul_f64(1.201));
        }
    }
}
