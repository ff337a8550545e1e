//! Input that is wrong gets a clear answer, and the next one that is right still goes through.

use gristmill_tests::{
    site::{Answer, Parts, Site},
    world::Travel,
};
use reqwest::{
    Body, Method,
    multipart::{Form, Part},
};
use serde_json::{Value as Json, json};

const AUDIT: &[u8] = include_bytes!("../../cli/samples/energy-audit.pdf");
const NOTES: &[u8] = include_bytes!("../../cli/samples/supplier-call-notes.txt");
const JAPANESE: &[u8] = include_bytes!("../fixtures/maintenance-shift-jis.txt");
/// A picture of one grey pixel.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDAT\x78\x9c\x63\x68\0\0\0\x82\0\x81\x77\xcd\x72\xb6\0\0\0\0IEND\xaeB`\x82";

/// Hands a good document in, and sees it through.
async fn goes_on(site: &Site, after: &str) {
    let text = format!("After {after} the mill still grinds wheat.");
    site.admin.text(&text, json!({})).await;
}

/// The error of a document's job, once it has failed; its document tells the same.
async fn failure(site: &Site, accepted: &Json) -> String {
    let job = site.admin.ended(accepted).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["attempt"], 1, "trying again cannot help: {job}");
    let document = format!("/v1/documents/{}", accepted["document"]["id"].as_str().unwrap());
    let document = site.admin.get(&document).await.is(200).json;
    assert_eq!((&document["status"], &document["error"]["code"]), (&json!("failed"), &job["error"]["code"]));
    assert!(document["error"]["message"].as_str().is_some_and(|text| text.ends_with('.')), "{document}");
    job["error"]["code"].as_str().unwrap().to_owned()
}

on_both! {
    async fn a_file_that_cannot_be_read_fails_with_a_reason_and_the_next_is_read(travel: Travel) {
        let site = Site::start(travel).await;
        site.admin.upload("nothing.txt", "text/plain", b"").await.problem(422, "empty-document");
        goes_on(&site, "an empty file").await;
        let zeros = vec![0_u8; 512 * 1024];
        for (name, media_type, bytes, code) in [
            ("truncated.pdf", "application/pdf", &AUDIT[..AUDIT.len() / 40], "pdf-damaged"),
            ("picture.pdf", "application/pdf", PICTURE, "unsupported-media"),
            ("zeros.bin", "application/octet-stream", &zeros, "unsupported-media"),
            ("zeros.txt", "text/plain", &zeros[..4096], "unsupported-media"),
            ("blank.txt", "text/plain", b" \n\t ", "empty-document"),
            ("blank.html", "text/html", b"<html><head><title>x</title></head><body> </body></html>", "empty-document"),
        ] {
            let accepted = site.admin.upload(name, media_type, bytes).await.is(202);
            assert_eq!(failure(&site, &accepted.json).await, code, "{name}");
            goes_on(&site, name).await;
        }
    }
}

#[tokio::test]
async fn a_pdf_that_breaks_off_is_read_as_far_as_it_goes_or_refused() {
    let site = Site::start(Travel::Memory).await;
    for part in [2, 4, 10] {
        let accepted = site
            .admin
            .upload("broken.pdf", "application/pdf", &AUDIT[..AUDIT.len() - AUDIT.len() / part])
            .await
            .is(202);
        let job = site.admin.ended(&accepted.json).await;
        if job["state"] == "succeeded" {
            let document = site.admin.ready(&accepted.json).await;
            assert!(!document["warnings"].as_array().unwrap().is_empty(), "what is missing is not told: {document}");
        } else {
            let code = failure(&site, &accepted.json).await;
            assert!(code.starts_with("pdf-") || code == "needs-ocr", "{code}");
        }
        goes_on(&site, &format!("a PDF that lacks one part of {part}")).await;
    }
}

