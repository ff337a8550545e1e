//! Objects in an S3 bucket.

use std::error::Error;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream as Body, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use crate::object_store::{Complete, Key, ObjectStore};
use crate::staged::blocking;
use crate::{ByteStream, FilesError, S3Config};

/// Files above this go up in parts of at least this size.
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// The most parts S3 takes for one object.
const MOST_PARTS: u64 = 10_000;
/// Parts in flight at once for one file.
const PARTS_IN_FLIGHT: usize = 4;
/// Bytes read at once.
const STRIDE: usize = 256 * 1024;
const ATTEMPTS: u32 = 4;
const CONNECT: Duration = Duration::from_secs(5);
/// One attempt at one request; a part of 16 MB needs 140 kB/s. Downloads count up to their first byte, then the SDK's
/// protection against stalled streams watches.
const ATTEMPT: Duration = Duration::from_secs(120);
/// One request with all its attempts.
const OPERATION: Duration = Duration::from_secs(300);
/// Written by every check; one object, always the same.
const CHECK_KEY: &str = ".gristmill-check";

#[derive(Debug)]
pub(crate) struct S3 {
    client: Client,
    bucket: String,
    /// Empty, or with a `/` at its end.
    prefix: String,
}

impl S3 {
    pub(crate) async fn open(config: &S3Config) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let mut chain = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(given) = &config.credentials {
            let (id, secret) = (given.access_key_id.as_str(), given.secret_access_key.reveal());
            let token = given.session_token.as_ref().map(|token| token.reveal().to_owned());
            chain = chain.credentials_provider(Credentials::new(id, secret, token, None, "gristmill"));
        }
        // Checksums are SHA-256 and given explicitly on every upload, and downloads are checked against their name:
        // the SDK's own CRC would cost a chunked encoding that several S3-compatible servers do not read.
        let mut builder = Builder::from(&chain.load().await)
            .force_path_style(config.force_path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint.as_str());
        }
        let prefix = config.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { client: Client::from_conf(builder.build()), bucket: config.bucket.clone(), prefix }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    async fn put_whole(&self, key: &Key, file: &Complete) -> Result<(), FilesError> {
        let doing = "store an object";
        let body = Body::from_path(&file.path)
            .await
            .map_err(|error| FilesError::Io { doing, source: io::Error::other(error) })?;
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(&key.path))
            .checksum_sha256(BASE64_STANDARD.encode(key.sha256.as_bytes()))
            .body(body)
            .send()
            .await
            .map_err(|error| failed(doing, error))?;
        Ok(())
    }

    async fn put_parts(&self, key: &Key, file: &Complete) -> Result<(), FilesError> {
        let doing = "begin a multipart upload";
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(&key.path))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .send()
            .await
            .map_err(|error| failed(doing, error))?;
        let Some(upload) = begun.upload_id() else {
            return Err(FilesError::Unavailable { doing, source: "the server named no upload".into() });
        };
        let result = self.finish_parts(key, file, upload).await;
        if result.is_err() {
            self.abort(key, upload).await;
        }
        result
    }

    async fn finish_parts(&self, key: &Key, file: &Complete, upload: &str) -> Result<(), FilesError> {
        let uploads = parts(file.size_bytes).into_iter().map(|part| self.put_part(key, file, upload, part));
        let parts: Vec<CompletedPart> = stream::iter(uploads).buffered(PARTS_IN_FLIGHT).try_collect().await?;
        self.client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(&key.path))
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(|error| failed("complete a multipart upload", error))?;
        Ok(())
    }

    async fn put_part(
        &self,
        key: &Key,
        file: &Complete,
        upload: &str,
        part: Part,
    ) -> Result<CompletedPart, FilesError> {
        let doing = "store a part of an object";
        let path = file.path.to_path_buf();
        let checksum = blocking(doing, move || checksum(path, part)).await?;
        let body =
            Body::read_from().path(&file.path).offset(part.offset).length(Length::Exact(part.length)).build().await;
        let body = body.map_err(|error| FilesError::Io { doing, source: io::Error::other(error) })?;
        let stored = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.key(&key.path))
            .upload_id(upload)
            .part_number(part.number)
            .checksum_sha256(&checksum)
            .body(body)
            .send()
            .await
            .map_err(|error| failed(doing, error))?;
        let completed = CompletedPart::builder().part_number(part.number).checksum_sha256(checksum);
        Ok(completed.set_e_tag(stored.e_tag).build())
    }

    /// Parts of an upload that is never completed are paid for until it is aborted. A process that dies halfway leaves
    /// them behind, so a bucket wants the lifecycle rule that aborts incomplete uploads.
    async fn abort(&self, key: &Key, upload: &str) {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(&key.path))
            .upload_id(upload)
            .send()
            .await;
        if let Err(error) = aborted {
            tracing::warn!(file.key = %key.path, error = %error.into_service_error(), "a failed upload could not be aborted");
        }
    }
}

