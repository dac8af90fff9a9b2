//! How long to wait before the next try to connect.

use std::time::Duration;

/// Full jitter: each wait is drawn evenly from zero to a limit that doubles with every failure.
///
/// Clients that lost the same server do not come back at the same moment, and none comes more often than it may.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// 0.5 s at first and 30 s at most, as Envoy does.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

impl Backoff {
    /// With that limit at first, and that limit at most.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait after a failure, from a random number of at least 0 and less than 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let limit = self
            .base
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        limit.mul_f64(random.clamp(0.0, 1.0))
    }

    /// A response came. A mere connection is no reason: a server that takes connections and drops them is in trouble.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xds_61_the_limit_doubles_up_to_the_cap_and_falls_with_a_response() {
        let mut backoff = Backoff::default();
        let limits: Vec<_> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(limits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.next(1.0).as_millis(), 500);
    }

    #[test]
    fn xds_61_every_wait_up_to_the_limit_is_possible() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(0.25).as_millis(), 250);
        assert_eq!(backoff.next(0.5).as_millis(), 1000);
    }

    #[test]
    fn a_long_outage_overflows_nothing() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.next(1.0) <= Duration::from_secs(30));
        }
    }
}
