//! Go, beside the others: the programs in `benches/go`, built with the `go` that is there and started like a measuring
//! child of our own.
//!
//! Not translated into a row: what a workload is called and how many operations it takes is decided here and passed as
//! arguments, so that a row has one definition.

use crate::args::Failure;
use crate::workload::{
    ChannelKind, Kind, LONG_ENOUGH, Leaf, Network, Order, RuntimeKind, Section, Setting, Stall, Trouble, Waiters,
};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Where its sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go");

/// The built program.
pub struct Go(PathBuf);

impl Go {
    /// Builds the program with the chosen `go`, or that of the environment's `GO`, or that of `PATH`, and says what that calls
    /// itself. `None` if none was chosen and there is none; an empty `GO` means none.
    pub fn build(chosen: Option<PathBuf>) -> Result<Option<(Self, String)>, Failure> {
        let chosen = chosen.or_else(wished);
        if chosen.as_deref() == Some(Path::new("")) {
            return Ok(None);
        }
        let go = chosen.clone().unwrap_or("go".into());
        // The go command must not fetch a newer one of itself, nor look for a repository.
        let tool = |words: &[&str]| {
            let mut command = Command::new(&go);
            command.args(words).current_dir(SOURCES).env("GOTOOLCHAIN", "local").stderr(Stdio::inherit());
            command
        };
        let version = match tool(&["version"]).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound && chosen.is_none() => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", go.display()).into()),
        };
        let program = Self::place()?;
        let status = tool(&["build", "-buildvcs=false", "-o"]).arg(&program).arg(".").status()?;
        if !status.success() {
            return Err(format!("{} build: {status}", go.display()).into());
        }
        Ok(Some((Go(program), version)))
    }

    /// The program as it is, if nothing in its sources is newer; else built. For `op`, so that whatever counts there does not
    /// count a compiler.
    pub fn built(chosen: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let chosen = chosen.or_else(wished);
        let program = Self::place()?;
        match program.metadata().and_then(|metadata| metadata.modified()) {
            Ok(built) if chosen.is_none() && built > newest(SOURCES)? => Ok(Some(Go(program))),
            _ => Ok(Self::build(chosen)?.map(|(go, _)| go)),
        }
    }

    /// Beside this program, which is in the target directory.
    fn place() -> io::Result<PathBuf> {
        Ok(std::env::current_exe()?.with_file_name("gambol-benches-go"))
    }

    /// The command that measures, as our own child would.
    pub fn measure(&self, words: &[String], workers: usize, order: &Order, limit: u64) -> Result<Command, Failure> {
        let mut command = Command::new(&self.0);
        command.args([
            format!("-workers={workers}"),
            format!("-ops={}", order.ops),
            format!("-warm-up={}", order.is_warmed_up()),
            format!("-long-enough={}ms", LONG_ENOUGH.as_millis()),
            format!("-limit={limit}s"),
        ]);
        if matches!(order.workload.kind, Kind::Network(_)) {
            // It starts the load generator as our own child does, or says where it listens.
            match order.setting {
                Setting::Measured => {
                    command.arg("-load").arg(std::env::current_exe()?);
                }
                Setting::Bare { listen } => {
                    command.args(["-listen", &listen.to_string()]);
                }
            }
            command.args(["-row", order.workload.name]);
        }
        command.args(words);
        Ok(command)
    }

    /// Becomes the Go program, for `op`: whatever counts in this process counts there. Returns only if it failed.
    pub fn become_it(&self, words: &[String], workers: usize, order: &Order) -> Failure {
        match self.measure(words, workers, order, 0) {
            Ok(mut command) => command.exec().into(),
            Err(error) => error,
        }
    }
}

/// What the environment says.
fn wished() -> Option<PathBuf> {
    std::env::var_os("GO").map(PathBuf::from)
}

/// When something in a directory was last changed.
fn newest(directory: &str) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        newest = newest.max(entry?.metadata()?.modified()?);
    }
    Ok(newest)
}

/// How a workload is told to the Go program; `None` if Go has not the thing, or the program not the workload.
pub fn words(kind: Kind) -> Option<Vec<String>> {
    let text = match kind {
        Kind::Runtime(kind) => match kind {
            RuntimeKind::Spawn => "spawn".to_owned(),
            RuntimeKind::Yields => "yield".to_owned(),
            RuntimeKind::Sleep(duration) => format!("sleep {}ns", duration.as_nanos()),
            RuntimeKind::Memory => "memory".to_owned(),
            RuntimeKind::Chain => "chain".to_owned(),
            RuntimeKind::ForkJoin(Leaf::Empty) => "forkjoin empty".to_owned(),
            RuntimeKind::ForkJoin(Leaf::Works) => "forkjoin work".to_owned(),
            RuntimeKind::Uneven => "uneven".to_owned(),
            RuntimeKind::Timeout => "timeout".to_owned(),
            RuntimeKind::TimersFired => "timers".to_owned(),
            RuntimeKind::IdleTick => "tick".to_owned(),
            RuntimeKind::Idle => "idle".to_owned(),
            // Nothing is outside of Go, every goroutine is detached, and there is no cell with a waker: a goroutine that waits for another does so at a
            // channel, which is `pingpong`.
            RuntimeKind::Outside | RuntimeKind::Detached | RuntimeKind::ForeignWake | RuntimeKind::Token => {
                return None;
            }
        },
        Kind::Network(kind) => match kind {
            Network::Echo(exchange) => format!("echo {} {}", exchange.connections, exchange.message),
            Network::Churn => "churn".to_owned(),
            Network::Idle => "connections".to_owned(),
            Network::Http => "http".to_owned(),
        },
        Kind::Channel(kind) => match kind {
            ChannelKind::Message(shape) => {
                format!("message {} {} {}", shape.senders, shape.receivers, shape.capacity?)
            }
            ChannelKind::PingPong { capacity } => format!("pingpong {capacity}"),
            ChannelKind::Ring => "ring".to_owned(),
            ChannelKind::Sieve { capacity } => format!("sieve {capacity}"),
        },
        Kind::Select { width } => format!("select {width}"),
        Kind::Lock(Section::Short) => "mutex short".to_owned(),
        Kind::Lock(Section::Held) => "mutex held".to_owned(),
        Kind::Cancel(Waiters::None) => "cancel tree".to_owned(),
        Kind::Cancel(Waiters::AtLeaves) => "cancel waiters".to_owned(),
        Kind::Stall(Stall::Echo) => "stall echo".to_owned(),
        Kind::Stall(Stall::Threads) => "stall threads".to_owned(),
        Kind::Stall(Stall::Heartbeat(trouble)) => match trouble {
            Trouble::Sleep => "stall sleep".to_owned(),
            Trouble::Timer => "stall timer".to_owned(),
            Trouble::Spin => "stall spin".to_owned(),
            Trouble::Main => "stall main".to_owned(),
            Trouble::Pipe => "stall pipe".to_owned(),
            Trouble::Mutex => "stall mutex".to_owned(),
            // A goroutine is woken by nothing that a user could have written.
            Trouble::Waker => return None,
        },
    };
    Some(text.split(' ').map(str::to_owned).collect())
}
