//! `report`: the results of a comparison, or of several that belong together, as a page or as a table in Markdown.
//!
//! The page is one file without scripts and without anything from elsewhere. Its charts are SVG written by hand: bars in
//! percent of the width and text in pixels stay readable on a phone, and colours come from the page's style, so that they
//! follow the light or dark scheme; what draws into a fixed size with fixed colours can do neither.

mod chart; // the bars of a row, and all ratios at a glance
mod markdown; // tables for a README
mod page; // the page around the charts

use crate::args::{Args, Failure};
use crate::results::Together;
use crate::row::number;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

/// `report <results.json>... [--markdown] [--out path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let is_markdown = args.flag("--markdown");
    let out: Option<PathBuf> = args.option("--out")?;
    let paths: Vec<PathBuf> = args.rest("a file of results")?;
    let results = Together::read(&paths)?;
    let text = if is_markdown { markdown::tables(&results) } else { page::page(&results) };
    match out {
        None => stdout().write_all(text.as_bytes())?,
        Some(path) => fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?,
    }
    Ok(())
}

/// A unit as people write it.
fn unit(unit: &str) -> &str {
    match unit {
        "us" => "µs",
        // A count says what it counts by its name.
        "1" => "",
        unit => unit,
    }
}

/// A number with its unit.
fn quantity(value: f64, of: &str) -> String {
    format!("{} {}", digits(value, of), unit(of)).trim_end().to_owned()
}

/// A number in this unit: a count has no digits after the point unless it is a mean.
fn digits(value: f64, of: &str) -> String {
    if of == "1" && value.fract() == 0.0 { format!("{value:.0}") } else { number(value) }
}
