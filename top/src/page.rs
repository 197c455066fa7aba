//! A page as it comes through the socket. The format is described in gambol's `executor/src/top/page.rs`.

use std::{collections::HashMap, fmt, io, io::BufRead};

/// The version that is understood.
const VERSION: &str = "1";
/// Bytes in a line; what is longer is no page.
const LONGEST: u64 = 1 << 16;
/// Lines in a page.
const LINES: usize = 100_000;

/// What a program told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub runtime: String,
    pub pid: u32,
    /// By name, as `Metrics` calls them.
    pub metrics: HashMap<String, u64>,
    pub workers: Vec<Worker>,
    /// Where tasks were spawned that held up their workers, the last one first.
    pub stalls: Vec<Stalled>,
    pub groups: Vec<Group>,
    /// Groups that were left out, and how many tasks they have.
    pub more: (u64, u64),
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    pub index: u64,
    pub state: String,
    pub polls: u64,
    pub steals: u64,
    pub parks: u64,
    pub queued: u64,
    /// The task that it runs, and where that was spawned; "-" if it is not known.
    pub task: String,
    pub site: String,
}

/// The stalls of the tasks that were spawned at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stalled {
    pub count: u64,
    pub longest_ms: u64,
    /// The last one, and where it was spawned; "-" for wakers.
    pub task: String,
    pub site: String,
}

/// Tasks that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub count: u64,
    /// For how long the oldest is in that state.
    pub oldest_ms: u64,
    pub state: String,
    pub wait: String,
    /// Where they were spawned.
    pub site: String,
}

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// The program has said why.
    Refused(String),
    /// This is no page, or one of another version.
    Format(String),
    Io(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Refused(why) => f.write_str(why),
            Trouble::Format(what) => write!(f, "not understood: {what}"),
            Trouble::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

impl Page {
    /// Reads one, up to its end.
    pub fn read(from: &mut impl BufRead) -> Result<Page, Trouble> {
        let first = line(from)?;
        match first.split_once('\t') {
            Some(("gambol-top", VERSION)) => {}
            Some(("gambol-top", other)) => {
                return Err(Trouble::Format(format!("the program speaks version {other}, this is for {VERSION}")));
            }
            Some(("error", why)) => return Err(Trouble::Refused(why.to_owned())),
            _ => return Err(Trouble::Format(format!("{first:?}"))),
        }
        let mut page = Page::default();
        for _ in 0..LINES {
            let text = line(from)?;
            if text == "end" {
                return Ok(page);
            }
            // Lines and fields that are unknown are for later versions of this program.
            page.take(&text).ok_or(Trouble::Format(format!("{text:?}")))?;
        }
        Err(Trouble::Format("there is no end".to_owned()))
    }

    /// None: the line lacks something.
    fn take(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split('\t');
        let kind = fields.next()?;
        let mut word = || fields.next().map(str::to_owned);
        match kind {
            "runtime" => self.runtime = word()?,
            "pid" => self.pid = word()?.parse().ok()?,
            "metric" => {
                let (name, value) = (word()?, word()?.parse().ok()?);
                self.metrics.insert(name, value);
            }
            "worker" => self.workers.push(Worker {
                index: word()?.parse().ok()?,
                state: word()?,
                polls: word()?.parse().ok()?,
                steals: word()?.parse().ok()?,
                parks: word()?.parse().ok()?,
                queued: word()?.parse().ok()?,
                task: word()?,
                site: word()?,
            }),
            "stall" => self.stalls.push(Stalled {
                count: word()?.parse().ok()?,
                longest_ms: word()?.parse().ok()?,
                task: word()?,
                site: word()?,
            }),
            "tasks" => self.groups.push(Group {
                count: word()?.parse().ok()?,
                oldest_ms: word()?.parse().ok()?,
                state: word()?,
                wait: word()?,
                site: word()?,
            }),
            "more" => self.more = (word()?.parse().ok()?, word()?.parse().ok()?),
            _ => {}
        }
        Some(())
    }

    /// A figure; zero if the program did not tell it.
    pub fn metric(&self, name: &str) -> u64 {
        self.metrics.get(name).copied().unwrap_or(0)
    }

    /// How much a figure has grown per second since an earlier page of the same program.
    pub fn rate(&self, before: Option<&Page>, value: impl Fn(&Page) -> Option<u64>) -> Option<f64> {
        let before = before.filter(|before| before.pid == self.pid)?;
        let ms = self.metric("uptime_ms").checked_sub(before.metric("uptime_ms")).filter(|ms| *ms > 0)?;
        Some(value(self)?.checked_sub(value(before)?)? as f64 * 1000.0 / ms as f64)
    }

    /// The worker with that index.
    pub fn worker(&self, index: u64) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.index == index)
    }
}

