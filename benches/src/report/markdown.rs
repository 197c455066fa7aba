//! Tables for a README: what was measured on, and for each theme a table of medians, rows beside peers, with the ratio.

use super::{digits, unit};
use crate::figure::Better;
use crate::peer::{OURS, Rank};
use crate::results::Together;
use crate::row::{Row, number};
use std::fmt::Write;

/// All of them, with what they were measured on above.
pub fn tables(results: &Together) -> String {
    let mut text = String::new();
    let place = &results.place;
    let state = if place.dirty { " with changes" } else { "" };
    let versions: Vec<_> = place.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let _ = writeln!(
        text,
        "{}, {} processors, Linux {}, {}, {}, commit {}{state}; {}.\n",
        place.machine,
        place.processors,
        place.kernel,
        place.compiler,
        place.profile,
        place.commit,
        versions.join(", ")
    );
    for run in &results.runs {
        let go = run.go.as_deref().unwrap_or("no Go");
        let ended = if run.ended.is_some() { "" } else { ", cut off" };
        let _ = writeln!(text, "- {}: `{}`; {go}{ended}", run.begun, run.command);
    }
    for theme in results.rows.chunk_by(|one, other| one.theme == other.theme) {
        let _ = writeln!(text, "\n{}:\n", theme[0].theme.title());
        table(&mut text, theme);
    }
    text
}

fn table(text: &mut String, rows: &[Row]) {
    let mut peers: Vec<(&str, Rank)> = Vec::new();
    for column in rows.iter().flat_map(|row| &row.columns) {
        if !peers.iter().any(|&(peer, _)| peer == column.peer) {
            peers.push((&column.peer, column.rank));
        }
    }
    let names: String = peers.iter().map(|&(peer, rank)| format!(" {} |", head(peer, rank))).collect();
    let _ = writeln!(text, "| row | workers |{names} {OURS} / best |");
    let _ = writeln!(text, "| --- | ---: |{} ---: |", " ---: |".repeat(peers.len()));
    for row in rows {
        let cells: String = peers.iter().map(|&(peer, _)| format!(" {} |", cell(row, peer))).collect();
        let ratio = row
            .ratio()
            .map_or("-".to_owned(), |ratio| format!("{} ({})", number(ratio.value), escape(&ratio.best.peer)));
        let _ = writeln!(text, "| {} | {} |{cells} {ratio} |", label(row), row.workers);
    }
}

fn head(peer: &str, rank: Rank) -> String {
    let peer = escape(peer);
    if rank == Rank::Limit { format!("{peer} (limit)") } else { peer }
}

/// The row, its unit, and which way it gets better where that is not downwards.
fn label(row: &Row) -> String {
    let parts = [
        row.label(),
        unit(&row.unit).to_owned(),
        match row.better {
            Better::Lower => "",
            Better::Higher => "more is better",
            Better::Zero => "must be 0",
            Better::Neither => "not compared",
        }
        .to_owned(),
    ];
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).map(|part| escape(part)).collect();
    parts.join(", ")
}

fn cell(row: &Row, peer: &str) -> String {
    match row.columns.iter().find(|column| column.peer == peer) {
        None => "-".to_owned(),
        Some(column) if column.absent => "-".to_owned(),
        Some(column) => column.median().map_or("failed".to_owned(), |median| digits(median, &row.unit)),
    }
}

/// What would end a cell does not.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
