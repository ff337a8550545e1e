//! Extracts every file named on standard input, in one process: the fast way for evaluations, where starting a process
//! a file would cost more than reading it.
//!
//! `extract OUT < LIST`: one path a line. The text of the n-th file, counted from 1, goes to `OUT/n.txt`. One JSON object
//! a file goes to standard output: `n`, `seconds`, `pages`, and `error` with the code and message when it cannot be read.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use gristmill_content::{ExtractOptions, Extracted, extract};

fn main() -> io::Result<()> {
    let out = env::args().nth(1).ok_or_else(|| io::Error::other("usage: extract OUT < LIST"))?;
    let mut stdout = io::stdout().lock();
    for (index, path) in io::stdin().lock().lines().enumerate() {
        let (number, path) = (index + 1, path?);
        // Said before, so that whoever watches knows which file ended the process.
        writeln!(stdout, "{}", serde_json::json!({ "begin": number }))?;
        stdout.flush()?;
        let bytes = fs::read(&path)?;
        let file_name = Path::new(&path).file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let options = ExtractOptions { file_name, ..ExtractOptions::default() };
        let start = Instant::now();
        let result = extract(&bytes, &options);
        let seconds = start.elapsed().as_secs_f64();
        let report = match &result {
            Ok(Extracted { text, metadata, warnings, .. }) => {
                fs::write(Path::new(&out).join(format!("{number}.txt")), text)?;
                serde_json::json!({ "n": number, "seconds": seconds, "pages": metadata.page_count, "warnings": warnings })
            }
            Err(error) => {
                serde_json::json!({ "n": number, "seconds": seconds, "error": error, "message": error.to_string() })
            }
        };
        writeln!(stdout, "{report}")?;
        stdout.flush()?;
    }
    Ok(())
}
