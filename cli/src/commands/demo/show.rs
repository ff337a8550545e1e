//! What the demonstration shows: ingestion, search, a summary.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use gristmill_process::connect::StartError;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::{OwoColorize as _, Stream};
use reqwest::multipart::{Form, Part};
use serde_json::{Value as Json, json};

use super::client::Client;

/// A sample document.
struct Sample {
    name: &'static str,
    bytes: &'static [u8],
    media_type: &'static str,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        name: "energy-audit.pdf",
        bytes: include_bytes!("../../../samples/energy-audit.pdf"),
        media_type: "application/pdf",
    },
    Sample {
        name: "mill-modernisation.html",
        bytes: include_bytes!("../../../samples/mill-modernisation.html"),
        media_type: "text/html",
    },
    Sample {
        name: "grain-handling-procedure.md",
        bytes: include_bytes!("../../../samples/grain-handling-procedure.md"),
        media_type: "text/markdown",
    },
    Sample {
        name: "supplier-call-notes.txt",
        bytes: include_bytes!("../../../samples/supplier-call-notes.txt"),
        media_type: "text/plain",
    },
];

/// What is searched for, and how.
const QUESTIONS: [(&str, &str); 4] = [
    ("hybrid", "how much does leaking air cost the mill?"),
    ("keyword", "plansifter hose"),
    ("semantic", "when may the silo fans run?"),
    ("hybrid", "who pays when a barge has to wait?"),
];

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the show.
pub(super) async fn show(client: Client, feed: String) -> Result<(), StartError> {
    let began = Instant::now();
    heading("Four documents and a feed go in");
    let bars = MultiProgress::new();
    let mut jobs = Vec::new();
    let mut audit = String::new();
    for sample in &SAMPLES {
        let part = Part::bytes(sample.bytes).file_name(sample.name).mime_str(sample.media_type);
        let part = part.map_err(|error| StartError::caused("A sample has no media type.", error))?;
        let accepted = client.upload("/v1/documents", Form::new().part("file", part)).await?;
        if audit.is_empty() {
            audit = text(&accepted["document"]["id"]).to_owned();
        }
        jobs.push((sample.name.to_owned(), text(&accepted["job"]["id"]).to_owned()));
    }
    let feed = client.post("/v1/feeds", &json!({ "url": feed })).await?;
    let polls = client.get(&format!("/v1/jobs?subject={}", text(&feed["id"]))).await?;
    jobs.push(("feed.xml (RSS)".to_owned(), text(&polls["data"][0]["id"]).to_owned()));
    let mut following: Vec<_> = jobs.into_iter().map(|(name, id)| follow(&client, &bars, name, id)).collect();
    for done in futures::future::join_all(following.drain(..)).await {
        done?;
    }
    articles_ready(&client, &bars).await?;
    // Bars are drawn on standard error and end without a line break.
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    println!("  all of it searchable after {:.1} s", began.elapsed().as_secs_f64());

    heading("Search");
    for (mode, question) in QUESTIONS {
        search(&client, mode, question).await?;
    }
    heading("A summary of energy-audit.pdf, made of its own sentences");
    let body = json!({ "kind": "analysis.run", "args": {
        "task": "summary", "input": { "document_id": audit }, "options": { "max_sentences": 4 } } });
    let job = client.post_and_wait("/v1/jobs", &body).await?;
    for sentence in job["result"]["citations"].as_array().into_iter().flatten() {
        println!("  · {}", text(&sentence["text"]));
    }
    println!("  {}", dim(&format!("model {}; no network and no key was needed", text(&job["result"]["model"]))));
    Ok(())
}

