//! What the figures were measured on: machine, kernel, compiler, commit and command, printed above the table.
//!
//! Everything here is best effort: a fact that cannot be found out is printed as a question mark.

use std::process::Command;

/// Prints the facts, one line each.
pub fn print() {
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, model)| model.trim().to_owned()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine   {}, {cores} cores", cpu.as_deref().unwrap_or("?"));
    println!("kernel    {}", or_unknown(read("/proc/sys/kernel/osrelease")));
    println!("load      {} at the start", or_unknown(read("/proc/loadavg")));
    println!("compiler  {}", output("rustc", &["--version"]));
    println!("commit    {}", output("git", &["describe", "--always", "--dirty"]));
    println!("command   {}", std::env::args().skip(1).collect::<Vec<_>>().join(" "));
    println!();
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
