//! Durations as text.

use std::time::Duration;

/// Formats a duration with at most two units: `350 ms`, `1.2 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`.
pub fn format_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        seconds @ 3_600..86_400 => two_units(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        seconds => two_units(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_at_most_two_units() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (1_240, "1.2 s"),
            (59_999, "59 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(
                format_duration(Duration::from_millis(milliseconds)),
                expected
            );
        }
    }
}
