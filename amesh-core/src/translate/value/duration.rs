//! Durations: Envoy's are protobuf messages that it reads to the millisecond, APISIX's are numbers of seconds.

use envoy_types::pb::google::protobuf::Duration;

/// The longest time that Amesh writes: one day. It stands for "no limit" where APISIX demands a number above zero.
pub(crate) const NO_LIMIT: f64 = 86_400.0;

/// Whole milliseconds, as Envoy reads a duration; a negative one, which Envoy refuses, counts as zero.
pub(crate) fn millis(duration: &Duration) -> u64 {
    let Duration { seconds, nanos } = duration;
    let millis = i128::from(*seconds) * 1000 + i128::from(*nanos) / 1_000_000;
    u64::try_from(millis.max(0)).unwrap_or(u64::MAX)
}

/// Seconds as APISIX writes them, at most a day.
pub(crate) fn seconds(duration: &Duration) -> f64 {
    // A day has few enough milliseconds for a u32, which every f64 holds.
    let millis = u32::try_from(millis(duration).min(86_400_000)).unwrap_or(86_400_000);
    f64::from(millis) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_to_the_millisecond_and_kept_in_bounds() {
        let of = |seconds: i64, nanos: i32| super::seconds(&Duration { seconds, nanos });
        let same = |left: f64, right: f64| assert!((left - right).abs() < f64::EPSILON, "{left} {right}");
        same(of(10, 0), 10.0);
        same(of(0, 250_000_000), 0.25);
        same(of(0, 1_999_999), 0.001);
        same(of(-1, 0), 0.0);
        same(of(i64::MAX, 0), NO_LIMIT);
    }
}
