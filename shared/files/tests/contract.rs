//! What file storage promises, proven on both places it can be: a folder, and an S3 server in this process.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt as _;
use gristmill_core::secret::Secret;
use gristmill_files::{Files, FilesConfig, FilesError, S3Config, S3Credentials, Sha256Digest, StoredFile};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;

const ORG: &str = "org_01";
const BUCKET: &str = "grist";
/// FIPS 180-4's example.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A storage, and the folder where its objects end up as plain files.
struct Place {
    name: &'static str,
    files: Files,
    objects: PathBuf,
    _root: TempDir,
}

async fn places() -> Vec<Place> {
    vec![folder().await, s3().await]
}

async fn folder() -> Place {
    let root = TempDir::new().unwrap();
    let objects = root.path().join("objects");
    let files = Files::open(&FilesConfig::Folder { path: objects.clone() }).await.unwrap();
    Place { name: "folder", files, objects, _root: root }
}

async fn s3() -> Place {
    let root = TempDir::new().unwrap();
    let objects = root.path().join(BUCKET).join("some/prefix");
    let config = serve(root.path(), 0).await;
    Place { name: "s3", files: Files::open(&FilesConfig::S3(Box::new(config))).await.unwrap(), objects, _root: root }
}

/// An S3 server over `root` that drops its first `dropped` connections.
async fn serve(root: &Path, dropped: usize) -> S3Config {
    std::fs::create_dir_all(root.join(BUCKET)).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single("test-id", "test-secret"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let left = Arc::new(AtomicUsize::new(dropped));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                continue;
            }
            let service = service.clone();
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    S3Config {
        bucket: BUCKET.to_owned(),
        prefix: "/some/prefix".to_owned(),
        endpoint: Some(endpoint.parse().unwrap()),
        region: "us-east-1".to_owned(),
        force_path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: "test-id".to_owned(),
            secret_access_key: Secret::new("test-secret"),
            session_token: None,
        }),
    }
}

async fn keep(files: &Files, org: &str, bytes: &[u8]) -> Result<StoredFile, FilesError> {
    let mut staged = files.stage(u64::MAX).await?;
    for part in bytes.chunks(100_000) {
        staged.write(Bytes::copy_from_slice(part)).await?;
    }
    files.store(org, staged).await
}

fn abc() -> Sha256Digest {
    ABC.parse().unwrap()
}

