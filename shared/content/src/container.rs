//! Documents that are ZIP archives: their parts by name, unpacked within a budget.
//!
//! A few kilobytes of ZIP can unfold to terabytes, so what is unpacked is counted while it is, not by what the archive
//! says of itself. Parts that are not asked for (pictures, fonts, films) cost nothing.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::{ContentError, MediaType, charset};

/// Bytes that may be unpacked of one document: a spreadsheet of a million rows and ten columns.
const MAX_UNPACKED: u64 = 512 << 20;

/// Entries an archive may have. Publishers' EPUBs have some thousands.
const MAX_ENTRIES: usize = 50_000;

/// A ZIP archive that is a document.
pub(crate) struct Container<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// Where each part is, by its name in lower case: OPC (ECMA-376-2, 6.2.2) compares names that way.
    index: HashMap<String, usize>,
    /// Bytes that may still be unpacked.
    budget: u64,
    media_type: MediaType,
}

impl<'a> Container<'a> {
    /// Opens an archive that was found to be a document of `media_type`.
    pub(crate) fn open(bytes: &'a [u8], media_type: MediaType) -> Result<Self, ContentError> {
        Self::with_budget(bytes, media_type, MAX_UNPACKED)
    }

    fn with_budget(bytes: &'a [u8], media_type: MediaType, budget: u64) -> Result<Self, ContentError> {
        let damaged = || ContentError::DocumentDamaged { media_type: media_type.as_str().to_owned() };
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| damaged())?;
        if archive.len() > MAX_ENTRIES {
            return Err(damaged());
        }
        let mut index = HashMap::with_capacity(archive.len());
        for at in 0..archive.len() {
            if let Some(Ok(name)) = archive.name_for_index(at) {
                index.entry(folded(&name)).or_insert(at);
            }
        }
        Ok(Self { archive, index, budget, media_type })
    }

    /// Whether there is a part of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.contains_key(&folded(name))
    }

    /// The names of all parts, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The bytes of a part; none if there is no such part.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, ContentError> {
        let Some(&at) = self.index.get(&folded(name)) else { return Ok(None) };
        let damaged = || ContentError::DocumentDamaged { media_type: self.media_type.as_str().to_owned() };
        let part = self.archive.by_index(at).map_err(|_| damaged())?;
        let mut bytes = Vec::new();
        part.take(self.budget + 1).read_to_end(&mut bytes).map_err(|_| damaged())?;
        let Some(left) = self.budget.checked_sub(bytes.len() as u64) else {
            return Err(ContentError::UnfoldsTooFar { max_mb: MAX_UNPACKED >> 20 });
        };
        self.budget = left;
        Ok(Some(bytes))
    }

    /// A part that is text, in whichever encoding; none if there is no such part.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ContentError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Ok(Some(charset::decode(error.as_bytes(), None, None)?.0.into_owned())),
        }
    }

    /// A part without which there is no document.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, ContentError> {
        self.text(name)?.ok_or_else(|| self.damaged())
    }

    /// This document cannot be read.
    pub(crate) fn damaged(&self) -> ContentError {
        ContentError::DocumentDamaged { media_type: self.media_type.as_str().to_owned() }
    }
}

/// The path that `target` means when it is said in the part `base`: relative to its folder, or absolute.
pub(crate) fn resolve(base: &str, target: &str) -> String {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    let folder = if target.starts_with('/') { "" } else { base.rsplit_once('/').map_or("", |(folder, _)| folder) };
    let mut path: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

fn folded(name: &str) -> String {
    name.trim_start_matches('/').replace('\\', "/").to_lowercase()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// An archive of these parts.
    pub(crate) fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn parts_are_found_whatever_the_case_and_slashes() {
        let bytes = archive(&[("Word\\Document.xml", "<a/>")]);
        let mut container = Container::open(&bytes, MediaType::Docx).unwrap();
        assert_eq!(container.text("/word/document.xml").unwrap().as_deref(), Some("<a/>"));
        assert_eq!(container.text("word/other.xml").unwrap(), None);
        assert_eq!(container.required("word/other.xml").unwrap_err().code(), "document-damaged");
    }

    #[test]
    fn what_is_unpacked_is_counted() {
        let zeros = "0".repeat(1 << 20);
        let bytes = archive(&[("a", &zeros), ("b", &zeros)]);
        assert!(bytes.len() < 10_000);
        let mut container = Container::with_budget(&bytes, MediaType::Docx, (1 << 20) + 10).unwrap();
        assert_eq!(container.bytes("a").unwrap().unwrap().len(), 1 << 20);
        assert_eq!(container.bytes("b").unwrap_err().code(), "unfolds-too-far");
    }

    #[test]
    fn paths_are_relative_to_the_part_that_says_them() {
        assert_eq!(resolve("ppt/slides/slide1.xml", "../media/a.png"), "ppt/media/a.png");
        assert_eq!(resolve("word/document.xml", "/word/styles.xml"), "word/styles.xml");
        assert_eq!(resolve("OPS/nav.xhtml", "text/c1.xhtml#s2"), "OPS/text/c1.xhtml");
        assert_eq!(resolve("a.xml", "../../../etc/passwd"), "etc/passwd");
    }
}
