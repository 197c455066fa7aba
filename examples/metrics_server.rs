//! A service that tells Prometheus how its runtime fares: `GET /metrics` gives all figures of [`gambol::runtime::Metrics`] in the text
//! format 0.0.4, with histograms of how long turns take and how long tasks wait for theirs.
//!
//! The HTTP is by hand and as much as it takes: one request per connection, of at most 8 KiB, within 10 s. What is no request for the
//! metrics gets the status that says so. Beside it some tasks do a little, so that there is something to see.
//!
//! ```text
//! cargo run --example metrics_server [ADDRESS]      # 127.0.0.1:9100 if none is given; port 0 lets the system choose
//! curl http://127.0.0.1:9100/metrics
//! ```

use gambol::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Handle, Histogram, Metrics, Runtime, WorkerMetrics, WorkerState},
    time::{self, Duration},
};
use std::{
    env,
    fmt::{Display, Write},
    net::Shutdown,
    process::ExitCode,
};

/// Bytes in the head of a request.
const LONGEST: usize = 8192;
/// For a request to come, and for an answer to go.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let address = env::args_os().nth(1).map_or("127.0.0.1:9100".into(), |given| given.to_string_lossy().into_owned());
    // The default runtime would do, but for the histograms.
    let result = Runtime::builder().histograms(true).build().and_then(|runtime| runtime.block_on(serve(&address)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics_server: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    for number in 1..=10 {
        gambol::spawn(work(number));
    }
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(gambol::spawn(answer(client))),
            // Out of descriptors, mostly. The listener waits a little before it tries again, so this is no busy loop.
            Err(error) => eprintln!("metrics_server: cannot accept: {error}"),
        }
    }
}

/// A task with something to do every now and then.
async fn work(number: u64) {
    let mut ticks = time::interval(Duration::from_millis(20 * number));
    loop {
        ticks.tick().await;
        let _ = gambol::spawn(async move { (0..1000 * number).fold(0, u64::wrapping_add) }).await;
    }
}

/// One client, until it has its answer. Whether it goes before is its own affair.
async fn answer(mut client: TcpStream) -> io::Result<()> {
    let response = match time::timeout(PATIENCE, read_head(&mut client)).await {
        Ok(head) => respond(&head?),
        Err(_) => text("408 Request Timeout", "", "the request did not come\n"),
    };
    time::timeout(PATIENCE, async {
        client.write_all(response.as_bytes()).await?;
        client.shutdown(Shutdown::Write)?;
        // To close with something unread would tell the client of an error, and it might lose the answer over that.
        io::copy(&mut client.take(1 << 20), &mut io::sink()).await
    })
    .await??;
    Ok(())
}

/// What comes until an empty line, or until there is too much of it or no more.
async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !is_whole(&head) && head.len() <= LONGEST {
        let n = client.read(&mut piece).await?;
        if n == 0 {
            break;
        }
        head.extend_from_slice(&piece[..n]);
    }
    Ok(head)
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

fn respond(head: &[u8]) -> String {
    if !is_whole(head) {
        return match head.len() {
            0..=LONGEST => text("400 Bad Request", "", "this is no whole request\n"),
            _ => text("431 Request Header Fields Too Large", "", "a request has at most 8192 bytes\n"),
        };
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some((method, target, version)) = request_line(line) else {
        return text("400 Bad Request", "", "this is no request\n");
    };
    if !version.starts_with("HTTP/1.") {
        return text("505 HTTP Version Not Supported", "", "HTTP/1.1 is spoken here\n");
    }
    // Without what was asked behind it.
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match (method, path) {
        ("GET", "/metrics") => whole_answer(),
        ("HEAD", "/metrics") => {
            let mut answer = whole_answer();
            answer.truncate(answer.find("\r\n\r\n").expect("a head ends") + 4);
            answer
        }
        (_, "/metrics") => text("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET and HEAD\n"),
        _ => text("404 Not Found", "", "only /metrics is here\n"),
    }
}

fn request_line(line: &[u8]) -> Option<(&str, &str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.strip_suffix('\r').unwrap_or(line).split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_method && target.starts_with('/') && version.starts_with("HTTP/") && words.next().is_none())
        .then_some((method, target, version))
}

fn text(status: &str, fields: &str, body: &str) -> String {
    respond_with(status, fields, "text/plain; charset=utf-8", body)
}

fn whole_answer() -> String {
    let body = prometheus(&Handle::current().metrics());
    respond_with("200 OK", "", "text/plain; version=0.0.4; charset=utf-8", &body)
}

