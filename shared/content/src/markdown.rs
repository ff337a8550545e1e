//! Markdown to blocks, by pulldown-cmark (CommonMark with GitHub's tables, task lists and footnotes).

use chrono::{DateTime, NaiveDate, Utc};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use url::Url;

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Metadata, charset, html, language, table};

/// Levels of nested lists that are shown by indentation; deeper items are indented no further, for white space that
/// grows with the square of the depth is worth nothing.
const MAX_INDENT: usize = 8;

/// Reads Markdown. Title, author, date and language come from front matter (YAML or TOML, flat keys), else the title
/// is the first heading.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let (text, warning) = charset::decode(bytes, options.declared.as_deref(), None)?;
    let mut reader = Reader::default();
    for event in Parser::new_ext(&text, dialect()) {
        reader.take(event);
    }
    reader.flush();
    let mut metadata = front_matter(&reader.front_matter, options.base_url.as_ref());
    metadata.title = metadata.title.or(reader.first_heading);
    Ok(reader.builder.finish(MediaType::Markdown, metadata, warning.into_iter().collect()))
}

fn dialect() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
}

/// What is being collected between two events.
#[derive(Default)]
struct Reader {
    builder: Builder,
    first_heading: Option<String>,
    front_matter: String,
    buffer: String,
    kind: Option<BlockKind>,
    in_front_matter: bool,
    in_html: bool,
    /// The next number of each open list; none for bullets.
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    quotes: usize,
    /// The language of the code at hand.
    language: Option<String>,
    rows: Vec<Vec<String>>,
    row: Vec<String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.open(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(text) if self.in_front_matter => self.front_matter.push_str(&text),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.buffer.push_str(&text);
            }
            Event::Html(text) if self.in_html => self.buffer.push_str(&text),
            Event::InlineHtml(tag) if tag.to_ascii_lowercase().starts_with("<br") => self.buffer.push('\n'),
            Event::Html(_) | Event::InlineHtml(_) | Event::FootnoteReference(_) => {}
            // A line break in the source is no break in the text.
            Event::SoftBreak => self.buffer.push(' '),
            Event::HardBreak => self.buffer.push('\n'),
            Event::TaskListMarker(done) => self.buffer.push_str(if done { "[x] " } else { "[ ] " }),
            Event::Rule => self.flush(),
        }
    }

    fn open(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph if !self.lists.is_empty() => self.flush(),
            Tag::Paragraph | Tag::FootnoteDefinition(_) => self.flush(),
            Tag::BlockQuote(_) => {
                self.flush();
                self.quotes += 1;
            }
            Tag::Heading { level, .. } => {
                self.flush();
                self.kind = Some(BlockKind::Heading { level: level_of(level) });
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                self.kind = Some(BlockKind::Code);
                match kind {
                    CodeBlockKind::Indented => self.marker = None,
                    // What follows the first word of an info string is not the language (CommonMark 0.31, 4.5).
                    CodeBlockKind::Fenced(info) => {
                        let name = info.split([' ', ',', '{']).next().unwrap_or_default().to_ascii_lowercase();
                        self.language = Some(name).filter(|name| !name.is_empty());
                    }
                }
            }
            Tag::HtmlBlock => {
                self.flush();
                self.in_html = true;
            }
            Tag::List(first) => {
                self.flush();
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush();
                self.marker = Some(self.next_marker());
            }
            Tag::Table(_) => {
                self.flush();
                self.rows.clear();
            }
            Tag::TableHead | Tag::TableRow => self.row.clear(),
            Tag::TableCell => self.buffer.clear(),
            Tag::MetadataBlock(MetadataBlockKind::YamlStyle | MetadataBlockKind::PlusesStyle) => {
                self.in_front_matter = true;
            }
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if self.first_heading.is_none() && !self.buffer.trim().is_empty() {
                    self.first_heading = Some(self.buffer.trim().to_owned());
                }
                self.flush();
            }
            TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::Item => self.flush(),
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.quotes = self.quotes.saturating_sub(1);
            }
            TagEnd::HtmlBlock => {
                self.in_html = false;
                let markup = std::mem::take(&mut self.buffer);
                html::push_fragment(&mut self.builder, &markup);
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.buffer)),
            TagEnd::TableHead | TagEnd::TableRow => self.rows.push(std::mem::take(&mut self.row)),
            TagEnd::Table => {
                let rows = std::mem::take(&mut self.rows);
                self.builder.push(BlockKind::Table, None, &table::to_markdown(&rows));
            }
            TagEnd::MetadataBlock(_) => self.in_front_matter = false,
            _ => {}
        }
    }

    /// Indentation and marker of the next item of the innermost list.
    fn next_marker(&mut self) -> String {
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(MAX_INDENT));
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{indent}{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            _ => format!("{indent}- "),
        }
    }

    fn flush(&mut self) {
        let content = std::mem::take(&mut self.buffer);
        let kind = self.kind.take();
        if content.trim().is_empty() {
            return;
        }
        let in_list = !self.lists.is_empty();
        match (kind, self.marker.take()) {
            (None, Some(marker)) => self.builder.push(BlockKind::ListItem, None, &(marker + content.trim())),
            (None, None) if in_list => self.builder.push(BlockKind::ListItem, None, content.trim()),
            (None, None) if self.quotes > 0 => self.builder.push(BlockKind::Quote, None, &content),
            (Some(BlockKind::Code), _) => self.builder.push_code(None, &content, self.language.take()),
            (kind, _) => self.builder.push(kind.unwrap_or(BlockKind::Paragraph), None, &content),
        }
    }
}

