//! The examples about files and processes: `tail`, `run_all` and `du`.
#![cfg(unix)]

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use helpers::{Example, run, start};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{ChildStderr, ChildStdout},
    thread,
    time::{Duration, Instant},
};
use temporary::Directory;

struct Tail {
    example: Example,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

fn tail(lines: &str, path: &Path) -> Tail {
    let mut example = start("tail", &["-n", lines, path.to_str().unwrap()]);
    let stdout = BufReader::new(example.child.stdout.take().unwrap());
    let stderr = BufReader::new(example.child.stderr.take().unwrap());
    Tail { example, stdout, stderr }
}

impl Tail {
    fn prints(&mut self, text: &str) {
        let mut buf = vec![0; text.len()];
        self.stdout.read_exact(&mut buf).unwrap();
        assert_eq!(String::from_utf8(buf).unwrap(), text);
    }

    fn says(&mut self, what: &str) {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(line.contains(what), "{line:?}");
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn tail_begins_with_the_last_lines() {
    let directory = Directory::new();
    let path = directory.join("log");
    let many: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let half: String = (50_000..100_000).map(|n| format!("{n}\n")).collect();
    for (contents, lines, prints) in [
        ("", "10", ""),
        ("a\nb\nc\n", "0", ""),
        ("a\nb\nc\n", "1", "c\n"),
        ("a\nb\nc", "1", "c"),
        ("a\nb\nc", "2", "b\nc"),
        ("a\nb\n\n", "2", "b\n\n"),
        ("a\nb\n", "5", "a\nb\n"),
        ("\n\n\n", "2", "\n\n"),
        (many.as_str(), "50000", half.as_str()),
        (many.as_str(), "100000", many.as_str()),
    ] {
        fs::write(&path, contents).unwrap();
        let mut tail = tail(lines, &path);
        tail.prints(prints);
        // Nothing else was printed: this comes next. With nothing before it, it may be appended before the file was opened.
        if !prints.is_empty() {
            append(&path, "more\n");
            tail.prints("more\n");
        }
    }
}

#[test]
fn tail_follows_a_file_that_grows_shrinks_and_is_replaced() {
    let directory = Directory::new();
    let path = directory.join("log");
    fs::write(&path, "first line\n").unwrap();
    let mut tail = tail("10", &path);
    tail.prints("first line\n");
    append(&path, "and a second\n");
    tail.prints("and a second\n");
    fs::write(&path, "short\n").unwrap();
    tail.says("shorter");
    tail.prints("short\n");
    // As logs are rotated: the old file is written a little longer.
    fs::rename(&path, directory.join("log.1")).unwrap();
    append(&directory.join("log.1"), "late\n");
    tail.says("has gone");
    tail.prints("late\n");
    fs::write(directory.join("log.new"), "another\n").unwrap();
    fs::rename(directory.join("log.new"), &path).unwrap();
    tail.says("another file");
    tail.prints("another\n");
    append(&path, "end\n");
    tail.prints("end\n");
    fs::remove_file(&path).unwrap();
    tail.says("has gone");
    fs::create_dir(&path).unwrap();
    tail.says("not a regular file");
    assert_eq!(tail.example.wait().code(), Some(1));
}

#[test]
fn tail_ends_well_when_nobody_reads_though_nothing_is_written() {
    let directory = Directory::new();
    let path = directory.join("log");
    fs::write(&path, "text\n").unwrap();
    let Tail { mut example, mut stdout, .. } = tail("1", &path);
    stdout.read_exact(&mut [0; 5]).unwrap();
    drop(stdout);
    assert_eq!(example.wait().code(), Some(0));
}

#[test]
fn what_cannot_be_done_is_told_in_one_sentence() {
    let directory = Directory::new();
    let missing = directory.join("missing");
    let (missing, directory) = (missing.to_str().unwrap(), directory.path().to_str().unwrap());
    let cases: &[(&str, &[&str], &str)] = &[
        ("tail", &[], "usage"),
        ("tail", &["-n"], "usage"),
        ("tail", &["-n", "x", missing], "usage"),
        ("tail", &["-n", "-1", missing], "usage"),
        ("tail", &[missing, missing], "usage"),
        ("tail", &[missing], "No such file"),
        ("tail", &[directory], "not a regular file"),
        ("tail", &["/dev/null"], "not a regular file"),
        ("run_all", &[], "usage"),
        ("run_all", &["-j"], "usage"),
        ("run_all", &["-j", "2"], "usage"),
        ("run_all", &["-j", "0", "true"], "usage"),
        ("run_all", &["-j", "x", "true"], "usage"),
    ];
    for (example, arguments, says) in cases {
        let output = run(example, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{example} {arguments:?}: {stderr}");
        assert!(stderr.contains(example) && stderr.contains(says), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
}

/// The lines, sorted: those of different commands come in any order.
fn sorted(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn run_all_prints_lines_with_numbers_and_each_end() {
    let output =
        run("run_all", &["echo one; printf rest", "echo two >&2; exit 3", "kill -9 $$", "head -c 40000 /dev/zero"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = sorted(&output.stdout);
    assert_eq!(&stdout[..2], ["1: one", "1: rest"]);
    assert!(stdout[2..].iter().all(|line| line.starts_with("4: \0") && line.len() <= 16 * 1024 + 3));
    assert_eq!(stdout[2..].iter().map(|line| line.len() - 3).sum::<usize>(), 40_000);
    let stderr = sorted(&output.stderr);
    assert_eq!(stderr.len(), 5);
    assert_eq!(&stderr[..3], ["1: exit status: 0", "2: exit status: 3", "2: two"]);
    assert!(stderr[3].starts_with("3: signal: 9") && stderr[4] == "4: exit status: 0");
    assert!(run("run_all", &["true", "true"]).status.success());
}

#[test]
fn run_all_runs_so_many_at_once_and_no_more() {
    let directory = Directory::new();
    let place = directory.path().to_str().unwrap();
    // Each waits until three have begun. Were there fewer at once, none would end.
    let meet = format!("cd {place}; mktemp here.XXXXXX; until [ $(ls | wc -l) -ge 3 ]; do sleep 0.01; done");
    assert!(run("run_all", &["-j", "3", &meet, &meet, &meet]).status.success());
    // Each fails if it finds another one's directory.
    let alone = format!("mkdir {place}/lock && sleep 0.02 && rmdir {place}/lock");
    assert!(run("run_all", &["-j", "1", &alone, &alone, &alone, &alone]).status.success());
}

fn is_there(process: Pid) -> bool {
    // One that was killed and not yet reaped by its new parent is gone.
    test_kill_process(process).is_ok()
        && !fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn run_all_kills_children_and_grandchildren_on_ctrl_c() {
    for signal in [Signal::INT, Signal::TERM] {
        // The child is deaf to what could be caught.
        let mut example =
            start("run_all", &["-j", "1", "trap '' INT TERM; sleep 1000 & echo $! $$; wait", "echo never"]);
        let mut stdout = BufReader::new(example.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let processes: Vec<_> =
            line.split_whitespace().skip(1).map(|id| Pid::from_raw(id.parse().unwrap()).unwrap()).collect();
        assert!(processes.len() == 2 && processes.iter().all(|process| is_there(*process)));
        kill_process(Pid::from_raw(example.child.id().cast_signed()).unwrap(), signal).unwrap();
        assert_eq!(example.wait().code(), Some(1));
        let begin = Instant::now();
        while processes.iter().any(|process| is_there(*process)) {
            assert!(begin.elapsed() < helpers::PATIENCE, "they go on");
            thread::sleep(Duration::from_millis(5));
        }
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn run_all_ends_when_nobody_reads_what_it_prints() {
    let mut example = start("run_all", &["yes"]);
    drop(example.child.stdout.take());
    assert_eq!(example.wait().code(), Some(1));
}
mod du {
    use super::{
        helpers::{run, start},
        temporary::Directory,
    };
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        fs,
        io::{BufRead, BufReader, Read},
        os::unix::fs::{PermissionsExt, symlink},
        path::Path,
        process::Output,
    };

    fn lines(text: &[u8]) -> Vec<String> {
        String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    fn du(paths: &[&Path]) -> Output {
        run("du", &paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>())
    }

    /// Whether anything was left out, and what is printed at the end.
    fn sum(paths: &[&Path]) -> (bool, String) {
        let output = du(paths);
        (output.status.success(), lines(&output.stdout).pop().unwrap())
    }

    #[test]
    fn lengths_are_summed_through_all_directories() {
        let directory = Directory::new();
        assert_eq!(sum(&[directory.path()]), (true, "0 bytes in 0 files".to_owned()));
        let (mut files, mut bytes) = (0, 0);
        for (number, below) in ["", "a", "a/b", "a/b/c", "d", "e\n\u{e4}"].iter().enumerate() {
            fs::create_dir_all(directory.join(below)).unwrap();
            for file in 0..100 {
                let length = number * 1000 + file;
                fs::write(directory.join(below).join(format!("f{file}")), vec![0; length]).unwrap();
                files += 1;
                bytes += length;
            }
        }
        let all = format!("{bytes} bytes in {files} files");
        assert_eq!(sum(&[directory.path()]), (true, all));
        let file = directory.join("f7");
        assert_eq!(sum(&[&file]), (true, "7 bytes in 1 files".to_owned()));
        let missing = directory.join("missing");
        let output = du(&[&file, &missing]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = lines(&output.stderr);
        assert!(stderr.len() == 1 && stderr[0].starts_with(&format!("du: {}: ", missing.display())), "{stderr:?}");
        assert_eq!(lines(&output.stdout), ["7 bytes in 1 files"]);
    }

    #[test]
    fn links_count_once_and_lead_nowhere() {
        let directory = Directory::new();
        fs::create_dir(directory.join("a")).unwrap();
        fs::write(directory.join("a/file"), [0; 1000]).unwrap();
        fs::hard_link(directory.join("a/file"), directory.join("again")).unwrap();
        // Round in a circle, nowhere, and out of here; their own lengths count.
        symlink("..", directory.join("a/up")).unwrap();
        symlink("missing", directory.join("nowhere")).unwrap();
        symlink("/usr", directory.join("out")).unwrap();
        let all = (true, format!("{} bytes in 4 files", 1000 + 2 + 7 + 4));
        assert_eq!(sum(&[directory.path()]), all);
        assert_eq!(sum(&[directory.path(), &directory.join("a"), directory.path()]), all);
    }

    #[test]
    fn ctrl_c_stops_it_with_the_sum_so_far() {
        let directory = Directory::new();
        for file in 0..1000 {
            fs::write(directory.join(&file.to_string()), "text").unwrap();
        }
        // It would look at all of them as often, which takes much longer than to the first progress.
        let mut example = start("du", &[directory.path().to_str().unwrap(); 20_000]);
        let mut stderr = BufReader::new(example.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.ends_with(" files so far\n"), "{line}");
        kill_process(Pid::from_raw(example.child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
        assert_eq!(example.wait().code(), Some(1));
        line.clear();
        stderr.read_to_string(&mut line).unwrap();
        assert!(line.ends_with("du: stopped before the end\n"), "{line}");
        let mut line = String::new();
        example.child.stdout.take().unwrap().read_to_string(&mut line).unwrap();
        assert_eq!(line, "4000 bytes in 1000 files\n");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_is_summed() {
        let directory = Directory::new();
        fs::create_dir(directory.join("closed")).unwrap();
        fs::write(directory.join("closed/file"), [0; 10]).unwrap();
        fs::write(directory.join("file"), [0; 5]).unwrap();
        let allow = |mode| fs::set_permissions(directory.join("closed"), fs::Permissions::from_mode(mode)).unwrap();
        allow(0);
        let root_reads_all = fs::read_dir(directory.join("closed")).is_ok();
        let output = du(&[directory.path()]);
        allow(0o700);
        if !root_reads_all {
            assert_eq!(output.status.code(), Some(1));
            assert!(lines(&output.stderr)[0].contains("closed: Permission denied"));
            assert_eq!(lines(&output.stdout), ["5 bytes in 1 files"]);
        }
    }
}
