//! The example that serves metrics: its format, word by word, and what it says to nonsense.

mod helpers;

use helpers::{Example, PATIENCE, run, start};
use std::{
    collections::{HashMap, HashSet},
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

fn serve() -> (Example, String) {
    let mut server = start("metrics_server", &["127.0.0.1:0"]);
    let (address, _) = server.address();
    (server, address)
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// The whole answer.
fn ask(address: &str, request: &[u8]) -> String {
    let mut client = connect(address);
    client.write_all(request).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn metrics(address: &str) -> String {
    let answer = ask(address, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    body.to_owned()
}

/// What a page says, read as strictly as its format is written down.
#[derive(Default)]
struct Page {
    types: HashMap<String, String>,
    /// By name and labels.
    samples: HashMap<String, f64>,
    /// `le` and count of each histogram, in order.
    buckets: HashMap<String, Vec<(f64, f64)>>,
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn parse(text: &str) -> Page {
    assert!(text.ends_with('\n'));
    let mut page = Page::default();
    let mut helped = HashSet::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} comes twice");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "HELP and TYPE belong together");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none());
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value >= 0.0 && value.is_finite());
            let (name, labels) = match sample.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (sample, ""),
            };
            let kind = page.types.get(&family).unwrap_or_else(|| panic!("{line} has no type"));
            match (kind.as_str(), name.strip_prefix(family.as_str()).unwrap()) {
                ("histogram", "_bucket") => {
                    let le = labels.strip_prefix("le=\"").unwrap().strip_suffix('"').unwrap();
                    let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                    page.buckets.entry(family.clone()).or_default().push((le, value));
                }
                ("histogram", "_sum" | "_count") | ("counter" | "gauge", "") => {}
                (kind, _) => panic!("{line}: no sample of a {kind}"),
            }
            assert!(page.samples.insert(sample.to_owned(), value).is_none(), "{sample} comes twice");
        }
    }
    page
}

#[test]
fn the_page_is_exactly_in_prometheus_format_and_its_histograms_add_up() {
    let (_server, address) = serve();
    let first = parse(&metrics(&address));
    let mut second = parse(&metrics(&address));
    // Until the tasks of the example have done something.
    while second.samples["gambol_polls_total"] < first.samples["gambol_polls_total"] + 20.0 {
        thread::sleep(Duration::from_millis(20));
        second = parse(&metrics(&address));
    }
    for (name, kind) in &first.types {
        assert_eq!(second.types.get(name), Some(kind));
    }
    for (sample, before) in &first.samples {
        let name = sample.split('{').next().unwrap();
        if name.ends_with("_total") || name.ends_with("_count") || name.ends_with("_bucket") {
            assert!(second.samples[sample] >= *before, "{sample} went back");
        }
    }
    assert_eq!(second.buckets.len(), 2);
    for (name, buckets) in &second.buckets {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
        assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, second.samples[&format!("{name}_count")]));
        assert!(second.samples[&format!("{name}_sum")] > 0.0 && buckets.last().unwrap().1 > 0.0);
    }
    let workers: f64 = second.samples["gambol_workers"];
    assert!(workers >= 1.0);
    assert!(second.samples.contains_key("gambol_worker_polls_total{worker=\"0\"}"));
    assert!(second.samples["gambol_timers_fired_total"] > 0.0 && second.samples["gambol_poller_events_total"] > 0.0);
}

#[test]
fn nonsense_gets_the_status_that_says_so() {
    let (_server, address) = serve();
    let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 100_000], b"\r\n\r\n"].concat();
    let requests: [(&[u8], &str); 15] = [
        (b"", "400"),
        (b"\r\n\r\n", "400"),
        (b"\0\xff\xfe\n\n", "400"),
        (b"GET\r\n\r\n", "400"),
        (b"GET /metrics\r\n\r\n", "400"),
        (b"get /metrics HTTP/1.1\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1 more\r\n\r\n", "400"),
        (b"GET metrics HTTP/1.1\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\nHost: he", "400"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", "505"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
        (b"GET /../metrics HTTP/1.0\r\n\r\n", "404"),
        (&long, "431"),
    ];
    for (request, status) in requests {
        let answer = ask(&address, request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(status == "405", head.contains("\r\nAllow: GET, HEAD\r\n"));
    }
    // As they may be written, too.
    for request in ["GET /metrics?name=x HTTP/1.1\r\n\r\n", "GET /metrics HTTP/1.0\n\n"] {
        assert!(ask(&address, request.as_bytes()).starts_with("HTTP/1.1 200 OK\r\n"), "{request:?}");
    }
    let head = ask(&address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn who_says_nothing_and_who_goes_hold_up_nobody() {
    let (_server, address) = serve();
    let silent: Vec<_> = (0..100).map(|_| connect(&address)).collect();
    for _ in 0..100 {
        connect(&address).write_all(b"GET /metr").unwrap();
    }
    assert!(!parse(&metrics(&address)).samples.is_empty());
    drop(silent);
}

#[test]
fn it_ends_with_a_message_when_it_cannot_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run("metrics_server", &[&address]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&address) && stderr.lines().count() == 1, "{stderr}");
}