#[tokio::test]
async fn characters_that_cannot_be_kept_do_no_harm() {
    let site = Site::start(Travel::Memory).await;
    for (name, media_type, bytes) in [
        (
            "a.txt",
            "text/plain",
            &b"The mill at Wenbourne\0grinds wheat on two lines, as it has since the year 1978."[..],
        ),
        ("a.md", "text/markdown", b"# Mills\0\n\nThe mill at Wenbourne grinds \0 wheat on two lines."),
        (
            "a.html",
            "text/html",
            b"<title>M&#0;ills\0</title><p>The mill &#0; at Wenbourne grinds &#xD800; wheat \0 on two lines.</p>",
        ),
        ("b.txt", "text/plain", b"The mill\x1b[31m at Wenbourne\x07 grinds wheat on two lines."),
    ] {
        let accepted = site.admin.upload(name, media_type, bytes).await.is(202);
        let job = site.admin.ended(&accepted.json).await;
        if job["state"] == "failed" {
            assert_eq!(failure(&site, &accepted.json).await, "unsupported-media", "{name}");
            continue;
        }
        let document = site.admin.ready(&accepted.json).await;
        let text = site.admin.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.is(200);
        let text = String::from_utf8(text.bytes).unwrap();
        assert!(text.contains("Wenbourne") && !text.contains('\0'), "{name}: {text:?}");
    }
    goes_on(&site, "all of that").await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_however_it_is_sent() {
    let site = Site::with(Travel::Memory, Parts::All, &[("GRISTMILL_MAX_UPLOAD_MB", "1")]).await;
    let zeros = vec![0_u8; 30 * 1024 * 1024];
    site.admin.upload("zeros.bin", "application/octet-stream", &zeros).await.problem(413, "too-large");
    goes_on(&site, "30 MB").await;
    // Without saying beforehand how much it will be.
    let pieces = futures::stream::iter(
        zeros.chunks(64 * 1024).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    let form = Form::new().part("file", Part::stream(Body::wrap_stream(pieces)).file_name("zeros.bin"));
    Answer::to(site.admin.request(Method::POST, "/v1/documents").multipart(form)).await.problem(413, "too-large");
    goes_on(&site, "30 MB in pieces").await;
    let text = json!({ "source": { "type": "text", "text": "x".repeat(2 * 1024 * 1024) } });
    site.admin.post("/v1/documents", &text).await.problem(413, "too-large");
    let job = json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "x".repeat(3 * 1024 * 1024) } } });
    site.admin.post("/v1/jobs", &job).await.problem(413, "too-large");
    goes_on(&site, "a large text").await;
    // No piece of what was refused is left.
    let documents = site.admin.list("/v1/documents").await.len();
    assert_eq!(site.stored_files().len(), documents);
}

#[tokio::test]
async fn text_comes_out_right_whatever_it_is_encoded_in() {
    let site = Site::start(Travel::Memory).await;
    for (name, bytes, wanted) in [
        ("supplier-call-notes.txt", NOTES, &["Coopérative du Val d’Authie", "€29.50/t"][..]),
        (
            "maintenance.txt",
            JAPANESE,
            &["篩機の圧縮空気ホースに漏れが見つかりました", "担当者は記録を残してください。"],
        ),
        (
            "utf-16.txt",
            &utf_16("The mill’s wheat costs €29.50 a tonne, carriage paid."),
            &["mill’s wheat costs €29.50"],
        ),
        ("bom.txt", b"\xef\xbb\xbfThe mill grinds wheat.", &["The mill grinds wheat."]),
    ] {
        let document = site.admin.ready(&site.admin.upload(name, "text/plain", bytes).await.is(202).json).await;
        let text = site.admin.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.is(200);
        let text = String::from_utf8(text.bytes).unwrap();
        for words in wanted {
            assert!(text.contains(words), "{name}: {text}");
        }
        assert!(!text.contains(['\u{fffd}', '\u{feff}']), "{name}");
    }
}

