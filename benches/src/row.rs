//! A row: all samples of one figure at one number of workers, a column for each peer, and what is made of them: medians,
//! spreads, and the ratio of our median to the best peer's.
//!
//! Owned and plain, because rows are written to a file and read from it by another process.

use crate::figure::{Better, Figure};
use crate::peer::{Peer, Rank};
use crate::workload::{Theme, Workload};
use serde::{Deserialize, Serialize};

/// The number of workers for which figures have aims.
pub const AIMED_AT: usize = 2;

/// The measurements of one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub workload: String,
    pub theme: Theme,
    /// What the workload is for.
    pub about: String,
    /// What distinguishes the figure from the others of its workload; may be empty.
    pub figure: String,
    pub unit: String,
    pub better: Better,
    /// What our median should be at most, here.
    pub aim: Option<f64>,
    pub workers: usize,
    pub columns: Vec<Column>,
}

/// What one peer did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub peer: String,
    pub rank: Rank,
    /// Whether the peer has not the thing, or is not here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub absent: bool,
    /// One for each repetition that did not fail, in their order.
    pub samples: Vec<f64>,
    /// Why repetitions failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Our median beside the best peer's.
pub struct Ratio<'a> {
    /// Ours divided by the best peer's.
    pub value: f64,
    /// The same as if it were a cost: below 1 we are ahead, whichever way the figure gets better. 0 or infinite where one of
    /// the medians is 0.
    pub cost: f64,
    pub best: &'a Column,
    /// Whether each of our samples is on the same side of each of theirs.
    pub is_clear: bool,
}

/// In how many rows we lead at one number of workers.
pub struct Leads {
    pub workers: usize,
    /// Rows that have a ratio.
    pub compared: usize,
    /// Those in which our median is the better one.
    pub led: usize,
    /// Those in which all of our samples are.
    pub clear: usize,
}

impl Row {
    /// A row without samples.
    pub fn new(
        workload: &Workload,
        workers: usize,
        figure: &Figure,
        peers: impl Iterator<Item = (&'static Peer, bool)>,
    ) -> Self {
        let column = |(peer, is_possible): (&Peer, bool)| Column {
            peer: peer.name.to_owned(),
            rank: peer.rank,
            absent: !is_possible,
            samples: Vec::new(),
            failed: Vec::new(),
        };
        Row {
            workload: workload.name.to_owned(),
            theme: workload.kind.theme(),
            about: workload.about.to_owned(),
            figure: figure.name.to_owned(),
            unit: figure.unit.to_owned(),
            better: figure.better,
            aim: figure.aim.filter(|_| workers == AIMED_AT),
            workers,
            columns: peers.map(column).collect(),
        }
    }

    /// The workload and what distinguishes the figure.
    pub fn label(&self) -> String {
        format!("{} {}", self.workload, self.figure).trim_end().to_owned()
    }

    /// Our column.
    pub fn ours(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.rank == Rank::Ours)
    }

    /// What to say if our runtime did what it must never do.
    pub fn broken_promise(&self) -> Option<String> {
        let broken = self.better == Better::Zero && self.ours()?.samples.iter().any(|&sample| sample > 0.0);
        broken.then(|| format!("{} at {} workers must be 0", self.label(), self.workers))
    }

    /// Our median beside the best peer's. `None` without both, for a figure that is not compared, and for numbers below 0.
    pub fn ratio(&self) -> Option<Ratio<'_>> {
        let ours = self.ours()?;
        let has_peer = self.columns.iter().any(|column| column.rank == Rank::Peer);
        let compared = if has_peer { Rank::Peer } else { Rank::Variant };
        let theirs = self.columns.iter().filter(|column| column.rank == compared);
        let theirs = theirs.filter_map(|column| Some((column.median()?, column)));
        let (best, column) = match self.better {
            Better::Lower => theirs.min_by(|(one, _), (other, _)| one.total_cmp(other))?,
            Better::Higher => theirs.max_by(|(one, _), (other, _)| one.total_cmp(other))?,
            Better::Zero | Better::Neither => return None,
        };
        let median = ours.median()?;
        if median < 0.0 || best < 0.0 {
            return None;
        }
        let value = if median == best { 1.0 } else { median / best };
        let cost = if self.better == Better::Higher { 1.0 / value } else { value };
        let (ours, theirs) = (ours.range()?, column.range()?);
        Some(Ratio { value, cost, best: column, is_clear: ours.1 < theirs.0 || theirs.1 < ours.0 })
    }
}

impl Ratio<'_> {
    /// Whether our median is better.
    pub fn leads(&self) -> bool {
        self.cost < 1.0
    }
}