fn left_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn what_was_stored_is_read_back_under_its_hash() {
    for place in places().await {
        let stored = keep(&place.files, ORG, b"abc").await.unwrap();
        assert_eq!(stored, StoredFile { sha256: abc(), size_bytes: 3 }, "{}", place.name);
        assert!(place.objects.join(ORG).join("ba").join(ABC).is_file(), "{}", place.name);
        assert_eq!(place.files.read(ORG, &stored.sha256, 3).await.unwrap(), "abc");
        let empty = keep(&place.files, ORG, b"").await.unwrap();
        assert_eq!(empty.size_bytes, 0);
        assert_eq!(place.files.read(ORG, &empty.sha256, 0).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_large_file_comes_back_whole_and_in_order() {
    let bytes: Vec<u8> = (0..40_000_003_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    for place in places().await {
        let stored = keep(&place.files, ORG, &bytes).await.unwrap();
        let (size_bytes, parts) = place.files.stream(ORG, &stored.sha256).await.unwrap();
        assert_eq!(size_bytes, 40_000_003, "{}", place.name);
        let parts: Vec<Bytes> = parts.try_collect().await.unwrap();
        assert!(parts.len() > 1 && parts.concat() == bytes, "{}", place.name);
    }
}

#[tokio::test]
async fn storing_the_same_bytes_again_changes_nothing() {
    for place in places().await {
        let all = (0..8).map(|_| keep(&place.files, ORG, b"abc"));
        for stored in futures::future::join_all(all).await {
            assert_eq!(stored.unwrap().sha256, abc(), "{}", place.name);
        }
        assert_eq!(place.files.read(ORG, &abc(), 10).await.unwrap(), "abc");
        assert_eq!(left_in(&place.objects.join(ORG).join("ba")), 1, "{}", place.name);
    }
}

#[tokio::test]
async fn an_organization_sees_only_its_own_files() {
    for place in places().await {
        keep(&place.files, ORG, b"abc").await.unwrap();
        let foreign = place.files.read("org_02", &abc(), 10).await;
        assert!(matches!(foreign, Err(FilesError::NotFound { sha256 }) if sha256 == abc()), "{}", place.name);
        place.files.delete("org_02", &abc()).await.unwrap();
        assert_eq!(place.files.read(ORG, &abc(), 10).await.unwrap(), "abc");
    }
}

#[tokio::test]
async fn no_organization_reaches_out_of_its_own_part() {
    for place in places().await {
        for org in ["", "..", "../org_01", "a/b", "/etc", ".staging", "a\0b", "ö", &"x".repeat(129)] {
            let stored = keep(&place.files, org, b"abc").await;
            assert!(matches!(stored, Err(FilesError::InvalidOrganization)), "{} {org:?}", place.name);
            assert!(matches!(place.files.read(org, &abc(), 10).await, Err(FilesError::InvalidOrganization)));
            assert!(matches!(place.files.delete(org, &abc()).await, Err(FilesError::InvalidOrganization)));
        }
    }
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_may_be_deleted_again() {
    for place in places().await {
        keep(&place.files, ORG, b"abc").await.unwrap();
        for _ in 0..2 {
            place.files.delete(ORG, &abc()).await.unwrap();
            let read = place.files.read(ORG, &abc(), 10).await;
            assert!(matches!(read, Err(FilesError::NotFound { .. })), "{}", place.name);
        }
        keep(&place.files, ORG, b"abc").await.unwrap();
        assert_eq!(place.files.read(ORG, &abc(), 10).await.unwrap(), "abc");
    }
}

#[tokio::test]
async fn limits_hold_for_writing_and_reading() {
    for place in places().await {
        let mut staged = place.files.stage(5).await.unwrap();
        staged.write(Bytes::from_static(b"abc")).await.unwrap();
        assert_eq!(staged.size_bytes(), 3);
        let over = staged.write(Bytes::from_static(b"def")).await;
        assert!(matches!(over, Err(FilesError::TooLarge { limit_bytes: 5 })), "{}", place.name);
        // Neither more writing nor storing makes a file of what lacks bytes.
        assert!(matches!(staged.write(Bytes::new()).await, Err(FilesError::Incomplete)));
        assert!(matches!(place.files.store(ORG, staged).await, Err(FilesError::Incomplete)));
        assert!(matches!(place.files.read(ORG, &abc(), 10).await, Err(FilesError::NotFound { .. })));

        keep(&place.files, ORG, b"abc").await.unwrap();
        let read = place.files.read(ORG, &abc(), 2).await;
        assert!(matches!(read, Err(FilesError::TooLarge { limit_bytes: 2 })), "{}", place.name);
    }
}

#[tokio::test]
async fn damage_is_noticed_and_mended_by_storing_again() {
    for place in places().await {
        keep(&place.files, ORG, b"abc").await.unwrap();
        let object = place.objects.join(ORG).join("ba").join(ABC);
        for damaged in ["abd", "ab", "abcd"] {
            std::fs::write(&object, damaged).unwrap();
            let read = place.files.read(ORG, &abc(), 10).await;
            assert!(matches!(read, Err(FilesError::Corrupt { sha256 }) if sha256 == abc()), "{} {damaged}", place.name);
        }
        keep(&place.files, ORG, b"abc").await.unwrap();
        assert_eq!(place.files.read(ORG, &abc(), 10).await.unwrap(), "abc");
    }
}

#[tokio::test]
async fn readiness_is_proven_by_writing() {
    for place in places().await {
        place.files.check().await.unwrap();
    }
    let place = folder().await;
    std::fs::remove_dir_all(&place.objects).unwrap();
    let error = place.files.check().await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("file-storage-failed", true));
}

#[tokio::test]
async fn staged_files_never_stay_behind() {
    let place = folder().await;
    let staging = place.objects.join(".staging");
    let mut staged = place.files.stage(10).await.unwrap();
    staged.write(Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(left_in(&staging), 1);
    drop(staged);
    assert_eq!(left_in(&staging), 0);
    keep(&place.files, ORG, b"abc").await.unwrap();
    assert!(keep(&place.files, "..", b"abc").await.is_err());
    assert_eq!(left_in(&staging), 0);
}

#[tokio::test]
async fn opening_sweeps_only_old_staged_files() {
    let place = folder().await;
    let staging = place.objects.join(".staging");
    let two_days_ago = SystemTime::from(gristmill_core::clock::now()) - Duration::from_secs(48 * 60 * 60);
    for (name, old) in [("gristmill-staged-old", true), ("gristmill-staged-new", false), ("somebody-elses", true)] {
        let file = std::fs::File::create(staging.join(name)).unwrap();
        if old {
            file.set_modified(two_days_ago).unwrap();
        }
    }
    Files::open(&FilesConfig::Folder { path: place.objects.clone() }).await.unwrap();
    assert!(!staging.join("gristmill-staged-old").exists());
    assert!(staging.join("gristmill-staged-new").exists());
    assert!(staging.join("somebody-elses").exists());
}

#[tokio::test]
async fn dropped_connections_are_tried_again() {
    let root = TempDir::new().unwrap();
    let config = serve(root.path(), 2).await;
    let files = Files::open(&FilesConfig::S3(Box::new(config))).await.unwrap();
    keep(&files, ORG, b"abc").await.unwrap();
    assert_eq!(files.read(ORG, &abc(), 10).await.unwrap(), "abc");
}

#[tokio::test]
async fn refusals_and_outages_are_told_apart() {
    let root = TempDir::new().unwrap();
    let good = serve(root.path(), 0).await;
    let mut wrong_key = good.clone();
    wrong_key.credentials = Some(S3Credentials {
        access_key_id: "test-id".to_owned(),
        secret_access_key: Secret::new("guessed"),
        session_token: None,
    });
    let down = S3Config { endpoint: Some("http://127.0.0.1:9".parse().unwrap()), ..good };
    for (config, code) in [(wrong_key, "file-storage-refused"), (down, "file-storage-unavailable")] {
        assert!(!format!("{config:?}").contains("guessed") && !format!("{config:?}").contains("test-secret"));
        let files = Files::open(&FilesConfig::S3(Box::new(config))).await.unwrap();
        let error = files.check().await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, true));
        assert_eq!(keep(&files, ORG, b"abc").await.unwrap_err().code(), code);
    }
}

#[test]
fn a_digest_is_read_and_shown_as_hexadecimal() {
    assert_eq!(abc().to_string(), ABC);
    assert_eq!(ABC.to_uppercase().parse::<Sha256Digest>().unwrap(), abc());
    assert_eq!(serde_json::to_string(&abc()).unwrap(), format!("\"{ABC}\""));
    assert_eq!(serde_json::from_str::<Sha256Digest>(&format!("\"{ABC}\"")).unwrap(), abc());
    for wrong in ["", "ba78", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g")] {
        assert!(wrong.parse::<Sha256Digest>().is_err(), "{wrong}");
    }
}