/// One line, without its end and without what would play with the terminal.
fn line(from: &mut impl BufRead) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *from, LONGEST).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(match bytes.len() as u64 {
            0..LONGEST if bytes.is_empty() => Trouble::Io(io::ErrorKind::UnexpectedEof.into()),
            _ => Trouble::Format("a line without an end".to_owned()),
        });
    }
    Ok(String::from_utf8_lossy(&bytes).replace(|c: char| c.is_control() && c != '\t', "\u{fffd}"))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A page with something of everything.
    pub const SAMPLE: &str = "gambol-top\t1\n\
        runtime\tchat\n\
        pid\t4711\n\
        metric\tuptime_ms\t3723000\n\
        metric\ttasks_live\t1007\n\
        metric\ttasks_spawned\t5000\n\
        metric\tpolls\t1000000\n\
        metric\tstalls\t3\n\
        metric\tworkers\t2\n\
        future\tnobody\tknows\n\
        worker\t0\tbusy\t600000\t5\t10\t3\t42\tsrc/chat.rs:10:5\tlater\n\
        worker\t1\tparked\t400000\t0\t20\t0\t-\t-\n\
        stall\t2\t1500\t77\tsrc/chat.rs:40:9\tlater\n\
        stall\t1\t12\t-\t-\n\
        tasks\t1000\t250\tparked\tread\tsrc/chat.rs:20:9\n\
        tasks\t4\t7200000\tparked\tchan recv\tsrc/chat.rs:30:9\n\
        more\t2\t3\n\
        end\n";

    pub fn sample() -> Page {
        Page::read(&mut SAMPLE.as_bytes()).unwrap()
    }

    #[test]
    fn a_page_is_read_with_what_is_unknown_left_out() {
        let page = sample();
        assert_eq!(
            (page.runtime.as_str(), page.pid, page.metric("tasks_live"), page.metric("nothing")),
            ("chat", 4711, 1007, 0)
        );
        assert_eq!((page.workers.len(), page.workers[0].task.as_str(), page.workers[0].queued), (2, "42", 3));
        assert_eq!((page.stalls.len(), page.stalls[0].longest_ms, page.stalls[0].task.as_str()), (2, 1500, "77"));
        assert_eq!((page.groups.len(), page.groups[1].wait.as_str(), page.more), (2, "chan recv", (2, 3)));
    }

    #[test]
    fn every_prefix_of_a_page_is_an_error_and_no_panic() {
        for end in 0..SAMPLE.len() {
            assert!(Page::read(&mut &SAMPLE.as_bytes()[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn nonsense_is_told_from_a_refusal_and_from_another_version() {
        for (text, says) in [
            ("error\tthe runtime has ended\n", "the runtime has ended"),
            ("gambol-top\t2\nend\n", "not understood: the program speaks version 2, this is for 1"),
            ("HTTP/1.1 400 Bad Request\n", "not understood: \"HTTP/1.1 400 Bad Request\""),
            ("gambol-top\t1\ntasks\tmany\nend\n", "not understood: \"tasks\\tmany\""),
        ] {
            assert_eq!(Page::read(&mut text.as_bytes()).unwrap_err().to_string(), says);
        }
        let endless = vec![b'x'; 1 << 20];
        assert!(matches!(Page::read(&mut endless.as_slice()), Err(Trouble::Format(_))));
    }

    #[test]
    fn terminals_are_not_played_with() {
        let page = Page::read(&mut b"gambol-top\t1\nruntime\t\x1b[31mred\nend\n".as_slice()).unwrap();
        assert_eq!(page.runtime, "\u{fffd}[31mred");
    }

    #[test]
    fn rates_are_by_the_programs_own_clock_and_only_within_one_program() {
        let before = sample();
        let mut page = sample();
        page.metrics.insert("uptime_ms".to_owned(), 3_723_000 + 500);
        page.metrics.insert("polls".to_owned(), 1_000_000 + 700);
        let polls = |page: &Page| Some(page.metric("polls"));
        assert_eq!(page.rate(Some(&before), polls), Some(1400.0));
        assert_eq!(page.rate(None, polls), None);
        assert_eq!(page.rate(Some(&page.clone()), polls), None);
        assert_eq!(before.rate(Some(&page), polls), None);
        page.pid += 1;
        assert_eq!(page.rate(Some(&before), polls), None);
    }
}
