//! A bar chart in SVG.

use std::fmt::Write as _;

use crate::report::grouped;

const COLOURS: [&str; 4] = ["#9aa5b1", "#d1495b", "#2e6f95", "#edae49"];
const BAR: f64 = 34.0;
const GAP: f64 = 30.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 80.0;

/// Groups of bars, one bar for each series.
#[derive(Debug)]
pub(crate) struct Bars {
    title: String,
    unit: String,
    series: Vec<String>,
    groups: Vec<(String, Vec<f64>)>,
    logarithmic: bool,
}

impl Bars {
    pub(crate) fn new(title: &str, unit: &str, series: &[&str]) -> Bars {
        Bars {
            title: title.into(),
            unit: unit.into(),
            series: series.iter().map(ToString::to_string).collect(),
            groups: Vec::new(),
            logarithmic: false,
        }
    }

    /// Draws heights by their logarithms.
    pub(crate) fn logarithmic(mut self) -> Bars {
        self.logarithmic = true;
        self.unit += ", logarithmic";
        self
    }

    /// Bars that stand together; `label` may have several lines.
    pub(crate) fn group(&mut self, label: &str, values: &[f64]) {
        self.groups.push((label.into(), values.to_vec()));
    }

    /// The height of a bar from 0 to 1. A negative value has none: its number still stands there.
    fn height(&self, value: f64) -> f64 {
        let largest = self.groups.iter().flat_map(|(_, values)| values).fold(1.0, |a, b| b.max(a));
        let share = match self.logarithmic {
            true => value.max(1.0).ln() / f64::max(largest, 2.0).ln(),
            false => value / largest,
        };
        share.clamp(0.0, 1.0)
    }

    pub(crate) fn svg(&self) -> String {
        let group = self.series.len() as f64 * BAR * 1.35 + GAP;
        let width = (LEFT * 2.0 + self.groups.len() as f64 * group).max(560.0);
        let bottom = TOP + HEIGHT;
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{:.0}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="24" font-size="16">{}</text>"#,
            bottom + 50.0,
            escaped(&format!("{} ({})", self.title, self.unit)),
        );
        let mut x = LEFT;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            let _ = writeln!(
                out,
                r#"<rect x="{x:.0}" y="38" width="12" height="12" fill="{colour}"/><text x="{:.0}" y="48">{}</text>"#,
                x + 18.0,
                escaped(name)
            );
            x += 40.0 + 7.5 * name.len() as f64;
        }
        let _ = writeln!(
            out,
            r#"<line x1="{LEFT}" y1="{bottom}" x2="{:.0}" y2="{bottom}" stroke="black"/>"#,
            width - LEFT
        );
        for (place, (label, values)) in self.groups.iter().enumerate() {
            let start = LEFT + GAP / 2.0 + place as f64 * group;
            for (number, (value, colour)) in values.iter().zip(COLOURS).enumerate() {
                let x = start + number as f64 * BAR * 1.35;
                let height = self.height(*value) * HEIGHT;
                let y = bottom - height;
                let _ = writeln!(
                    out,
                    r#"<rect x="{x:.1}" y="{y:.1}" width="{BAR}" height="{height:.1}" fill="{colour}"/><text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="11">{}</text>"#,
                    x + BAR / 2.0,
                    y - 4.0,
                    grouped(*value)
                );
            }
            for (number, line) in label.lines().enumerate() {
                let _ = writeln!(
                    out,
                    r#"<text x="{:.1}" y="{:.0}" text-anchor="middle">{}</text>"#,
                    start + (group - GAP) / 2.0,
                    bottom + 20.0 + 16.0 * number as f64,
                    escaped(line)
                );
            }
        }
        out + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values() {
        let mut bars = Bars::new("a < b", "ns", &["one", "two"]);
        bars.group("g", &[50.0, 100.0]);
        assert_eq!((bars.height(50.0), bars.height(100.0), bars.height(-3.0)), (0.5, 1.0, 0.0));
        let svg = bars.svg();
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
        let bars = bars.logarithmic();
        assert!(bars.height(50.0) > 0.8 && bars.height(0.0) == 0.0);
    }
}
