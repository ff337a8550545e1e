//! EPUB to blocks: the chapters in the order of the spine, each of them a page (EPUB 2.0.1 and 3.3).

use std::collections::HashMap;

use crate::container::{Container, resolve};
use crate::document::Builder;
use crate::xml::{Node, Xml};
use crate::{ContentError, ExtractOptions, Extracted, MediaType, Metadata, Warning, html, language, markup, opc};

/// Algorithms that obfuscate fonts (EPUB 3.3, 4.4, and Adobe's own): no reason not to read the text.
const FONT_ALGORITHMS: [&str; 2] = ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// Reads a book.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let mut container = Container::open(bytes, MediaType::Epub)?;
    let encrypted = encrypted(&container.text("META-INF/encryption.xml")?.unwrap_or_default());
    let path = package_path(&mut container)?;
    let package = Package::read(&container.required(&path)?);
    let chapters = package.chapters(&path);
    let pages = u32::try_from(chapters.len()).unwrap_or(u32::MAX);
    if pages > options.max_pages {
        return Err(ContentError::TooManyPages { pages, max: options.max_pages });
    }
    let mut builder = Builder::default();
    let mut damaged = Vec::new();
    for (page, path) in (1..).zip(&chapters) {
        if encrypted.contains(path) {
            return Err(ContentError::DocumentEncrypted { media_type: MediaType::Epub.as_str().to_owned() });
        }
        let Some(source) = container.text(path)? else {
            damaged.push(path.clone());
            continue;
        };
        let mut chapter = Builder::default();
        html::push_fragment(&mut chapter, &markup::body(&source));
        builder.extend(&chapter, Some(page));
        builder.bounded()?;
    }
    if builder.blocks().is_empty() && !damaged.is_empty() {
        return Err(container.damaged());
    }
    let metadata = Metadata { page_count: Some(pages), ..package.metadata };
    let warnings = if damaged.is_empty() { Vec::new() } else { vec![Warning::PartsDamaged { parts: damaged }] };
    Ok(builder.finish(MediaType::Epub, metadata, warnings))
}

/// Where the package document is: what the container says, or the one there is.
fn package_path(container: &mut Container<'_>) -> Result<String, ContentError> {
    let source = container.text("META-INF/container.xml")?.unwrap_or_default();
    let mut xml = Xml::new(&source);
    while let Ok(Some(node)) = xml.next() {
        if let Node::Open(tag) = node
            && tag.name() == "rootfile"
            && let Some(path) = tag.attr("full-path").filter(|path| container.has(path))
        {
            return Ok(path);
        }
    }
    let mut found: Vec<&str> = container.names().filter(|name| name.ends_with(".opf")).collect();
    found.sort_unstable();
    found.first().map(|name| (*name).to_owned()).ok_or_else(|| container.damaged())
}

/// The paths of parts that a reader without the key cannot open.
fn encrypted(source: &str) -> Vec<String> {
    let (mut paths, mut algorithm) = (Vec::new(), String::new());
    let mut xml = Xml::new(source);
    while let Ok(Some(node)) = xml.next() {
        let Node::Open(tag) = node else { continue };
        match tag.name() {
            "EncryptedData" => algorithm.clear(),
            // The key may have a method of its own, which comes after that of the data.
            "EncryptionMethod" if algorithm.is_empty() => algorithm = tag.attr("Algorithm").unwrap_or_default(),
            "CipherReference" if !FONT_ALGORITHMS.contains(&algorithm.as_str()) => {
                paths.extend(tag.attr("URI").map(|uri| resolve("", &decoded(&uri))));
            }
            _ => {}
        }
    }
    paths
}

/// What the package document says.
#[derive(Debug, Default)]
struct Package {
    metadata: Metadata,
    /// Address, media type and properties of each part, by its id.
    manifest: HashMap<String, (String, String, String)>,
    /// The ids of the chapters.
    spine: Vec<String>,
}

