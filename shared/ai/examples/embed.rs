//! Embeds a JSON array of texts from standard input with the model in a directory, and writes an array of vectors. How
//! fast it was goes to standard error: for comparing a model, or this crate, with another implementation of the same.
//!
//! `cargo run --release -p gristmill-ai --example embed -- DIRECTORY [TIMES] < texts.json > vectors.json`

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use gristmill_ai::{Embedder, LocalModel};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("the first argument is the model's directory")?;
    let times: usize = arguments.next().map_or(Ok(1), |times| times.parse())?;
    let opened = Instant::now();
    let model = LocalModel::open(Path::new(&directory))?;
    let opened = opened.elapsed();
    let texts: Vec<String> = serde_json::from_reader(std::io::stdin())?;
    let repeated: Vec<String> = texts.iter().cycle().take(texts.len() * times).cloned().collect();
    let begun = Instant::now();
    let vectors = model.embed(&repeated).await?;
    let took = begun.elapsed();
    serde_json::to_writer(std::io::stdout(), &vectors[..texts.len()])?;
    let rate = repeated.len() as f64 / took.as_secs_f64();
    eprintln!("{}: opened in {opened:?}, {} texts in {took:?}, {rate:.0} texts/s", model.model(), repeated.len());
    Ok(())
}
