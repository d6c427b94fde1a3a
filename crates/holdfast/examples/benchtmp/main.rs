#![allow(missing_docs)]
mod bench;
#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: bench::BenchArgs,
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bench::run(<Cli as clap::Parser>::parse().args).await
}
