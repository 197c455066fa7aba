//! The results' file and what `report` makes of it: a run at a scale at which the figures mean nothing, and files that are
//! broken or do not belong together.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Without Go, which is not asked for where tests run.
fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gambol-benches"));
    program.env("GO", "");
    program
}

/// A new directory under the target directory.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Compares something short and returns the file of results, and the table.
fn compare(out: &Path, only: &str, workers: &str) -> String {
    let words = ["compare", "--only", only, "--workers", workers, "--peers", "gambol,gambol-off,go,tokio,kanal"];
    let output = program().args(words).args(["--reps", "2", "--scale", "0.001", "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn report(paths: &[&Path], words: &[&str]) -> Output {
    program().arg("report").args(paths).args(words).output().unwrap()
}

fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The peers of a row that were measured, with the mean of two samples, which is their median.
fn medians(row: &Value) -> Vec<(String, f64)> {
    let samples = |column: &Value| -> Vec<f64> {
        column["samples"].as_array().unwrap().iter().map(|sample| sample.as_f64().unwrap()).collect()
    };
    let columns = row["columns"].as_array().unwrap().iter();
    let measured = columns.filter(|column| column["absent"] != true);
    measured
        .map(|column| {
            let samples = samples(column);
            assert_eq!(samples.len(), 2, "{column}");
            (column["peer"].as_str().unwrap().to_owned(), (samples[0] + samples[1]) / 2.0)
        })
        .collect()
}

/// The value of an attribute that stands in this text for the first time.
fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    &text[start..][..text[start..].find('"').unwrap()]
}

/// Fails unless every element is closed in its turn.
fn assert_well_formed(html: &str) {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "<{tag}>");
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "before {:.80}", rest);
        } else if !tag.ends_with('/') && name != "meta" && !tag.starts_with('!') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_has_a_bar_for_each_peer_that_ran() {
    let directory = directory("page");
    let results = directory.join("results.json");
    let table = compare(&results, "spawn,sleep-50us,message-1:1-0,cancel-tree,echo-small", "1,2");
    assert!(table.contains("\ngambol leads in ") && table.contains(" rows at 2 workers\n"), "{table}");
    assert!(!directory.join("results.json.part").exists());
    let json = read(&results);
    assert!(json["run"]["ended"].is_string(), "{json}");
    assert!(json["place"]["versions"]["tokio"].is_string(), "{json}");
    let rows = json["rows"].as_array().unwrap();
    // One figure but for the sleep, with four, and the echo, with two.
    assert_eq!(rows.len(), 2 * (3 + 4 + 2));

    let page = directory.join("page.html");
    assert!(told(report(&[&results], &["--out", page.to_str().unwrap()])).is_empty());
    let html = fs::read_to_string(page).unwrap();
    assert_well_formed(&html);
    assert!(!html.contains("<script") && !html.contains("://"), "nothing from elsewhere");
    assert!(!html.contains("NaN"), "{html}");
    let figures: Vec<_> = html.split("<figure ").skip(1).map(|text| text.split("</figure>").next().unwrap()).collect();
    assert_eq!(figures.len(), rows.len());
    for row in rows {
        let name = format!("{} {}", row["workload"].as_str().unwrap(), row["figure"].as_str().unwrap());
        if row["better"] == "zero" {
            continue;
        }
        let workers = if row["workers"] == 1 { "1 worker ·" } else { "2 workers ·" };
        let is_meant = |figure: &&&str| {
            figure.contains(&format!("aria-label=\"{}: ", name.trim_end())) && figure.contains(workers)
        };
        let figure = figures.iter().find(is_meant).unwrap_or_else(|| panic!("no {name} in {html}"));
        let mut bars: Vec<_> = figure
            .split("<g class=\"bar")
            .skip(1)
            .map(|bar| (attribute(bar, "data-peer").to_owned(), attribute(bar, "data-median").parse::<f64>().unwrap()))
            .collect();
        let mut expected = medians(row);
        bars.sort_by(|one, other| one.0.cmp(&other.0));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(bars, expected, "{name}");
        // No Go here.
        assert_eq!(figure.contains("absent: go"), row["columns"].to_string().contains("\"go\""), "{figure}");
    }
}

