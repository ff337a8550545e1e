//! Plain text: any charset, paragraphs parted by empty lines.

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Metadata, charset};

/// Lines above this length, or most lines indented, speak for verbatim text; shorter ones are wrapped paragraphs.
const MAX_TITLE_CHARS: usize = 120;

/// Reads plain text. Line breaks within a paragraph are kept: they may mean something (verse, addresses, records).
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let (text, warning) = charset::decode(bytes, options.declared.as_deref(), None)?;
    let unified = text.replace("\r\n", "\n").replace(['\r', '\u{c}', '\u{2029}'], "\n");
    let mut builder = Builder::default();
    let mut paragraph = String::new();
    for line in unified.lines().chain([""]) {
        if line.trim().is_empty() {
            builder.push(kind_of(&paragraph), None, &paragraph);
            paragraph.clear();
        } else {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(line.trim_end());
        }
    }
    let metadata = Metadata { title: title(&unified), ..Metadata::default() };
    Ok(builder.finish(MediaType::Text, metadata, warning.into_iter().collect()))
}

/// A paragraph whose every line is indented by a tab or four spaces is set verbatim.
fn kind_of(paragraph: &str) -> BlockKind {
    if !paragraph.is_empty() && paragraph.lines().all(|line| line.starts_with('\t') || line.starts_with("    ")) {
        BlockKind::Code
    } else {
        BlockKind::Paragraph
    }
}

/// The first line, where it stands alone, is short and does not end like a sentence.
fn title(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let first = lines.next()?.trim();
    let alone = lines.next().is_none_or(|line| line.trim().is_empty());
    let short = first.chars().count() <= MAX_TITLE_CHARS && !first.ends_with(['.', ',', ';', ':']);
    (alone && short).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_parted_by_empty_lines() {
        let doc =
            extract(b"A title\r\n\r\nOne\r\nline more.\r\n \r\n\tcode()\r\n", &ExtractOptions::default()).unwrap();
        assert_eq!(doc.text, "A title\n\nOne\nline more.\n\n\tcode()");
        assert_eq!(doc.blocks.len(), 3);
        assert_eq!(doc.blocks[2].kind, BlockKind::Code);
        assert_eq!(doc.metadata.title.as_deref(), Some("A title"));
    }
}
