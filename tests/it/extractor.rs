//! Documents that crash, hang or fill their reader: one typed error each, and the next one is read.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gristmill_content::{ContentError, ExtractOptions};
use gristmill_core::config::ExtractConfig;
use gristmill_extractor::{Extractor, ExtractorError};
use gristmill_tests::{
    faults::process::program,
    site::{Parts, Site},
    world::Travel,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const LIMITS: ExtractConfig = ExtractConfig { timeout: Duration::from_secs(20), memory_mb: 128, max_pages: 100 };

/// A pool of `most` test doubles.
fn pool(limits: &ExtractConfig, most: usize) -> Extractor {
    Extractor::of(program("gristmill-test-extractor"), limits, most)
}

async fn read(pool: &Extractor, document: &str) -> Result<String, ExtractorError> {
    let document = Bytes::from(document.to_owned());
    pool.extract(&document, ExtractOptions::default()).await.map(|extracted| extracted.text)
}

/// What a test double answers to a question.
async fn asked(pool: &Extractor, question: &str) -> String {
    match read(pool, question).await {
        Err(ExtractorError::Content(ContentError::UnsupportedMedia { found })) => found,
        other => panic!("{question}: {other:?}"),
    }
}

async fn pid(pool: &Extractor) -> i32 {
    asked(pool, "!pid").await.parse().unwrap()
}

/// Whether a process has ended with all its threads, though its parent may not have looked yet.
fn is_over(pid: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    if threads > 1 {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| matches!(rest.trim_start().chars().next(), None | Some('Z' | 'X')))
}

async fn until_over(pid: i32) {
    let begun = Instant::now();
    while !is_over(pid) {
        assert!(begun.elapsed() < Duration::from_secs(20), "process {pid} goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_way_to_fail_is_one_error_and_the_next_document_is_read() {
    let pool = pool(&LIMITS, 1);
    for (order, code, detail) in [
        ("!abort", "extractor-crashed", "SIGABRT"),
        ("!exit", "extractor-crashed", "exit status: 0"),
        ("!overflow", "extractor-crashed", "stack overflow"),
        ("!nonsense", "extractor-crashed", "out of turn"),
        ("!balloon", "extractor-memory", ""),
        ("!panic", "extractor-crashed", "exit status"),
    ] {
        let error = read(&pool, order).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, false), "{order}: {error:?}");
        let told = error.detail().unwrap_or_default();
        assert!(told.contains(detail), "{order}: {told}");
        assert_eq!(read(&pool, "The mill grinds.").await.unwrap(), "The mill grinds.", "after {order}");
    }
}

#[tokio::test]
async fn what_takes_too_long_is_stopped() {
    let pool = pool(&ExtractConfig { timeout: Duration::from_secs(1), ..LIMITS }, 1);
    for order in ["!hang", "!spin"] {
        let begun = Instant::now();
        let error = read(&pool, order).await.unwrap_err();
        assert_eq!(error.code(), "extractor-timeout", "{order}");
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{order}: {:?}", begun.elapsed());
        assert_eq!(read(&pool, "The mill grinds.").await.unwrap(), "The mill grinds.");
    }
}

#[tokio::test]
async fn one_process_reads_many_documents_and_several_read_at_once() {
    let pool = pool(&LIMITS, 2);
    let first = pid(&pool).await;
    for at in 0..30 {
        assert_eq!(read(&pool, &format!("Text {at}")).await.unwrap(), format!("Text {at}"));
    }
    assert_eq!(read(&pool, "!print").await.unwrap(), "!print", "what a parser prints does not get among the replies");
    assert_eq!(pid(&pool).await, first);
    // One hangs; its neighbours are read meanwhile by the other.
    let hanging = tokio::spawn({
        let pool = pool.clone();
        async move { read(&pool, "!hang").await }
    });
    for at in 0..10 {
        assert_eq!(read(&pool, &format!("Text {at}")).await.unwrap(), format!("Text {at}"));
    }
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_eq!(read(&pool, "After").await.unwrap(), "After");
}

#[tokio::test]
async fn a_process_makes_room_for_a_fresh_one_in_time() {
    let pool = pool(&LIMITS, 1);
    let first = pid(&pool).await;
    for _ in 0..499 {
        assert_eq!(read(&pool, "Text").await.unwrap(), "Text");
    }
    until_over(first).await;
    assert_ne!(pid(&pool).await, first);
}

#[tokio::test]
async fn a_reader_that_somebody_kills_is_worth_another_try() {
    let pool = pool(&LIMITS, 1);
    let victim = pid(&pool).await;
    let reading = tokio::spawn({
        let pool = pool.clone();
        async move { read(&pool, "!spin").await }
    });
    // It keeps the processor busy: so it has begun.
    let ticks = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    let before = ticks(victim);
    while ticks(victim) < before + 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
    let error = reading.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("extractor-crashed", true));
    // Killed while it waits, it costs nothing at all.
    let victim = pid(&pool).await;
    kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
    until_over(victim).await;
    assert_eq!(read(&pool, "After").await.unwrap(), "After");
}

