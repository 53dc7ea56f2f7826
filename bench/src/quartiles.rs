//! Figures that were taken several times: the median says what, the quartiles say how far it can be believed.

use serde_json::{Value, json};

use crate::report::verdict;

/// The middle of some figures, and the half of them that lies around it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Quartiles {
    /// Zeros where there are no figures.
    pub(crate) fn new(mut figures: Vec<f64>) -> Quartiles {
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let Some(last) = figures.len().checked_sub(1) else { return 0.0 };
            // Between two figures, in proportion.
            let place = share * last as f64;
            let below = place.floor() as usize;
            let next = figures[(below + 1).min(last)];
            figures[below] + (next - figures[below]) * place.fract()
        };
        Quartiles { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    /// "MEDIAN (LOW..HIGH)", with so many decimals.
    pub(crate) fn shown(&self, decimals: usize) -> String {
        let Quartiles { low, median, high } = self;
        format!("{median:.decimals$} ({low:.decimals$}..{high:.decimals$})")
    }

    /// Whether the median is at most `target`, with a question mark where the quartiles lie on both sides.
    pub(crate) fn verdict(&self, target: f64) -> String {
        let doubt = if self.low <= target && target < self.high { " ?" } else { "" };
        format!("{}{doubt}", verdict(self.median <= target))
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "low": self.low, "median": self.median, "high": self.high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        let five = Quartiles::new(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(five, Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        let four = Quartiles::new(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(four, Quartiles { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!((&*four.verdict(2.0), &*four.verdict(3.0)), ("NOT MET ?", "met ?"));
        assert_eq!((&*four.verdict(1.0), &*four.verdict(4.0)), ("NOT MET", "met"));
        assert_eq!(four.shown(1), "2.5 (1.8..3.2)");
        let one = Quartiles::new(vec![-7.0]);
        assert_eq!(one, Quartiles { low: -7.0, median: -7.0, high: -7.0 });
        assert_eq!(Quartiles::new(Vec::new()), Quartiles::default());
    }
}
