//! The page: what the comparison says, then the charts, theme by theme, then what it was measured on.

use super::{chart, quantity};
use crate::figure::Better;
use crate::peer::{OURS, Rank};
use crate::results::{Run, Together};
use crate::row::{Column, Leads, Ratio, Row, count, leads, number};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn page(results: &Together) -> String {
    let rows = &results.rows;
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{OURS} beside its peers</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    html.push_str(&format!("<h1>{OURS} beside its peers</h1>\n"));
    html.push_str(&opening(results));
    html.push_str(&warnings(results));
    html.push_str(&summary(rows));
    html.push_str(&behind(rows));
    html.push_str(&aims(rows));
    html.push_str(&themes(rows));
    html.push_str(&measured_on(results));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// What a row's chart is called in links.
pub fn anchor(index: usize) -> String {
    format!("row-{index}")
}

/// The row and its number of workers.
pub fn place(row: &Row) -> String {
    format!("{}, {}", row.label(), count(row.workers, "worker"))
}

/// A ratio in words.
pub fn standing(row: &Row, ratio: &Ratio<'_>) -> String {
    let verdict = match (ratio.leads(), ratio.cost == 1.0, ratio.is_clear) {
        (_, true, _) => "level",
        (true, _, true) => "ahead",
        (true, _, false) => "ahead, within the spread",
        (false, _, true) => "behind",
        (false, _, false) => "behind, within the spread",
    };
    let median = ratio.best.median().map_or(String::new(), |median| quantity(median, &row.unit));
    format!("{} of {}'s {median}: {verdict}", number(ratio.value), ratio.best.peer)
}

/// Text as it may stand anywhere in the page.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What this is, in a few lines.
fn opening(results: &Together) -> String {
    let place = &results.place;
    let days: Vec<_> = results.runs.iter().map(|run| run.begun.split(' ').next().unwrap_or_default()).collect();
    let reps: Vec<_> = results.runs.iter().map(|run| count(run.reps, "repetition")).collect();
    let facts = format!(
        "Measured {} on {}, {}, Linux {}; {}.",
        unique(&days),
        place.machine,
        count(place.processors, "processor"),
        place.kernel,
        unique(&reps)
    );
    format!(
        "<p class=\"lead\">{}</p>\n\
         <p>Each measurement ran in a process of its own, in turns. A bar is the median of the repetitions, the whisker under \
         its label goes from the least to the greatest, and both are written on it. A bar with two gaps at its end is \
         longer than the chart. A dashed line is what the machine allows without any runtime. Figures are compared within \
         a chart; from one machine or day to another only the ratios are worth quoting.</p>\n",
        escape(&facts)
    )
}

/// The different ones among them.
fn unique(texts: &[impl AsRef<str>]) -> String {
    let mut seen: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    seen.dedup();
    seen.join(" and ")
}

/// What makes the figures worth less.
fn warnings(results: &Together) -> String {
    let mut warnings = Vec::new();
    if results.place.profile != "release" {
        warnings.push(format!("Built as {}: the figures mean nothing.", results.place.profile));
    }
    if results.place.dirty {
        warnings.push(format!("Measured with changes since commit {}.", results.place.commit));
    }
    for run in &results.runs {
        if run.ended.is_none() {
            warnings.push(format!("The run of {} was cut off: some rows are missing.", run.begun));
        }
        if run.reps == 1 {
            warnings.push("Measured once: nothing is known of the spread.".to_owned());
        }
        if run.scale < 1.0 {
            warnings.push(format!("Measured at scale {}: the operations are few and the figures rough.", run.scale));
        }
    }
    warnings.dedup();
    for row in &results.rows {
        for column in &row.columns {
            for reason in &column.failed {
                // A failed repetition is in all rows of its workload; once is enough.
                let warning = format!("{}, {}, {}: {reason}", row.workload, count(row.workers, "worker"), column.peer);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    if warnings.is_empty() {
        return String::new();
    }
    let items: String = warnings.iter().map(|warning| format!("<li>{}</li>\n", escape(warning))).collect();
    format!("<ul class=\"warnings\">\n{items}</ul>\n")
}

/// In how many rows we lead, and all ratios at a glance.
fn summary(rows: &[Row]) -> String {
    let leads = leads(rows);
    let mut html = String::from("<section>\n<h2>At a glance</h2>\n<div class=\"tiles\">\n");
    for Leads { workers, compared, led, clear } in &leads {
        let _ = writeln!(
            html,
            "<p class=\"tile\"><strong>{led} of {compared}</strong> rows are led by {OURS} at {}; in {clear} of them by \
             more than the spread of the repetitions</p>",
            count(*workers, "worker")
        );
    }
    html.push_str("</div>\n");
    if !leads.is_empty() {
        html.push_str(&chart::overview(rows));
        let _ = writeln!(
            html,
            "<p class=\"note\">Every row that has a peer, as {OURS}'s median beside the best peer's, from the best to the worst. \
             <span class=\"key ahead\"></span> ahead, <span class=\"key behind\"></span> behind, \
             <span class=\"key near\"></span> within the spread of the repetitions. A column leads to its chart.</p>"
        );
    } else {
        html.push_str("<p>Nothing here is compared with a peer.</p>\n");
    }
    html.push_str("</section>\n");
    html
}

/// The rows that we do not lead, the worst first.
fn behind(rows: &[Row]) -> String {
    let mut behind: Vec<_> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((row.ratio()?, index, row))).collect();
    if behind.is_empty() {
        return String::new();
    }
    behind.retain(|(ratio, ..)| !ratio.leads());
    behind.sort_by(|(one, ..), (other, ..)| other.cost.total_cmp(&one.cost));
    let mut html = format!("<section>\n<h2>Where {OURS} is not ahead</h2>\n");
    if behind.is_empty() {
        html.push_str("<p>Nowhere in these rows.</p>\n</section>\n");
        return html;
    }
    let _ = writeln!(
        html,
        "<p class=\"note\">In grey what is within the spread of the repetitions.</p>\n\
         <div class=\"wide\"><table>\n<thead><tr><th>row</th><th>workers</th><th class=\"n\">ratio</th>\
         <th class=\"n\">{OURS}</th><th>best peer</th></tr></thead>\n<tbody>"
    );
    for (ratio, index, row) in behind {
        let median = |column: &Column| column.median().map_or(String::new(), |median| quantity(median, &row.unit));
        let _ = writeln!(
            html,
            "<tr{}><td><a href=\"#{}\">{}</a></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{} {}</td></tr>",
            if ratio.is_clear { "" } else { " class=\"near\"" },
            anchor(index),
            escape(&row.label()),
            row.workers,
            number(ratio.value),
            escape(&row.ours().map_or(String::new(), median)),
            escape(&median(ratio.best)),
            escape(&ratio.best.peer)
        );
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
    html
}

/// What was aimed at, beside what was measured.
fn aims(rows: &[Row]) -> String {
    let aimed = |(index, row): (usize, &Row)| {
        let (aim, ours) = (row.aim?, row.ours()?.median()?);
        let verdict = if ours <= aim { "met" } else { "<strong>missed</strong>" };
        Some(format!(
            "<tr><td><a href=\"#{}\">{}</a></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{verdict}</td></tr>\n",
            anchor(index),
            escape(&row.label()),
            row.workers,
            escape(&quantity(aim, &row.unit)),
            escape(&quantity(ours, &row.unit))
        ))
    };
    let items: String = rows.iter().enumerate().filter_map(aimed).collect();
    if items.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>Aims</h2>\n<p>What {OURS}'s median is to be at most, whatever the peers do.</p>\n\
         <div class=\"wide\"><table>\n<thead><tr><th>row</th><th>workers</th><th class=\"n\">at most</th>\
         <th class=\"n\">measured</th><th></th></tr></thead>\n<tbody>\n{items}</tbody>\n</table></div>\n</section>\n"
    )
}

/// All rows: a section for each theme, a card for each workload, a chart for each figure and number of workers.
fn themes(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().enumerate().collect();
    let themes: Vec<_> = rows.chunk_by(|(_, one), (_, other)| one.theme == other.theme).collect();
    let link = |theme: &&[(usize, &Row)]| {
        let theme = theme[0].1.theme;
        format!("<a href=\"#{theme:?}\">{}</a>\n", escape(theme.title()))
    };
    let links: String = themes.iter().map(link).collect();
    let mut html = format!("<nav>\n{links}<a href=\"#measured-on\">Measured on</a>\n</nav>\n");
    for theme in themes {
        let name = theme[0].1.theme;
        let _ = writeln!(html, "<section id=\"{name:?}\">\n<h2>{}</h2>", escape(name.title()));
        for workload in theme.chunk_by(|(_, one), (_, other)| one.workload == other.workload) {
            let (name, about) = (escape(&workload[0].1.workload), escape(&workload[0].1.about));
            let _ =
                writeln!(html, "<article>\n<h3>{name}</h3>\n<p class=\"about\">{about}</p>\n<div class=\"charts\">");
            for &(index, row) in workload {
                html.push_str(&figure(index, row));
            }
            html.push_str("</div>\n</article>\n");
        }
        html.push_str("</section>\n");
    }
    html
}

/// The chart of a row, or a sentence where all bars would have no length.
fn figure(index: usize, row: &Row) -> String {
    let mut html = format!("<figure id=\"{}\">\n<figcaption>", anchor(index));
    if !row.figure.is_empty() {
        let _ = write!(html, "<b>{}</b>, ", escape(&row.figure));
    }
    let _ = write!(html, "{} · {}", count(row.workers, "worker"), escape(&chart::direction(row)));
    if let (Some(aim), Some(ours)) = (row.aim, row.ours().and_then(Column::median)) {
        let verdict = if ours <= aim { "met" } else { "missed" };
        let _ = write!(html, "; aim at most {}, {verdict}", escape(&quantity(aim, &row.unit)));
    }
    if let Some(ratio) = row.ratio() {
        let class = match (ratio.is_clear, ratio.leads()) {
            (false, _) => "near",
            (true, true) => "ahead",
            (true, false) => "behind",
        };
        let _ = write!(html, " <span class=\"verdict {class}\">{}</span>", escape(&standing(row, &ratio)));
    }
    html.push_str("</figcaption>\n");
    let measured: Vec<_> = row.columns.iter().filter(|column| !column.samples.is_empty()).collect();
    let is_zero = measured.iter().all(|column| column.samples.iter().all(|&sample| sample == 0.0));
    if row.better == Better::Zero && is_zero && !measured.is_empty() {
        let peers: Vec<_> = measured.iter().map(|column| escape(&column.peer)).collect();
        let _ = writeln!(html, "<p class=\"zero\">0 for all: {}</p>", peers.join(", "));
    } else {
        html.push_str(&chart::bars(row));
    }
    let absent: Vec<_> = row.columns.iter().filter(|column| column.absent).map(|column| escape(&column.peer)).collect();
    if !absent.is_empty() {
        let _ = writeln!(html, "<p class=\"absent\">absent: {}</p>", absent.join(", "));
    }
    html.push_str("</figure>\n");
    html
}

/// What was measured on what, and how.
fn measured_on(results: &Together) -> String {
    let mut html = String::from("<section id=\"measured-on\">\n<h2>Measured on</h2>\n<dl>\n");
    for (name, fact) in results.place.facts() {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&fact));
    }
    let peers: Vec<_> = kinds_of_peers(results);
    for (name, peers) in peers {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&peers));
    }
    for run in &results.runs {
        for (name, fact) in facts_of(run) {
            let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&fact));
        }
    }
    html.push_str("</dl>\n</section>\n");
    html
}

