//! Runs one workload on one peer and prints one line of JSON: `bench-peers PEER WORKLOAD [--name number]…`

mod apalis;
mod awa;
mod river;
mod workloads;

use workloads::{Result, measure, say, sizes};

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [peer, workload, rest @ ..] = words.as_slice() else {
        return Err("bench-peers PEER WORKLOAD [--name number]…".into());
    };
    let sizes = sizes(rest)?;
    let figures = match peer.as_str() {
        "river" => measure(&river::River::open(&river::defaults()).await?, workload, &sizes).await?,
        "river-tuned" => measure(&river::River::open(&river::tuned()).await?, workload, &sizes).await?,
        "awa" => measure(&awa::Awa::open().await?, workload, &sizes).await?,
        "apalis-redis" => measure(&apalis::Apalis::open().await?, workload, &sizes).await?,
        other => return Err(format!("there is no peer \"{other}\"").into()),
    };
    say(&figures);
    // Workers run on; nothing of them is of interest any more.
    std::process::exit(0);
}
