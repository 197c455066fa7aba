//! The program: its arguments, one page as text, or the terminal until somebody quits.

use crate::{
    client::{Client, Feed, feed},
    page::Trouble,
    text::plain,
    view::{View, Wish},
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use std::{
    env,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

const USAGE: &str = "usage: gambol-top [--once] [--interval SECONDS] [PATH]

Looks at a running gambol program through its socket at PATH: the one that the program was started with in GAMBOL_TOP, or
gave to Handle::serve_top. Without PATH, GAMBOL_TOP of this process says it.

  --once               prints one page as text and ends
  --interval SECONDS   between two pages, from 0.1 to 3600; 1 if it is not given";

/// How soon a page that has come is on the screen, and how long a key may take.
const TICK: Duration = Duration::from_millis(50);

struct Arguments {
    path: PathBuf,
    once: bool,
    interval: Duration,
}

/// None: they are no good, or help is asked for.
fn arguments() -> Option<Arguments> {
    let (mut path, mut once, mut interval) = (None, false, 1.0);
    let mut words = env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--once") => once = true,
            Some("--interval") => interval = words.next()?.to_str()?.parse().ok()?,
            Some(other) if other.starts_with('-') => return None,
            _ if path.is_none() => path = Some(word),
            _ => return None,
        }
    }
    let path = path.or_else(|| env::var_os("GAMBOL_TOP")).filter(|path| !path.is_empty())?;
    let is_sensible = (0.1..=3600.0).contains(&interval);
    is_sensible.then(|| Arguments { path: path.into(), once, interval: Duration::from_secs_f64(interval) })
}

pub fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = if arguments.once { print_once(&arguments) } else { watch(&arguments) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gambol-top: {}: {error}", arguments.path.display());
            ExitCode::FAILURE
        }
    }
}

fn print_once(arguments: &Arguments) -> Result<(), Trouble> {
    let text = plain(&Client::new(&arguments.path).ask()?);
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn watch(arguments: &Arguments) -> Result<(), Trouble> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(io::Error::other("this is no terminal; --once prints a page anywhere").into());
    }
    // A path that leads nowhere is a mistake more often than a program that is yet to come.
    let feed = feed(&arguments.path, arguments.interval);
    let first = feed.pages.recv().expect("it tells before it ends");
    let mut view = View::new(first?);
    // Restores the terminal in a panic, too.
    let mut terminal = ratatui::try_init()?;
    let result = run(&mut terminal, &mut view, &feed);
    ratatui::try_restore()?;
    Ok(result?)
}

fn run(terminal: &mut DefaultTerminal, view: &mut View, feed: &Feed) -> io::Result<()> {
    let mut changed = true;
    loop {
        while let Ok(news) = feed.pages.try_recv() {
            view.take(news);
            changed = true;
        }
        if changed {
            terminal.draw(|frame| view.draw(frame))?;
        }
        changed = event::poll(TICK)?;
        if changed
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && view.press(key) == Wish::Quit
        {
            return Ok(());
        }
    }
}
