//! A parsed page, or a part of one, to blocks. Walks without recursion: nesting is bounded by nobody.

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use super::code::{self, is_line_number};
use super::elements::{is_block, is_never_text};
use crate::document::Builder;
use crate::{BlockKind, table};

/// Cells longer than this on average, in characters, speak for a table that only lays out a page.
const LAYOUT_CELL: usize = 400;

/// Nodes of a table looked at for code.
const TABLE_PROBE: usize = 2_000;

/// What part of a page is walked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'k> {
    /// Chosen text nodes, by their number in the page.
    Chosen(&'k [bool]),
    /// Chosen content: everything visible counts.
    Article,
    /// A whole page: navigation, header, footer, asides and forms are left out.
    Body,
}

/// Appends the blocks of a page or fragment.
pub(super) fn push(builder: &mut Builder, page: &Html, scope: Scope<'_>) {
    let mut walker = Walker::new(builder, scope);
    for edge in page.tree.root().traverse() {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Text(text) => walker.text_node(text),
                Node::Element(element) => walker.open(element, node),
                _ => {}
            },
            Edge::Close(node) => {
                if let Node::Element(element) = node.value() {
                    walker.close(element);
                }
            }
        }
    }
    walker.flush();
}

struct Walker<'b> {
    builder: &'b mut Builder,
    scope: Scope<'b>,
    /// How many text nodes have been passed.
    nodes: usize,
    /// How many elements that are left out are open.
    hidden: usize,
    /// How many elements that keep white space are open.
    verbatim: usize,
    kind: BlockKind,
    buffer: String,
    /// The next number of each open list; none for bullets.
    lists: Vec<Option<u64>>,
    items: usize,
    marker: Option<String>,
    tables: usize,
    nested_table: bool,
    rows: Vec<Vec<String>>,
    /// Whether each open table is one for itself, and not a frame around code.
    real_tables: Vec<bool>,
    quotes: usize,
    /// The language of the code that comes next.
    language: Option<String>,
}

impl<'b> Walker<'b> {
    fn new(builder: &'b mut Builder, scope: Scope<'b>) -> Self {
        Self {
            builder,
            scope,
            nodes: 0,
            hidden: 0,
            verbatim: 0,
            kind: BlockKind::Paragraph,
            buffer: String::new(),
            lists: Vec::new(),
            items: 0,
            marker: None,
            tables: 0,
            nested_table: false,
            rows: Vec::new(),
            real_tables: Vec::new(),
            quotes: 0,
            language: None,
        }
    }

    fn text_node(&mut self, text: &str) {
        let chosen = match self.scope {
            Scope::Chosen(kept) => kept.get(self.nodes).copied().unwrap_or(false),
            Scope::Article | Scope::Body => true,
        };
        self.nodes += 1;
        if self.hidden > 0 {
            return;
        }
        if chosen {
            self.text(text);
        } else if self.verbatim == 0 && text.contains(char::is_whitespace) {
            self.text(" ");
        }
    }

    fn text(&mut self, text: &str) {
        if self.verbatim > 0 {
            self.buffer.push_str(text);
            return;
        }
        for c in text.chars() {
            if !c.is_whitespace() || c == '\u{a0}' {
                self.buffer.push(if c == '\u{a0}' { ' ' } else { c });
            } else if !self.buffer.ends_with([' ', '\n']) {
                self.buffer.push(' ');
            }
        }
    }

