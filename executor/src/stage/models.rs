//! The protocol of `mod.rs` in every interleaving: batons, notifications, holds, and the moment at which time moves.
//!
//! The threads use the real board and the real guests, and `settle` here is `Stage::settle` without a core. Time moves once; then
//! whoever was woken before must have acted. Each was made to fail by the changes beside it, which were taken back:
//!
//! | model | change |
//! | --- | --- |
//! | `a_thread_that_is_notified_as_it_parks_acts_before_the_time_moves` | it looks at its flag before it takes the lock; who notifies it gives its baton back before; `notify` pushes nothing |
//! | `a_job_holds_the_time_until_its_result_has_arrived` | the hold is let go of before the task is pushed; `settle` does not look at the holds |
//! | `a_thread_that_was_aside_acts_before_the_time_moves` | it lets go of the time in one step and is pushed in another |
//! | `one_thread_has_the_baton` | `start` does not look whether somebody acts |

use super::{
    board::{Board, Entry, Grant, Waiter},
    guest::Guest,
};
use crate::{
    idle::{
        Owed, Parker,
        models::{Part, explore},
    },
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering},
};
use std::sync::Arc;

/// What a stage is, as far as it matters here.
struct Theatre {
    board: Mutex<Board<()>>,
    /// The only worker's.
    parker: Parker,
    /// What was woken and has not acted yet.
    owed: AtomicUsize,
    moved: AtomicBool,
}

