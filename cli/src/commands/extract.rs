//! `gristmill extract`: shows what a document becomes, without a server.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use gristmill_content::{ExtractOptions, Extracted};
use gristmill_core::config::Config;
use gristmill_extractor::Extractor;
use gristmill_process::connect::StartError;
use serde_json::json;
use url::Url;

/// The largest file that is read, as in a job.
const MOST_BYTES: u64 = 1 << 30;

/// A document to be shown.
#[derive(Debug, Args)]
pub struct Extract {
    /// The document; - is standard input
    file: PathBuf,
    /// What is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where it came from: relative addresses in HTML are resolved against it
    #[arg(long, value_name = "BASE")]
    url: Option<Url>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// The text alone; of a web page its main content
    #[default]
    Text,
    /// The text with headings and code marked
    Markdown,
    /// Text, blocks with pages and offsets, metadata and warnings
    Json,
}

/// Prints what the document becomes. One that cannot be read is told as JSON on standard error, with exit code 1.
///
/// # Errors
/// When a setting is wrong.
pub async fn run(Extract { file, format, url }: Extract) -> Result<ExitCode, StartError> {
    let config = Config::from_env().map_err(|error| StartError::new(error.to_string()))?;
    let bytes = match bytes(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Ok(refused("file-unreadable", &format!("{} cannot be read: {error}.", file.display()), None));
        }
    };
    let file_name = file.file_name().filter(|_| file != Path::new("-")).map(|name| name.to_string_lossy().into_owned());
    let options = ExtractOptions { file_name, base_url: url, ..ExtractOptions::default() };
    match Extractor::new(&config.extract, 1).extract(&bytes.into(), options).await {
        Ok(extracted) => Ok(print(&shown(&extracted, format))),
        Err(error) => Ok(refused(error.code(), &error.to_string(), error.detail())),
    }
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes)?
    } else {
        File::open(file)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(bytes)
}

fn shown(extracted: &Extracted, format: Format) -> String {
    match format {
        Format::Text => extracted.text.clone(),
        Format::Markdown => extracted.to_markdown(),
        Format::Json => format!("{:#}", json!(extracted)),
    }
}

/// Whoever reads our output may have read enough: that is no failure of ours.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refused(code: &str, message: &str, detail: Option<String>) -> ExitCode {
    let mut told = json!({ "code": code, "message": message });
    if let Some(detail) = detail {
        told["detail"] = json!(detail);
    }
    eprintln!("{told}");
    ExitCode::FAILURE
}
