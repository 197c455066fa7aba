//! All cases, in turns: for each case, every repetition measures each peer once, each in a process of its own, and every
//! repetition begins with another peer.

use super::{CASES, CHILD, Case, Kind, child, echo};
use crate::args::{Args, Failure};
use crate::child::figures_of;
use crate::go::Go;
use crate::machine;
use crate::peer::{GO, Peer};
use crate::table::{self, Row};
use std::process::Command;

/// After so many seconds a child gives up. The longest case takes about 20 where nothing relieves the workers.
const LIMIT: u64 = 90;

/// `stall [--only a,b] [--peers a,b] [--workers n] [--reps n] [--go path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let only: Option<Vec<String>> = args.list("--only")?;
    let peers: Option<Vec<String>> = args.list("--peers")?;
    let workers: usize = args.option("--workers")?.unwrap_or(2);
    let reps: usize = args.option("--reps")?.unwrap_or(3);
    let go = args.option("--go")?;
    args.finish()?;
    if workers == 0 || reps == 0 {
        return Err("--workers and --reps must be more than 0".into());
    }
    let cases: Vec<&Case> = match only {
        None => CASES.iter().collect(),
        Some(names) => names.iter().map(|name| Case::find(name)).collect::<Result<_, _>>()?,
    };
    let peers = peers.unwrap_or(["gambol", GO, "tokio", "smol"].map(str::to_owned).to_vec());
    let peers = peers.iter().map(|name| Peer::find(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(peer) = peers.iter().find(|peer| peer.name != GO && child::road(peer.name).is_none()) {
        return Err(format!("{} is no runtime that stalls are measured on", peer.name).into());
    }
    let go = if peers.iter().any(|peer| peer.name == GO) { Go::build(go)? } else { None };

    match &go {
        Some((_, version)) => println!("go        {version}"),
        None if peers.iter().any(|peer| peer.name == GO) => println!("go        none, so its column is left out"),
        None => (),
    }
    machine::print();
    let peers: Vec<_> = peers.into_iter().filter(|peer| peer.name != GO || go.is_some()).collect();
    table::print_head(&peers);
    let go = go.map(|(go, _)| go);
    let mut aims = Vec::new();
    let mut failures = Vec::new();
    for case in cases {
        let command = |peer: &Peer| command(case, peer, workers, go.as_ref());
        let possible: Vec<_> = peers.iter().map(|peer| peer.name != GO || case.words().is_some()).collect();
        let columns = || peers.iter().copied().zip(possible.iter().copied());
        let mut rows: Vec<_> =
            case.figures.iter().map(|figure| Row::new(case.name, workers, figure, columns())).collect();
        for rep in 0..reps {
            for turn in 0..peers.len() {
                let column = (rep + turn) % peers.len();
                if !possible[column] {
                    continue;
                }
                let what = format!("{}, {}, repetition {}", case.name, peers[column].name, rep + 1);
                eprintln!("{what} of {reps}");
                let figures = command(peers[column]).and_then(|command| match case.kind {
                    Kind::Echo => echo::load(command),
                    _ => figures_of(command, case.figures.len()),
                });
                match figures {
                    Ok(figures) => rows.iter_mut().zip(figures).for_each(|(row, figure)| row.add(column, figure)),
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
            }
        }
        for (row, aim) in rows.iter().zip(case.aims) {
            row.print();
            if workers == 2 {
                aims.extend(aim.and_then(|aim| row.beside(aim)));
            }
        }
    }
    if !aims.is_empty() {
        println!("\naims of gambol, for the median\n{}", aims.join("\n"));
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failures.join("\n")).into()) }
}

fn command(case: &Case, peer: &Peer, workers: usize, go: Option<&Go>) -> Result<Command, Failure> {
    if peer.name == GO {
        let words = case.words().ok_or("Go has not the thing")?;
        return Ok(go.ok_or("there is no Go")?.once(&words, workers, LIMIT));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, case.name, peer.name, &workers.to_string(), &LIMIT.to_string()]);
    Ok(command)
}
