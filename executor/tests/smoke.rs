use gambol_executor::*;
use std::time::{Duration, Instant as StdInstant};
#[test]
fn smoke() {
    for workers in [1, 2, 4] {
        let rt = Runtime::builder().workers(workers).build().unwrap();
        let out = rt.block_on(async {
            let mut handles = vec![];
            for i in 0..1000u64 { handles.push(spawn(async move { i })); }
            let mut sum = 0;
            for h in handles { sum += h.await.unwrap(); }
            sum
        });
        assert_eq!(out, 499500);
        let t = StdInstant::now();
        rt.block_on(async { spawn(async { Sleep::new(Duration::from_millis(20)).await }).await.unwrap() });
        let e = t.elapsed();
        eprintln!("{workers} sleep {e:?} {:?}", rt.metrics());
        assert!(e >= Duration::from_millis(20));
        let j = rt.spawn(async { panic!("x") });
        assert!(rt.block_on(j).unwrap_err().is_panic());
        let j = rt.spawn(std::future::pending::<()>());
        j.abort();
        assert!(rt.block_on(j).unwrap_err().is_cancelled());
        let j = rt.spawn_blocking(|| 7);
        assert_eq!(rt.block_on(j).unwrap(), 7);
        let j = rt.spawn(async { block_on(async { block_on(async { spawn(async { 3 }).await.unwrap() }) }) });
        assert_eq!(rt.block_on(j).unwrap(), 3);
        let t = StdInstant::now();
        drop(rt);
        eprintln!("drop {:?}", t.elapsed());
    }
}
