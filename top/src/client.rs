//! The connection: asks, and asks again; makes a new one when the old one has ended.

use crate::page::{Page, Trouble};
use std::{
    io::{BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// How long the program may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who asks.
pub struct Client {
    path: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

impl Client {
    pub fn new(path: &Path) -> Client {
        Client { path: path.to_owned(), connection: None }
    }

    /// The page of this moment. After an error the next call connects anew.
    pub fn ask(&mut self) -> Result<Page, Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = UnixStream::connect(&self.path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        connection.get_mut().write_all(b"snapshot\n")?;
        let page = Page::read(&mut connection)?;
        self.connection = Some(connection);
        Ok(page)
    }
}

/// Pages as they come, and the end by which the asking stops.
pub struct Feed {
    pub pages: Receiver<Result<Page, Trouble>>,
    _stop: Sender<()>,
}

/// Asks at once and then each `interval`, on a thread of its own: a program that does not answer holds up no key.
pub fn feed(path: &Path, interval: Duration) -> Feed {
    let mut client = Client::new(path);
    let (tell, pages) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    thread::spawn(move || {
        loop {
            if tell.send(client.ask()).is_err() {
                return;
            }
            if stopped.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    });
    Feed { pages, _stop: stop }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::SAMPLE;
    use std::{env, fs, io::BufRead, os::unix::net::UnixListener, process};

    #[test]
    fn after_the_program_has_gone_it_is_found_again_when_it_is_back() {
        let path = env::temp_dir().join(format!("gambol-top-client-{}", process::id()));
        let _ = fs::remove_file(&path);
        let mut client = Client::new(&path);
        assert!(matches!(client.ask(), Err(Trouble::Io(_))), "nobody is there");
        for _ in 0..2 {
            let listener = UnixListener::bind(&path).unwrap();
            // Answers twice on one connection and goes.
            let program = thread::spawn(move || {
                let mut connection = BufReader::new(listener.accept().unwrap().0);
                for _ in 0..2 {
                    let mut question = String::new();
                    connection.read_line(&mut question).unwrap();
                    assert_eq!(question, "snapshot\n");
                    connection.get_mut().write_all(SAMPLE.as_bytes()).unwrap();
                }
            });
            for _ in 0..2 {
                assert_eq!(client.ask().unwrap().pid, 4711);
            }
            program.join().unwrap();
            fs::remove_file(&path).unwrap();
            // Its connection, and then that there is none.
            for _ in 0..2 {
                assert!(matches!(client.ask(), Err(Trouble::Io(_))));
            }
        }
    }

    #[test]
    fn pages_come_until_nobody_wants_them() {
        let path = env::temp_dir().join(format!("gambol-top-feed-{}", process::id()));
        let _ = fs::remove_file(&path);
        let feed = feed(&path, Duration::from_millis(1));
        for _ in 0..3 {
            assert!(feed.pages.recv_timeout(PATIENCE).unwrap().is_err(), "it goes on asking");
        }
    }
}