#[tokio::test]
async fn who_no_longer_waits_ends_the_reading_and_the_pool_its_readers() {
    let pool = pool(&LIMITS, 1);
    let reader = pid(&pool).await;
    let reading = tokio::time::timeout(Duration::from_millis(50), read(&pool, "!spin")).await;
    assert!(reading.is_err());
    until_over(reader).await;
    let reader = pid(&pool).await;
    drop(pool);
    until_over(reader).await;
}

#[test]
fn a_reader_whose_parent_dies_ends_in_the_midst_of_a_document() {
    for document in ["!spin", "!hang"] {
        let mut command = Command::new(program("gristmill-test-extractor"));
        command.args(["extract", "--serve"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = command.spawn().unwrap();
        let mut pipe = reader.stdin.take().unwrap();
        let options = json!({ "declared": null, "file_name": null, "base_url": null, "max_pages": 9 });
        let mut ask = |document: &str| {
            let header =
                json!({ "bytes": document.len(), "options": options, "memory_mb": 128, "cpu_s": 60 }).to_string();
            pipe.write_all(&u32::try_from(header.len()).unwrap().to_le_bytes()).unwrap();
            pipe.write_all(header.as_bytes()).unwrap();
            pipe.write_all(document.as_bytes()).unwrap();
        };
        ask("!pid");
        ask(document);
        // The answer to the first shows that the second is begun, or will be at once.
        let mut length = [0; 4];
        reader.stdout.as_mut().unwrap().read_exact(&mut length).unwrap();
        assert!(reader.try_wait().unwrap().is_none());
        drop(pipe);
        assert!(reader.wait().unwrap().success(), "{document}");
    }
}

#[tokio::test]
async fn a_reader_knows_nothing_and_leaves_nothing_behind() {
    let pool = pool(&LIMITS, 1);
    assert_eq!(asked(&pool, "!environment").await, "0");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("left");
    // Writing is refused by a signal, which ends the process.
    let error = read(&pool, &format!("!write {}", file.display())).await.unwrap_err();
    assert_eq!(error.code(), "extractor-crashed", "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap_or_default(), b"");
    assert_eq!(read(&pool, "After").await.unwrap(), "After");
}

#[tokio::test]
async fn a_document_that_kills_its_reader_fails_alone() {
    let site = Site::with(
        Travel::Memory,
        Parts::All,
        &[("GRISTMILL_EXTRACT_TIMEOUT_S", "1"), ("GRISTMILL_EXTRACT_MEMORY_MB", "128")],
    )
    .await;
    let mut handed_in = Vec::new();
    for (at, (document, code)) in [
        ("!abort", Some("extractor-crashed")),
        ("The first mill grinds wheat.", None),
        ("!hang", Some("extractor-timeout")),
        ("The second mill grinds rye.", None),
        ("!balloon", Some("extractor-memory")),
        ("The third mill grinds oats.", None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{at}.txt");
        let accepted = site.admin.upload(&name, "text/plain", document.as_bytes()).await.is(202);
        handed_in.push((accepted.json, code));
    }
    for (accepted, code) in handed_in {
        let job = site.admin.ended(&accepted).await;
        match code {
            Some(code) => {
                assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{job}");
                assert_eq!(job["attempt"], 1, "trying again cannot help: {job}");
                let document = format!("/v1/documents/{}", accepted["document"]["id"].as_str().unwrap());
                let document = site.admin.get(&document).await.is(200).json;
                assert_eq!((&document["status"], &document["error"]["code"]), (&json!("failed"), &json!(code)));
            }
            None => assert_eq!(job["state"], "succeeded", "{job}"),
        }
    }
}
