#[gambol::main]
async fn main<T>() {}