#[test]
fn the_markdown_has_a_row_for_each_figure_with_its_ratio() {
    let directory = directory("markdown");
    let results = directory.join("results.json");
    compare(&results, "spawn,echo,message-1:1-0", "2");
    let text = told(report(&[&results], &["--markdown"]));
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let heads: Vec<_> = lines.iter().filter(|cells| cells[0] == "row").collect();
    assert_eq!(heads.len(), 3, "a table for tasks, channels and network: {text}");
    let mut head = heads[0];
    let rows = read(&results)["rows"].as_array().unwrap().clone();
    let mut seen = 0;
    for cells in &lines {
        assert!(cells.len() > 3, "{cells:?}");
        if cells[0] == "row" {
            head = cells;
        } else if cells[0] != "---" {
            assert_eq!(cells.len(), head.len(), "{cells:?}");
            let row = rows.iter().find(|row| {
                let name = format!("{} {}", row["workload"].as_str().unwrap(), row["figure"].as_str().unwrap());
                cells[0].starts_with(&format!("{}, ", name.trim_end()))
            });
            let medians = medians(row.unwrap_or_else(|| panic!("{cells:?}")));
            for (name, cell) in head[2..head.len() - 1].iter().zip(&cells[2..]) {
                match medians.iter().find(|(peer, _)| peer == name) {
                    // Three digits of it.
                    Some(&(_, median)) => {
                        assert!((cell.parse::<f64>().unwrap() - median).abs() <= 0.005 * median + 0.005)
                    }
                    None => assert_eq!(cell, "-"),
                }
            }
            let of = |name: &str| medians.iter().find(|(peer, _)| peer == name).map(|(_, median)| *median);
            let peer = if of("tokio").is_some() { "tokio" } else { "kanal" };
            let ratio = of("gambol").unwrap() / of(peer).unwrap();
            let (told, best) = cells.last().unwrap().split_once(' ').unwrap();
            assert_eq!(best, format!("({peer})"), "another setting of ours is not the best peer");
            assert!((told.parse::<f64>().unwrap() - ratio).abs() <= 0.005 * ratio + 0.005, "{cells:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, rows.len());
}

#[test]
fn runs_are_shown_together_if_they_belong_together() {
    let directory = directory("together");
    let [one, two, other] = ["one.json", "two.json", "other.json"].map(|name| directory.join(name));
    compare(&one, "spawn", "1");
    compare(&two, "spawn", "2");
    let html = told(report(&[&two, &one], &[]));
    assert_well_formed(&html);
    let order: Vec<_> = ["1 worker ·", "2 workers ·"].map(|workers| html.find(workers).unwrap()).into();
    assert!(order.is_sorted(), "rows of a workload stand by workers");

    let error = refused(report(&[&one, &one], &[]));
    assert!(error.contains("measures spawn at 1 worker once more"), "{error}");
    let mut json = read(&two);
    json["place"]["commit"] = "0123456789ab".into();
    fs::write(&other, json.to_string()).unwrap();
    let error = refused(report(&[&one, &other], &[]));
    assert!(error.contains("its commit is `0123456789ab") && error.contains("show them apart"), "{error}");
}

#[test]
fn a_broken_file_is_refused_with_a_sentence() {
    let directory = directory("broken");
    let results = directory.join("results.json");
    compare(&results, "spawn", "1");
    let whole = fs::read_to_string(&results).unwrap();
    let broken = directory.join("broken.json");
    for (text, reason) in [
        (&whole[..whole.len() / 2], "is no file of results, or a part of one: EOF"),
        ("", "is no file of results"),
        ("[]", "is no file of results"),
        ("{\"format\": 999}", "has format 999, but this program reads format"),
        (&whole.replace("\"lower\"", "\"sideways\""), "unknown variant `sideways`"),
    ] {
        fs::write(&broken, text).unwrap();
        let error = refused(report(&[&broken], &[]));
        assert!(error.contains(reason) && error.contains("broken.json"), "{error}");
    }
    assert!(refused(report(&[&directory.join("nowhere.json")], &[])).contains("nowhere.json"));
    assert!(refused(report(&[], &[])).contains("missing"));
    assert!(refused(report(&[&results], &["--markup"])).contains("`--markup` was not understood"));
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_anything_is_measured() {
    let output = program().args(["compare", "--only", "spawn", "--out", "/nowhere/results.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("/nowhere/results.json: "), "{told}");
}
