//! Runs commands at the same time, a few of them at once, and prints what they say line by line, each with its command's number.
//!
//! Each command is a line for the shell, without input. It succeeds if they all do. Ctrl-C kills those that run, with all that
//! they have started, and starts no more.
//!
//! ```text
//! cargo run --example run_all -- [-j N] COMMAND...        # as many at once as there are processors if no number is given
//! cargo run --example run_all -- -j 2 'sleep 1; echo one' 'echo two >&2' 'exit 3'
//! ```

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    eprintln!("run_all: there are no such processes on this system");
    std::process::ExitCode::FAILURE
}

#[cfg(unix)]
mod unix {
    use gambol::{
        io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, stderr, stdout},
        process::{Command, Stdio},
        signal::{self, SignalKind},
        task::JoinSet,
    };
    use rustix::process::{Pid, Signal as Deadly, kill_process_group};
    use std::{
        env,
        ffi::{OsStr, OsString},
        process::ExitCode,
        thread,
    };

    /// A longer line is printed in pieces, each as a line: whoever sends no line's end shall not fill the memory.
    const LONGEST: u64 = 16 * 1024;

    #[gambol::main]
    pub async fn main() -> ExitCode {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let Some((at_once, commands)) = arguments(&words) else {
            eprintln!("usage: run_all [-j N] COMMAND...");
            return ExitCode::FAILURE;
        };
        match run_all(at_once, commands).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("run_all: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn arguments(words: &[OsString]) -> Option<(usize, &[OsString])> {
        let (at_once, commands) = match words {
            [option, number, commands @ ..] if option == "-j" => (number.to_str()?.parse().ok()?, commands),
            commands => (thread::available_parallelism().map_or(1, |n| n.get()), commands),
        };
        (at_once > 0 && !commands.is_empty() && commands[0] != "-j").then_some((at_once, commands))
    }

    /// Whether all have succeeded. The error is one of printing, or the signal that stopped it.
    async fn run_all(at_once: usize, commands: &[OsString]) -> io::Result<bool> {
        // The children are in groups of their own, so what ends us does not end them by itself.
        let mut interrupt = signal::unix(SignalKind::interrupt())?;
        let mut terminate = signal::unix(SignalKind::terminate())?;
        let mut hangup = signal::unix(SignalKind::hangup())?;
        let mut commands = commands.iter().zip(1..);
        let mut running = JoinSet::new();
        let mut success = true;
        loop {
            while running.len() < at_once
                && let Some((command, number)) = commands.next()
            {
                running.spawn(run(number, command.clone()));
            }
            gambol::select! {
                ended = running.join_next() => match ended {
                    Some(ended) => success &= ended.map_err(io::Error::other)??,
                    None => return Ok(success),
                },
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hangup.recv() => break,
            }
        }
        // Their groups are killed when they are dropped.
        running.shutdown().await;
        Err(io::Error::other("stopped by a signal; the commands that ran were killed"))
    }

    /// Whether the command has succeeded.
    async fn run(number: usize, command: OsString) -> io::Result<bool> {
        let mut child = match start(&command) {
            Ok(child) => child,
            Err(error) => {
                say(number, &format!("cannot be started: {error}")).await?;
                return Ok(false);
            }
        };
        // Dropped before the child is.
        let group = Group(Pid::from_raw(child.id().cast_signed()));
        let (out, err) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        gambol::try_join!(print(number, out, stdout()), print(number, err, stderr()))?;
        let status = child.wait().await?;
        // From now on its number may be another's.
        group.let_go();
        say(number, &status.to_string()).await?;
        Ok(status.success())
    }

    fn start(command: &OsStr) -> io::Result<gambol::process::Child> {
        Command::new("sh")
            .arg("-c")
            .arg(command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Prints each line, with the number in front, until nobody has the pipe any more.
    async fn print(number: usize, pipe: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            line.extend_from_slice(format!("{number}: ").as_bytes());
            if (&mut pipe).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
                // What comes after this is printed after it.
                return to.flush().await;
            }
            if !line.ends_with(b"\n") {
                line.push(b'\n');
            }
            // One write, so that no other line comes in between.
            to.write_all(&line).await?;
        }
    }

    async fn say(number: usize, what: &str) -> io::Result<()> {
        let mut stderr = stderr();
        stderr.write_all(format!("{number}: {what}\n").as_bytes()).await?;
        stderr.flush().await
    }

    /// A child and what it has started. Killed when this is dropped, as when the task is aborted.
    struct Group(Option<Pid>);

    impl Group {
        fn let_go(mut self) {
            self.0 = None;
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            if let Some(leader) = self.0 {
                // An error means that nobody is left.
                let _ = kill_process_group(leader, Deadly::KILL);
            }
        }
    }
}
