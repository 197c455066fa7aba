//! The charts, as SVG inside the page.
//!
//! Widths are in percent of the chart, heights and text in pixels, so that a chart fits any width without its text
//! shrinking. Every bar has its name and its numbers on it.

use super::page::{anchor, escape};
use super::{digits, quantity, unit};
use crate::figure::Better;
use crate::peer::Rank;
use crate::row::{Column, Row};
use std::fmt::Write;

/// Pixels from one bar to the next, and of a bar.
const STEP: usize = 30;
const BAR: usize = 26;

/// A bar may be so many times as long as ours and the best peer's; longer ones are broken off, or the others could not be
/// told apart.
const LONGEST: f64 = 5.0;

/// Percent of the width that the longest bar has, so that the end of its whisker is seen.
const WIDEST: f64 = 99.6;

/// Pixels of the overview.
const HEIGHT: f64 = 240.0;

/// The overview ends at such a ratio, and at its inverse.
const GREATEST: f64 = 32.0;

/// A bar for each column that was measured, the best on top, and a line for each limit.
pub fn bars(row: &Row) -> String {
    let mut columns: Vec<_> = row.columns.iter().filter_map(|column| Some((column.median()?, column))).collect();
    columns.sort_by(|(one, _), (other, _)| match row.better {
        Better::Higher => other.total_cmp(one),
        Better::Lower | Better::Zero | Better::Neither => one.total_cmp(other),
    });
    let (limits, bars): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(_, column)| column.rank == Rank::Limit);
    let failed: Vec<_> =
        row.columns.iter().filter(|column| column.samples.is_empty() && !column.failed.is_empty()).collect();
    let full = full_width(row);
    let percent = |value: f64| if full > 0.0 { (value / full * WIDEST).clamp(0.0, WIDEST) } else { 0.0 };

    let plot = (bars.len() + failed.len()) * STEP;
    let height = plot + limits.len() * 20;
    let mut svg = format!(
        "<svg class=\"bars\" role=\"img\" width=\"100%\" height=\"{height}\" aria-label=\"{}\">\n",
        escape(&in_words(row))
    );
    for (index, &(median, column)) in bars.iter().enumerate() {
        bar(&mut svg, row, column, median, index * STEP, &percent, median > full);
    }
    for (index, column) in failed.iter().enumerate() {
        let baseline = (bars.len() + index) * STEP + 17;
        let peer = escape(&column.peer);
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{baseline}\" class=\"failed\"><tspan class=\"name\">{peer}</tspan> failed</text>"
        );
    }
    for (index, &(median, column)) in limits.iter().enumerate() {
        let x = percent(median);
        let (baseline, anchor) = (plot + index * 20 + 14, if x > 50.0 { "end" } else { "start" });
        let bottom = baseline - 12;
        let label = escape(&format!("limit: {} {}", column.peer, quantity(median, &row.unit)));
        let _ = writeln!(
            svg,
            "<g class=\"limit\" data-peer=\"{}\" data-median=\"{median}\"><line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"{bottom}\"/>\
             <text x=\"{x:.2}%\" y=\"{baseline}\" text-anchor=\"{anchor}\">{label}</text></g>",
            escape(&column.peer)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(
    svg: &mut String,
    row: &Row,
    column: &Column,
    median: f64,
    top: usize,
    percent: &impl Fn(f64) -> f64,
    is_broken: bool,
) {
    let class = match column.rank {
        Rank::Ours => "bar ours",
        Rank::Peer | Rank::Variant | Rank::Limit => "bar",
    };
    let (peer, width) = (escape(&column.peer), percent(median));
    let _ = writeln!(svg, "<g class=\"{class}\" data-peer=\"{peer}\" data-median=\"{median}\">");
    let _ = writeln!(svg, "<rect x=\"0\" y=\"{}\" width=\"{width:.2}%\" height=\"{BAR}\" rx=\"3\"/>", top + 2);
    if is_broken {
        for x in [96.5, 98.5] {
            let (from, to) = (x + 0.5, x - 0.5);
            let (upper, lower) = (top, top + BAR + 4);
            let _ = writeln!(svg, "<line class=\"break\" x1=\"{from}%\" x2=\"{to}%\" y1=\"{upper}\" y2=\"{lower}\"/>");
        }
    }
    let mut spread = String::new();
    if let Some((least, greatest)) = column.range().filter(|(least, greatest)| least < greatest) {
        let (from, to, y) = (percent(least), percent(greatest), top + BAR - 3);
        if !is_broken {
            let (upper, lower) = (y - 3, y + 3);
            let _ = writeln!(
                svg,
                "<line x1=\"{from:.2}%\" x2=\"{to:.2}%\" y1=\"{y}\" y2=\"{y}\"/>\
                 <line x1=\"{from:.2}%\" x2=\"{from:.2}%\" y1=\"{upper}\" y2=\"{lower}\"/>\
                 <line x1=\"{to:.2}%\" x2=\"{to:.2}%\" y1=\"{upper}\" y2=\"{lower}\"/>"
            );
        }
        spread =
            format!(" <tspan class=\"spread\">{}..{}</tspan>", digits(least, &row.unit), digits(greatest, &row.unit));
    }
    let value = escape(&quantity(median, &row.unit));
    let missing = match column.failed.len() {
        0 => String::new(),
        failed => format!(" <tspan class=\"failed\">{failed} failed</tspan>"),
    };
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{}\"><tspan class=\"name\">{peer}</tspan> <tspan class=\"value\">{value}</tspan>{spread}{missing}</text></g>",
        top + 17
    );
}

/// The value at the right end of a chart.
fn full_width(row: &Row) -> f64 {
    let greatest = row.columns.iter().filter_map(Column::range).map(|(_, greatest)| greatest).fold(0.0, f64::max);
    let ours = row.ours().and_then(Column::median).unwrap_or(0.0);
    let best = row.ratio().and_then(|ratio| ratio.best.median()).unwrap_or(0.0);
    let limit = row.columns.iter().filter(|column| column.rank == Rank::Limit).filter_map(Column::median);
    let of_interest = limit.fold(ours.max(best), f64::max);
    if of_interest > 0.0 { greatest.min(LONGEST * of_interest) } else { greatest }
}

/// The chart for those who cannot see it.
fn in_words(row: &Row) -> String {
    let told = |column: &Column| {
        let limit = if column.rank == Rank::Limit { " (limit)" } else { "" };
        Some(format!("{}{limit} {}", column.peer, quantity(column.median()?, &row.unit)))
    };
    let columns: Vec<_> = row.columns.iter().filter_map(told).collect();
    format!("{}: {}", row.label(), columns.join(", "))
}

/// All ratios on a logarithmic scale, from where we are ahead most to where we are behind most: upwards is ahead. Each
/// column leads to its row's chart.
pub fn overview(rows: &[Row]) -> String {
    let mut ratios: Vec<_> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((row.ratio()?, index, row))).collect();
    ratios.sort_by(|(one, ..), (other, ..)| one.cost.total_cmp(&other.cost));
    let log = |cost: f64| cost.clamp(1.0 / GREATEST, GREATEST).log2();
    // At least from twice as good to twice as bad, so that little does not look like much.
    let best = ratios.iter().map(|(ratio, ..)| log(ratio.cost)).fold(-1.0, f64::min).floor();
    let worst = ratios.iter().map(|(ratio, ..)| log(ratio.cost)).fold(1.0, f64::max).ceil();
    let y = |log: f64| 2.0 + (log - best) / (worst - best) * (HEIGHT - 4.0);
    let level = y(0.0);

    let ahead = ratios.iter().filter(|(ratio, ..)| ratio.leads()).count();
    let mut svg = format!(
        "<svg class=\"overview\" role=\"img\" width=\"100%\" height=\"{HEIGHT}\" \
         aria-label=\"ahead in {ahead} of {} rows\">\n",
        ratios.len()
    );
    // So that the labels of the lines have room.
    let stride = if worst - best > 6.0 { 2 } else { 1 };
    for power in (best as i32..=worst as i32).filter(|power| power % stride == 0) {
        let at = y(f64::from(power));
        let times = 1_u32 << power.unsigned_abs();
        let (label, x, anchor, baseline) = match power {
            0 => ("as good as the best peer".to_owned(), "100%", "end", at - 4.0),
            // The columns of those ahead are on the left, of those behind on the right.
            ..0 => (format!("{times}× better"), "100%", "end", at + 12.0),
            1.. => (format!("{times}× worse"), "0", "start", at - 4.0),
        };
        let class = if power == 0 { "level" } else { "grid" };
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"0\" x2=\"100%\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"axis\" x=\"{x}\" y=\"{baseline:.1}\" text-anchor=\"{anchor}\">{label}</text>"
        );
    }
    let step = 100.0 / ratios.len().max(1) as f64;
    for (place, (ratio, index, row)) in ratios.iter().enumerate() {
        let end = y(log(ratio.cost));
        // A column that would be too low to be seen still is.
        let (top, height) = if end < level { (end, level - end) } else { (level, end - level) };
        let class = match (ratio.leads(), ratio.is_clear) {
            (true, true) => "ahead",
            (false, true) => "behind",
            (_, false) => "near",
        };
        let title = escape(&format!("{}: {}", super::page::place(row), super::page::standing(row, ratio)));
        let _ = writeln!(
            svg,
            "<a href=\"#{}\"><rect class=\"{class}\" x=\"{:.3}%\" width=\"{:.3}%\" y=\"{top:.1}\" height=\"{:.1}\"/>\
             <title>{title}</title></a>",
            anchor(*index),
            place as f64 * step,
            step * 0.8,
            height.max(2.0)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// In words, which way a row gets better.
pub fn direction(row: &Row) -> String {
    let way = match row.better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
        Better::Zero => "must be 0",
        Better::Neither => "not compared",
    };
    match unit(&row.unit) {
        "" => way.to_owned(),
        unit => format!("{unit}, {way}"),
    }
}