/// Who is compared with, and who is shown only.
fn kinds_of_peers(results: &Together) -> Vec<(&'static str, String)> {
    let of_rank = |rank: Rank| {
        let mut names: Vec<&str> = Vec::new();
        for column in results.rows.iter().flat_map(|row| &row.columns) {
            if column.rank == rank && !names.contains(&&*column.peer) {
                names.push(&column.peer);
            }
        }
        names.join(", ")
    };
    let kinds = [("peers", Rank::Peer), ("other settings", Rank::Variant), ("limits", Rank::Limit)];
    kinds.map(|(name, rank)| (name, of_rank(rank))).into_iter().filter(|(_, names)| !names.is_empty()).collect()
}

fn facts_of(run: &Run) -> [(&'static str, String); 5] {
    let ended = run.ended.as_ref().map_or("cut off".to_owned(), |ended| format!("until {ended}"));
    [
        ("command", run.command.clone()),
        ("run", format!("{}, {ended}", run.begun)),
        ("setting", format!("{}, scale {}", count(run.reps, "repetition"), run.scale)),
        ("load at start", run.load.clone()),
        ("Go", run.go.clone().unwrap_or("none".to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::figure::Better;
    use crate::machine::Place;
    use crate::peer::Rank;
    use crate::results::{Run, Together};
    use crate::row::Row;
    use crate::row::tests::row;

    fn told(rows: Vec<Row>) -> String {
        let place = Place {
            machine: "M <1> & \"2\"".to_owned(),
            processors: 2,
            kernel: "6".to_owned(),
            compiler: "rustc".to_owned(),
            profile: "release".to_owned(),
            commit: "abc".to_owned(),
            dirty: false,
            versions: [("tokio".to_owned(), "1".to_owned())].into(),
        };
        let run = Run {
            command: "compare --go '<x>'".to_owned(),
            begun: "today".to_owned(),
            ended: None,
            load: "0".to_owned(),
            go: None,
            reps: 1,
            scale: 1.0,
        };
        page(&Together { place, runs: vec![run], rows })
    }

    #[test]
    fn text_from_elsewhere_is_no_markup() {
        let mut strange = row(Better::Lower, &[1.0], &[("<b>", Rank::Peer, &[2.0])]);
        strange.workload = "a<script>".to_owned();
        strange.about = "c & d".to_owned();
        strange.columns[1].failed.push("</p>".to_owned());
        let html = told(vec![strange]);
        assert!(!html.contains("<script") && !html.contains("<b>") && html.contains("c &amp; d"), "{html}");
        assert!(html.contains("M &lt;1&gt; &amp; &quot;2&quot;") && html.contains("&#39;&lt;x&gt;&#39;"), "{html}");
        assert!(html.contains("gambol beside its peers") && html.contains("&lt;/p&gt;"), "{html}");
    }

    #[test]
    fn what_is_missing_or_nothing_leaves_a_page() {
        let zero: &[f64] = &[0.0];
        let mut failed = row(Better::Lower, &[], &[("tokio", Rank::Peer, &[])]);
        failed.columns[0].absent = false;
        failed.columns[0].failed.push("it hung".to_owned());
        let rows = vec![
            failed,
            row(Better::Lower, &[], &[("tokio", Rank::Peer, &[1.0])]),
            row(Better::Lower, &[1.0], &[]),
            row(Better::Lower, zero, &[("tokio", Rank::Peer, zero)]),
            row(Better::Lower, &[3.0], &[("tokio", Rank::Peer, zero)]),
            row(Better::Higher, zero, &[("tokio", Rank::Peer, &[3.0])]),
            row(Better::Zero, zero, &[("tokio", Rank::Peer, zero)]),
            row(Better::Neither, &[-1.0], &[("tokio", Rank::Peer, &[2.0])]),
        ];
        let html = told(rows);
        assert!(html.contains("it hung") && html.contains("0 for all: gambol, tokio"), "{html}");
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        assert!(told(Vec::new()).contains("Nothing here is compared"));
        // Of the three with a ratio one is level, one infinitely worse, and one nothing instead of a rate.
        assert!(html.contains("<strong>0 of 3</strong>"), "{html}");
    }

    #[test]
    fn a_limit_is_a_line_and_no_bar() {
        let html =
            told(vec![row(Better::Higher, &[8.0], &[("tokio", Rank::Peer, &[6.0]), ("epoll", Rank::Limit, &[10.0])])]);
        assert!(html.contains("limit: epoll 10.0 ns") && html.contains("<strong>1 of 1</strong>"), "{html}");
        assert_eq!(html.matches("<g class=\"bar").count(), 2, "{html}");
        assert_eq!(html.matches("<g class=\"limit").count(), 1, "{html}");
    }
}
