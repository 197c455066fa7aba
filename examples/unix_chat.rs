//! A chat over a socket of the Unix domain: what one client says, all the others read, with a name in front.
//!
//! Nobody waits for anybody: each client has a queue, and from the full queue of one who does not read the oldest lines are
//! dropped. He is told how many, where they are missing.
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
        sync::Notify,
        time::{Duration, timeout},
    };
    use rustix::fs::{FlockOperation, flock};
    use std::{
        collections::{HashMap, VecDeque},
        convert::Infallible,
        env,
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::Path,
        process::ExitCode,
        sync::{Arc, Mutex},
    };

    /// Lines that wait for a client.
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

    async fn serve(listener: UnixListener) {
        let room = Arc::new(Room::default());
        for guest in 1.. {
            match listener.accept().await {
                Ok((client, _)) => drop(gambol::spawn(host(room.clone(), guest, client))),
                // Out of descriptors, mostly. The listener waits a little before it tries again, so this is no busy loop.
                Err(error) => eprintln!("unix_chat: cannot accept: {error}"),
            }
        }
    }

    /// One client, until it goes.
    async fn host(room: Arc<Room>, guest: u64, client: UnixStream) {
        let queue = room.enter(guest);
        room.tell(guest, format!("guest {guest} has come"));
        // The first that fails ends both; listening always does in the end.
        let _ = gambol::try_join!(listen(&room, guest, &client), talk(&queue, &client));
        room.leave(guest);
        room.tell(guest, format!("guest {guest} has gone"));
    }

    /// Passes on what the client says.
    async fn listen(room: &Room, guest: u64, client: &UnixStream) -> io::Result<Infallible> {
        let mut client = BufReader::new(client);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut client).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            // Nobody shall play with the others' terminals.
            let text = String::from_utf8_lossy(&line).replace(char::is_control, "");
            if !text.is_empty() {
                room.tell(guest, format!("guest {guest}: {text}"));
            }
        }
    }

    /// Tells the client what the others say.
    async fn talk(queue: &Queue, mut client: &UnixStream) -> io::Result<Infallible> {
        loop {
            let line = queue.pop().await;
            client.write_all(format!("{line}\n").as_bytes()).await?;
        }
    }

    #[derive(Default)]
    struct Room {
        guests: Mutex<HashMap<u64, Arc<Queue>>>,
    }

    impl Room {
        fn enter(&self, guest: u64) -> Arc<Queue> {
            let queue = Arc::new(Queue::default());
            // Before anybody else can say anything to it.
            queue.push(format!("you are guest {guest}").into());
            self.guests.lock().unwrap().insert(guest, queue.clone());
            queue
        }

        fn leave(&self, guest: u64) {
            self.guests.lock().unwrap().remove(&guest);
        }

        /// All but the one who says it. Waits for none of them.
        fn tell(&self, from: u64, line: String) {
            let line: Arc<str> = line.into();
            let guests = self.guests.lock().unwrap().clone();
            for (_, queue) in guests.iter().filter(|(guest, _)| **guest != from) {
                queue.push(line.clone());
            }
        }
    }

    /// The lines that wait for a client.
    #[derive(Default)]
    struct Queue {
        lines: Mutex<Lines>,
        changed: Notify,
    }

    #[derive(Default)]
    struct Lines {
        waiting: VecDeque<Arc<str>>,
        /// Those that stood before the waiting ones.
        dropped: usize,
    }

    impl Queue {
        fn push(&self, line: Arc<str>) {
            let mut lines = self.lines.lock().unwrap();
            lines.waiting.push_back(line);
            if lines.waiting.len() > QUEUE {
                lines.waiting.pop_front();
                lines.dropped += 1;
            }
            drop(lines);
            self.changed.notify_one();
        }

        async fn pop(&self) -> Arc<str> {
            loop {
                if let Some(line) = self.try_pop() {
                    return line;
                }
                // What was pushed meanwhile is stored there.
                self.changed.notified().await;
            }
        }

        fn try_pop(&self) -> Option<Arc<str>> {
            let mut lines = self.lines.lock().unwrap();
            match std::mem::take(&mut lines.dropped) {
                0 => lines.waiting.pop_front(),
                dropped => Some(format!("({dropped} lines were dropped: too slow)").into()),
            }
        }
    }
}
