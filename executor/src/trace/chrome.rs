//! A recording as Chrome's trace events in JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.
//!
//! The format is Google's "Trace Event Format": one object per event, with a phase `ph`, a time `ts` in microseconds, and a
//! track `tid`.
//!
//! | what | as |
//! | --- | --- |
//! | a turn, a sleep of a worker, a wait in the poller | a slice: `B` and `E` on the worker's track |
//! | a wake, a spawn | the start `s` of a flow, and the end `f` where the task has its next turn |
//! | a wake or a spawn outside of slices | besides a slice of 1 ns, since flows start in slices |
//! | a spawn, a theft, timers that are due, a worker that comes or goes | an instant `i` |
//! | a stall | an async slice `b` and `e`, which may go on over other slices |
//! | workers awake, tasks that are ready | counters `C` |
//!
//! All rings are merged by time and written in one pass, event by event. What is kept meanwhile is what is open: slices, and
//! tasks that are ready. A ring that has lost its oldest events may begin in the middle of a slice: an end without its
//! beginning is left out, and what is open at the end is closed there. So every file is whole.

use super::{
    note::{By, End, Note, Site},
    recorder::{OUTSIDE, Recorder, Recording},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    fmt::{self, Display},
    io::{self, Write},
};

/// Nanoseconds between two values of the counter of ready tasks, at least.
const SAMPLE: u64 = 100_000;

