#[gambol::main]
async unsafe fn main() {}
