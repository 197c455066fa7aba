//! A chat over a socket of the Unix domain: what one client says, all the others read, with a name in front.
//!
//! Nobody waits for anybody: the last hundred lines are kept for those who have not read them yet, and the oldest go. Who is
//! further behind is told how many he has missed, where they are missing.
//!
//! ```text
//! cargo run --example unix_chat -- PATH
//! nc -U PATH                                  # in several terminals
//! ```

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    eprintln!("unix_chat: there are no such sockets on this system");
    std::process::ExitCode::FAILURE
}

#[cfg(unix)]
mod unix {
    use gambol::{
        fs::{self, File},
        io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ErrorKind},
        net::{UnixListener, UnixStream},
        signal,
        sync::broadcast::{self, RecvError},
        time::{Duration, timeout},
    };
    use rustix::fs::{FlockOperation, flock};
    use std::{
        env,
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::Path,
        process::ExitCode,
        sync::Arc,
    };

    /// Lines that are kept for those who have not read them.
    const QUEUE: usize = 100;

    /// Bytes in a line; what is longer becomes several.
    const LONGEST: u64 = 1024;

    #[gambol::main]
    pub async fn main() -> ExitCode {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let [path] = words.as_slice() else {
            eprintln!("usage: unix_chat PATH");
            return ExitCode::FAILURE;
        };
        let path = Path::new(path);
        match chat(path).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("unix_chat: {}: {error}", path.display());
                ExitCode::FAILURE
            }
        }
    }

    async fn chat(path: &Path) -> io::Result<()> {
        // Before anybody can know that we are there.
        let ctrl_c = signal::ctrl_c();
        let listener = bind(path).await?;
        let ours = number(path).await?;
        eprintln!("listening on {}", path.display());
        gambol::spawn(serve(listener));
        ctrl_c.await?;
        // Not that of another server, should somebody have removed ours.
        if number(path).await.is_ok_and(|now| now == ours) {
            fs::remove_file(path).await?;
        }
        Ok(())
    }

    /// Listens at `path`. A socket that an earlier server has left there is removed, if nobody listens on it.
    async fn bind(path: &Path) -> io::Result<UnixListener> {
        // Of two servers that find the same old socket, the slower one would remove that of the faster one. So one at a time;
        // the lock ends with the file.
        let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let directory = File::open(directory).await?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| io::Error::other(format!("cannot lock the directory: {error}")))?;
        let bound = UnixListener::bind(path);
        match &bound {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if !nobody_listens(path).await {
                    return bound;
                }
                fs::remove_file(path).await?;
                UnixListener::bind(path)
            }
            _ => bound,
        }
    }

    /// Whether this is a socket without a listener.
    async fn nobody_listens(path: &Path) -> bool {
        // Any other file refuses connections as well.
        let is_socket = fs::symlink_metadata(path).await.is_ok_and(|file| file.file_type().is_socket());
        // A server that is too busy to take ours is there all the same.
        let connected = timeout(Duration::from_secs(1), UnixStream::connect(path)).await;
        is_socket && matches!(connected, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
    }

    /// What no other file has as long as this one is there.
    async fn number(path: &Path) -> io::Result<(u64, u64)> {
        let file = fs::symlink_metadata(path).await?;
        Ok((file.dev(), file.ino()))
    }

    /// What is said, and by whom.
    type Said = (u64, Arc<str>);

    async fn serve(listener: UnixListener) {
        let room = broadcast::Sender::new(QUEUE);
        for guest in 1.. {
            match listener.accept().await {
                Ok((client, _)) => drop(gambol::spawn(host(room.clone(), guest, client))),
                // Out of descriptors, mostly. The listener waits a little before it tries again, so this is no busy loop.
                Err(error) => eprintln!("unix_chat: cannot accept: {error}"),
            }
        }
    }

    /// One client, until it goes.
    async fn host(room: broadcast::Sender<Said>, guest: u64, client: UnixStream) {
        let said = room.subscribe();
        // It fails if nobody is there.
        let say = |line: String| drop(room.send((guest, line.into())));
        say(format!("guest {guest} has come"));
        gambol::select! {
            _ = listen(guest, &client, say) => {}
            _ = talk(guest, &client, said) => {}
        }
        say(format!("guest {guest} has gone"));
    }

    /// Passes on what the client says.
    async fn listen(guest: u64, client: &UnixStream, say: impl Fn(String)) -> io::Result<()> {
        let mut client = BufReader::new(client);
        let mut line = Vec::new();
        while (&mut client).take(LONGEST).read_until(b'\n', &mut line).await? > 0 {
            // Nobody shall play with the others' terminals.
            let text = String::from_utf8_lossy(&line).replace(char::is_control, "");
            if !text.is_empty() {
                say(format!("guest {guest}: {text}"));
            }
            line.clear();
        }
        Ok(())
    }

    /// Tells the client what the others say.
    async fn talk(guest: u64, mut client: &UnixStream, mut said: broadcast::Receiver<Said>) -> io::Result<()> {
        client.write_all(format!("you are guest {guest}\n").as_bytes()).await?;
        loop {
            let line = match said.recv().await {
                Ok((speaker, _)) if speaker == guest => continue,
                Ok((_, line)) => line,
                Err(RecvError::Lagged(lines)) => format!("({lines} lines were dropped: too slow)").into(),
                Err(RecvError::Closed) => return Ok(()),
            };
            client.write_all(format!("{line}\n").as_bytes()).await?;
        }
    }
}
