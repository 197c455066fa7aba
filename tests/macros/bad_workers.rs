#[gambol::test(workers = 0)]
async fn zero() {}

#[gambol::test(workers = 257)]
async fn many() {}

#[gambol::test(workers = "2")]
async fn text() {}

#[gambol::test(workers)]
async fn no_value() {}

#[gambol::test(workers = )]
async fn no_value_either() {}

#[gambol::test(workers = 2, workers = 3)]
async fn twice() {}

#[gambol::main(local workers = 2)]
async fn main() {}
