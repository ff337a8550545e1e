//! A document as Markdown, for people and models.

use crate::{BlockKind, Extracted};

impl Extracted {
    /// The document in Markdown: headings, lists, tables, quotes and code marked as such; signs of other text that would read as
    /// markup at the start of a line escaped.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::with_capacity(self.text.len() + self.text.len() / 16);
        let mut chars = self.text.chars();
        let (mut at, mut last) = (0, None);
        for block in &self.blocks {
            let text: String =
                chars.by_ref().skip(block.start.saturating_sub(at)).take(block.end - block.start).collect();
            at = block.end;
            if let Some(last) = last {
                let item = BlockKind::ListItem;
                out.push_str(if last == item && block.kind == item { "\n" } else { "\n\n" });
            }
            last = Some(block.kind);
            match block.kind {
                BlockKind::Heading { level } => {
                    out.push_str(&"#".repeat(usize::from(level.clamp(1, 6))));
                    out.push(' ');
                    out.push_str(&text.split_whitespace().collect::<Vec<_>>().join(" "));
                }
                BlockKind::Code => {
                    let fence = fence(&text);
                    let language = block.language.as_deref().unwrap_or_default();
                    out.push_str(&format!("{fence}{language}\n{text}\n{fence}"));
                }
                BlockKind::Paragraph => out.push_str(&escaped(&text)),
                BlockKind::Quote => {
                    let quoted: Vec<String> = escaped(&text).lines().map(|line| format!("> {line}")).collect();
                    out.push_str(&quoted.join("\n"));
                }
                BlockKind::ListItem | BlockKind::Table => out.push_str(&text),
            }
        }
        out
    }
}

/// One longer than any in the text (CommonMark 0.31, 4.5).
fn fence(text: &str) -> String {
    let longest = text.lines().map(|line| line.trim_start().bytes().take_while(|byte| *byte == b'`').count()).max();
    "`".repeat(longest.unwrap_or(0).max(2) + 1)
}

fn escaped(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn line(line: &str) -> String {
    let text = line.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[digits..];
    let item = |signs: &[char]| rest.starts_with(signs) && rest[1..].starts_with([' ', '\t']);
    if (1..=9).contains(&digits) && item(&['.', ')']) {
        return format!("{}\\{rest}", &text[..digits]);
    }
    let heading = text.trim_start_matches('#');
    let marked = (heading.len() < text.len() && (heading.is_empty() || heading.starts_with(' ')))
        || (digits == 0 && item(&['-', '+', '*']))
        || text.starts_with(['>', '|', '`', '~'])
        // A line of these makes a heading of the one before, or a rule.
        || (!text.is_empty() && text.chars().all(|c| matches!(c, '-' | '=' | '_' | '*' | ' ')));
    if marked { format!("\\{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::{ExtractOptions, extract};

    fn read(name: &str, source: &str) -> crate::Extracted {
        let options = ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() };
        extract(source.as_bytes(), &options).unwrap()
    }

    #[test]
    fn markdown_goes_round() {
        let source =
            "# Mill\n\nText over\ntwo lines.\n\n- a\n  - b\n\n```\nx = `1`\n```\n\n| a | b |\n| --- | --- |\n| 1 | 2 |";
        let shown = read("a.md", source).to_markdown();
        assert_eq!(shown, source.replace("over\ntwo", "over two"));
        assert_eq!(read("a.md", &shown).to_markdown(), shown);
    }

    #[test]
    fn what_only_looks_like_markup_is_escaped() {
        let shown = read("a.txt", "# 1 problem\n1. of May\n> so\n-- \n- not a list\n#tag 3.5").to_markdown();
        assert_eq!(shown, "\\# 1 problem\n1\\. of May\n\\> so\n\\--\n\\- not a list\n#tag 3.5");
        let again = read("a.md", &shown);
        assert_eq!(again.text, "# 1 problem 1. of May > so -- - not a list #tag 3.5");
        assert_eq!(again.blocks.len(), 1);
    }
}