fn utf_16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn addresses_that_lead_inside_are_never_fetched() {
    let site = Site::start(Travel::Memory).await;
    for (url, problem) in [
        ("http://127.0.0.1:5432/", "address-not-allowed"),
        ("http://2130706433/", "address-not-allowed"),
        ("http://0x7f.1/", "address-not-allowed"),
        ("http://[::ffff:127.0.0.1]/", "address-not-allowed"),
        ("http://[::1]/", "address-not-allowed"),
        ("http://169.254.169.254/latest/meta-data/", "address-not-allowed"),
        ("http://10.0.0.1/", "address-not-allowed"),
        ("http://localhost/", "address-not-allowed"),
        ("file:///etc/passwd", "invalid-url"),
        ("ftp://example.org/", "invalid-url"),
        ("http://user:pw@example.org/", "invalid-url"),
        ("http://", "invalid-url"),
        ("/etc/passwd", "invalid-url"),
        ("javascript:alert(1)", "invalid-url"),
        ("", "invalid-url"),
    ] {
        let body = json!({ "source": { "type": "url", "url": url } });
        site.admin.post("/v1/documents", &body).await.problem(422, problem);
        site.admin.post("/v1/feeds", &json!({ "url": url })).await.problem(422, problem);
    }
    assert!(site.admin.list("/v1/documents").await.is_empty() && site.admin.list("/v1/feeds").await.is_empty());
    goes_on(&site, "all of that").await;
}