/// Writes a recording.
pub(super) fn write(recorder: &Recorder, recording: &Recording, out: &mut dyn Write) -> io::Result<()> {
    let lost: u64 = recording.rings.iter().map(|ring| ring.lost).sum();
    write!(out, r#"{{"displayTimeUnit":"ns","otherData":{{"events lost":"{lost}"}},"traceEvents":["#)?;
    let mut writer = Writer {
        out,
        first: true,
        pid: std::process::id(),
        start: recorder.start,
        whole: lost == 0,
        names: recording,
        now: recorder.start,
        tracks: BTreeMap::new(),
        ready: HashMap::new(),
        flows: 0,
        stalls: BTreeMap::new(),
        awake: BTreeSet::new(),
        sampled: (recorder.start, 0),
    };
    writer.head(recorder)?;
    let mut next: BinaryHeap<_> = recording
        .rings
        .iter()
        .enumerate()
        .filter_map(|(n, ring)| Some(Reverse((ring.events.first()?[0], n, 0))))
        .collect();
    while let Some(Reverse((_, n, at))) = next.pop() {
        let events = &recording.rings[n].events;
        // SAFETY: the words of one place were stored by one push of what `pack` made, and the ring gives no torn ones.
        let (time, track, note) = unsafe { Note::unpack(events[at]) };
        if let Some(note) = note {
            writer.note(time, track, note)?;
        }
        if let Some(event) = events.get(at + 1) {
            next.push(Reverse((event[0], n, at + 1)));
        }
    }
    writer.close()?;
    out.write_all(b"\n]}\n")
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    first: bool,
    pid: u32,
    start: u64,
    /// Nothing was lost, so that what is ready can be counted.
    whole: bool,
    names: &'a Recording,
    /// The time of the last note.
    now: u64,
    tracks: BTreeMap<u32, Track>,
    /// Tasks that were spawned or woken and have had no turn since.
    ready: HashMap<u64, Ready>,
    flows: u64,
    /// The stalls that last, by worker: the task.
    stalls: BTreeMap<u16, (u64, String)>,
    /// Workers that do not sleep.
    awake: BTreeSet<u32>,
    /// When the ready tasks were last counted, and how many there were.
    sampled: (u64, usize),
}

#[derive(Default)]
struct Track {
    /// Slices that are open, the outermost first.
    open: Vec<Open>,
    /// What is written next is not earlier than this.
    floor: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Turn(u64),
    Sleep,
    Poller,
}

/// Since when a task is ready, and by whom.
struct Ready {
    flow: u64,
    time: u64,
    track: u32,
    by: Option<By>,
}

impl Writer<'_> {
    /// Begins an event; the caller writes more members, and the closing brace.
    fn begin(&mut self, ph: &str, track: u32, time: u64) -> io::Result<()> {
        let floor = &mut self.tracks.entry(track).or_default().floor;
        *floor = time.max(*floor);
        let ts = floor.saturating_sub(self.start);
        self.begin_at(ph, track, ts)
    }

    /// As above, at so many nanoseconds after the start, on a track that is in no order.
    fn begin_at(&mut self, ph: &str, track: u32, ts: u64) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.first, false) { "" } else { "," };
        // Track 0 has no slices: viewers take it for the processor's idle thread.
        let tid = track.wrapping_add(1);
        write!(
            self.out,
            "{comma}\n{{\"ph\":\"{ph}\",\"ts\":{}.{:03},\"pid\":{},\"tid\":{tid}",
            ts / 1000,
            ts % 1000,
            self.pid
        )
    }

    /// What process and tracks are called.
    fn head(&mut self, recorder: &Recorder) -> io::Result<()> {
        let recording = self.names;
        self.meta(u32::MAX, "process_name", "name", Text(&recorder.runtime))?;
        let workers = &recording.rings[..recording.rings.len() - 1];
        let mut tracks: BTreeSet<u32> =
            (0..).zip(workers).filter(|(_, ring)| !ring.events.is_empty()).map(|(n, _)| n).collect();
        // The workers of a stage have all their events there.
        let outside = recording.rings.iter().skip(workers.len()).flat_map(|ring| &ring.events);
        // SAFETY: as in `write`.
        tracks.extend(outside.map(|event| unsafe { Note::unpack(*event) }.1).filter(|track| *track < OUTSIDE));
        for track in tracks {
            let name = format!("{}-{track}", recorder.runtime);
            self.track(track, &name)?;
        }
        for (track, name) in &recording.threads {
            let name = if name.is_empty() { format!("thread {}", track - OUTSIDE) } else { name.clone() };
            self.track(*track, &name)?;
        }
        Ok(())
    }

    fn track(&mut self, track: u32, name: &str) -> io::Result<()> {
        self.meta(track, "thread_name", "name", Text(name))?;
        self.meta(track, "thread_sort_index", "sort_index", track)
    }

    fn meta(&mut self, track: u32, what: &str, member: &str, value: impl Display) -> io::Result<()> {
        self.begin_at("M", track, 0)?;
        write!(self.out, r#","name":"{what}","args":{{"{member}":{value}}}}}"#)
    }

    fn note(&mut self, time: u64, track: u32, note: Note) -> io::Result<()> {
        self.now = time;
        match note {
            Note::Spawn { id, site, name } => {
                let title = self.title(id, site, name);
                if self.is_open(track) {
                    self.begin("i", track, time)?;
                    write!(
                        self.out,
                        r#","s":"t","name":{},"args":{{"task":{}"#,
                        Text(&format!("spawn {title}")),
                        Task(id)
                    )?;
                    self.out.write_all(b"}}")?;
                } else {
                    self.tick(track, time, &format!("spawn {title}"), id)?;
                }
                self.ready(time, track, id, None)?;
            }
            Note::Ready { id, by } => {
                if !self.is_open(track) {
                    self.tick(track, time, "wake", id)?;
                }
                self.ready(time, track, id, Some(by))?;
            }
            Note::Run { id, site, name } => self.run(time, track, id, site, name)?,
            Note::Stop { id, end } => {
                let end = match end {
                    End::Waits(reason) => reason.as_str(),
                    End::Ready => "woken during its turn",
                    End::Over => "finished",
                };
                self.end_slice(track, time, Open::Turn(id), format_args!(r#""end":"{end}""#))?;
            }
            Note::Park => {
                self.begin_slice(track, time, Open::Sleep, &Text("parked"))?;
                self.out.write_all(b"}")?;
                self.set_awake(time, track, false)?;
            }
            Note::Unpark => {
                self.end_slice(track, time, Open::Sleep, format_args!(""))?;
                self.set_awake(time, track, true)?;
            }
            Note::PollBegin => {
                self.begin_slice(track, time, Open::Poller, &Text("poller"))?;
                self.out.write_all(b"}")?;
            }
            Note::PollEnd { events } => {
                self.end_slice(track, time, Open::Poller, format_args!(r#""events":{events}"#))?;
            }
            Note::Steal { from, tasks } => {
                self.instant(track, time, "steal", format_args!(r#""from worker":{from},"tasks":{tasks}"#))?;
            }
            Note::Timers { fired } => self.instant(track, time, "timers", format_args!(r#""fired":{fired}"#))?,
            Note::WorkerStart => {
                self.instant(track, time, "worker starts", format_args!(""))?;
                self.set_awake(time, track, true)?;
            }
            Note::WorkerRest => {
                self.instant(track, time, "worker rests", format_args!(""))?;
                self.set_awake(time, track, false)?;
            }
            Note::WorkerEnd => {
                self.instant(track, time, "worker ends", format_args!(""))?;
                self.set_awake(time, track, false)?;
            }
            Note::StallBegin { worker, id, site } => {
                self.end_stall(worker, time)?;
                let title = format!("stall {}", self.title(id, site, 0));
                self.stall("b", worker, time, &title)?;
                write!(self.out, r#","args":{{"task":{}}}}}"#, Task(id))?;
                self.stalls.insert(worker, (id, title));
            }
            Note::StallEnd { worker } => self.end_stall(worker, time)?,
        }
        if self.whole && time.saturating_sub(self.sampled.0) >= SAMPLE && self.ready.len() != self.sampled.1 {
            self.sampled = (time, self.ready.len());
            self.counter(time, "tasks ready", self.ready.len())?;
        }
        Ok(())
    }

    /// Closes what is open.
    fn close(&mut self) -> io::Result<()> {
        let tracks: Vec<u32> = self.tracks.keys().copied().collect();
        for track in tracks {
            while let Some(open) = self.tracks.get(&track).and_then(|track| track.open.last().copied()) {
                self.end_slice(track, self.now, open, format_args!(r#""end":"still going on""#))?;
            }
        }
        let workers: Vec<u16> = self.stalls.keys().copied().collect();
        workers.into_iter().try_for_each(|worker| self.end_stall(worker, self.now))
    }

    // ---- the parts of it

    fn run(&mut self, time: u64, track: u32, id: u64, site: Option<Site>, name: u16) -> io::Result<()> {
        let title = self.title(id, site, name);
        self.begin_slice(track, time, Open::Turn(id), &Text(&title))?;
        write!(self.out, r#","cat":"task","args":{{"task":{}"#, Task(id))?;
        if let Some(site) = site {
            write!(self.out, r#","spawned at":{}"#, Text(&site.to_string()))?;
        }
        let ready = self.ready.remove(&id);
        if let Some(ready) = &ready {
            self.out.write_all(br#","woken by":"#)?;
            match ready.by {
                None => self.out.write_all(br#""its spawn""#)?,
                Some(By::Task(waker)) => write!(self.out, r#""task {}""#, Task(waker))?,
                Some(By::Poller) => self.out.write_all(br#""poller""#)?,
                Some(By::Timer) => self.out.write_all(br#""timer""#)?,
                Some(By::Outside) => self.out.write_all(br#""outside of tasks""#)?,
                Some(By::Meanwhile) => self.out.write_all(br#""during its turn""#)?,
            }
            let on = self.names.threads.get(&ready.track).filter(|name| !name.is_empty());
            match on {
                Some(name) => write!(self.out, r#","woken on":{}"#, Text(name))?,
                None if ready.track < OUTSIDE => write!(self.out, r#","woken on":"worker {}""#, ready.track)?,
                None => write!(self.out, r#","woken on":"thread {}""#, ready.track - OUTSIDE)?,
            }
            write!(self.out, r#","ready for ns":{}"#, time.saturating_sub(ready.time))?;
        }
        self.out.write_all(b"}}")?;
        if let Some(ready) = ready {
            self.begin("f", track, time)?;
            write!(self.out, r#","bp":"e","cat":"wake","name":"wake","id":{}}}"#, ready.flow)?;
        }
        Ok(())
    }

    /// A task is ready: a flow begins, in the slice that is open.
    fn ready(&mut self, time: u64, track: u32, id: u64, by: Option<By>) -> io::Result<()> {
        self.flows += 1;
        let flow = self.flows;
        self.begin("s", track, time)?;
        write!(self.out, r#","cat":"wake","name":"wake","id":{flow}}}"#)?;
        if self.tracks.get(&track).is_none_or(|track| track.open.is_empty()) {
            // The tick that it began in is over.
            self.tracks.entry(track).or_default().floor += 1;
        }
        self.ready.insert(id, Ready { flow, time, track, by });
        Ok(())
    }

    /// A slice of a nanosecond. What is written next begins behind it, or is the flow in it.
    fn tick(&mut self, track: u32, time: u64, name: &str, id: u64) -> io::Result<()> {
        self.begin("X", track, time)?;
        write!(self.out, r#","dur":0.001,"name":{},"args":{{"task":{}}}}}"#, Text(name), Task(id))
    }

    fn instant(&mut self, track: u32, time: u64, name: &str, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.begin("i", track, time)?;
        write!(self.out, r#","s":"t","name":"{name}","args":{{{args}}}}}"#)
    }

    fn is_open(&self, track: u32) -> bool {
        self.tracks.get(&track).is_some_and(|track| !track.open.is_empty())
    }

    /// Begins a slice; the caller closes the brace.
    fn begin_slice(&mut self, track: u32, time: u64, open: Open, name: &Text<'_>) -> io::Result<()> {
        self.tracks.entry(track).or_default().open.push(open);
        self.begin("B", track, time)?;
        write!(self.out, r#","name":{name}"#)
    }

    /// Ends a slice, and those inside it whose ends were lost. Does nothing if its beginning was lost.
    fn end_slice(&mut self, track: u32, time: u64, open: Open, args: fmt::Arguments<'_>) -> io::Result<()> {
        let stack = self.tracks.get(&track).map_or(&[][..], |track| &track.open);
        let Some(depth) = stack.iter().rposition(|other| *other == open) else { return Ok(()) };
        for inner in (depth..stack.len()).rev() {
            self.tracks.entry(track).or_default().open.pop();
            self.begin("E", track, time)?;
            if inner == depth {
                write!(self.out, r#","args":{{{args}}}"#)?;
            }
            self.out.write_all(b"}")?;
        }
        Ok(())
    }

    fn stall(&mut self, ph: &str, worker: u16, time: u64, title: &str) -> io::Result<()> {
        self.begin(ph, u32::from(worker), time)?;
        write!(self.out, r#","cat":"stall","id":{worker},"name":{}"#, Text(title))
    }

    fn end_stall(&mut self, worker: u16, time: u64) -> io::Result<()> {
        if let Some((_, title)) = self.stalls.remove(&worker) {
            self.stall("e", worker, time, &title)?;
            self.out.write_all(b"}")?;
        }
        Ok(())
    }

    fn set_awake(&mut self, time: u64, track: u32, awake: bool) -> io::Result<()> {
        let changed = if awake { self.awake.insert(track) } else { self.awake.remove(&track) };
        if changed { self.counter(time, "workers awake", self.awake.len()) } else { Ok(()) }
    }

    fn counter(&mut self, time: u64, name: &str, value: usize) -> io::Result<()> {
        // They belong to the process.
        self.begin("C", u32::MAX, time)?;
        write!(self.out, r#","name":"{name}","args":{{"{name}":{value}}}}}"#)
    }

    /// What a task's slices are called.
    fn title(&self, id: u64, site: Option<Site>, name: u16) -> String {
        let given = (name as usize).checked_sub(1).and_then(|n| self.names.names.get(n));
        match (given, site) {
            (Some(name), _) => name.to_string(),
            (None, Some(site)) => format!("{}:{}", site.file(), site.line()),
            (None, None) => format!("task {}", Task(id)),
        }
    }
}

/// A task's number, as its id shows it.
struct Task(u64);

impl Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0 & ((1 << 48) - 1)).fmt(f)
    }
}

/// A string of JSON.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut rest = self.0;
        while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
            f.write_str(&rest[..at])?;
            let c = char::from(rest.as_bytes()[at]);
            if c < ' ' {
                write!(f, "\\u{:04x}", u32::from(c))?
            } else {
                write!(f, "\\{c}")?
            }
            rest = &rest[at + 1..];
        }
        f.write_str(rest)?;
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The phases and names of what is written for these notes of one foreign thread.
    fn phases(notes: &[Note]) -> Vec<(String, String)> {
        let recorder = Recorder::new("test", 64, None).unwrap();
        notes.iter().for_each(|note| recorder.record_outside(*note, None));
        let mut json = Vec::new();
        recorder.write(&mut json).unwrap();
        let whole: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let events = whole["traceEvents"].as_array().unwrap().iter();
        events.map(|event| (text(&event["ph"]), text(&event["name"]))).filter(|(ph, _)| ph != "M").collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(ph, name)| (ph.to_string(), name.to_string())).collect()
    }

    #[test]
    fn a_stall_begins_and_ends_once_whatever_is_told_of_it() {
        let begin = Note::StallBegin { worker: 3, id: 7, site: None };
        let end = Note::StallEnd { worker: 3 };
        let other = Note::StallBegin { worker: 4, id: 0, site: None };
        let name = "stall task 7";
        assert_eq!(phases(&[begin, end]), pairs(&[("b", name), ("e", name)]));
        assert_eq!(phases(&[end, begin]), pairs(&[("b", name), ("e", name)]), "an end without its beginning");
        assert_eq!(phases(&[begin, begin, end]), pairs(&[("b", name), ("e", name), ("b", name), ("e", name)]));
        let both = [("b", name), ("b", "stall task 0"), ("e", name), ("e", "stall task 0")];
        assert_eq!(phases(&[begin, other, end]), pairs(&both));
    }

    #[test]
    fn slices_whose_other_end_is_lost_are_left_out_or_closed() {
        let run = |id| Note::Run { id, site: None, name: 0 };
        let stop = |id| Note::Stop { id, end: End::Over };
        assert_eq!(phases(&[stop(1), Note::Unpark, Note::PollEnd { events: 1 }]), pairs(&[("C", "workers awake")]));
        assert_eq!(phases(&[run(1)]), pairs(&[("B", "task 1"), ("E", "")]));
        // The inner one's end is missing.
        let nested = [("B", "task 1"), ("B", "task 2"), ("E", ""), ("E", "")];
        assert_eq!(phases(&[run(1), run(2), stop(1)]), pairs(&nested));
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(Text("a \"b\" \\ \n\u{1f}é").to_string(), r#""a \"b\" \\ \u000a\u001fé""#);
    }
}