fn level_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The flat keys of a front matter that mean something here.
fn front_matter(source: &str, base: Option<&Url>) -> Metadata {
    let mut metadata = Metadata::default();
    for line in source.lines() {
        // Indented lines belong to nested values.
        let Some((key, value)) = line.split_once([':', '=']).filter(|_| !line.starts_with([' ', '\t', '-', '[']))
        else {
            continue;
        };
        let value = value.trim().trim_matches(['"', '\'']).trim();
        if value.is_empty() {
            continue;
        }
        match key.trim().to_ascii_lowercase().as_str() {
            "title" => metadata.title = Some(value.to_owned()),
            "author" | "authors" => metadata.author = Some(value.trim_matches(['[', ']']).replace(['"', '\''], "")),
            "date" | "created" | "published" => metadata.created = date(value),
            "lang" | "language" => metadata.language = language::from_tag(value),
            "canonical" | "canonical_url" => metadata.canonical_url = html::web_address(value, base),
            _ => {}
        }
    }
    metadata
}

/// An RFC 3339 timestamp, or a day, taken as its beginning in UTC.
fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(value) {
        return Some(moment.to_utc());
    }
    let day = NaiveDate::parse_from_str(value.get(..10)?, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Extracted {
        extract(source.as_bytes(), &ExtractOptions::default()).unwrap()
    }

    #[test]
    fn blocks_keep_their_kind_and_lose_their_markup() {
        let doc = read(
            "---\ntitle: \"From the top\"\nauthor: [A. Writer]\ndate: 2026-01-02\nlang: en-GB\n---\n# Head\n\nSome *text*\nwith a \
             [link](http://x).\n\n1. one\n2. two\n   - deep `code`\n\n```rust\nfn main() {\n    x();\n}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        );
        assert_eq!(
            doc.text,
            "Head\n\nSome text with a link.\n\n1. one\n2. two\n  - deep code\n\nfn main() {\n    x();\n}\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
        );
        let kinds: Vec<_> = doc.blocks.iter().map(|block| block.kind).collect();
        assert_eq!(kinds[0], BlockKind::Heading { level: 1 });
        assert_eq!(kinds[2..5], [BlockKind::ListItem; 3]);
        assert_eq!(kinds[5..], [BlockKind::Code, BlockKind::Table]);
        assert_eq!(doc.metadata.title.as_deref(), Some("From the top"));
        assert_eq!(doc.metadata.author.as_deref(), Some("A. Writer"));
        assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2026-01-02T00:00:00+00:00");
        assert_eq!(doc.metadata.language.as_deref(), Some("en"));
    }

    #[test]
    fn quotes_and_the_language_of_code_are_kept() {
        let doc = read("> Said\n> somebody.\n\nAnd so on.\n\n```Rust,ignore\nfn main() {}\n```\n");
        assert_eq!(doc.blocks[0].kind, BlockKind::Quote);
        assert_eq!(doc.blocks[1].kind, BlockKind::Paragraph);
        assert_eq!((doc.blocks[2].kind, doc.blocks[2].language.as_deref()), (BlockKind::Code, Some("rust")));
        assert_eq!(doc.text, "Said somebody.\n\nAnd so on.\n\nfn main() {}");
    }

    #[test]
    fn lists_in_lists_do_not_multiply_white_space() {
        let depth = 60;
        let source: String = (0..depth).map(|level| format!("{}- item\n", "  ".repeat(level))).collect();
        let doc = read(&source);
        assert!(doc.text.contains("                - item"));
        assert!(doc.text.lines().all(|line| line.len() <= 16 + "- item".len()), "{}", doc.text);
    }

    #[test]
    fn a_canonical_address_is_one_of_the_web() {
        let of = |address: &str| read(&format!("---\ncanonical: {address}\n---\ntext")).metadata.canonical_url;
        assert_eq!(of("https://mill.test/a").as_deref(), Some("https://mill.test/a"));
        assert_eq!(of("javascript:alert(1)"), None);
    }

    #[test]
    fn embedded_html_gives_its_text() {
        let doc = read("<details><summary>More</summary>\n<p>Hidden <b>text</b></p></details>\n\nAfter");
        assert!(doc.text.contains("Hidden text") && !doc.text.contains("<p>"));
        assert!(doc.text.ends_with("After"));
    }

    #[test]
    fn the_first_heading_is_the_title_without_front_matter() {
        assert_eq!(read("para\n\n## Sub\n").metadata.title.as_deref(), Some("Sub"));
    }
}
