//! The table on the terminal: a row for each figure at each number of workers, a column for each peer with the median and
//! the spread, and the ratio of our median to the best peer's.
//!
//! Columns have fixed widths, so that a row can be printed as soon as it is known. Where other peers begin
//! to have the thing, there is a new head.

use crate::peer::{OURS, Peer, Rank};
use crate::row::{AIMED_AT, Column, Leads, Row, count, leads, number};

/// Prints the line above the rows.
pub fn print_head(peers: &[&Peer]) {
    let name = |peer: &&Peer| match peer.rank {
        Rank::Limit => format!("  {:<22}", format!("{} (limit)", peer.name)),
        Rank::Ours | Rank::Peer | Rank::Variant => format!("  {:<22}", peer.name),
    };
    let names: String = peers.iter().map(name).collect();
    println!("{:<26} {:>7}  {:<5}{names}  {OURS} / best peer", "workload", "workers", "unit");
}

/// Prints a row.
pub fn print(row: &Row) {
    let columns: String = row.columns.iter().map(|column| format!("  {:<22}", cell(column))).collect();
    let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{} ({})", number(ratio.value), ratio.best.peer));
    println!("{:<26} {:>7}  {:<5}{columns}  {ratio}", row.label(), row.workers, row.unit);
}

/// Prints what was aimed at, and at each number of workers in how many rows we lead.
pub fn print_summary(rows: &[Row]) {
    let aims: Vec<_> = rows.iter().filter_map(beside_aim).collect();
    if !aims.is_empty() {
        println!("\naims of {OURS} at {AIMED_AT} workers, for the median\n{}", aims.join("\n"));
    }
    println!();
    for Leads { workers, compared, led, .. } in leads(rows) {
        println!("{OURS} leads in {led} of {compared} rows at {}", count(workers, "worker"));
    }
}

/// What to say of our median beside what it should be at most, if there is an aim.
fn beside_aim(row: &Row) -> Option<String> {
    let aim = row.aim?;
    let ours = row.ours()?.median()?;
    let verdict = if ours <= aim { "met" } else { "missed" };
    let (label, unit) = (row.label(), &row.unit);
    Some(format!("{label:<26} at most {:>5} {unit:<3} {:>6}, {verdict}", number(aim), number(ours)))
}

fn cell(column: &Column) -> String {
    match (column.median(), column.range()) {
        (Some(median), Some((least, greatest))) => {
            format!("{} ({}..{})", number(median), number(least), number(greatest))
        }
        _ if column.absent => "-".to_owned(),
        _ => "failed".to_owned(),
    }
}