    fn open(&mut self, element: &Element, node: NodeRef<'_, Node>) {
        let name = element.name();
        if self.hidden > 0 || self.is_hidden(element) {
            self.hidden += 1;
            return;
        }
        match name {
            "br" => self.line_break(),
            "hr" => self.block_edge(),
            "table" => self.open_table(node),
            "tr" if self.tables == 1 => {
                self.keep_stray();
                self.rows.push(Vec::new());
            }
            "td" | "th" | "caption" if self.tables == 1 => self.keep_stray(),
            _ if self.tables > 0 && is_block(name) => self.text(" "),
            _ if self.tables > 0 => {}
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                self.kind = BlockKind::Heading { level: name.as_bytes()[1] - b'0' };
            }
            "pre" => {
                self.flush();
                self.kind = BlockKind::Code;
                self.verbatim += 1;
                self.language = code::language(element).or(self.language.take());
            }
            "code" if self.verbatim > 0 => self.language = self.language.take().or_else(|| code::language(element)),
            "blockquote" => {
                self.block_edge();
                self.quotes += 1;
            }
            "ul" | "menu" => self.open_list(None),
            "ol" => self.open_list(Some(element.attr("start").and_then(|n| n.trim().parse().ok()).unwrap_or(1))),
            "li" => {
                self.flush();
                self.items += 1;
                self.marker = Some(self.next_marker());
            }
            _ if is_block(name) => {
                self.block_edge();
                // Highlighters name the language on a frame around the code.
                if self.verbatim == 0 {
                    self.language = code::language(element).or(self.language.take());
                }
            }
            _ => {}
        }
    }

    fn open_table(&mut self, node: NodeRef<'_, Node>) {
        let is_code =
            |node: NodeRef<'_, Node>| node.value().as_element().is_some_and(|element| element.name() == "pre");
        let real = self.tables > 0 || !node.descendants().take(TABLE_PROBE).any(is_code);
        self.real_tables.push(real);
        if !real {
            self.block_edge();
            return;
        }
        if self.tables == 0 {
            self.flush();
            self.rows.clear();
            self.nested_table = false;
        } else {
            self.nested_table = true;
        }
        self.tables += 1;
    }

    fn close(&mut self, element: &Element) {
        if self.hidden > 0 {
            self.hidden -= 1;
            return;
        }
        let name = element.name();
        match name {
            "table" if self.real_tables.pop() == Some(false) => self.block_edge(),
            "table" => {
                self.tables = self.tables.saturating_sub(1);
                if self.tables == 0 {
                    self.close_table();
                }
            }
            "td" | "th" if self.tables == 1 => {
                let cell = std::mem::take(&mut self.buffer).trim().to_owned();
                match self.rows.last_mut() {
                    Some(row) => row.push(cell),
                    None => self.rows.push(vec![cell]),
                }
            }
            "caption" if self.tables == 1 => {
                let caption = std::mem::take(&mut self.buffer);
                self.builder.push(BlockKind::Paragraph, None, &caption);
            }
            _ if self.tables > 0 && is_block(name) => self.text(" "),
            _ if self.tables > 0 => {}
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                self.kind = BlockKind::Paragraph;
            }
            "pre" => {
                self.flush();
                self.verbatim = self.verbatim.saturating_sub(1);
                self.kind = BlockKind::Paragraph;
                self.language = None;
            }
            "blockquote" => {
                self.block_edge();
                self.quotes = self.quotes.saturating_sub(1);
            }
            "ul" | "ol" | "menu" => {
                self.flush();
                self.lists.pop();
            }
            "li" => {
                self.flush();
                self.items = self.items.saturating_sub(1);
                self.marker = None;
            }
            _ if is_block(name) => self.block_edge(),
            _ => {}
        }
    }

    /// Ends the block at hand; within a heading or verbatim text a block element only parts words.
    fn block_edge(&mut self) {
        match self.kind {
            BlockKind::Heading { .. } => self.text(" "),
            BlockKind::Code => self.line_break(),
            _ => self.flush(),
        }
    }

    fn line_break(&mut self) {
        while self.verbatim == 0 && self.buffer.ends_with(' ') {
            self.buffer.pop();
        }
        if self.tables > 0 {
            self.buffer.push(' ');
        } else if self.verbatim > 0 || !self.buffer.ends_with("\n\n") {
            self.buffer.push('\n');
        }
    }

    fn open_list(&mut self, first: Option<u64>) {
        self.flush();
        self.lists.push(first);
    }

    fn next_marker(&mut self) -> String {
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(8));
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{indent}{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            _ => format!("{indent}- "),
        }
    }

    /// Text between the parts of a table, which HTML forbids and pages have.
    fn keep_stray(&mut self) {
        let stray = std::mem::take(&mut self.buffer);
        self.builder.push(BlockKind::Paragraph, None, &stray);
    }

    fn close_table(&mut self) {
        self.keep_stray();
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        let cells: Vec<&String> = rows.iter().flatten().collect();
        let total: usize = cells.iter().map(|cell| cell.chars().count()).sum();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let layout = columns < 2 || rows.len() < 2 || self.nested_table || total > LAYOUT_CELL * cells.len().max(1);
        if layout {
            for cell in cells {
                self.builder.push(BlockKind::Paragraph, None, cell);
            }
        } else {
            self.builder.push(BlockKind::Table, None, &table::to_markdown(&rows));
        }
    }

    fn flush(&mut self) {
        if self.tables > 0 {
            return;
        }
        let content = std::mem::take(&mut self.buffer);
        if content.trim().is_empty() {
            return;
        }
        match (self.kind, self.marker.take()) {
            (BlockKind::Paragraph, Some(marker)) => {
                self.builder.push(BlockKind::ListItem, None, &(marker + content.trim()));
            }
            (BlockKind::Paragraph, None) if self.items > 0 => {
                self.builder.push(BlockKind::ListItem, None, content.trim());
            }
            (BlockKind::Paragraph, None) if self.quotes > 0 => self.builder.push(BlockKind::Quote, None, &content),
            (BlockKind::Code, _) => self.builder.push_code(None, &content, self.language.take()),
            (kind, _) => {
                self.language = None;
                self.builder.push(kind, None, &content);
            }
        }
    }

    fn is_hidden(&self, element: &Element) -> bool {
        let name = element.name();
        if is_never_text(name) || is_line_number(element) {
            return true;
        }
        match self.scope {
            Scope::Chosen(_) => false,
            Scope::Article => matches!(name, "button" | "dialog"),
            Scope::Body => {
                matches!(name, "button" | "dialog" | "nav" | "header" | "footer" | "aside" | "form")
                    || matches!(element.attr("role"), Some("navigation" | "banner" | "contentinfo" | "search"))
                    || element.attr("hidden").is_some()
                    || element.attr("aria-hidden") == Some("true")
            }
        }
    }
}