impl Theatre {
    /// With some batons out, as holders that are on their way.
    fn new(seed: Option<u64>, acting: usize) -> Arc<Theatre> {
        let mut board = Board::new(1, seed);
        board.acting = acting;
        Arc::new(Theatre {
            board: Mutex::new(board),
            parker: Parker::new(),
            owed: AtomicUsize::new(0),
            moved: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Board<()>> {
        self.board.lock().unwrap()
    }

    /// `Stage::settle`.
    fn settle(&self, mut board: MutexGuard<'_, Board<()>>) {
        let grants: Vec<Grant> = std::iter::from_fn(|| board.start()).collect();
        if grants.is_empty() && board.acting == 0 && board.holds == 0 && !self.moved.swap(true, Ordering::Relaxed) {
            assert_eq!(self.owed.load(Ordering::Relaxed), 0, "time has moved over what is to run");
        }
        drop(board);
        for grant in grants {
            match grant {
                Grant::Guest(guest) => guest.grant(),
                Grant::Worker(_) => assert_eq!(self.parker.unpark(), Owed::Nothing),
                Grant::Hire => unreachable!("the worker waits"),
            }
        }
    }

    /// Ends a turn.
    fn stop(&self, lane: Option<u16>) {
        let mut board = self.lock();
        board.stop(lane);
        self.settle(board);
    }

    /// `stage::serve`, for one turn.
    fn serve_once(&self) {
        self.parker.adopt();
        loop {
            let turn = self.lock().take(0);
            if let Some(turn) = turn {
                self.owed.fetch_sub(1, Ordering::Relaxed);
                return self.stop(Some(turn.lane));
            }
            self.parker.park(None);
        }
    }

    /// `Visit::give_way`.
    fn give_way(&self, guest: &Arc<Guest>, ready: impl Fn() -> bool) {
        let mut board = self.lock();
        if ready() {
            board.push(Entry::Guest(Waiter::new(guest)));
        } else {
            board.park(Waiter::new(guest));
        }
        board.stop(None);
        self.settle(board);
        guest.wait();
    }
}

/// Hunted: the thread has seen that it is not notified, is notified, and is on the board as one that sleeps. Then it sleeps for ever,
/// or time moves.
#[test]
fn a_thread_that_is_notified_as_it_parks_acts_before_the_time_moves() {
    explore(4, || {
        // The thread in block_on, and somebody in a turn who notifies it.
        let theatre = Theatre::new(None, 2);
        let known: Arc<(Mutex<Option<Arc<Guest>>>, AtomicBool)> = Arc::default();
        let waiter: Part = {
            let (theatre, known) = (theatre.clone(), known.clone());
            Box::new(move || {
                let guest = Arc::new(Guest::new());
                *known.0.lock().unwrap() = Some(guest.clone());
                while !known.1.load(Ordering::Relaxed) {
                    theatre.give_way(&guest, || known.1.load(Ordering::Relaxed));
                }
                theatre.owed.fetch_sub(1, Ordering::Relaxed);
                theatre.stop(None);
            })
        };
        let notifier: Part = {
            let theatre = theatre.clone();
            Box::new(move || {
                theatre.owed.fetch_add(1, Ordering::Relaxed);
                known.1.store(true, Ordering::Relaxed);
                let guest = known.0.lock().unwrap().clone();
                if let Some(guest) = guest {
                    let mut board = theatre.lock();
                    if board.notify(&guest) {
                        theatre.settle(board);
                    }
                }
                theatre.stop(None);
            })
        };
        let end = Box::new(move || assert!(theatre.moved.load(Ordering::Relaxed)));
        (vec![waiter, notifier], end)
    });
}

/// Hunted: everyone rests, the job has ended, and the task that waits for it is not on the board yet.
#[test]
fn a_job_holds_the_time_until_its_result_has_arrived() {
    explore(4, || {
        // Somebody in a turn, whose end lets time move; a job.
        let theatre = Theatre::new(None, 1);
        theatre.lock().holds = 1;
        let turn: Part = {
            let theatre = theatre.clone();
            Box::new(move || theatre.stop(None))
        };
        let job: Part = {
            let theatre = theatre.clone();
            Box::new(move || {
                theatre.owed.fetch_add(1, Ordering::Relaxed);
                let mut board = theatre.lock();
                board.push(Entry::Task(()));
                theatre.settle(board);
                let mut board = theatre.lock();
                board.holds -= 1;
                theatre.settle(board);
            })
        };
        let worker: Part = {
            let theatre = theatre.clone();
            Box::new(move || theatre.serve_once())
        };
        let end = Box::new(move || assert!(theatre.moved.load(Ordering::Relaxed)));
        (vec![turn, job, worker], end)
    });
}

/// Hunted: the thread holds the time no more and does not stand among those who want a baton.
#[test]
fn a_thread_that_was_aside_acts_before_the_time_moves() {
    explore(4, || {
        let theatre = Theatre::new(Some(1), 1);
        theatre.lock().holds = 1;
        let turn: Part = {
            let theatre = theatre.clone();
            Box::new(move || theatre.stop(None))
        };
        let aside: Part = {
            let theatre = theatre.clone();
            Box::new(move || {
                let guest = Arc::new(Guest::new());
                theatre.owed.fetch_add(1, Ordering::Relaxed);
                let mut board = theatre.lock();
                board.holds -= 1;
                board.push(Entry::Guest(Waiter::new(&guest)));
                theatre.settle(board);
                guest.wait();
                theatre.owed.fetch_sub(1, Ordering::Relaxed);
                theatre.stop(None);
            })
        };
        let end = Box::new(move || assert!(theatre.moved.load(Ordering::Relaxed)));
        (vec![turn, aside], end)
    });
}

/// Hunted: two threads that believe that they have the only baton; and a baton that nobody has though somebody wants it.
#[test]
fn one_thread_has_the_baton() {
    explore(3, || {
        let theatre = Theatre::new(Some(1), 0);
        let inside = Arc::new(AtomicUsize::new(0));
        let visitor = || -> Part {
            let (theatre, inside) = (theatre.clone(), inside.clone());
            Box::new(move || {
                let guest = Arc::new(Guest::new());
                let mut board = theatre.lock();
                board.push(Entry::Guest(Waiter::new(&guest)));
                theatre.settle(board);
                guest.wait();
                for turn in 0..2 {
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                    if turn == 0 {
                        theatre.give_way(&guest, || true);
                    }
                }
                theatre.stop(None);
            })
        };
        let parts = vec![visitor(), visitor()];
        (parts, Box::new(move || assert_eq!(theatre.lock().acting, 0)))
    });
}
