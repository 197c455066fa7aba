//! A crawler: follows all links from the first page on, and looks at each page once, at several at a time.
//!
//! How many at a time, tokens decide: they lie in a channel, a fetch takes one first and puts it back afterwards. Each token is a number,
//! which is printed with the page. The pages come from a server on this machine that the program starts itself; it takes its
//! time for each, and some links lead to pages that it does not have.
//!
//! ```text
//! cargo run --example crawl [PAGES] [TOKENS]        # 60 and 5 if none is given; 1 to 10000, and 1 to 100
//! ```

use gambol::{
    chan,
    io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Duration, Instant, sleep, timeout},
};
use std::{collections::HashSet, env, net::SocketAddr, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let argument =
        |n, default: &str| env::args_os().nth(n).map_or(default.into(), |given| given.to_string_lossy().into_owned());
    let (pages, tokens) = (argument(1, "60"), argument(2, "5"));
    let Some(pages @ 1..=10_000) = pages.parse().ok() else {
        eprintln!("crawl: {pages} is not a number of pages from 1 to 10000");
        return ExitCode::FAILURE;
    };
    let Some(tokens @ 1..=100) = tokens.parse().ok() else {
        eprintln!("crawl: {tokens} is not a number of tokens from 1 to 100");
        return ExitCode::FAILURE;
    };
    match run(pages, tokens).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crawl: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(pages: usize, tokens: usize) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    gambol::spawn(serve(listener, pages));
    crawl(server, tokens).await
}

async fn crawl(server: SocketAddr, tokens: usize) -> io::Result<()> {
    let (give_back, free) = chan::buffered(tokens);
    for token in 1..=tokens {
        give_back.try_send(token).expect("it has room for all tokens");
    }
    let begin = Instant::now();
    let mut seen = HashSet::from(["/0".to_owned()]);
    let mut fetches = JoinSet::new();
    let (mut links, mut broken) = (0, 0);
    let mut found = vec!["/0".to_owned()];
    loop {
        for path in found.drain(..) {
            let (give_back, free) = (give_back.clone(), free.clone());
            fetches.spawn(async move {
                let token = free.recv().await.expect("we have a sender");
                let page = timeout(Duration::from_secs(10), fetch(server, &path)).await;
                give_back.try_send(token).expect("it has room for all tokens");
                (token, path, page.unwrap_or_else(|elapsed| Err(elapsed.into())))
            });
        }
        let Some(fetched) = fetches.join_next().await else { break };
        let (token, path, page) = fetched.map_err(io::Error::other)?;
        match page {
            Ok(page) => {
                let targets: Vec<_> = targets(&page).collect();
                println!("{token}: {path} -> {}", targets.join(" "));
                links += targets.len();
                found.extend(targets.into_iter().filter(|path| seen.insert(path.to_string())).map(str::to_owned));
            }
            Err(error) => {
                println!("{token}: {path}: {error}");
                broken += 1;
            }
        }
    }
    println!("{} pages, {links} links, {broken} failed; {} ms", seen.len() - broken, begin.elapsed().as_millis());
    Ok(())
}

/// Where a page's links lead.
fn targets(page: &str) -> impl Iterator<Item = &str> {
    page.split("href=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0))
}

/// The body of a page.
async fn fetch(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut server = TcpStream::connect(server).await?;
    server.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    server.take(1024 * 1024).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    match head.lines().next().and_then(|status| status.split_once(' ')) {
        Some((_, "200 OK")) => Ok(body.to_owned()),
        Some((_, status)) => Err(io::Error::other(status)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The server.
async fn serve(listener: TcpListener, pages: usize) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(gambol::spawn(answer(client, pages))),
            Err(error) => eprintln!("crawl: cannot accept: {error}"),
        }
    }
}

async fn answer(client: TcpStream, pages: usize) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(&client).take(1024).read_line(&mut request).await?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page: Option<usize> = path.strip_prefix("/").and_then(|number| number.parse().ok());
    // Some pages take longer than others.
    sleep(Duration::from_millis(10 + page.unwrap_or(0) as u64 % 7 * 10)).await;
    let text = match page {
        Some(page) if page < pages => {
            let below = [2 * page + 1, 2 * page + 2, page / 2].into_iter().filter(|to| *to < pages);
            let missing = (page % 7 == 3).then_some(pages + page);
            let links: String = below.chain(missing).map(|to| format!("<a href=\"/{to}\">{to}</a>\n")).collect();
            format!("HTTP/1.0 200 OK\r\n\r\n<h1>{page}</h1>\n{links}")
        }
        _ => "HTTP/1.0 404 Not Found\r\n\r\n".to_owned(),
    };
    (&client).write_all(text.as_bytes()).await
}
