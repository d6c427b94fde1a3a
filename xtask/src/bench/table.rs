//! Medians, ranges and ratios as a Markdown table.

use std::fmt;

use super::side::Side;

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

struct Row {
    name: String,
    unit: &'static str,
    better: Better,
    values: [Vec<f64>; 2],
}

/// What was measured of two sides; the same side twice when there is nothing to compare with.
pub struct Table {
    title: String,
    sides: [Side; 2],
    rows: Vec<Row>,
}

impl Table {
    pub fn new(title: &str, sides: [Side; 2]) -> Self {
        Self { title: title.to_owned(), sides, rows: Vec::new() }
    }

    /// One value of one round.
    pub fn add(&mut self, name: &str, unit: &'static str, better: Better, side: Side, value: f64) {
        let column = usize::from(side != self.sides[0]);
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), unit, better, values: [Vec::new(), Vec::new()] });
            self.rows.len() - 1
        });
        self.rows[at].values[column].push(value);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        let compared = self.sides[0] != self.sides[1];
        if compared {
            writeln!(f, "| | {} | {} | ratio |", self.sides[0].name, self.sides[1].name)?;
            writeln!(f, "|---|---:|---:|---:|")?;
        } else {
            writeln!(f, "| | {} |\n|---|---:|", self.sides[0].name)?;
        }
        for row in &self.rows {
            write!(f, "| {} | {} |", row.name, cell(&row.values[0], row.unit))?;
            if compared {
                write!(f, " {} | {} |", cell(&row.values[1], row.unit), row.ratio())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Row {
    /// How many times better the first side is.
    fn ratio(&self) -> String {
        let [ours, theirs] = [0, 1].map(|side| median(&self.values[side]));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return "–".to_owned() };
        let (over, under) = if self.better == Better::Higher { (ours, theirs) } else { (theirs, ours) };
        if under > 0.0 { format!("{:.1} ×", over / under) } else { "–".to_owned() }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// `1,234 /s (1,100–1,300)`
fn cell(values: &[f64], unit: &str) -> String {
    let Some(middle) = median(values) else { return "–".to_owned() };
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let space = if unit.starts_with('/') { "" } else { " " };
    if values.len() == 1 {
        return format!("{}{space}{unit}", number(middle));
    }
    format!("{}{space}{unit} ({}–{})", number(middle), number(least), number(most))
}

/// Three digits that matter, thousands set apart.
fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn numbers_have_three_digits_that_matter() {
        assert_eq!(
            [1.234, 12.34, 123.4, 1_234.5, 1_234_567.0].map(number),
            ["1.23", "12.3", "123", "1,234", "1,234,567"]
        );
    }
}
