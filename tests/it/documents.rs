//! Documents, from being handed in to being erased.

use gristmill_tests::{
    site::{ALLOWED, Answer, Origin, Parts, Site, eventually},
    world::Travel,
};
use serde_json::{Value as Json, json};

const AUDIT: &[u8] = include_bytes!("../../cli/samples/energy-audit.pdf");
const PROCEDURE: &[u8] = include_bytes!("../../cli/samples/grain-handling-procedure.md");
const MILL: &str = "The mill at Wenbourne grinds wheat on two lines. The older line was installed in 1978.";

/// With every run of white space as one space, since lines break where a page is narrow.
fn flowing(text: &[u8]) -> String {
    String::from_utf8(text.to_vec()).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn count(site: &Site, list: &str) -> usize {
    site.admin.list(list).await.len()
}

on_both! {
    /// The whole way: upload, progress, document, text, chunks, file.
    async fn a_pdf_is_uploaded_followed_and_read(travel: Travel) {
        let site = Site::start(travel).await;
        let accepted = site.admin.upload("energy-audit.pdf", "application/pdf", AUDIT).await.is(202);
        let (document, job) = (&accepted.json["document"], &accepted.json["job"]);
        let (document_id, job_id) = (document["id"].as_str().unwrap(), job["id"].as_str().unwrap());
        assert_eq!(accepted.header("location"), format!("/v1/jobs/{job_id}"));
        assert_eq!((&job["kind"], &job["subject"]), (&json!("document.ingest"), &document["id"]));
        assert_eq!(document["status"], "pending");
        follows(&site, job_id).await;

        let document = site.admin.get(&format!("/v1/documents/{document_id}")).await.is(200).json;
        assert_eq!(document["title"], "Energy and Compressed Air Audit: Harrow & Vale Mills, Wenbourne");
        assert_eq!((&document["status"], &document["pages"]), (&json!("ready"), &json!(6)), "{document}");
        assert_eq!((&document["media_type"], &document["language"]), (&json!("application/pdf"), &json!("en")));
        let text = reads(&site, &document).await;
        assert!(text.contains("the leaks alone were drinking 41 per cent of the air that the site pays for"), "{text}");

        let file = site.admin.get(&format!("/v1/documents/{document_id}/file")).await.is(200);
        assert!(file.bytes == AUDIT, "{} bytes came back of {}", file.bytes.len(), AUDIT.len());
        assert_eq!(file.header("content-type"), "application/pdf");
        let disposition = file.header("content-disposition");
        assert!(disposition.starts_with("attachment") && disposition.contains("energy-audit.pdf"), "{disposition}");
    }

    async fn a_caller_who_prefers_to_wait_is_answered_when_the_document_is_ready(travel: Travel) {
        let site = Site::start(travel).await;
        let upload = site.admin.uploading("procedure.md", "text/markdown", PROCEDURE, None);
        let answer = Answer::to(upload.header("prefer", "wait=30")).await.is(200);
        assert_eq!((&answer.json["job"]["state"], &answer.json["document"]["status"]), (&json!("succeeded"), &json!("ready")));
        assert!(answer.json["job"]["finished_at"].is_string(), "{}", answer.json);
        assert_eq!(answer.header("preference-applied"), "wait=30");
    }
}

/// Follows a job from its first event to its last, with a break in between.
async fn follows(site: &Site, job: &str) {
    let mut stream = site.admin.follow(job, None).await;
    let mut seen = vec![stream.next().await.unwrap(), stream.next().await.unwrap()];
    assert_eq!((seen[0].name.as_str(), seen[1].name.as_str()), ("created", "started"));
    drop(stream);
    seen.extend(site.admin.follow(job, Some(&seen[1].id)).await.rest().await);
    assert_eq!(seen.last().unwrap().name, "succeeded");
    // What was streamed is what is listed: nothing twice, nothing missing.
    let listed = site.admin.list(&format!("/v1/jobs/{job}/events?limit=200")).await;
    assert_eq!(seen.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), listed);
    for event in &seen {
        assert_eq!((&event.data["type"], &event.data["id"].to_string()), (&json!(event.name), &event.id));
    }
    // Nothing more will come: an `EventSource` that is told so with 204 does not connect again.
    assert_eq!(site.admin.follow(job, Some(&seen.last().unwrap().id)).await.status, 204);
}

