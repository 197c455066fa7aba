//! The table: a row for each figure at each number of workers, a column for each peer with the median and the spread, and
//! the ratio of our median to the best peer's.
//!
//! Columns have fixed widths, so that a row can be printed as soon as it is known. Where other peers begin
//! to have the thing, there is a new head.

use crate::figure::{Better, Figure};
use crate::peer::{OURS, Peer};

/// The measurements of one figure.
pub struct Row {
    label: String,
    workers: usize,
    figure: &'static Figure,
    columns: Vec<Column>,
}

struct Column {
    name: &'static str,
    /// Whether the peer has the thing.
    is_possible: bool,
    samples: Vec<f64>,
}

/// Prints the line above the rows.
pub fn print_head(peers: &[&Peer]) {
    let names: String = peers.iter().map(|peer| format!("  {:<22}", peer.name)).collect();
    println!("{:<22} {:>7}  {:<5}{names}  {OURS} / best peer", "workload", "workers", "unit");
}

impl Row {
    /// A row without samples.
    pub fn new(
        workload: &str,
        workers: usize,
        figure: &'static Figure,
        peers: impl Iterator<Item = (&'static Peer, bool)>,
    ) -> Self {
        let column = |(peer, is_possible): (&Peer, bool)| Column { name: peer.name, is_possible, samples: Vec::new() };
        let columns = peers.map(column).collect();
        Row { label: format!("{workload} {}", figure.name), workers, figure, columns }
    }

    /// Adds a sample to a column.
    pub fn add(&mut self, column: usize, sample: f64) {
        self.columns[column].samples.push(sample);
    }

    /// Prints the row.
    pub fn print(&self) {
        let columns: String = self.columns.iter().map(|column| format!("  {:<22}", column.text())).collect();
        let ratio = self.ratio().map_or("-".to_owned(), |(ratio, best)| format!("{ratio:.2} ({best})"));
        println!("{:<22} {:>7}  {:<5}{columns}  {ratio}", self.label, self.workers, self.figure.unit);
    }

    /// What to say if our runtime did what it must never do.
    pub fn broken_promise(&self) -> Option<String> {
        let ours = self.columns.iter().find(|column| column.name == OURS)?;
        let broken = self.figure.better == Better::Zero && ours.samples.iter().any(|&sample| sample > 0.0);
        broken.then(|| format!("{} at {} workers must be 0", self.label, self.workers))
    }

    /// What to say of our median beside what it should be at most.
    pub fn beside(&self, aim: f64) -> Option<String> {
        let ours = self.columns.iter().find(|column| column.name == OURS)?.median()?;
        let verdict = if ours <= aim { "met" } else { "missed" };
        Some(format!(
            "{:<22} at most {:>5} {:<3} {:>6}, {verdict}",
            self.label,
            number(aim),
            self.figure.unit,
            number(ours)
        ))
    }

    /// Our median divided by the best peer's, and who that is.
    fn ratio(&self) -> Option<(f64, &'static str)> {
        let ours = self.columns.iter().find(|column| column.name == OURS)?.median()?;
        let theirs = self.columns.iter().filter(|column| column.name != OURS);
        let theirs = theirs.filter_map(|column| Some((column.median()?, column.name)));
        let (best, name) = match self.figure.better {
            Better::Lower => theirs.min_by(|(one, _), (other, _)| one.total_cmp(other))?,
            Better::Higher => theirs.max_by(|(one, _), (other, _)| one.total_cmp(other))?,
            Better::Zero => return None,
        };
        // Both may be 0, where that is the aim.
        let ratio = if ours == best { 1.0 } else { ours / best };
        Some((ratio, name))
    }
}

impl Column {
    fn median(&self) -> Option<f64> {
        median(&self.samples)
    }

    fn text(&self) -> String {
        let Some(median) = self.median() else {
            return if self.is_possible { "failed" } else { "-" }.to_owned();
        };
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{} ({}..{})", number(median), number(least), number(most))
    }
}

/// The middle of the samples, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// About three digits that mean something.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{median, number};

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn a_number_keeps_three_digits() {
        assert_eq!([0.0, 0.123, 12.34, 123.4].map(number), ["0", "0.12", "12.3", "123"]);
    }
}
