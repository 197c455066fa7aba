//! How many descriptors a process may have.

use crate::args::Failure;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io;

/// What a process needs besides its connections.
const OTHERS: u64 = 200;

/// Raises the soft limit to the hard one.
pub fn raise_descriptors() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(())
}

/// How many connections of `wanted` a process can have; an error if that is less than half of them.
pub fn connections(wanted: u64) -> Result<u64, Failure> {
    let most = getrlimit(Resource::Nofile).maximum.map_or(wanted, |most| most.saturating_sub(OTHERS));
    if most >= wanted {
        return Ok(wanted);
    }
    if most < wanted / 2 {
        return Err(format!("{wanted} connections are wanted, but the hard limit allows {most} (ulimit -Hn)").into());
    }
    eprintln!("only {most} connections instead of {wanted}: the hard limit allows no more (ulimit -Hn)");
    Ok(most)
}