impl Package {
    fn read(source: &str) -> Self {
        let mut package = Self::default();
        let mut authors = Vec::new();
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            let Node::Open(tag) = node else { continue };
            let attr = |name| tag.attr(name).unwrap_or_default();
            match tag.name() {
                "item" => {
                    package.manifest.insert(attr("id"), (attr("href"), attr("media-type"), attr("properties")));
                }
                "itemref" => package.spine.push(attr("idref")),
                name @ ("title" | "creator" | "date" | "language") if tag.has_prefix("dc") => {
                    let name = name.to_owned();
                    // EPUB 2 may tell several dates apart by their event.
                    let other = tag.attr("event").is_some_and(|event| event != "publication");
                    let Ok(value) = xml.text() else { break };
                    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                    if !value.is_empty() {
                        package.describe(&name, value, other, &mut authors);
                    }
                }
                _ => {}
            }
        }
        package.metadata.author = (!authors.is_empty()).then(|| authors.join(", "));
        package
    }

    fn describe(&mut self, name: &str, value: String, other: bool, authors: &mut Vec<String>) {
        let metadata = &mut self.metadata;
        match name {
            "title" if metadata.title.is_none() => metadata.title = Some(value),
            "creator" if authors.len() < 20 => authors.push(value),
            "date" if !other && metadata.created.is_none() => metadata.created = opc::moment(&value),
            "language" if metadata.language.is_none() => metadata.language = language::from_tag(&value),
            _ => {}
        }
    }

    /// The paths of the chapters, without the table of contents, which repeats their headings.
    fn chapters(&self, base: &str) -> Vec<String> {
        let readable = |kind: &str| matches!(kind, "application/xhtml+xml" | "text/html" | "text/x-oeb1-document");
        let parts = self.spine.iter().filter_map(|id| self.manifest.get(id));
        parts
            .filter(|(_, kind, properties)| readable(kind) && !properties.split_whitespace().any(|p| p == "nav"))
            .map(|(href, ..)| resolve(base, &decoded(href)))
            .collect()
    }
}

/// An address without its percent signs.
fn decoded(href: &str) -> String {
    percent_encoding::percent_decode_str(href).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::tests::archive;

    const CONTAINER: &str = "<container><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></container>";
    const PACKAGE: &str = "<package xmlns:dc='d'><metadata><dc:title>On milling</dc:title><dc:creator>A. Miller</dc:creator><dc:creator>B. Baker</dc:creator>
        <dc:date opf:event='modification'>2027</dc:date><dc:date>2026-03</dc:date><dc:language>en-GB</dc:language></metadata>
        <manifest><item id='nav' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/><item id='a' href='one%20.xhtml' media-type='application/xhtml+xml'/>
        <item id='b' href='text/two.xhtml' media-type='application/xhtml+xml'/><item id='p' href='p.svg' media-type='image/svg+xml'/></manifest>
        <spine><itemref idref='nav'/><itemref idref='b'/><itemref idref='p'/><itemref idref='a'/></spine></package>";

    fn book(others: &[(&str, &str)]) -> Vec<u8> {
        let mut parts = vec![
            ("mimetype", "application/epub+zip"),
            ("META-INF/container.xml", CONTAINER),
            ("OPS/book.opf", PACKAGE),
            ("OPS/nav.xhtml", "<html><body><nav><a href='x'>Grinding</a></nav></body></html>"),
            (
                "OPS/one .xhtml",
                "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/><script src='x'/></head><body><h1>Grinding</h1><p><a id='x'/>The first <b>break</b>.</p></body></html>",
            ),
        ];
        parts.extend(others);
        archive(&parts)
    }

    const TWO: (&str, &str) = ("OPS/text/two.xhtml", "<html><body><h1>Foreword</h1><ul><li>a</li></ul></body></html>");

    #[test]
    fn chapters_are_pages_in_the_order_of_the_spine() {
        let doc = extract(&book(&[TWO]), &ExtractOptions::default()).unwrap();
        assert_eq!(doc.text, "Foreword\n\n- a\n\nGrinding\n\nThe first break.");
        assert_eq!(doc.blocks.iter().map(|block| block.page.unwrap()).collect::<Vec<_>>(), [1, 1, 2, 2]);
        let metadata = doc.metadata;
        assert_eq!(
            (metadata.title.as_deref(), metadata.author.as_deref()),
            (Some("On milling"), Some("A. Miller, B. Baker"))
        );
        assert_eq!(metadata.created.unwrap().to_rfc3339(), "2026-03-01T00:00:00+00:00");
        assert_eq!((metadata.language.as_deref(), metadata.page_count), (Some("en"), Some(2)));
    }

    #[test]
    fn a_chapter_that_is_missing_is_told() {
        let doc = extract(&book(&[]), &ExtractOptions::default()).unwrap();
        assert_eq!(doc.warnings, [Warning::PartsDamaged { parts: vec!["OPS/text/two.xhtml".into()] }]);
        assert_eq!(doc.blocks[0].page, Some(2));
    }

    #[test]
    fn copy_protection_is_told_and_obfuscated_fonts_are_not_it() {
        let with = |algorithm: &str, path: &str| {
            let list = format!(
                "<encryption><EncryptedData><EncryptionMethod Algorithm='{algorithm}'/><KeyInfo><EncryptionMethod Algorithm='k'/></KeyInfo><CipherData><CipherReference URI='{path}'/></CipherData></EncryptedData></encryption>"
            );
            extract(&book(&[TWO, ("META-INF/encryption.xml", &list)]), &ExtractOptions::default())
        };
        assert_eq!(
            with("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OPS/text/two.xhtml").unwrap_err().code(),
            "document-encrypted"
        );
        assert!(with("http://www.idpf.org/2008/embedding", "OPS/text/two.xhtml").is_ok());
        assert!(with("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OPS/font.otf").is_ok());
    }
}
