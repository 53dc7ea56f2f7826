//! The distribution of measured times.

use serde_json::{Value, json};

/// Times in nanoseconds, in order.
#[derive(Debug, Clone)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn new(mut times: Vec<u64>) -> Times {
        times.sort_unstable();
        Times(times)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The same with the time that it takes to ask for the time taken off.
    pub(crate) fn without(&self, clock: u64) -> Times {
        Times(self.0.iter().map(|time| time.saturating_sub(clock)).collect())
    }

    /// The time that `per_mille` of all are not above; 0 when there is none.
    pub(crate) fn at(&self, per_mille: usize) -> u64 {
        let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }

    pub(crate) fn p50(&self) -> u64 {
        self.at(500)
    }

    pub(crate) fn p99(&self) -> u64 {
        self.at(990)
    }

    pub(crate) fn p999(&self) -> u64 {
        self.at(999)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "count": self.0.len(),
            "p50_ns": self.p50(),
            "p99_ns": self.p99(),
            "p99.9_ns": self.p999(),
            "max_ns": self.at(1000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let times = Times::new((1..=1000).rev().collect());
        assert_eq!((times.p50(), times.p99(), times.p999()), (500, 990, 999));
        assert_eq!(times.at(1000), 1000);
        assert_eq!(Times::new(vec![7]).p999(), 7);
        assert_eq!(Times::new(Vec::new()).p50(), 0);
        assert_eq!(times.without(600).p50(), 0);
    }
}
