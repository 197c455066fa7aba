//! The results of a run as a file: what was measured on what, by which command, and every sample.
//!
//! Written anew after each workload and put in its place by a rename, so that a run that is cut off keeps what it has.
//! Several runs can be shown together if they were measured on the same machine, by the same build, and have no row in
//! common: to mix samples of different times would undo the turns.

use crate::args::Failure;
use crate::machine::Place;
use crate::row::{Row, count};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Changes whenever an older program could not read the file.
const FORMAT: u32 = 1;

/// The file.
#[derive(Serialize, Deserialize)]
pub struct Results {
    format: u32,
    pub place: Place,
    pub run: Run,
    pub rows: Vec<Row>,
}

/// What a run has of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub command: String,
    pub begun: String,
    /// Not there if it was cut off.
    pub ended: Option<String>,
    /// Load averages of the machine at the start.
    pub load: String,
    /// What Go calls itself, if it was there.
    pub go: Option<String>,
    pub reps: usize,
    pub scale: f64,
}

/// Results of several runs that belong together.
pub struct Together {
    pub place: Place,
    pub runs: Vec<Run>,
    /// Those of a workload are neighbours, and among them those of a figure, by workers.
    pub rows: Vec<Row>,
}

impl Results {
    /// Nothing yet.
    pub fn new(place: Place, run: Run) -> Self {
        Results { format: FORMAT, place, run, rows: Vec::new() }
    }

    /// Writes them to a file that is replaced at once or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path));
        written.map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Reads a file.
    fn read(path: &Path) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let strange = |error| format!("{name} is no file of results, or a part of one: {error}");
        let Format { format } = serde_json::from_str(&text).map_err(strange)?;
        if format != FORMAT {
            return Err(format!("{name} has format {format}, but this program reads format {FORMAT}").into());
        }
        Ok(serde_json::from_str(&text).map_err(strange)?)
    }
}

impl Together {
    /// Reads files, of which there must be one at least.
    ///
    /// # Errors
    ///
    /// If they do not belong together.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let (first, others) = paths.split_first().ok_or("the file of results is missing")?;
        let Results { place, run, rows, .. } = Results::read(first)?;
        let mut together = Together { place, runs: vec![run], rows };
        for path in others {
            let (name, first) = (path.display(), first.display());
            let Results { place, run, rows, .. } = Results::read(path)?;
            for ((what, here), (_, there)) in together.place.facts().into_iter().zip(place.facts()) {
                if here != there {
                    return Err(format!(
                        "{name} does not belong to {first}: its {what} is `{there}` and not `{here}`; show them apart"
                    )
                    .into());
                }
            }
            let scale = together.runs[0].scale;
            if run.scale != scale {
                return Err(format!("{name} was measured at scale {}, and {first} at {scale}", run.scale).into());
            }
            if let Some(twice) = rows.iter().find(|row| together.rows.iter().any(|known| known.is_same(row))) {
                let (label, workers) = (twice.label(), count(twice.workers, "worker"));
                return Err(format!("{name} measures {label} at {workers} once more; show them apart").into());
            }
            together.runs.push(run);
            together.rows.extend(rows);
        }
        together.sort();
        Ok(together)
    }

    /// By theme; within it workloads and figures keep the order in which they came first.
    fn sort(&mut self) {
        let mut keys = Vec::new();
        for row in &self.rows {
            let figure = |one: &&Row| one.workload == row.workload && one.figure == row.figure;
            let workload = |one: &Row| one.workload == row.workload;
            keys.push((
                row.theme,
                self.rows.iter().position(workload),
                self.rows.iter().position(|one| figure(&one)),
                row.workers,
            ));
        }
        let mut keyed: Vec<_> = keys.into_iter().zip(std::mem::take(&mut self.rows)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        self.rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
}

impl Row {
    /// Whether both measure the same.
    fn is_same(&self, other: &Row) -> bool {
        (&self.workload, &self.figure, self.workers) == (&other.workload, &other.figure, other.workers)
    }
}
