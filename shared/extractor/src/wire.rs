//! What travels through the pipes: a header in JSON, its length before it, and the bytes it announces.

use std::io::{self, Read, Write};

use gristmill_content::ExtractOptions;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Headers are some hundred bytes; a longer one is none.
const MAX_HEADER: u32 = 1 << 20;

/// The longest body of a reply: all the text that is read of one document, were each character escaped.
const MAX_REPLY: u64 = 1 << 30;

/// Says what is to be read, and what it may cost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// How many bytes follow: the document.
    pub(crate) bytes: u64,
    pub(crate) options: ExtractOptions,
    /// Address space the child may take besides what it has and the document, in MiB.
    pub(crate) memory_mb: u64,
    /// Processor time it may take, in seconds.
    pub(crate) cpu_s: u64,
}

/// Says what became of a document.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// How many bytes follow: an [`gristmill_content::Extracted`] or a [`gristmill_content::ContentError`], in JSON.
    pub(crate) bytes: u64,
    /// Whether it was read.
    pub(crate) read: bool,
    /// Whether the child ends now: it has read enough, or keeps too much memory.
    pub(crate) last: bool,
}

/// Reads a header; none at the end of the pipe.
pub(crate) fn receive<H: DeserializeOwned>(pipe: &mut impl Read) -> io::Result<Option<H>> {
    let mut length = [0; 4];
    match pipe.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut header = vec![0; within(u32::from_le_bytes(length))?];
    pipe.read_exact(&mut header)?;
    Ok(Some(serde_json::from_slice(&header)?))
}

/// Writes a header and its body.
pub(crate) fn send(pipe: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    pipe.write_all(&framed(header)?)?;
    pipe.write_all(body)?;
    pipe.flush()
}

/// Reads a reply and its body.
pub(crate) async fn receive_reply(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<(Reply, Vec<u8>)> {
    let mut header = vec![0; within(pipe.read_u32_le().await?)?];
    pipe.read_exact(&mut header).await?;
    let reply: Reply = serde_json::from_slice(&header)?;
    if reply.bytes > MAX_REPLY {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply beyond all bounds"));
    }
    // As it comes: what is announced need not be true.
    let mut body = Vec::new();
    pipe.take(reply.bytes).read_to_end(&mut body).await?;
    if body.len() as u64 != reply.bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((reply, body))
}

/// Writes a request and its document.
pub(crate) async fn send_request(
    pipe: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    document: &[u8],
) -> io::Result<()> {
    pipe.write_all(&framed(request)?).await?;
    pipe.write_all(document).await?;
    pipe.flush().await
}

fn framed(header: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok([length.to_le_bytes().as_slice(), &json].concat())
}

fn within(length: u32) -> io::Result<usize> {
    if length > MAX_HEADER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a header beyond all bounds"));
    }
    Ok(length as usize)
}
