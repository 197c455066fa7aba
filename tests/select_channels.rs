//! `select!` over channels: receives, sends and other futures at once.

use gambol::chan::{self, Receiver, Sender};
use gambol::runtime::Runtime;
use gambol::{block_on, select, sleep, spawn, yield_now};
use std::time::Duration;

#[test]
fn a_value_that_is_there_is_taken_and_the_others_stay() {
    block_on(async {
        let (tx1, rx1) = chan::buffered(4);
        let (tx2, rx2) = chan::buffered(4);
        tx1.send(1).await.unwrap();
        tx2.send(2).await.unwrap();
        let first = select! {
            v = rx1.recv() => v,
            v = rx2.recv() => v,
        };
        let second = select! {
            v = rx1.recv(), if first == Some(2) => v,
            v = rx2.recv(), if first == Some(1) => v,
        };
        assert_eq!(first.unwrap() + second.unwrap(), 3);
        let none = select! {
            v = rx1.recv() => v,
            v = rx2.recv() => v,
            default => Some(0),
        };
        assert_eq!(none, Some(0));
    });
}

#[test]
fn a_select_waits_for_whichever_comes() {
    block_on(async {
        for capacity in [0, 1, 3] {
            let (tx1, rx1) = chan::buffered::<u32>(capacity);
            let (tx2, rx2) = chan::buffered::<u32>(capacity);
            let sender = spawn(async move {
                for n in 0..1000 {
                    let tx = if n % 3 == 0 { &tx1 } else { &tx2 };
                    tx.send(n).await.unwrap();
                    if n % 7 == 0 {
                        yield_now().await;
                    }
                }
            });
            let (mut sum, mut open) = (0, 2);
            while open > 0 {
                select! {
                    Some(v) = rx1.recv() => sum += v,
                    Some(v) = rx2.recv() => sum += v,
                    else => open = 0,
                }
            }
            assert_eq!(sum, 499_500);
            sender.await.unwrap();
        }
    });
}

#[test]
fn a_loser_of_a_select_loses_no_value() {
    block_on(async {
        for capacity in [0, 1, 3] {
            let (tx, rx) = chan::buffered::<u32>(capacity);
            let sender = spawn(async move {
                for n in 0..300 {
                    tx.send(n).await.unwrap();
                }
            });
            let mut next = 0;
            while next < 300 {
                select! {
                    v = rx.recv() => {
                        assert_eq!(v, Some(next));
                        next += 1;
                    }
                    _ = sleep(Duration::from_micros(20)) => {}
                    _ = yield_now() => {}
                }
            }
            sender.await.unwrap();
        }
    });
}

#[test]
fn a_send_that_loses_gives_its_value_back() {
    block_on(async {
        let (tx, rx) = chan::unbuffered::<String>();
        let mut value = Some("precious".to_owned());
        select! {
            _ = tx.send_from(&mut value) => unreachable!(),
            _ = sleep(Duration::from_millis(1)) => {}
        }
        assert_eq!(value.as_deref(), Some("precious"));
        let receives = spawn(async move { rx.recv().await });
        select! {
            r = tx.send_from(&mut value) => r.unwrap(),
            _ = sleep(Duration::from_secs(20)) => unreachable!(),
        }
        assert_eq!(receives.await.unwrap().as_deref(), Some("precious"));
    });
}

/// Two tasks, each of which sends to and receives from the other, once per round.
fn head_on(workers: usize, rounds: u32, capacity: usize) -> [u32; 2] {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    let (tx_a, rx_a) = chan::buffered::<u32>(capacity);
    let (tx_b, rx_b) = chan::buffered::<u32>(capacity);
    async fn one(tx: Sender<u32>, rx: Receiver<u32>, rounds: u32) -> u32 {
        let mut sent = 0;
        for round in 0..rounds {
            select! {
                r = tx.send(round) => {
                    r.unwrap();
                    sent += 1;
                }
                v = rx.recv() => assert_eq!(v, Some(round)),
            }
        }
        sent
    }
    let a = runtime.spawn(one(tx_a, rx_b, rounds));
    let b = runtime.spawn(one(tx_b, rx_a, rounds));
    runtime.block_on(async move { [a.await.unwrap(), b.await.unwrap()] })
}

#[test]
fn two_selects_head_on_make_exactly_one_match() {
    for workers in [1, 2, 4] {
        let sent = head_on(workers, 20_000, 0);
        assert_eq!(sent[0] + sent[1], 20_000);
    }
}

#[test]
fn a_select_does_not_meet_itself() {
    block_on(async {
        let (tx, rx) = chan::unbuffered::<u32>();
        select! {
            _ = tx.send(1) => unreachable!(),
            _ = rx.recv() => unreachable!(),
            _ = sleep(Duration::from_millis(2)) => {}
        }
        let (tx, rx) = chan::buffered::<u32>(1);
        let mut sent = false;
        for _ in 0..2 {
            select! {
                r = tx.send(1) => sent = r.is_ok(),
                v = rx.recv() => assert_eq!((v, sent), (Some(1), true)),
            }
        }
    });
}

#[test]
fn a_send_without_a_queue_takes_its_turn_beside_receives_that_are_always_ready() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let counts = runtime.block_on(runtime.spawn(async {
            let (tx1, rx1) = chan::unbuffered::<u32>();
            let (tx2, rx2) = chan::unbuffered::<u32>();
            let (tx3, rx3) = chan::unbuffered::<u32>();
            let (tx4, rx4) = chan::unbuffered::<u32>();
            for tx in [tx1, tx2] {
                spawn(async move { while tx.send(0).await.is_ok() {} });
            }
            for rx in [rx3, rx4] {
                spawn(async move { while rx.recv().await.is_some() {} });
            }
            let mut counts = [0u32; 4];
            for _ in 0..40_000 {
                select! {
                    _ = rx1.recv() => counts[0] += 1,
                    _ = rx2.recv() => counts[1] += 1,
                    _ = tx3.send(0) => counts[2] += 1,
                    _ = tx4.send(0) => counts[3] += 1,
                }
            }
            counts
        }));
        let counts = counts.unwrap();
        println!("{workers} workers: {counts:?}");
        assert!(counts.iter().all(|&count| count > 4_000), "{workers} workers: {counts:?}");
    }
}

#[test]
fn closing_ends_a_select() {
    block_on(async {
        let (tx, rx) = chan::unbuffered::<u32>();
        let (other_tx, other_rx) = chan::unbuffered::<u32>();
        let closes = {
            let tx = tx.clone();
            spawn(async move {
                yield_now().await;
                tx.close()
            })
        };
        select! {
            r = tx.send(1) => assert_eq!(r.unwrap_err().into_inner(), 1),
            v = other_rx.recv() => unreachable!("{v:?}"),
        }
        assert!(closes.await.unwrap());
        drop(other_tx);
        select! {
            v = rx.recv() => assert_eq!(v, None),
            v = other_rx.recv() => assert_eq!(v, None),
        }
    });
}

#[test]
fn a_receive_kept_across_turns_keeps_its_place() {
    block_on(async {
        let (tx, rx) = chan::buffered::<u32>(1);
        let (tick_tx, tick) = chan::buffered::<u32>(1);
        let mut kept = rx.recv();
        for n in 0..100 {
            tick_tx.send(n).await.unwrap();
            select! {
                _ = &mut kept => unreachable!(),
                v = tick.recv() => assert_eq!(v, Some(n)),
            }
        }
        tx.send(7).await.unwrap();
        let got = select! {
            v = &mut kept => v,
            v = tick.recv() => v,
        };
        assert_eq!(got, Some(7));
    });
}
