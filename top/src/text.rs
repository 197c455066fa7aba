//! Words for figures, and a page as plain text.

use crate::page::Page;
use std::fmt::Write;

/// A time, with two places that matter.
pub fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A short time in nanoseconds.
pub fn short(ns: u64) -> String {
    match ns {
        0..1000 => format!("{ns} ns"),
        1000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}

/// A number, in thousands from ten thousand on.
pub fn number(n: f64) -> String {
    match n {
        n if n < 9.95 && n.fract() > 0.0 => format!("{n:.1}"),
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 10_000_000.0 => format!("{:.0}k", n / 1e3),
        n => format!("{:.0}M", n / 1e6),
    }
}

/// What `--once` prints.
pub fn plain(page: &Page) -> String {
    let mut text = String::new();
    // A `String` takes everything.
    let _ = writeln!(text, "{}  pid {}  up {}", page.runtime, page.pid, age(page.metric("uptime_ms")));
    let mut names: Vec<_> = page.metrics.iter().collect();
    names.sort();
    text.push('\n');
    for (name, value) in names {
        let _ = writeln!(text, "{name:<24} {value:>12}");
    }
    let _ = writeln!(
        text,
        "\n{:<7}{:<9}{:>12}{:>10}{:>10}{:>8}  {:<8} SPAWNED AT",
        "WORKER", "STATE", "POLLS", "STEALS", "PARKS", "QUEUED", "TASK"
    );
    for w in &page.workers {
        let _ = writeln!(
            text,
            "{:<7}{:<9}{:>12}{:>10}{:>10}{:>8}  {:<8} {}",
            w.index, w.state, w.polls, w.steals, w.parks, w.queued, w.task, w.site
        );
    }
    if !page.stalls.is_empty() {
        let _ = writeln!(text, "\n{:>9} {:>12}  {:<8} SPAWNED AT", "STALLS", "LONGEST", "LAST");
        for s in &page.stalls {
            let _ = writeln!(text, "{:>9} {:>12}  {:<8} {}", s.count, age(s.longest_ms), s.task, s.site);
        }
    }
    let _ = writeln!(text, "\n{:>9} {:>12}  {:<8} {:<11} SPAWNED AT", "TASKS", "OLDEST", "STATE", "WAITS FOR");
    for g in &page.groups {
        let _ = writeln!(text, "{:>9} {:>12}  {:<8} {:<11} {}", g.count, age(g.oldest_ms), g.state, g.wait, g.site);
    }
    if page.more.0 > 0 {
        let _ = writeln!(text, "{:>9} in {} smaller groups", page.more.1, page.more.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::sample;

    #[test]
    fn figures_have_their_words() {
        let ages = [0, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 90_000_000].map(age);
        let words =
            ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "23 h 59 min", "1 d 01 h"];
        assert_eq!(ages, words);
        assert_eq!(
            [0.0, 1.5, 99.6, 9999.0, 12_345.0, 2e6, 3e7].map(number),
            ["0", "1.5", "100", "9999", "12k", "2000k", "30M"]
        );
        assert_eq!([17, 1500, 2_000_000, 3_100_000_000].map(short), ["17 ns", "1.5 µs", "2.0 ms", "3.1 s"]);
    }

    #[test]
    fn plain_text_has_everything() {
        let text = plain(&sample());
        for part in [
            "chat  pid 4711  up 1 h 02 min\n",
            "tasks_live",
            "busy",
            "42       src/chat.rs:10:5\n",
            "2        1.5 s  77       src/chat.rs:40:9\n",
            "chan recv",
            "2 h 00 min",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        assert!(text.ends_with("3 in 2 smaller groups\n"));
    }
}
