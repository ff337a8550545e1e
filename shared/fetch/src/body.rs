//! Reading a body within caps, decompressed here and not by the HTTP client, so that both sides can be counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, future};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _};
use tokio_util::io::StreamReader;

use crate::FetchError;

/// What is offered to servers.
pub(crate) const ACCEPT_ENCODING: &str = "gzip, br, deflate";
/// The most times its size a body may unpack to. Markup and tables seldom pass 30; deflate's own limit is 1,032.
const MAX_RATIO: u64 = 200;
/// Below this many unpacked bytes the ratio says nothing.
const RATIO_FROM: u64 = 1024 * 1024;
/// Unpacked bytes made at once.
const STRIDE: usize = 64 * 1024;

/// What goes wrong below the decoder, on its way up through an `io::Error`.
#[derive(Debug, thiserror::Error)]
enum WireError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error(transparent)]
    Http(reqwest::Error),
}

/// What becomes of a body that is larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// It is an error.
    Refuse,
    /// The beginning is taken for the whole.
    Cut,
}

/// Why a body could not be read.
pub(crate) enum BodyError {
    Http(reqwest::Error),
    Other(FetchError),
}

impl From<FetchError> for BodyError {
    fn from(error: FetchError) -> Self {
        Self::Other(error)
    }
}

/// The body, decompressed; at most `limit_bytes` before and after.
pub(crate) async fn read(response: reqwest::Response, limit_bytes: u64, excess: Excess) -> Result<Bytes, BodyError> {
    let too_large = || FetchError::TooLarge { limit_bytes };
    let cut = excess == Excess::Cut;
    if !cut && response.content_length().is_some_and(|length| length > limit_bytes) {
        return Err(too_large().into());
    }
    let encoding = content_encoding(response.headers())?;
    // Of a body that is cut the reading ends by itself, at the limit, unless it unpacks to less than it is.
    let most_wire = if cut { limit_bytes.saturating_mul(4) } else { limit_bytes };
    let wire_bytes = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&wire_bytes);
    let wire = response.bytes_stream().then(move |part| {
        future::ready(part.map_err(WireError::Http).and_then(|part| {
            let length = part.len() as u64;
            let seen = counter.fetch_add(length, Ordering::Relaxed) + length;
            if seen > most_wire { Err(WireError::TooLarge) } else { Ok(part) }
        }))
    });
    let mut wire = StreamReader::new(wire.map(|part| part.map_err(io::Error::other)));
    let failed = |error| broken(error, &encoding, limit_bytes);
    // Servers name a coding although there is nothing to encode.
    if wire.fill_buf().await.map_err(failed)?.is_empty() {
        return Ok(Bytes::new());
    }
    let packed = encoding != "identity";
    let mut reader = decoder(&encoding, wire).await.map_err(failed)?;

    let mut body = BytesMut::new();
    loop {
        body.reserve(STRIDE);
        if reader.read_buf(&mut body).await.map_err(failed)? == 0 {
            return Ok(body.freeze());
        }
        let (unpacked, wire) = (body.len() as u64, wire_bytes.load(Ordering::Relaxed));
        if packed && unpacked > RATIO_FROM && unpacked / MAX_RATIO > wire {
            return Err(FetchError::TooCompressed { limit: MAX_RATIO }.into());
        }
        if unpacked > limit_bytes && cut {
            body.truncate(usize::try_from(limit_bytes).unwrap_or(usize::MAX));
            return Ok(body.freeze());
        }
        if unpacked > limit_bytes {
            return Err(too_large().into());
        }
        // Unpacking never waits while bytes are at hand, so it gives way to other tasks by itself.
        tokio::task::consume_budget().await;
    }
}

/// The one coding the body has; `identity` for none. More than one on top of another only attackers use.
fn content_encoding(headers: &HeaderMap) -> Result<String, FetchError> {
    let codings: Vec<String> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .split(',')
                .map(|one| one.trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        })
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    match codings.as_slice() {
        [] => Ok("identity".to_owned()),
        [one] if matches!(one.as_str(), "gzip" | "x-gzip" | "br" | "deflate") => Ok(one.clone()),
        _ => Err(FetchError::Undecodable { encoding: codings.join(", ").chars().take(100).collect(), source: None }),
    }
}

async fn decoder<R>(encoding: &str, mut wire: R) -> io::Result<Box<dyn AsyncRead + Send + Unpin>>
where
    R: AsyncBufRead + Send + Unpin + 'static,
{
    Ok(match encoding {
        "gzip" | "x-gzip" => {
            let mut gzip = GzipDecoder::new(wire);
            gzip.multiple_members(true);
            Box::new(gzip)
        }
        "br" => Box::new(BrotliDecoder::new(wire)),
        // RFC 9110 means zlib, but servers that send bare deflate are many (section 8.4.1.2 notes them).
        "deflate" if is_zlib(wire.fill_buf().await?) => Box::new(ZlibDecoder::new(wire)),
        "deflate" => Box::new(DeflateDecoder::new(wire)),
        _ => Box::new(wire),
    })
}

/// Whether the bytes open with a zlib header (RFC 1950, section 2.2).
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0,
        [method] => method & 0x0f == 8,
        [] => true,
    }
}

/// Tells what came from the connection from what the decoder says of the data.
fn broken(error: io::Error, encoding: &str, limit_bytes: u64) -> BodyError {
    if !error.get_ref().is_some_and(|inner| inner.is::<WireError>()) {
        return FetchError::Undecodable { encoding: encoding.to_owned(), source: Some(Arc::new(error)) }.into();
    }
    match error.into_inner().map(|inner| inner.downcast::<WireError>()) {
        Some(Ok(wire)) => match *wire {
            WireError::Http(error) => BodyError::Http(error),
            WireError::TooLarge => FetchError::TooLarge { limit_bytes }.into(),
        },
        _ => FetchError::TooLarge { limit_bytes }.into(),
    }
}