fn respond_with(status: &str, fields: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The text format: for each metric what it means, of what type it is, and its samples.
struct Page(String);

impl Page {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // A `String` takes everything.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// `labels` in braces, or nothing.
    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, value: impl Display, help: &str) {
        self.begin(name, "gauge", help);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, value: u64, help: &str) {
        self.begin(name, "counter", help);
        self.sample(name, "", value);
    }

    fn each(&mut self, metrics: &Metrics, name: &str, kind: &str, value: fn(&WorkerMetrics) -> u64, help: &str) {
        self.begin(name, kind, help);
        for worker in metrics.per_worker() {
            self.sample(name, &format!("{{worker=\"{}\"}}", worker.index()), value(worker));
        }
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram, help: &str) {
        self.begin(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        // From 1 µs to 17 s in powers of four: the gambol histogram's own limits, so that the counts are exact.
        for power in (10..=34).step_by(2) {
            let limit = Duration::from_nanos(1 << power);
            self.sample(&bucket, &format!("{{le=\"{}\"}}", seconds(limit)), histogram.at_most(limit));
        }
        self.sample(&bucket, "{le=\"+Inf\"}", histogram.count());
        self.sample(&format!("{name}_sum"), "", seconds(histogram.sum()));
        self.sample(&format!("{name}_count"), "", histogram.count());
    }
}

/// With all digits.
fn seconds(duration: Duration) -> String {
    format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos())
}

fn prometheus(m: &Metrics) -> String {
    let mut page = Page(String::new());
    page.gauge("gambol_uptime_seconds", seconds(m.uptime()), "Time since the runtime was built.");
    page.gauge("gambol_workers", m.workers(), "Workers that run or wait for tasks.");
    page.gauge("gambol_workers_parked", m.workers_parked(), "Workers that sleep.");
    page.gauge("gambol_workers_spare", m.workers_spare(), "Threads kept for the next time that a worker blocks.");
    page.gauge("gambol_workers_blocked", m.workers_blocked(), "Workers whose task blocks its thread.");
    page.counter("gambol_stalls_total", m.stalls(), "Times that a worker was found stuck in a poll.");

    page.gauge("gambol_tasks_live", m.tasks_live(), "Tasks that have not ended.");
    page.counter("gambol_tasks_spawned_total", m.tasks_spawned(), "Tasks spawned.");
    page.counter("gambol_tasks_finished_total", m.tasks_finished(), "Tasks that have ended in whatever way.");
    page.counter("gambol_tasks_aborted_total", m.tasks_aborted(), "Tasks that were cancelled.");
    page.counter("gambol_tasks_panicked_total", m.tasks_panicked(), "Tasks that panicked.");

    page.gauge("gambol_injector_depth", m.injector_depth(), "Elements in the queue that all workers share.");
    page.gauge("gambol_local_depth", m.local_depth(), "Tasks in the workers' own queues.");
    page.counter("gambol_polls_total", m.polls(), "Turns that tasks were given.");
    page.counter("gambol_steals_total", m.steals(), "Tasks that a worker took from another.");
    page.counter("gambol_slot_hits_total", m.slot_hits(), "Turns given to a task that the one before it had woken.");
    page.counter("gambol_budget_yields_total", m.budget_yields(), "Turns that ended because the budget was spent.");
    page.counter("gambol_wakes_total", m.wakes(), "Times that a worker was woken to look for work.");
    page.counter("gambol_parks_total", m.parks(), "Times that a worker went to sleep.");

    page.counter("gambol_poller_waits_total", m.poller_waits(), "Waits in the network poller.");
    page.counter("gambol_poller_events_total", m.poller_events(), "Events that the network poller delivered.");
    page.counter("gambol_timers_armed_total", m.timers_armed(), "Timers armed.");
    page.counter("gambol_timers_fired_total", m.timers_fired(), "Timers that have fired.");
    page.counter("gambol_timers_cancelled_total", m.timers_cancelled(), "Timers cancelled before they fired.");

    page.gauge("gambol_blocking_threads", m.blocking_threads(), "Threads of the blocking pool.");
    page.gauge("gambol_blocking_idle", m.blocking_idle(), "Threads of the blocking pool that wait for a job.");
    page.gauge("gambol_blocking_queued", m.blocking_queued(), "Blocking jobs that wait for a thread.");
    page.counter("gambol_blocking_jobs_total", m.blocking_jobs_done(), "Blocking jobs done.");

    page.each(m, "gambol_worker_polls_total", "counter", WorkerMetrics::polls, "Turns that the worker has given.");
    page.each(m, "gambol_worker_steals_total", "counter", WorkerMetrics::steals, "Tasks that the worker has stolen.");
    page.each(m, "gambol_worker_parks_total", "counter", WorkerMetrics::parks, "Times that the worker went to sleep.");
    page.each(m, "gambol_worker_queued", "gauge", |w| w.queued() as u64, "Tasks in the worker's own queue.");
    let is_busy = |w: &WorkerMetrics| u64::from(w.state() == WorkerState::Busy);
    page.each(m, "gambol_worker_busy", "gauge", is_busy, "Whether the worker runs tasks.");

    if let (Some(poll), Some(latency)) = (m.poll_time(), m.schedule_latency()) {
        page.histogram("gambol_poll_time_seconds", &poll, "How long turns of tasks took.");
        page.histogram("gambol_schedule_latency_seconds", &latency, "How long tasks waited for their turn.");
    }
    page.0
}
