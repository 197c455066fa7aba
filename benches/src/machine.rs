//! What the figures were measured on: machine, kernel, compiler, commit, versions and command. Printed above the table and
//! kept with the results.
//!
//! Everything here is best effort: a fact that cannot be found out is a question mark.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::Command;

/// The versions of everything, as they were when this program was built.
const LOCK: &str = include_str!("../../Cargo.lock");

/// What must be the same for results to be shown together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The processor's model.
    pub machine: String,
    /// How many processors this process may use.
    pub processors: usize,
    pub kernel: String,
    pub compiler: String,
    /// `release`, or `debug`, whose figures mean nothing.
    pub profile: String,
    /// Of the sources when this ran: `cargo run` has built them just before, a program that was kept may be older.
    pub commit: String,
    /// Whether something was changed since the commit.
    pub dirty: bool,
    /// Of every crate that the peers and the harness are made of.
    pub versions: BTreeMap<String, String>,
}

impl Place {
    /// Finds out.
    pub fn find_out() -> Self {
        let model = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
        let commit =
            output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"]);
        let (commit, dirty) = match commit.strip_suffix("-dirty") {
            Some(clean) => (clean.to_owned(), true),
            None => (commit, false),
        };
        Place {
            machine: or_unknown(read("/proc/cpuinfo").lines().find_map(model).unwrap_or_default()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: or_unknown(read("/proc/sys/kernel/osrelease")),
            compiler: output("rustc", &["--version"]),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            commit,
            dirty,
            versions: versions(LOCK),
        }
    }

    /// The facts by name.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let versions: Vec<_> = self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        vec![
            ("machine", self.machine.clone()),
            ("processors", self.processors.to_string()),
            ("kernel", self.kernel.clone()),
            ("compiler", self.compiler.clone()),
            ("profile", self.profile.clone()),
            ("commit", if self.dirty { format!("{}, and changes", self.commit) } else { self.commit.clone() }),
            ("versions", versions.join(", ")),
        ]
    }
}

/// Prints the facts, one line each, and the command.
pub fn print() {
    print_facts(&Place::find_out());
    println!("load        {} at the start", load());
    println!("command     {}\n", command());
}

/// Prints the facts of a place, one line each.
pub fn print_facts(place: &Place) {
    for (name, fact) in place.facts() {
        println!("{name:<11} {fact}");
    }
}

/// How this program was started.
pub fn command() -> String {
    let words: Vec<_> = std::env::args().skip(1).collect();
    format!("{} {}", env!("CARGO_PKG_NAME"), words.join(" "))
}

/// The load of the machine, now.
pub fn load() -> String {
    or_unknown(read("/proc/loadavg"))
}

/// Date and time in UTC, now.
pub fn date() -> String {
    output("date", &["-u", "+%Y-%m-%d %H:%M:%S UTC"])
}

/// The versions of what this crate depends on, by a lock file.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let quoted =
        |line: &str, before: &str| Some(line.strip_prefix(before)?.strip_prefix('"')?.split_once('"')?.0.to_owned());
    let field = |package: &str, before: &str| package.lines().find_map(|line| quoted(line, before));
    let packages: Vec<_> = lock.split("[[package]]").collect();
    let this = packages.iter().find(|package| field(package, "name = ").as_deref() == Some(env!("CARGO_PKG_NAME")));
    let mut found = BTreeMap::new();
    for dependency in this.into_iter().flat_map(|package| package.lines()).filter_map(|line| quoted(line, " ")) {
        // Where there are several versions of a name, the dependency says which.
        let (name, chosen) = match dependency.split_once(' ') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (&*dependency, None),
        };
        let package = || packages.iter().find(|package| field(package, "name = ").as_deref() == Some(name));
        let version = chosen.or_else(|| field(package()?, "version = "));
        found.insert(name.to_owned(), version.unwrap_or("?".to_owned()));
    }
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What a program prints, or a question mark.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    or_unknown(output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

fn or_unknown(fact: String) -> String {
    if fact.is_empty() { "?".to_owned() } else { fact }
}

#[cfg(test)]
mod tests {
    use super::{LOCK, versions};

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = r#"
[[package]]
name = "gambol-benches"
version = "0.1.0"
dependencies = [
 "smol",
 "tokio 1.2.3",
]

[[package]]
name = "smol"
version = "2.0.0"

[[package]]
name = "tokio"
version = "0.9.0"

[[package]]
name = "tokio"
version = "1.2.3"
"#;
        let found: Vec<_> = versions(lock).into_iter().collect();
        assert_eq!(found, [("smol", "2.0.0"), ("tokio", "1.2.3")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(versions(LOCK)["tokio"].starts_with("1."));
    }
}
