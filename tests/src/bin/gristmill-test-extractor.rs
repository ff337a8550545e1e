//! An extractor whose documents say what it does: it reads them like the real one, unless they begin with an order.

use std::io::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::process::ExitCode;

use gristmill_content::ContentError;

fn main() -> ExitCode {
    gristmill_extractor::serve_with(|bytes, options| {
        let text = String::from_utf8_lossy(bytes);
        let mut words = text.strip_prefix('!').unwrap_or_default().split_whitespace();
        match obey(words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            Some(answer) => Err(ContentError::UnsupportedMedia { found: answer }),
            None => gristmill_content::extract(bytes, options),
        }
    })
}

/// An order that has no answer and comes to an end lets the document be read.
fn obey(order: &str, detail: &str) -> Option<String> {
    match order {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "hang" => hang(),
        "spin" => while std::hint::black_box(true) {},
        "balloon" => {
            let mut held = Vec::new();
            while std::hint::black_box(true) {
                held.push(vec![1_u8; 4 << 20]);
            }
        }
        "overflow" => {
            std::hint::black_box(deeper(0));
        }
        "panic" => panic!("a parser gives up"),
        "print" => println!("a parser that talks"),
        "nonsense" => nonsense(),
        "pid" => return Some(std::process::id().to_string()),
        "environment" => return std::fs::read("/proc/self/environ").ok().map(|bytes| bytes.len().to_string()),
        "write" => return Some(std::fs::write(detail, "x").is_ok().to_string()),
        _ => {}
    }
    None
}

fn hang() {
    loop {
        std::thread::park();
    }
}

fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 512]);
    if depth == u64::MAX { here[0] } else { deeper(depth + 1) + here[511] }
}

/// Writes into every pipe there is, that of the replies among them.
fn nonsense() {
    for number in 3..16 {
        let name = format!("/proc/self/fd/{number}");
        let is_pipe = std::fs::metadata(&name).is_ok_and(|found| found.file_type().is_fifo());
        if let Some(Ok(mut pipe)) = is_pipe.then(|| std::fs::OpenOptions::new().write(true).open(&name)) {
            let _ignored = pipe.write_all(&[b'\xff'; 64]);
        }
    }
    hang();
}