impl Column {
    /// The median of its samples.
    pub fn median(&self) -> Option<f64> {
        median(&self.samples)
    }

    /// The least and the greatest of its samples.
    pub fn range(&self) -> Option<(f64, f64)> {
        let least = self.samples.iter().copied().min_by(f64::total_cmp)?;
        let greatest = self.samples.iter().copied().max_by(f64::total_cmp)?;
        Some((least, greatest))
    }
}

/// For each number of workers in how many rows we lead; none where nothing is compared.
pub fn leads(rows: &[Row]) -> Vec<Leads> {
    let mut leads: Vec<Leads> = Vec::new();
    for row in rows {
        let Some(ratio) = row.ratio() else {
            continue;
        };
        let at = leads.iter().position(|leads| leads.workers == row.workers).unwrap_or_else(|| {
            leads.push(Leads { workers: row.workers, compared: 0, led: 0, clear: 0 });
            leads.len() - 1
        });
        leads[at].compared += 1;
        leads[at].led += usize::from(ratio.leads());
        leads[at].clear += usize::from(ratio.leads() && ratio.is_clear);
    }
    leads.sort_unstable_by_key(|leads| leads.workers);
    leads
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
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.is_infinite() => "∞".to_owned(),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// So many, with the noun.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
pub mod tests {
    use super::{Column, Row, median, number};
    use crate::figure::Better;
    use crate::peer::Rank;
    use crate::workload::Theme;

    /// A row of ours and such columns, which costs something.
    pub fn row(better: Better, ours: &[f64], others: &[(&str, Rank, &[f64])]) -> Row {
        let column = |(peer, rank, samples): (&str, Rank, &[f64])| Column {
            peer: peer.to_owned(),
            rank,
            absent: samples.is_empty(),
            samples: samples.to_vec(),
            failed: Vec::new(),
        };
        let all = [("gambol", Rank::Ours, ours)].into_iter().chain(others.iter().copied());
        Row {
            workload: "spawn".to_owned(),
            theme: Theme::Tasks,
            about: "what it is for".to_owned(),
            figure: String::new(),
            unit: "ns".to_owned(),
            better,
            aim: None,
            workers: 2,
            columns: all.map(column).collect(),
        }
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_number_keeps_three_digits() {
        assert_eq!([0.0, 0.123, 9.87, 98.76, 987.6].map(number), ["0", "0.12", "9.87", "98.8", "988"]);
    }

    #[test]
    fn a_limit_is_never_the_best_peer() {
        let others: [(_, _, &[f64]); 3] =
            [("epoll", Rank::Limit, &[1.0]), ("tokio", Rank::Peer, &[4.0]), ("gambol-off", Rank::Variant, &[2.0])];
        let row = row(Better::Lower, &[3.0], &others);
        let ratio = row.ratio().unwrap();
        assert_eq!((ratio.value, ratio.best.peer.as_str(), ratio.leads()), (0.75, "tokio", true));
    }

    #[test]
    fn another_setting_is_compared_with_where_there_is_no_peer() {
        let alone = row(Better::Lower, &[3.0], &[("gambol-off", Rank::Variant, &[2.0])]);
        assert_eq!(alone.ratio().unwrap().value, 1.5);
        let limited = row(Better::Lower, &[3.0], &[("epoll", Rank::Limit, &[2.0])]);
        assert!(limited.ratio().is_none());
    }

    #[test]
    fn a_rate_leads_when_it_is_higher() {
        let rate = row(Better::Higher, &[8.0, 9.0, 10.0], &[("tokio", Rank::Peer, &[4.0, 6.0, 8.5])]);
        let ratio = rate.ratio().unwrap();
        assert_eq!((ratio.value, ratio.leads(), ratio.is_clear), (1.5, true, false));
    }

    #[test]
    fn nothing_and_less_than_nothing_have_a_ratio_or_none() {
        let cost = |ours: &[f64], theirs: &[f64]| {
            row(Better::Lower, ours, &[("tokio", Rank::Peer, theirs)]).ratio().map(|ratio| ratio.cost)
        };
        assert_eq!(cost(&[0.0], &[0.0]), Some(1.0));
        assert_eq!(cost(&[0.0], &[2.0]), Some(0.0));
        assert_eq!(cost(&[2.0], &[0.0]), Some(f64::INFINITY));
        assert_eq!(cost(&[2.0], &[-1.0]), None);
        assert_eq!(cost(&[2.0], &[]), None);
        assert_eq!(cost(&[], &[2.0]), None);
    }
}
