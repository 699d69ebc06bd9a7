//! When a failed attempt is followed by another: a pure function of the schedule and of who asks.
//!
//! Exponential backoff with a symmetric jitter. The jitter is no random number but a hash of (saga, step, action,
//! attempt), so that replaying a saga's history gives the same times, while a thousand sagas that failed in one moment
//! still do not come back in one moment.

use crate::{Action, Failure};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// A retry schedule: the delay before attempt n+1 is `first · factor^(n−1)`, at most `max`, give or take `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How many attempts in all, the first included.
    pub attempts: u32,
    /// The delay behind the first attempt.
    #[serde(with = "crate::humane")]
    pub first: Duration,
    /// What each further delay is multiplied with: 1 to 10.
    pub factor: f64,
    /// The longest delay.
    #[serde(with = "crate::humane")]
    pub max: Duration,
    /// The share by which a delay is shortened or lengthened: 0 to 1.
    pub jitter: f64,
    /// Codes of errors that no further attempt follows, whatever the worker says of them; in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_retryable: Vec<String>,
}

impl RetryPolicy {
    /// What a step has unless its definition says otherwise.
    pub const STEP: Self = Self {
        attempts: 5,
        first: Duration::from_millis(200),
        factor: 2.0,
        max: Duration::from_secs(30),
        jitter: 0.2,
        not_retryable: Vec::new(),
    };

    /// What a compensation has unless its definition says otherwise: 20 attempts over 58 minutes.
    pub const COMPENSATION: Self = Self {
        attempts: 20,
        first: Duration::from_secs(1),
        factor: 2.0,
        max: Duration::from_secs(300),
        jitter: 0.2,
        not_retryable: Vec::new(),
    };

    /// The failure as this schedule takes it: final if its code is one of [`Self::not_retryable`].
    #[must_use]
    pub fn classify(&self, failure: Failure) -> Failure {
        let is_final = self.not_retryable.contains(&failure.code);
        Failure {
            retryable: failure.retryable && !is_final,
            ..failure
        }
    }

    /// The delay after the `failures`th failure (from 1), without jitter.
    pub fn base_delay(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let micros = as_f64(self.first) * self.factor.powi(exponent);
        if micros >= as_f64(self.max) {
            self.max
        } else {
            from_f64(micros)
        }
    }

    /// The delay after the `failures`th failure, with the jitter of that attempt.
    pub fn delay(&self, failures: u32, of: &Attempt<'_>) -> Duration {
        let plain = self.base_delay(failures);
        let share = 1.0 + self.jitter * of.jitter();
        from_f64(as_f64(plain) * share)
    }
}

/// Whose attempt it is: the seed of its jitter.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The saga.
    pub saga: Uuid,
    /// The step's name.
    pub step: &'a str,
    /// Forward or back.
    pub action: Action,
    /// The attempt that failed, from 1.
    pub attempt: u32,
}

impl Attempt<'_> {
    /// Between −1 and 1, the same for the same attempt. FNV-1a (RFC 9923), finished by the mixer of `SplitMix64`
    /// (Steele, Lea, Flood, 2014), since the last bytes of FNV reach too few of the high bits.
    fn jitter(&self) -> f64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let action = [self.action as u8];
        let attempt = self.attempt.to_le_bytes();
        for part in [
            self.saga.as_bytes().as_slice(),
            self.step.as_bytes(),
            &action,
            &attempt,
        ] {
            for byte in part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
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
fn as_f64(duration: Duration) -> f64 {
    duration.as_micros() as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "delays are positive and under 2⁵³ µs"
)]
fn from_f64(micros: f64) -> Duration {
    Duration::from_micros(micros.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attempt(saga: u128, attempt: u32) -> Attempt<'static> {
        Attempt {
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
    fn a_compensation_is_tried_for_about_an_hour() {
        let total: u64 = (1..20)
            .map(|n| RetryPolicy::COMPENSATION.base_delay(n).as_secs())
            .sum();
        assert_eq!(total, 3511);
    }

    #[test]
    fn a_thousand_sagas_spread_over_the_whole_jitter() {
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
        fn a_delay_is_the_same_each_time_and_within_its_jitter(saga: u128, n in 1..2000_u32, factor in 1.0..10.0_f64) {
            let retry = RetryPolicy { factor, ..RetryPolicy::STEP };
            let delay = retry.delay(n, &attempt(saga, n));
            prop_assert_eq!(delay, retry.delay(n, &attempt(saga, n)));
            let plain = retry.base_delay(n);
            prop_assert!(delay >= plain.mul_f64(0.799) && delay <= plain.mul_f64(1.201));
        }
    }
}
