#[gambol::test(virtual_time = 1)]
async fn number() {}

#[gambol::test(virtual_time = )]
async fn no_value() {}

#[gambol::test(virtual_time, virtual_time = false)]
async fn twice() {}

#[gambol::test(seed)]
async fn no_seed() {}

#[gambol::test(seed = -1)]
async fn negative() {}

#[gambol::test(seed = "7")]
async fn text() {}

#[gambol::test(seed = 7, seed = 8)]
async fn two_seeds() {}

mod program {
    #[gambol::main(virtual_time = true)]
    async fn clock() {}

    #[gambol::main(seed = 7)]
    async fn seed() {}
}

fn main() {}
