//! Threads over time, while tasks keep their threads for 50 ms each, a hundred in a round, and ten seconds after that.
//!
//! The tasks come in waves of 1 to 40 at once; of three, one sleeps, one computes, and one sleeps after a timer. A wave begins when the one
//! before has ended. Every 5 ms a plain thread reads how many threads the process has. Those that it had before the runtime was
//! started do not count.
//!
//! `most` is the greatest number seen, `stuck` the greatest number of tasks that kept their threads at one moment, and
//! `beyond stuck` the difference: workers, a monitor, and whatever else the runtime has made. The course over time goes to stderr.

use super::{WARM_UP, millis};
use crate::args::Failure;
use crate::meter;
use crate::rt::Runtime;
use crate::workload::check;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const STALL: Duration = Duration::from_millis(50);
const LEAD: Duration = Duration::from_millis(5);
const PERIOD: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_secs(10);

/// A round: a hundred tasks.
const WAVES: [u64; 6] = [20, 1, 7, 40, 2, 30];

/// Samples in one number of the printed course: a quarter of a second.
const STRETCH: usize = 50;

/// How many tasks keep their threads, how many did at most, and how many have ended.
#[derive(Default)]
struct Stuck {
    now: AtomicU64,
    most: AtomicU64,
    ended: AtomicU64,
}

pub fn run<R: Runtime>(workers: usize, rounds: u64) -> Result<Vec<f64>, Failure> {
    let goes_on = Arc::new(AtomicBool::new(true));
    let sampler = thread::spawn({
        let goes_on = goes_on.clone();
        move || {
            let mut samples = Vec::new();
            while goes_on.load(Ordering::Relaxed) {
                samples.push(meter::threads()?);
                thread::sleep(PERIOD);
            }
            std::io::Result::Ok(samples)
        }
    });
    let before = meter::threads()?;
    let rt = R::start(workers);
    let stuck = Arc::new(Stuck::default());
    let took = rt.run(waves::<R>(rounds, stuck.clone()));
    goes_on.store(false, Ordering::Relaxed);
    let samples = sampler.join().map_err(|_| "the sampler panicked")??;
    let ended = stuck.ended.load(Ordering::Relaxed);
    check("tasks ended", ended, rounds * WAVES.iter().sum::<u64>())?;
    let course: Vec<_> = samples
        .chunks(STRETCH)
        .map(|stretch| stretch.iter().max().map_or(0, |most| most.saturating_sub(before)).to_string())
        .collect();
    eprintln!("threads, the most in each quarter of a second: {}", course.join(" "));

    thread::sleep(LATER);
    // The sampler, which was counted before, has gone.
    let later = (meter::threads()? + 1).saturating_sub(before);
    let most = samples.iter().max().map_or(0, |most| most.saturating_sub(before));
    let at_once = stuck.most.load(Ordering::Relaxed);
    drop(rt);
    Ok(vec![most as f64, at_once as f64, most as f64 - at_once as f64, later as f64, millis(took)])
}

async fn waves<R: Runtime>(rounds: u64, stuck: Arc<Stuck>) -> Duration {
    let _ = R::sleep(WARM_UP).await;
    let start = Instant::now();
    for _ in 0..rounds {
        for size in WAVES {
            let tasks: Vec<_> = (0..size).map(|index| R::spawn(stall::<R>(index, stuck.clone()))).collect();
            for task in tasks {
                task.await;
            }
        }
    }
    start.elapsed()
}

async fn stall<R: Runtime>(index: u64, stuck: Arc<Stuck>) {
    if index % 3 == 2 {
        let _ = R::sleep(LEAD).await;
    }
    let now = stuck.now.fetch_add(1, Ordering::Relaxed) + 1;
    stuck.most.fetch_max(now, Ordering::Relaxed);
    if index % 3 == 1 {
        let begin = Instant::now();
        while begin.elapsed() < STALL {
            std::hint::spin_loop();
        }
    } else {
        thread::sleep(STALL);
    }
    stuck.now.fetch_sub(1, Ordering::Relaxed);
    stuck.ended.fetch_add(1, Ordering::Relaxed);
}
