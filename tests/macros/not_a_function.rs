#[gambol::test]
struct Test;

fn main() {}