#[tokio::test]
async fn a_name_that_leads_inside_is_found_out_by_the_job() {
    let site = Site::start(Travel::Memory).await;
    // Known to every resolver without a network; what `check_url` cannot know.
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let url = format!("http://{}/", name.trim());
    let body = json!({ "source": { "type": "url", "url": url } });
    let accepted = site.admin.post("/v1/documents", &body).await.is(202);
    let path = format!("/v1/jobs/{}", accepted.json["job"]["id"].as_str().unwrap());
    let job = site.admin.until(&path, |job| !job["error"].is_null()).await;
    let code = job["error"]["code"].as_str().unwrap();
    // A machine whose own name does not resolve proves nothing, but still says what is the matter.
    assert!(["address-not-allowed", "dns-failed"].contains(&code), "{job}");
    goes_on(&site, "a name").await;
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_where() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let summary = |args: Json| json!({ "kind": "analysis.run", "args": args });
    let input = json!({ "text": "One." });
    for (path, body, status, problem, pointer) in [
        ("/v1/jobs", json!({ "kind": "analysis.run", "colour": "red" }), 400, "invalid-request", "/colour"),
        ("/v1/jobs", json!({ "args": {} }), 400, "invalid-request", ""),
        ("/v1/jobs", json!({ "kind": 7 }), 400, "invalid-request", "/kind"),
        ("/v1/jobs", json!({ "kind": "x", "priority": 10 }), 400, "invalid-request", "/priority"),
        ("/v1/jobs", json!({ "kind": "x", "tags": ["a", ""] }), 400, "invalid-request", "/tags/1"),
        ("/v1/jobs", json!({ "kind": "x", "queue": "slow" }), 400, "invalid-request", "/queue"),
        ("/v1/jobs", json!({ "kind": "x", "run_at": "tomorrow" }), 400, "invalid-request", "/run_at"),
        (
            "/v1/jobs",
            json!({ "kind": "x", "run_at": "2030-01-01T00:00:00Z", "delay_s": 1 }),
            400,
            "invalid-request",
            "/delay_s",
        ),
        ("/v1/jobs", json!({ "kind": "x", "args": { "a": "\u{0}" } }), 400, "invalid-request", "/args/a"),
        ("/v1/jobs", json!({ "kind": "x", "unique": { "key": "" } }), 400, "invalid-request", "/unique/key"),
        (
            "/v1/jobs",
            json!({ "kind": "x", "unique": { "key": "k", "while": "ever" } }),
            400,
            "invalid-request",
            "/unique/while",
        ),
        ("/v1/jobs", json!({ "kind": "x", "after": ["doc_1"] }), 400, "invalid-request", "/after/0"),
        ("/v1/jobs", json!({ "kind": "x", "concurrency_limit": 2 }), 400, "invalid-request", "/concurrency_limit"),
        (
            "/v1/jobs",
            json!({ "kind": "x", "concurrency_key": "k", "concurrency_limit": 0 }),
            400,
            "invalid-request",
            "/concurrency_limit",
        ),
        ("/v1/jobs", json!({ "kind": "x", "units": 0 }), 400, "invalid-request", "/units"),
        ("/v1/jobs", json!({ "kind": "x", "ref": "a" }), 400, "invalid-request", "/ref"),
        ("/v1/jobs", json!({ "kind": "x", "on_success": {} }), 400, "invalid-request", "/on_success"),
        (
            "/v1/jobs",
            json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "One." } },
                    "after": ["job_01h455vb4pex5vsknk084sn02q"] }),
            422,
            "invalid-dependency",
            "/after",
        ),
        (
            "/v1/jobs",
            json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "One." } },
                    "on_success": { "kind": "no.such" } }),
            422,
            "unknown-kind",
            "/on_success/kind",
        ),
        (
            "/v1/jobs",
            json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "One." } },
                    "on_failure": { "kind": "analysis.run", "args": { "task": "poem", "input": { "text": "One." } } } }),
            422,
            "invalid-args",
            "/on_failure/args/task",
        ),
        ("/v1/jobs:batch", json!({ "jobs": {} }), 400, "invalid-request", "/jobs"),
        ("/v1/jobs:batch", json!({ "jobs": [{ "kind": "x" }], "atom": true }), 400, "invalid-request", "/atom"),
        (
            "/v1/jobs:batch",
            json!({ "jobs": [{ "kind": "x" }], "on_complete": { "kind": "y", "priority": -1 } }),
            400,
            "invalid-request",
            "/on_complete/priority",
        ),
        (
            "/v1/jobs",
            summary(json!({ "task": "summary", "input": input, "options": { "max_sentences": 0 } })),
            422,
            "invalid-args",
            "/args/options/max_sentences",
        ),
        ("/v1/jobs", summary(json!({ "task": "poem", "input": input })), 422, "invalid-args", "/args/task"),
        ("/v1/jobs", summary(json!({ "task": "summary", "input": input, "more": 1 })), 422, "invalid-args", "/args"),
        (
            "/v1/jobs",
            summary(json!({ "task": "summary", "input": { "document_id": "job_1" } })),
            422,
            "invalid-args",
            "/args/input",
        ),
        ("/v1/documents", json!({ "source": { "type": "carrier-pigeon" } }), 400, "invalid-request", "/source/type"),
        (
            "/v1/documents",
            json!({ "source": { "type": "text", "text": "x" }, "title": "" }),
            400,
            "invalid-request",
            "/title",
        ),
        (
            "/v1/documents",
            json!({ "source": { "type": "text", "text": "x" }, "heading": "x" }),
            400,
            "invalid-request",
            "/heading",
        ),
        (
            "/v1/documents",
            json!({ "source": { "type": "text", "text": "x" }, "meta": [] }),
            400,
            "invalid-request",
            "/meta",
        ),
        ("/v1/feeds", json!({ "url": 7 }), 400, "invalid-request", "/url"),
        ("/v1/orgs", json!({ "name": "" }), 400, "invalid-request", "/name"),
    ] {
        let answer = site.admin.post(path, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.json);
        answer.problem_at(status, problem, pointer);
    }
    site.admin.post("/v1/jobs", &json!({ "kind": "no.such" })).await.problem(422, "unknown-kind");
    site.admin
        .post("/v1/documents", &json!({ "source": { "type": "text", "text": "" } }))
        .await
        .problem(422, "empty-document");
    assert!(site.admin.list("/v1/jobs").await.is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let send = async |path: &str, media_type: &str, body: Vec<u8>| {
        let request = site.admin.request(Method::POST, path).header("content-type", media_type);
        Answer::to(request.body(body)).await
    };
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    for path in
        ["/v1/jobs", "/v1/jobs:batch", "/v1/bulk-actions", "/v1/documents", "/v1/feeds", "/v1/search", "/v1/orgs"]
    {
        for body in [&b""[..], b"{", b"nonsense", b"{} {}", b"\xff\xfe", b"[]", &nested] {
            send(path, "application/json", body.to_vec()).await.problem(400, "invalid-request");
        }
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
            send(path, media_type, b"{}".to_vec()).await.problem(415, "unsupported-media");
        }
    }
    for (media_type, body) in [
        ("multipart/form-data", &b""[..]),
        ("multipart/form-data; boundary=x", b""),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nabc",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense\r\n\r\n--x--\r\n"),
    ] {
        send("/v1/documents", media_type, body.to_vec()).await.problem(400, "invalid-request");
    }
    assert!(site.stored_files().is_empty());
}

