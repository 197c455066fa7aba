//! What stands on the screen, and what the keys do. Knows no terminal and no socket.

use crate::{
    page::{Group, Page, Trouble},
    text::{age, number, short},
};
use ratatui::{
    Frame,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table},
};
use std::cmp::Reverse;

/// Places of stalls that are shown.
const STALLS: usize = 4;

/// By what the groups of tasks are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Count,
    Age,
    Site,
    Wait,
}

/// What is to be seen.
pub struct View {
    /// The last page, and the one before.
    page: Page,
    before: Option<Page>,
    /// Why there is no newer one.
    trouble: Option<String>,
    sort: Sort,
    paused: bool,
    /// The first group that is shown.
    top: usize,
    /// How many were shown the last time.
    shown: usize,
}

/// What a key asks for beyond the view.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    Quit,
}

impl View {
    pub fn new(page: Page) -> View {
        View { page, before: None, trouble: None, sort: Sort::Count, paused: false, top: 0, shown: 1 }
    }

    /// Something has come from the program. While it is paused a page is left out; that the program has gone is told all the same.
    pub fn take(&mut self, news: Result<Page, Trouble>) {
        match news {
            Ok(page) => {
                self.trouble = None;
                if !self.paused {
                    self.before = Some(std::mem::replace(&mut self.page, page));
                }
            }
            Err(trouble) => self.trouble = Some(trouble.to_string()),
        }
    }

    pub fn press(&mut self, key: KeyEvent) -> Wish {
        let last = self.page.groups.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Wish::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('c') => self.sort_by(Sort::Count),
            KeyCode::Char('a') => self.sort_by(Sort::Age),
            KeyCode::Char('s') => self.sort_by(Sort::Site),
            KeyCode::Char('w') => self.sort_by(Sort::Wait),
            KeyCode::Down | KeyCode::Char('j') => self.top = (self.top + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.top = self.top.saturating_sub(1),
            KeyCode::PageDown => self.top = (self.top + self.shown).min(last),
            KeyCode::PageUp => self.top = self.top.saturating_sub(self.shown),
            KeyCode::Home => self.top = 0,
            KeyCode::End => self.top = (last + 1).saturating_sub(self.shown),
            _ => {}
        }
        Wish::Nothing
    }

    fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.top = 0;
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let workers = self.page.workers.len() as u16;
        let most = (frame.area().height / 3).max(3);
        let middle = (workers + 2).min(most);
        // If there is room beside the rest, of which the tasks have four lines at least.
        let room = frame.area().height.saturating_sub(5 + middle + 4 + 1);
        let stalls = match self.page.stalls.len().min(STALLS) as u16 {
            1.. if room < 3 => 0,
            0 => 0,
            n => (n + 2).min(room),
        };
        let [head, middle, stalled, tasks, foot] = Layout::vertical([
            Constraint::Length(5),
            Constraint::Length(middle),
            Constraint::Length(stalls),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.draw_head(frame, head);
        self.draw_workers(frame, middle);
        self.draw_stalls(frame, stalled);
        self.draw_tasks(frame, tasks);
        let words = "q quit  p pause  sort by: c count  a age  s site  w wait   ↑ ↓ PgUp PgDn Home End scroll";
        frame.render_widget(Paragraph::new(words).dim(), foot);
    }

    fn rate(&self, name: &str) -> String {
        let value = |page: &Page| page.metrics.get(name).copied();
        self.page.rate(self.before.as_ref(), value).map_or("-".to_owned(), number)
    }

    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect) {
        let page = &self.page;
        let m = |name| number(page.metric(name) as f64);
        let mut first = vec![Span::from(page.runtime.clone()).bold()];
        if let Some(trouble) = &self.trouble {
            let words = format!("  THE PROGRAM HAS GONE ({trouble}), trying again");
            first.push(Span::from(words).bold().red());
        } else if self.paused {
            first.push(Span::from("  paused").bold().yellow());
        }
        first.push(Span::from(format!("  pid {}  up {}", page.pid, age(page.metric("uptime_ms")))));
        let mut stalls = Span::from(format!("{} stalls", m("stalls")));
        if page.metric("stalls") > 0 {
            stalls = stalls.bold().red();
        }
        let times = match page.metrics.get("poll_time_p99_ns") {
            Some(poll) => {
                let latency = page.metric("schedule_latency_p99_ns");
                format!("   99 % of polls within {}, of waits for a turn within {}", short(*poll), short(latency))
            }
            None => String::new(),
        };
        let lines = vec![
            Line::from(first),
            Line::from(format!(
                "tasks     {} live, {} spawned, {} aborted, {} panicked; queued {} local, {} shared",
                m("tasks_live"),
                m("tasks_spawned"),
                m("tasks_aborted"),
                m("tasks_panicked"),
                m("local_depth"),
                m("injector_depth")
            )),
            Line::from(format!(
                "per s     {} polls, {} spawns, {} steals, {} events, {} wakes, {} budget yields",
                self.rate("polls"),
                self.rate("tasks_spawned"),
                self.rate("steals"),
                self.rate("poller_events"),
                self.rate("wakes"),
                self.rate("budget_yields")
            )),
            Line::from(vec![
                Span::from(format!(
                    "workers   {} active ({} parked), {} blocked, {} spare; ",
                    m("workers"),
                    m("workers_parked"),
                    m("workers_blocked"),
                    m("workers_spare")
                )),
                stalls,
                Span::from(format!(" ({} per s)", self.rate("stalls"))),
            ]),
            Line::from(format!(
                "timers    {} armed, {} fired; blocking {} threads ({} idle), {} queued{times}",
                m("timers_armed"),
                m("timers_fired"),
                m("blocking_threads"),
                m("blocking_idle"),
                m("blocking_queued")
            )),
        ];
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn draw_workers(&self, frame: &mut Frame<'_>, area: Rect) {
        let page = &self.page;
        let rows = page.workers.iter().map(|worker| {
            let rate = |value: fn(&crate::page::Worker) -> u64| {
                let rate = page.rate(self.before.as_ref(), |page| page.worker(worker.index).map(value));
                right(rate.map_or("-".to_owned(), number), 8)
            };
            let style = match worker.state.as_str() {
                "busy" => Style::new().fg(Color::Green),
                "blocked" => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
                _ => Style::new(),
            };
            Row::new([
                Cell::from(worker.index.to_string()),
                Cell::from(worker.state.clone()).style(style),
                Cell::from(rate(|worker| worker.polls)),
                Cell::from(rate(|worker| worker.steals)),
                Cell::from(rate(|worker| worker.parks)),
                Cell::from(right(worker.queued.to_string(), 7)),
                Cell::from(worker.task.clone()),
                Cell::from(worker.site.clone()),
            ])
        });
        let widths = [
            Constraint::Length(6),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(7),
            Constraint::Length(8),
            Constraint::Fill(1),
        ];
        let names = ["worker", "state", " polls/s", "steals/s", " parks/s", " queued", "task", "spawned at"];
        let table = Table::new(rows, widths).header(Row::new(names).bold()).block(Block::new().borders(Borders::TOP));
        frame.render_widget(table, area);
    }

    fn draw_stalls(&self, frame: &mut Frame<'_>, area: Rect) {
        let stalls = &self.page.stalls;
        let rows = stalls.iter().take(STALLS).map(|stalled| {
            Row::new([
                right(stalled.count.to_string(), 9),
                right(age(stalled.longest_ms), 12),
                stalled.task.clone(),
                stalled.site.clone(),
            ])
        });
        let widths = [Constraint::Length(9), Constraint::Length(12), Constraint::Length(8), Constraint::Fill(1)];
        let names = Row::new(["   stalls", "     longest", "last", "spawned at"]);
        let title = match stalls.len().saturating_sub(STALLS) {
            0 => " stalls, the last first ".to_owned(),
            more => format!(" stalls, the last first; {more} places more with --once "),
        };
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Table::new(rows, widths).header(names.bold()).block(block), area);
    }

    fn draw_tasks(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let page = &self.page;
        let mut groups: Vec<&Group> = page.groups.iter().collect();
        let sorted = match self.sort {
            // They come so.
            Sort::Count => "count",
            Sort::Age => {
                groups.sort_by_key(|group| Reverse(group.oldest_ms));
                "age"
            }
            Sort::Site => {
                groups.sort_by(|a, b| a.site.cmp(&b.site));
                "site"
            }
            Sort::Wait => {
                groups.sort_by(|a, b| (&a.state, &a.wait).cmp(&(&b.state, &b.wait)));
                "wait"
            }
        };
        // One line is the title's, one the names'.
        self.shown = usize::from(area.height.saturating_sub(2)).max(1);
        self.top = self.top.min(groups.len().saturating_sub(1));
        let listed: u64 = groups.iter().map(|group| group.count).sum::<u64>() + page.more.1;
        let title = format!(
            " {listed} tasks in {} groups by {sorted}, from {} ",
            groups.len() as u64 + page.more.0,
            (self.top + 1).min(groups.len())
        );
        let rows = groups.iter().skip(self.top).take(self.shown).map(|group| {
            Row::new([
                right(group.count.to_string(), 9),
                right(age(group.oldest_ms), 12),
                group.state.clone(),
                group.wait.clone(),
                group.site.clone(),
            ])
        });
        let widths = [
            Constraint::Length(9),
            Constraint::Length(12),
            Constraint::Length(8),
            Constraint::Length(11),
            Constraint::Fill(1),
        ];
        let names = Row::new(["    tasks", "      oldest", "state", "waits for", "spawned at"]);
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Table::new(rows, widths).header(names.bold()).block(block), area);
    }
}

