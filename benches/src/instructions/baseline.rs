//! The counts that the hot paths had when somebody last looked at them: `benches/instructions.json`, a line for each path.
//!
//! They belong to one compiler and one C library. With others they still tell where to look, but a difference may be theirs.

use super::profile::Counts;
use crate::args::Failure;
use crate::machine;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// How many more instructions are let pass, as a share, where the file does not say otherwise.
const TOLERANCE: f64 = 0.03;

/// How many more locked instructions, allocations and frees are let pass: by chance none, but a share of them may belong to
/// one operation in a hundred.
const SLACK: f64 = 0.05;

/// The file.
#[derive(Serialize, Deserialize, Default)]
pub struct Baseline {
    #[serde(flatten)]
    made: Circumstances,
    paths: Vec<Entry>,
}

/// What the counts depend on beside the source.
#[derive(Serialize, Deserialize, Default, PartialEq)]
struct Circumstances {
    compiler: String,
    libc: String,
}

/// What one path cost; for one operation.
#[derive(Serialize, Deserialize)]
struct Entry {
    path: String,
    instructions: f64,
    locked: f64,
    allocations: f64,
    frees: f64,
    /// Edited by hand where a path needs more; kept when the counts are replaced.
    tolerance: f64,
    slack: f64,
}

/// What the comparison of a path says.
pub enum Verdict {
    /// Within the tolerance, or better: the change in instructions, as a share.
    Holds(f64),
    /// Beyond it: the same, and what to say.
    Worse(f64, String),
    /// The path is not in the file.
    Unknown,
}

impl Baseline {
    /// Reads the file; one that is not there is empty.
    pub fn load() -> Result<Self, Failure> {
        let path = place();
        if !path.exists() {
            return Ok(Baseline { made: Circumstances::here(), paths: Vec::new() });
        }
        serde_json::from_str(&fs::read_to_string(&path)?).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// What differs from the circumstances of the file, if anything does.
    pub fn made_elsewhere(&self) -> Option<String> {
        let (made, here) = (&self.made, Circumstances::here());
        let differs = *made != here;
        differs.then(|| format!("{}, {}; here are {}, {}", made.compiler, made.libc, here.compiler, here.libc))
    }

    /// Compares what a path costs now.
    pub fn judge(&self, path: &str, now: &Counts) -> Verdict {
        let Some(entry) = self.paths.iter().find(|entry| entry.path == path) else {
            return Verdict::Unknown;
        };
        let change = now.instructions / entry.instructions - 1.0;
        let mut worse = Vec::new();
        if change > entry.tolerance {
            worse.push(format!("{:.1} instructions instead of {:.1}", now.instructions, entry.instructions));
        }
        let counted = [
            ("locked instructions", now.locked, entry.locked),
            ("allocations", now.allocations, entry.allocations),
            ("frees", now.frees, entry.frees),
        ];
        for (what, now, before) in counted {
            if now > before + entry.slack {
                worse.push(format!("{now:.2} {what} instead of {before:.2}"));
            }
        }
        if worse.is_empty() {
            Verdict::Holds(change)
        } else {
            Verdict::Worse(change, format!("{path}: {}", worse.join(", ")))
        }
    }

    /// Replaces what a path cost.
    pub fn replace(&mut self, path: &str, now: &Counts) {
        let round = |count: f64, unit: f64| (count.max(0.0) / unit).round() / unit.recip();
        let (instructions, locked) = (round(now.instructions, 0.1), round(now.locked, 0.01));
        let (allocations, frees) = (round(now.allocations, 0.01), round(now.frees, 0.01));
        match self.paths.iter_mut().find(|entry| entry.path == path) {
            Some(entry) => {
                *entry = Entry { instructions, locked, allocations, frees, path: path.to_owned(), ..*entry };
            }
            None => self.paths.push(Entry {
                path: path.to_owned(),
                instructions,
                locked,
                allocations,
                frees,
                tolerance: TOLERANCE,
                slack: SLACK,
            }),
        }
    }

    /// Writes the file, as made here, with the paths in this order; others are dropped.
    pub fn save(mut self, order: &[&str]) -> Result<(), Failure> {
        self.made = Circumstances::here();
        let place_of = |entry: &Entry| order.iter().position(|path| *path == entry.path);
        self.paths.retain(|entry| place_of(entry).is_some());
        self.paths.sort_by_key(place_of);
        fs::write(place(), self.text()?)?;
        Ok(())
    }

    /// A line for each path, so that a change shows as one.
    fn text(&self) -> Result<String, Failure> {
        let lines = self.paths.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(format!(
            "{{\n\"compiler\": {},\n\"libc\": {},\n\"paths\": [\n{}\n]\n}}\n",
            serde_json::to_string(&self.made.compiler)?,
            serde_json::to_string(&self.made.libc)?,
            lines.join(",\n")
        ))
    }
}

impl Circumstances {
    fn here() -> Self {
        Circumstances {
            compiler: machine::output("rustc", &["--version"]),
            libc: machine::output("getconf", &["GNU_LIBC_VERSION"]),
        }
    }
}

/// The file, in the source that this program was built from.
fn place() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: f64, locked: f64, allocations: f64) -> Counts {
        Counts { instructions, locked, allocations, frees: allocations, ..Default::default() }
    }

    #[test]
    fn what_is_worse_is_told_from_what_is_within_the_tolerance() {
        let mut baseline = Baseline::default();
        assert!(matches!(baseline.judge("spawn", &counts(1.0, 1.0, 1.0)), Verdict::Unknown));
        baseline.replace("spawn", &counts(1000.04, 7.0, 1.0));
        let holds = |now| matches!(baseline.judge("spawn", &now), Verdict::Holds(_));
        assert!(holds(counts(1029.0, 7.04, 1.04)) && holds(counts(500.0, 0.0, 0.0)));
        assert!(!holds(counts(1031.0, 7.0, 1.0)) && !holds(counts(1000.0, 7.06, 1.0)));
        match baseline.judge("spawn", &counts(1000.0, 7.0, 2.0)) {
            Verdict::Worse(_, text) => {
                assert_eq!(text, "spawn: 2.00 allocations instead of 1.00, 2.00 frees instead of 1.00");
            }
            _ => panic!("a second allocation is let pass"),
        }
    }

    #[test]
    fn the_text_is_read_again_and_tolerances_are_kept() {
        let mut baseline = Baseline::default();
        baseline.replace("spawn", &counts(1000.04, 7.001, 1.0));
        baseline.paths[0].tolerance = 0.5;
        let mut again: Baseline = serde_json::from_str(&baseline.text().unwrap()).unwrap();
        again.replace("spawn", &counts(2000.0, 7.0, 1.0));
        let entry = &again.paths[0];
        assert_eq!((entry.instructions, entry.tolerance, entry.locked), (2000.0, 0.5, 7.0));
    }
}