#[tokio::test]
async fn a_form_has_a_file_and_perhaps_something_said_of_it() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let file = || Part::bytes(b"wheat".to_vec()).file_name("a.txt");
    for form in [
        Form::new().text("meta", "{}"),
        Form::new().part("file", file()).part("file", file()),
        Form::new().part("file", file()).text("colour", "red"),
        Form::new().part("file", file()).text("meta", "nonsense"),
        Form::new().part("file", file()).text("meta", "[]"),
    ] {
        Answer::to(site.admin.request(Method::POST, "/v1/documents").multipart(form))
            .await
            .problem(400, "invalid-request");
    }
    let typo = Form::new().part("file", file()).text("meta", r#"{"tag":["a"]}"#);
    let answer = Answer::to(site.admin.request(Method::POST, "/v1/documents").multipart(typo)).await;
    answer.problem_at(400, "invalid-request", "/meta/tag");
    assert!(site.admin.list("/v1/documents").await.is_empty());
}

#[tokio::test]
async fn addresses_that_lead_nowhere_say_so() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    for path in [
        "/v1/jobs/nonsense",
        "/v1/jobs/doc_01h455vb4pex5vsknk084sn02q",
        "/v1/jobs/%FF",
        "/v1/jobs/%00",
        "/v1/documents/job_01h455vb4pex5vsknk084sn02q",
        "/v1/documents/nonsense/text",
        "/v1/feeds/x",
        "/v1/articles/x",
        "/v1/jobs/x/events",
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/v2/jobs",
        "/v1/jobs/x/!cancel",
    ] {
        let answer = site.admin.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.json);
        answer.problem(404, "not-found");
    }
    for (method, path) in [(Method::PUT, "/v1/jobs"), (Method::DELETE, "/v1/search"), (Method::POST, "/healthz")] {
        let answer = Answer::to(site.admin.request(method.clone(), path)).await;
        answer.problem(405, "method-not-allowed");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    for list in ["/v1/jobs", "/v1/batches", "/v1/documents", "/v1/feeds", "/v1/articles"] {
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            ("cursor=nonsense", "cursor"),
            ("cursor=", "cursor"),
        ] {
            let answer = site.admin.get(&format!("{list}?{query}")).await;
            assert_eq!(answer.status, 400, "{list}?{query}");
            answer.problem_at(400, "invalid-request", name);
        }
        site.admin.get(&format!("{list}?colour=red")).await.problem(400, "invalid-request");
        site.admin.get(&format!("{list}?cursor=%00")).await.problem(400, "invalid-request");
    }
    site.admin.get("/v1/jobs?state=asleep").await.problem_at(400, "invalid-request", "state");
    site.admin.get("/v1/documents?status=asleep").await.problem_at(400, "invalid-request", "status");
    site.admin.get("/v1/jobs?created_after=yesterday").await.problem(400, "invalid-request");
}
