//! gambol beside its peers, measured in turns in one run.
//!
//! `compare` is the program; the rest serves it or looks closer at one thing that it found. Each (runtime, workload,
//! workers) runs in a process of its own, because a runtime leaves threads, allocator arenas and warm caches behind
//! that would be charged to whoever comes next.
//!
//! Not criterion: it measures one process for long and compares with an earlier run; what counts here is the ratio to a
//! peer measured seconds ago on the same machine.
//!
//! Where to go next: `workload` for what is measured, `peer` for the columns, `rt` and `chan` for how each is used, `compare`
//! for the turns.

// What is measured, and on what.
mod cancel; // trees of cancellation behind one trait
mod cell; // what carries a token to a task, whichever runtime it is on
mod chan; // the channels behind one trait
mod go; // the programs in Go
mod lock; // the mutexes behind one trait
mod peer; // the columns, and what each of them has
mod rt; // the runtimes behind one trait
mod serve; // the servers behind one trait
mod work; // what a task computes
mod workload; // one noun per file

// How it is measured.
mod child; // one measurement in this process
mod compare; // all measurements, each in a child, in turns
mod figure; // one measured number: its name, its unit and which way is better
mod limits; // how many descriptors a process may have
mod load; // the load generators of the servers, the same for every runtime
mod meter; // the clocks and the memory of this process

// How it is told.
mod args; // the command line, by hand
mod machine; // what the figures were measured on
mod progress; // how far a comparison has come
mod report; // a page and tables, from files of results
mod results; // all samples of a run, as a file
mod row; // the samples of one figure: medians, spreads and ratios
mod table; // rows on the terminal

// On its own: one connection's bytes through a proxy, or into a file.
mod bulk;

// On its own: the system calls of the servers, by name.
mod syscalls;

// On its own: what the hot paths cost in instructions.
mod instructions;

// On its own: files.
mod files;

use std::process::ExitCode;

const USAGE: &str = "\
usage: gambol-benches compare [--only a,b] [--except a,b] [--peers a,b] [--workers 1,2] [--reps n] [--scale x]
                              [--go path] [--out results.json]
       gambol-benches report <results.json>... [--markdown] [--out path]
       gambol-benches op <workload> <peer> <n> [--workers n] [--listen address] [--go path]
       gambol-benches load <workload> <address> <n>
       gambol-benches syscalls [--only a,b] [--peers a,b] [--workers 1,2] [--reps n] [--scale x] [--go path]
       gambol-benches instructions [--only a,b] [--peers a,b] [--bless]
       gambol-benches files [--reps n] [--directory path]
       gambol-benches bulk [--bytes n] [--reps n] [--roads a,b] [--directory path]";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let result = match command.as_str() {
        "compare" => compare::main(&words),
        "report" => report::main(&words),
        "op" => child::op(&words),
        "load" => load::main(&words),
        "syscalls" => syscalls::main(&words),
        "instructions" => instructions::main(&words),
        "files" => files::main(&words),
        "bulk" => bulk::main(&words),
        bulk::PROXY => bulk::proxy(&words),
        child::MEASURE => child::measure(&words),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
