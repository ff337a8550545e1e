//! A job's history, printed line by line, as far as it goes or as it comes.

use futures::StreamExt as _;
use gristmill_process::connect::StartError;
use serde_json::Value as Json;

use crate::{
    remote::{Remote, escaped},
    table::cell,
};

/// Prints what happened to the job.
pub(super) async fn print(remote: &Remote, id: &str, json: bool) -> Result<(), StartError> {
    let mut cursor = String::new();
    loop {
        let page = remote.get(&format!("/v1/jobs/{}/events?limit=200{cursor}", escaped(id))).await?;
        for event in page["data"].as_array().into_iter().flatten() {
            show(event, json);
        }
        let Some(next) = page["next_cursor"].as_str() else { return Ok(()) };
        cursor = format!("&cursor={next}");
    }
}

/// Prints what happened and happens to the job, until it is over.
pub(super) async fn follow(remote: &Remote, id: &str, json: bool) -> Result<(), StartError> {
    let broken = |error| StartError::caused("The stream of events broke off.", error);
    let mut bytes = remote.follow(&format!("/v1/jobs/{}/events", escaped(id))).await?.bytes_stream();
    let mut unread: Vec<u8> = Vec::new();
    while let Some(piece) = bytes.next().await {
        unread.extend_from_slice(&piece.map_err(broken)?);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            if let Some(event) = data(&line) {
                show(&event, json);
            }
        }
    }
    Ok(())
}

/// The event in a line of a stream, if it is one that carries it.
fn data(line: &[u8]) -> Option<Json> {
    serde_json::from_slice(line.trim_ascii().strip_prefix(b"data:")?).ok()
}

fn show(event: &Json, json: bool) {
    if json {
        println!("{event}");
        return;
    }
    println!("{}  {:<16} {}", cell(event, "at"), cell(event, "type"), told(event));
}

/// The particulars of an event, in a line.
fn told(event: &Json) -> String {
    let data = &event["data"];
    if let Some(message) = data["message"].as_str().or_else(|| data["error"]["message"].as_str()) {
        return message.to_owned();
    }
    match data.as_object() {
        Some(fields) if !fields.is_empty() => {
            let field = |name: &String| format!("{name}={}", cell(data, name));
            fields.keys().map(field).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{data, told};
    use serde_json::json;

    #[test]
    fn an_event_is_told_in_a_line() {
        assert_eq!(told(&json!({ "data": { "message": "half-way" } })), "half-way");
        assert_eq!(told(&json!({ "data": { "error": { "message": "It broke." } } })), "It broke.");
        assert_eq!(told(&json!({ "data": { "done": 1, "total": 2 } })), "done=1 total=2");
        assert_eq!(told(&json!({ "data": {} })), "");
    }

    #[test]
    fn only_lines_with_data_are_events() {
        assert_eq!(data(b"data: {\"a\":1}\r\n"), Some(json!({ "a": 1 })));
        assert_eq!(data(b": still here\n"), None);
    }
}
