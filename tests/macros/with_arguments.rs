#[gambol::main]
async fn main(name: String) {}