impl ObjectStore for S3 {
    fn put<'a>(&'a self, key: &'a Key, file: Complete) -> BoxFuture<'a, Result<(), FilesError>> {
        async move {
            if file.size_bytes > PART_BYTES {
                self.put_parts(key, &file).await
            } else {
                self.put_whole(key, &file).await
            }
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(u64, ByteStream), FilesError>> {
        async move {
            let doing = "read an object";
            let got = self.client.get_object().bucket(&self.bucket).key(self.key(&key.path)).send().await;
            let object = got.map_err(|error| match error.as_service_error() {
                Some(service) if service.is_no_such_key() => FilesError::NotFound { sha256: key.sha256 },
                _ => failed(doing, error),
            })?;
            let Some(size_bytes) = object.content_length().and_then(|length| u64::try_from(length).ok()) else {
                return Err(FilesError::Unavailable { doing, source: "the server named no length".into() });
            };
            let bytes = ReaderStream::with_capacity(object.body.into_async_read(), STRIDE)
                .map_err(move |source| FilesError::Unavailable { doing, source: source.into() });
            Ok((size_bytes, bytes.boxed()))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(), FilesError>> {
        async move {
            let deleted = self.client.delete_object().bucket(&self.bucket).key(self.key(&key.path)).send().await;
            match deleted {
                // Amazon answers 204 for a missing object; some other servers do not.
                Err(error) if error.code() != Some("NoSuchKey") => Err(failed("delete an object", error)),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), FilesError>> {
        async move {
            let body = Body::from_static(b"ok");
            let put = self.client.put_object().bucket(&self.bucket).key(self.key(CHECK_KEY)).body(body);
            put.send().await.map_err(|error| failed("write to the bucket", error))?;
            Ok(())
        }
        .boxed()
    }
}

/// One part of a file.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// From 1, as S3 counts.
    number: i32,
    offset: u64,
    length: u64,
}

/// Parts of [`PART_BYTES`], or larger where there would be too many of them.
fn parts(size_bytes: u64) -> Vec<Part> {
    let each = PART_BYTES.max(size_bytes.div_ceil(MOST_PARTS));
    (1..)
        .zip((0..size_bytes).step_by(usize::try_from(each).unwrap_or(usize::MAX)))
        .map(|(number, offset)| Part { number, offset, length: each.min(size_bytes - offset) })
        .collect()
}

/// The base64 SHA-256 of one part.
fn checksum(path: PathBuf, part: Part) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(part.offset))?;
    let mut hasher = Sha256::new();
    let mut left = file.take(part.length);
    let mut buffer = vec![0; STRIDE];
    loop {
        let read = left.read(&mut buffer)?;
        if read == 0 {
            return Ok(BASE64_STANDARD.encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// A refusal needs a person, anything else only time.
fn failed<E>(doing: &'static str, error: SdkError<E>) -> FilesError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let refused = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            (400..500).contains(&status) && !matches!(status, 408 | 409 | 425 | 429)
        }
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    let source: Box<dyn Error + Send + Sync> = match error {
        SdkError::ServiceError(service) => Box::new(service.into_err()),
        other => Box::new(other),
    };
    if refused { FilesError::Refused { doing, source } } else { FilesError::Unavailable { doing, source } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_and_are_never_too_many() {
        for size in [PART_BYTES + 1, 3 * PART_BYTES, 5 * 1024 * 1024 * 1024 * 1024] {
            let parts = parts(size);
            assert!(parts.len() as u64 <= MOST_PARTS);
            let mut end = 0;
            for (number, part) in (1..).zip(&parts) {
                assert_eq!((part.number, part.offset), (number, end));
                assert!(part.length > 0);
                end += part.length;
            }
            assert_eq!(end, size);
        }
    }
}
