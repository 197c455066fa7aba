//! A strict reader of Chrome's trace events: it panics about whatever is not as the format, or our use of it, has it.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is in a trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// In the order of their ends.
    pub turns: Vec<Turn>,
    /// The names of tracks.
    pub tracks: BTreeMap<u64, String>,
    /// How many events there are of each phase and name; ends have none.
    pub counts: BTreeMap<(String, String), usize>,
    /// Tasks whose spawn is in it.
    pub spawned: BTreeSet<u64>,
    pub lost: u64,
}

/// A slice of a task.
#[derive(Clone, Debug)]
pub struct Turn {
    pub task: u64,
    pub name: String,
    pub track: u64,
    /// Nanoseconds.
    pub begin: u64,
    pub end: u64,
    pub why: String,
    pub woken_by: Option<String>,
    pub woken_on: Option<String>,
    /// Slices around it.
    pub depth: usize,
}

impl Trace {
    pub fn of(&self, task: u64) -> Vec<&Turn> {
        self.turns.iter().filter(|turn| turn.task == task).collect()
    }

    pub fn count(&self, phase: &str, name: &str) -> usize {
        self.counts.get(&(phase.to_owned(), name.to_owned())).copied().unwrap_or(0)
    }
}

#[derive(Default)]
struct Track {
    now: u64,
    /// Task, if it is a turn; name; begin; the other members.
    open: Vec<(Option<u64>, String, u64, Value)>,
    /// The end of the last slice that came whole.
    whole: u64,
}

/// Reads a trace and checks it.
pub fn check(json: &str) -> Trace {
    let whole: Value = serde_json::from_str(json).expect("it is JSON");
    let mut trace =
        Trace { lost: whole["otherData"]["events lost"].as_str().unwrap().parse().unwrap(), ..Trace::default() };
    let (mut tracks, mut flows, mut ended) = (BTreeMap::<u64, Track>::new(), BTreeMap::new(), BTreeSet::new());
    let mut stalls = BTreeMap::new();
    for event in whole["traceEvents"].as_array().expect("a list of events") {
        let text = |member: &str| event[member].as_str().unwrap_or_else(|| panic!("no {member}: {event}")).to_owned();
        let number = |member: &str| event[member].as_u64().unwrap_or_else(|| panic!("no {member}: {event}"));
        let phase = text("ph");
        let (pid, tid) = (number("pid"), number("tid"));
        assert!(pid > 0, "{event}");
        let time = nanos(&event["ts"]);
        let name = if phase == "E" { String::new() } else { text("name") };
        *trace.counts.entry((phase.clone(), name.clone())).or_default() += 1;
        let track = tracks.entry(tid).or_default();
        if phase != "M" {
            assert!(time >= track.now, "goes back to {time} from {}: {event}", track.now);
            track.now = time;
        }
        if matches!(&*phase, "B" | "E" | "X" | "i" | "M") && event.get("args").is_some() {
            assert!(event["args"].is_object(), "{event}");
        }
        match &*phase {
            "M" => {
                if name == "thread_name" {
                    let other = trace.tracks.insert(tid, event["args"]["name"].as_str().unwrap().to_owned());
                    assert!(other.is_none(), "two names: {event}");
                }
            }
            "B" => {
                assert!(tid > 0 && time >= track.whole, "{event}");
                let task = (event["cat"] == "task").then(|| event["args"]["task"].as_u64().unwrap());
                track.open.push((task, name, time, event["args"].clone()));
            }
            "E" => {
                let (task, name, begin, args) = track.open.pop().unwrap_or_else(|| panic!("nothing is open: {event}"));
                let Some(task) = task else { continue };
                trace.turns.push(Turn {
                    task,
                    name,
                    track: tid,
                    begin,
                    end: time,
                    why: event["args"]["end"].as_str().unwrap_or("").to_owned(),
                    woken_by: args["woken by"].as_str().map(str::to_owned),
                    woken_on: args["woken on"].as_str().map(str::to_owned),
                    depth: track.open.len(),
                });
            }
            "X" => {
                let duration = nanos(&event["dur"]);
                assert!(track.open.is_empty() && time >= track.whole && duration > 0, "{event}");
                track.whole = time + duration;
            }
            "i" => assert_eq!(event["s"], "t", "{event}"),
            "s" => {
                assert!(!track.open.is_empty() || track.whole > time, "a flow that begins in no slice: {event}");
                assert!(flows.insert(number("id"), (time, text("cat"))).is_none(), "begins twice: {event}");
            }
            "f" => {
                let (begun, cat) = flows.get(&number("id")).unwrap_or_else(|| panic!("never began: {event}"));
                assert!(*begun <= time && *cat == text("cat") && event["bp"] == "e", "{event}");
                assert!(!track.open.is_empty() && ended.insert(number("id")), "{event}");
            }
            "C" => assert!(event["args"].as_object().unwrap().values().all(Value::is_u64), "{event}"),
            "b" => assert!(stalls.insert(number("id"), (text("cat"), name)).is_none(), "{event}"),
            "e" => assert_eq!(stalls.remove(&number("id")), Some((text("cat"), name)), "{event}"),
            _ => panic!("an unknown phase: {event}"),
        }
        if let Some(task) = event["args"]["task"].as_u64()
            && event["name"].as_str().is_some_and(|name| name.starts_with("spawn "))
        {
            trace.spawned.insert(task);
        }
    }
    assert!(tracks.values().all(|track| track.open.is_empty()), "something is left open");
    assert!(stalls.is_empty(), "{stalls:?}");
    for turn in &trace.turns {
        assert!(trace.tracks.contains_key(&turn.track), "a track without a name: {turn:?}");
    }
    trace
}

/// Microseconds with up to three places, in nanoseconds.
fn nanos(value: &Value) -> u64 {
    let micros = value.as_f64().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(micros >= 0.0);
    (micros * 1000.0).round() as u64
}
