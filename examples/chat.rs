//! A chat over TCP: what one guest says, all the others read, with a name in front. The first line of each is the name.
//!
//! Each guest has a task, which tells the broadcaster what happens; that is one task, and knows who is there. It waits for nobody:
//! for each guest there is a queue, what does not fit into a full one is left out, and the guest is told how many lines that were.
//! So one that never reads holds up no other, and takes as much memory as its queue.
//!
//! ```text
//! cargo run --example chat [ADDRESS]        # 127.0.0.1:8000 if none is given; port 0 lets the system choose
//! nc 127.0.0.1 8000                         # in several terminals
//! ```

use gambol::{
    chan::{self, Receiver, Sender},
    io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use std::{collections::HashMap, env, process::ExitCode, sync::Arc};

/// Lines that wait for a guest.
const QUEUE: usize = 100;

/// Bytes in a line; what is longer becomes several.
const LONGEST: u64 = 1024;

/// What happens, and to the guest of which number.
enum Event {
    Comes(u64, Guest),
    Says(u64, String),
    Goes(u64),
}

#[gambol::main]
async fn main() -> ExitCode {
    let address = env::args_os().nth(1).map_or("127.0.0.1:8000".into(), |given| given.to_string_lossy().into_owned());
    match serve(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    // Without a queue: who speaks faster than the broadcaster hears waits for it.
    let (events, heard) = chan::unbuffered();
    gambol::spawn(broadcast(heard));
    for number in 1.. {
        match listener.accept().await {
            Ok((client, _)) => drop(gambol::spawn(host(number, client, events.clone()))),
            // Out of descriptors, mostly. The listener waits a little before it tries again, so this is no busy loop.
            Err(error) => eprintln!("chat: cannot accept: {error}"),
        }
    }
    Ok(())
}

/// One client, until it goes. Whether it has failed or ended is the same.
async fn host(number: u64, client: TcpStream, events: Sender<Event>) -> io::Result<()> {
    (&client).write_all(b"your name?\n").await?;
    let mut lines = BufReader::new(&client);
    let Some(name) = line(&mut lines).await? else { return Ok(()) };
    let name = if name.is_empty() { format!("guest {number}") } else { name.chars().take(30).collect() };

    let (queue, waiting) = chan::buffered(QUEUE);
    let _ = events.send(Event::Comes(number, Guest { name, queue, missed: 0 })).await;
    gambol::select! {
        _ = listen(number, lines, &events) => {}
        _ = talk(waiting, &client) => {}
    }
    let _ = events.send(Event::Goes(number)).await;
    Ok(())
}

/// Passes on what the client says.
async fn listen(number: u64, mut client: BufReader<&TcpStream>, events: &Sender<Event>) -> io::Result<()> {
    while let Some(text) = line(&mut client).await? {
        if !text.is_empty() {
            let _ = events.send(Event::Says(number, text)).await;
        }
    }
    Ok(())
}

/// Tells the client what the others say.
async fn talk(waiting: Receiver<Arc<str>>, mut client: &TcpStream) -> io::Result<()> {
    while let Some(line) = waiting.recv().await {
        client.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

/// A line of text. None: there are no more.
async fn line(client: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let length = client.take(LONGEST).read_until(b'\n', &mut line).await?;
    // Nobody shall play with the others' terminals.
    Ok((length > 0).then(|| String::from_utf8_lossy(&line).replace(char::is_control, "")))
}

/// The broadcaster.
async fn broadcast(events: Receiver<Event>) {
    let mut guests = HashMap::<u64, Guest>::new();
    while let Some(event) = events.recv().await {
        let (from, line) = match event {
            Event::Comes(number, mut guest) => {
                let names: Vec<_> = guests.values().map(|guest| guest.name.as_str()).collect();
                let who = if names.is_empty() { "nobody else".to_owned() } else { names.join(", ") };
                guest.tell(&format!("here: {who}\n").into());
                let line = format!("{} has come\n", guest.name);
                guests.insert(number, guest);
                (number, line)
            }
            Event::Says(number, text) => (number, format!("{}: {text}\n", guests[&number].name)),
            Event::Goes(number) => {
                let Some(guest) = guests.remove(&number) else { continue };
                (number, format!("{} has gone\n", guest.name))
            }
        };
        let line = line.into();
        guests.iter_mut().filter(|(number, _)| **number != from).for_each(|(_, guest)| guest.tell(&line));
    }
}

/// A guest, as the broadcaster knows it.
struct Guest {
    name: String,
    queue: Sender<Arc<str>>,
    /// Lines that found the queue full since the last one that did not.
    missed: usize,
}

impl Guest {
    /// Does not wait.
    fn tell(&mut self, line: &Arc<str>) {
        if self.missed > 0 && self.queue.try_send(format!("({} lines are missing)\n", self.missed).into()).is_ok() {
            self.missed = 0;
        }
        if self.missed > 0 || self.queue.try_send(line.clone()).is_err() {
            self.missed += 1;
        }
    }
}
