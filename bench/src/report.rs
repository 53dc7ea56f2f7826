//! What is printed and written: tables, and the files under `target/bench`.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::svg::Bars;

/// What a part of the benchmark has to say.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) json: Value,
    pub(crate) plots: Vec<Bars>,
}

/// Writes `table.txt`, `results.json` and the plots.
pub(crate) fn write(dir: &Path, sections: &[Section]) -> io::Result<()> {
    let texts: Vec<&str> = sections.iter().map(|section| section.text.as_str()).collect();
    fs::write(dir.join("table.txt"), texts.join("\n"))?;
    let results: serde_json::Map<String, Value> =
        sections.iter().map(|part| (part.name.to_owned(), part.json.clone())).collect();
    fs::write(dir.join("results.json"), format!("{:#}\n", Value::from(results)))?;
    for section in sections {
        for (number, plot) in section.plots.iter().enumerate() {
            let number = if number == 0 { String::new() } else { format!("-{}", number + 1) };
            fs::write(dir.join(format!("{}{number}.svg", section.name)), plot.svg())?;
        }
    }
    Ok(())
}

/// A plain table: words to the left, numbers to the right. The first column holds words.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).len()).max().unwrap_or(0))
            .collect();
        let is_number =
            |text: String| text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c));
        let number = |column: usize| {
            column > 0 && self.rows.iter().skip(1).all(|row| is_number(cell(row, column)))
        };
        for row in &self.rows {
            let line: Vec<String> = (0..columns)
                .map(|column| match number(column) {
                    true => format!("{:>1$}", cell(row, column), width[column]),
                    false => format!("{:<1$}", cell(row, column), width[column]),
                })
                .collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Whether a figure reaches its target, as the tables say it.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT MET" }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [
            (0.0, "0"),
            (999.6, "1,000"),
            (-1_234_567.0, "-1,234,567"),
            (-0.2, "0"),
            (123.0, "123"),
        ] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::new(&["fop", "cost"]);
        table.row(vec!["unlink".into(), "7".into()]);
        assert_eq!(table.to_string(), "fop     cost\nunlink     7\n");
    }
}