/// Reads the text of a document, and checks that its chunks are what they say of themselves.
async fn reads(site: &Site, document: &Json) -> String {
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    let text = site.admin.get(&format!("{path}/text")).await.is(200);
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    let letters: Vec<char> = std::str::from_utf8(&text.bytes).unwrap().chars().collect();
    assert_eq!(document["chars"], letters.len());
    let mut chunks = Vec::new();
    let mut next = String::new();
    loop {
        let page = site.admin.get(&format!("{path}/chunks?limit=3{next}")).await.is(200).json;
        chunks.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(document["chunks"], chunks.len());
    for (place, chunk) in chunks.iter().enumerate() {
        let at = |name: &str| usize::try_from(chunk[name].as_u64().unwrap()).unwrap();
        let slice: String = letters[at("start_char")..at("end_char")].iter().collect();
        assert_eq!((chunk["ordinal"].as_u64(), chunk["text"].as_str()), (Some(place as u64), Some(&*slice)));
        assert!(
            at("tokens") > 0 && (1..=at("page_last")).contains(&at("page_first")) && at("page_last") <= 6,
            "{chunk}"
        );
    }
    flowing(&text.bytes)
}

#[tokio::test]
async fn a_text_is_handed_in_as_json_with_all_that_is_said_of_it() {
    let site = Site::start(Travel::Memory).await;
    let said = json!({ "title": "On mills", "tags": ["mill", "wheat"], "category": "notes", "engagement": "HVM-3",
                       "meta": { "author": { "name": "Ruth" } }, "external_id": "crm/17" });
    let document = site.admin.text(MILL, said.clone()).await;
    for (field, value) in said.as_object().unwrap() {
        assert_eq!(&document[field], value);
    }
    assert_eq!((&document["source"]["type"], &document["versions"]), (&json!("text"), &json!(1)));
    let file = site.admin.get(&format!("/v1/documents/{}/file", document["id"].as_str().unwrap())).await.is(200);
    assert_eq!((file.bytes.as_slice(), file.header("content-type")), (MILL.as_bytes(), "text/plain"));

    site.admin.text("Another text, about the canal and its barges.", json!({ "tags": ["canal"] })).await;
    for filter in ["tag=wheat", "category=notes", "engagement=HVM-3", "external_id=crm/17", "status=ready&tag=mill"] {
        let found = site.admin.list(&format!("/v1/documents?{filter}")).await;
        assert_eq!(found.len(), 1, "{filter}");
        assert_eq!(found[0]["id"], document["id"]);
    }
    for filter in ["tag=barley", "category=Notes", "engagement=x", "external_id=crm", "status=failed"] {
        assert_eq!(count(&site, &format!("/v1/documents?{filter}")).await, 0, "{filter}");
    }
}

#[tokio::test]
async fn what_is_said_of_an_upload_comes_in_its_meta_part() {
    let site = Site::start(Travel::Memory).await;
    let said = json!({ "title": "GHP-07", "tags": ["grain"], "meta": { "version": 5 } });
    let upload = site.admin.uploading("C:\\docs\\procedure.md", "text/markdown", PROCEDURE, Some(&said));
    let document = site.admin.ready(&Answer::to(upload).await.is(202).json).await;
    assert_eq!((&document["title"], &document["tags"]), (&said["title"], &said["tags"]));
    assert_eq!((&document["meta"], &document["source"]["file_name"]), (&said["meta"], &json!("procedure.md")));
}

#[tokio::test]
async fn an_address_is_fetched() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let origin =
        Origin::holding("text/html", "\"1\"", &format!("<title>Mills</title><article><p>{MILL}</p></article>")).await;
    let body = json!({ "source": { "type": "url", "url": origin.url } });
    let document = site.admin.ready(&site.admin.post("/v1/documents", &body).await.is(202).json).await;
    assert_eq!((&document["title"], &document["media_type"]), (&json!("Mills"), &json!("text/html")));
    assert_eq!(document["source"]["url"], origin.url);
    let text = site.admin.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.is(200);
    assert!(flowing(&text.bytes).contains(MILL));
}

#[tokio::test]
async fn a_new_version_takes_over_when_it_is_ready_and_not_before() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let first = site.admin.text("The silo fans run by the calendar.", json!({ "external_id": "fans" })).await;
    let origin = Origin::holding("text/plain", "\"2\"", "The silo fans follow the wet bulb thermometer.").await;
    origin.open(false);
    let body = json!({ "source": { "type": "url", "url": origin.url }, "external_id": "fans" });
    let accepted = site.admin.post("/v1/documents", &body).await.is(202);
    let path = format!("/v1/documents/{}", first["id"].as_str().unwrap());
    eventually("the fetch", async || (!origin.requests().is_empty()).then_some(())).await;

    // The new version is being made.
    let between = site.admin.get(&path).await.is(200).json;
    assert_eq!((&between["status"], &between["versions"]), (&json!("pending"), &json!(2)));
    assert_eq!(between["current_version_id"], first["version_id"]);
    let find = async |word: &str| site.admin.search(&json!({ "query": word, "mode": "keyword" })).await.len();
    assert_eq!((find("calendar").await, find("thermometer").await), (1, 0));
    let text = site.admin.get(&format!("{path}/text")).await.is(200);
    assert!(flowing(&text.bytes).contains("calendar"));

    origin.open(true);
    let after = site.admin.ready(&accepted.json).await;
    assert_eq!((&after["id"], &after["current_version_id"]), (&first["id"], &after["version_id"]));
    assert_eq!((find("calendar").await, find("thermometer").await), (0, 1));
    assert_eq!(count(&site, "/v1/documents").await, 1);
}