fn right(text: String, width: usize) -> String {
    format!("{text:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::sample;
    use ratatui::{Terminal, backend::TestBackend};

    fn screen(view: &mut View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn press(view: &mut View, code: KeyCode) -> Wish {
        view.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// Two pages, a second apart.
    fn view() -> View {
        let mut view = View::new(sample());
        let mut page = sample();
        for (name, more) in [("uptime_ms", 1000), ("polls", 25_000), ("stalls", 1)] {
            *page.metrics.get_mut(name).unwrap() += more;
        }
        page.workers[0].polls += 24_000;
        view.take(Ok(page));
        view
    }

    #[test]
    fn a_page_is_on_the_screen_with_rates_since_the_one_before() {
        let expected = [
            "chat  pid 4711  up 1 h 02 min",
            "tasks     1007 live, 5000 spawned, 0 aborted, 0 panicked; queued 0 local, 0 shared",
            "per s     25k polls, 0 spawns, - steals, - events, - wakes, - budget yields",
            "workers   2 active (0 parked), 0 blocked, 0 spare; 4 stalls (1 per s)",
            "timers    0 armed, 0 fired; blocking 0 threads (0 idle), 0 queued",
            "────────────────────────────────────────────────────────────────────────────────────────────────────",
            "worker state     polls/s steals/s  parks/s  queued task     spawned at",
            "0      busy          24k        0        0       3 42       src/chat.rs:10:5",
            "1      parked          0        0        0       0 -        -",
            " stalls, the last first ────────────────────────────────────────────────────────────────────────────",
            "   stalls      longest last     spawned at",
            "        2        1.5 s 77       src/chat.rs:40:9",
            "        1        12 ms -        -",
            " 1007 tasks in 4 groups by count, from 1 ───────────────────────────────────────────────────────────",
            "    tasks       oldest state    waits for   spawned at",
            "     1000       250 ms parked   read        src/chat.rs:20:9",
            "        4   2 h 00 min parked   chan recv   src/chat.rs:30:9",
            "",
            "q quit  p pause  sort by: c count  a age  s site  w wait   ↑ ↓ PgUp PgDn Home End scroll",
        ];
        assert_eq!(screen(&mut view(), 100, 19), expected);
    }

    #[test]
    fn keys_sort_scroll_pause_and_quit() {
        let mut view = view();
        let first_group = |view: &mut View| screen(view, 100, 19)[15].clone();
        assert!(first_group(&mut view).contains("1000"));
        for (key, first) in [('a', "chan recv"), ('c', "1000"), ('w', "chan recv"), ('s', "chat.rs:20")] {
            assert_eq!(press(&mut view, KeyCode::Char(key)), Wish::Nothing);
            assert!(first_group(&mut view).contains(first), "{key}");
        }
        for (key, first) in [
            (KeyCode::Down, ":30:"),
            (KeyCode::Down, ":30:"),
            (KeyCode::Up, ":20:"),
            (KeyCode::Up, ":20:"),
            (KeyCode::PageDown, ":30:"),
            (KeyCode::Home, ":20:"),
            (KeyCode::PageUp, ":20:"),
            // All of them fit.
            (KeyCode::End, ":20:"),
        ] {
            press(&mut view, key);
            assert!(first_group(&mut view).contains(first), "{key:?}");
        }
        press(&mut view, KeyCode::Char('p'));
        view.take(Ok(Page::default()));
        assert!(screen(&mut view, 100, 15)[0].contains("paused"));
        assert!(first_group(&mut view).contains("1000"), "a page came while it was paused");
        press(&mut view, KeyCode::Char(' '));
        view.take(Ok(Page::default()));
        assert!(!screen(&mut view, 100, 15).join("").contains("1000"));
        for key in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut view, key), Wish::Quit);
        }
        assert_eq!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Wish::Quit);
    }

    #[test]
    fn that_the_program_has_gone_is_said_over_what_was_last_known() {
        let mut view = View::new(sample());
        view.take(Err(Trouble::Refused("the runtime has ended".to_owned())));
        let lines = screen(&mut view, 100, 19);
        assert!(lines[0].contains("THE PROGRAM HAS GONE (the runtime has ended)"), "{}", lines[0]);
        assert!(lines[15].contains("1000"));
        view.take(Ok(sample()));
        assert!(!screen(&mut view, 100, 15)[0].contains("GONE"));
    }

    #[test]
    fn no_size_of_the_screen_is_too_small_or_too_large() {
        let mut view = view();
        for width in [1, 2, 10, 40, 300] {
            for height in [1, 2, 3, 5, 8, 13, 100] {
                screen(&mut view, width, height);
                press(&mut view, KeyCode::End);
            }
        }
    }

    #[test]
    fn histograms_are_shown_when_there_are_any() {
        let mut page = sample();
        page.metrics.insert("poll_time_p99_ns".to_owned(), 12_300);
        page.metrics.insert("schedule_latency_p99_ns".to_owned(), 2_000_000);
        let mut view = View::new(page);
        assert!(
            screen(&mut view, 140, 15)[4].ends_with("99 % of polls within 12.3 µs, of waits for a turn within 2.0 ms")
        );
    }
}
