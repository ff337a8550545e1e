//! Object storage by SHA-256: a folder or S3.
//!
//! A file belongs to one organization and is named by the hash of its bytes: `{org}/{first two hex}/{sha256 hex}`. So
//! the same bytes twice are one object, an object never changes, and what comes back can be checked against its name.
//!
//! Writing takes two steps, because the name is known only when the last byte was seen: [`Files::stage`] gives a
//! temporary file that hashes what is written to it, [`Files::store`] moves it to its place and makes it durable.
//!
//! | file | holds |
//! |---|---|
//! | `files.rs` | [`Files`], what the rest of Gristmill uses |
//! | `staged.rs` | [`Staged`], a file on its way in |
//! | `object_store.rs` | the edge between this crate and where objects lie |
//! | `folder.rs`, `s3.rs` | the two places |
//! | `config.rs`, `digest.rs`, `error.rs` | [`FilesConfig`], [`Sha256Digest`], [`FilesError`] |

mod config;
mod digest;
mod error;
mod files;
mod folder;
mod object_store;
mod s3;
mod staged;

pub use config::{FilesConfig, S3Config, S3Credentials};
pub use digest::{InvalidDigest, Sha256Digest};
pub use error::FilesError;
pub use files::{ByteStream, Files, StoredFile};
pub use staged::Staged;