/// Follows a job to its end with a progress bar.
async fn follow(client: &Client, bars: &MultiProgress, name: String, id: String) -> Result<(), StartError> {
    let bar = bars.add(bar(&name));
    loop {
        let job = client.get(&format!("/v1/jobs/{id}")).await?;
        let progress = &job["progress"];
        if let (Some(done), Some(total)) = (progress["done"].as_u64(), progress["total"].as_u64()) {
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(text(&progress["stage"]).to_owned());
        }
        match text(&job["state"]) {
            "succeeded" => {
                let message = result_line(&job["result"]);
                bar.set_position(bar.length().unwrap_or(1));
                bar.finish_with_message(message.clone());
                if !std::io::stderr().is_terminal() {
                    println!("  {name:<30} {message}");
                }
                return Ok(());
            }
            "failed" | "cancelled" => {
                let why = text(&job["error"]["message"]).to_owned();
                bar.abandon_with_message(why.clone());
                return Err(StartError::new(format!("{name} could not be ingested: {why}")));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

fn result_line(result: &Json) -> String {
    if let Some(entries) = result["entries"].as_u64() {
        return format!("{entries} entries");
    }
    let pages = result["pages"].as_u64().map(|pages| format!("{pages} pages, ")).unwrap_or_default();
    format!("{pages}{} characters, {} chunks", result["chars"], result["chunks"])
}

/// Waits until the feed's articles are ready, which are documents of their own.
async fn articles_ready(client: &Client, bars: &MultiProgress) -> Result<(), StartError> {
    let bar = bars.add(bar("its articles"));
    loop {
        let documents = client.get("/v1/documents?limit=200").await?;
        let articles: Vec<&Json> = documents["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|document| document["source"]["type"] == "feed")
            .collect();
        let ready = articles.iter().filter(|article| article["status"] == "ready").count();
        if let Some(failed) = articles.iter().find(|article| article["status"] == "failed") {
            let why = text(&failed["error"]["message"]);
            return Err(StartError::new(format!("An article could not be ingested: {why}")));
        }
        bar.set_length(articles.len().max(1) as u64);
        bar.set_position(ready as u64);
        if !articles.is_empty() && ready == articles.len() {
            bar.finish_with_message(format!("{ready} articles"));
            if !std::io::stderr().is_terminal() {
                println!("  {:<30} {ready} articles", "its articles");
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn search(client: &Client, mode: &str, question: &str) -> Result<(), StartError> {
    let body = json!({ "query": question, "mode": mode, "limit": 2 });
    let found = client.post("/v1/search", &body).await?;
    let took = format!("{mode}, {} ms", found["took_ms"]);
    println!("\n  {}  {}", bold(question), dim(&took));
    for hit in found["results"].as_array().into_iter().flatten() {
        let page = hit["page"].as_u64().map(|page| format!(", page {page}")).unwrap_or_default();
        println!("  → {}{page}", text(&hit["title"]));
        println!("    {}", snippet(text(&hit["text"]), &hit["highlights"]));
    }
    Ok(())
}

/// About two lines of `text` around the first highlight.
fn snippet(text: &str, highlights: &Json) -> String {
    const BEFORE: usize = 60;
    const LENGTH: usize = 220;
    let letters: Vec<char> = text.chars().collect();
    let first = highlights[0]["start"].as_u64().and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
    let mut start = first.saturating_sub(BEFORE).min(letters.len());
    // Begin at a word.
    while start > 0 && start < letters.len() && !letters[start - 1].is_whitespace() {
        start -= 1;
    }
    let end = (start + LENGTH).min(letters.len());
    let shown: String = letters[start..end].iter().collect();
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{shown}{}", if start > 0 { "… " } else { "" }, if end < letters.len() { " …" } else { "" })
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("  {prefix:<30} {bar:24.green/dim} {msg}") {
        bar.set_style(style.progress_chars("━━─"));
    }
    bar.set_prefix(name.to_owned());
    bar
}

fn heading(words: &str) {
    println!("\n{}", bold(words));
}

fn bold(words: &str) -> String {
    words.if_supports_color(Stream::Stdout, |words| words.bold()).to_string()
}

fn dim(words: &str) -> String {
    words.if_supports_color(Stream::Stdout, |words| words.dimmed()).to_string()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
