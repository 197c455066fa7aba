#[gambol::main]
fn main() {}
