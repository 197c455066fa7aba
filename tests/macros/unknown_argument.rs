#[gambol::test(real_time = true)]
async fn test() {}

#[gambol::test(local)]
async fn local() {}

#[gambol::main(threads = 4)]
async fn main() {}