#[tokio::test]
async fn what_has_not_changed_is_not_read_again() {
    let site = Site::start(Travel::Memory).await;
    for more in [json!({}), json!({ "external_id": "a" })] {
        let document = site.admin.text(MILL, more.clone()).await;
        let jobs = count(&site, "/v1/jobs").await;
        let mut body = json!({ "source": { "type": "text", "text": MILL } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let again = site.admin.post("/v1/documents", &body).await.is(200);
        assert_eq!((&again.json["document"]["id"], &again.json["document"]["versions"]), (&document["id"], &json!(1)));
        assert_eq!(count(&site, "/v1/jobs").await, jobs);
    }
    assert_eq!(count(&site, "/v1/documents").await, 2);
}

#[tokio::test]
async fn what_is_said_anew_of_an_unchanged_file_is_not_lost() {
    let site = Site::start(Travel::Memory).await;
    site.admin.text(MILL, json!({ "external_id": "a", "title": "Untitled", "tags": ["draft"] })).await;
    let body =
        json!({ "source": { "type": "text", "text": MILL }, "external_id": "a", "title": "Mill", "tags": ["final"] });
    let again = site.admin.post("/v1/documents", &body).await;
    assert!([200, 202].contains(&again.status), "{}", again.json);
    let document = site.admin.ready(&again.json).await;
    assert_eq!((&document["title"], &document["tags"]), (&json!("Mill"), &json!(["final"])));
}

#[tokio::test]
async fn the_same_file_many_times_at_once_is_one_document() {
    let site = Site::start(Travel::Memory).await;
    let uploads = (0..8).map(|_| site.admin.upload("a.txt", "text/plain", MILL.as_bytes()));
    let answers = futures::future::join_all(uploads).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 202]);
    assert_eq!((count(&site, "/v1/documents").await, count(&site, "/v1/jobs").await), (1, 1));
    assert_eq!(site.stored_files().len(), 1);
}

#[tokio::test]
async fn a_version_that_failed_can_be_handed_in_again() {
    let site = Site::start(Travel::Memory).await;
    let blank = json!({ "source": { "type": "text", "text": "  \n " }, "external_id": "x" });
    let failed = site.admin.post("/v1/documents", &blank).await.is(202);
    assert_eq!(site.admin.ended(&failed.json).await["error"]["code"], "empty-document");
    let again = site.admin.post("/v1/documents", &blank).await.is(202);
    assert_eq!(again.json["document"]["versions"], 2);
    assert_eq!(site.admin.text(MILL, json!({ "external_id": "x" })).await["versions"], 3);
}

#[tokio::test]
async fn a_deleted_document_is_gone_and_a_purged_one_leaves_no_file() {
    let site = Site::start(Travel::Memory).await;
    let other = site.admin.text("Another text, about the canal and its barges.", json!({})).await;
    let before = site.stored_files();
    let document = site.admin.text(MILL, json!({})).await;
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    assert_eq!(site.stored_files().len(), before.len() + 1);

    site.admin.delete(&path).await.is(204);
    for gone in [path.clone(), format!("{path}/text"), format!("{path}/chunks"), format!("{path}/file")] {
        site.admin.get(&gone).await.problem(404, "not-found");
    }
    site.admin.delete(&path).await.problem(404, "not-found");
    let listed = site.admin.list("/v1/documents").await;
    assert!(listed.len() == 1 && listed[0]["id"] == other["id"], "{listed:?}");
    for mode in ["keyword", "semantic", "hybrid"] {
        let found = site.admin.search(&json!({ "query": "the mill at Wenbourne", "mode": mode })).await;
        assert!(found.iter().all(|hit| hit["document_id"] == other["id"]), "{mode}");
    }

    site.admin.delete(&format!("{path}?purge=true")).await.is(204);
    eventually("the erasure", async || (site.stored_files() == before).then_some(())).await;
    site.admin.delete(&format!("{path}?purge=true")).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_purge_leaves_a_file_that_another_document_has() {
    let site = Site::start(Travel::Memory).await;
    let one = site.admin.text(MILL, json!({ "external_id": "one" })).await;
    let other = site.admin.text(MILL, json!({ "external_id": "other" })).await;
    site.admin.delete(&format!("/v1/documents/{}?purge=true", one["id"].as_str().unwrap())).await.is(204);
    let looked = eventually("the look for others", async || {
        let jobs = site.admin.list("/v1/jobs?kind=file.erase&state=succeeded").await;
        jobs.first().cloned()
    });
    assert_eq!(looked.await["result"]["erased"], false);
    let file = site.admin.get(&format!("/v1/documents/{}/file", other["id"].as_str().unwrap())).await.is(200);
    assert_eq!(file.bytes, MILL.as_bytes());
}

#[tokio::test]
async fn a_document_that_is_not_ready_has_no_text_yet() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let body = json!({ "source": { "type": "text", "text": MILL } });
    let accepted = site.admin.post("/v1/documents", &body).await.is(202);
    let path = format!("/v1/documents/{}", accepted.json["document"]["id"].as_str().unwrap());
    site.admin.get(&format!("{path}/text")).await.problem(409, "not-ready");
    assert!(site.admin.list(&format!("{path}/chunks")).await.is_empty());
    site.work().await;
    site.admin.ready(&accepted.json).await;
}
