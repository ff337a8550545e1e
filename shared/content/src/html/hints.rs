//! What an element hints at: by its name, its role, and the words of its class and id.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use scraper::node::Element;

/// How many kinds of hints there are.
pub(super) const COUNT: usize = ELEMENTS.len() + VOCABULARY.len();

/// A set of hints, one bit each in the order of [`NAMES`].
pub(super) type Hints = u64;

/// Hints given by the element itself, by its place in the page's structure.
const ELEMENTS: [&str; 18] = [
    "in_nav",
    "in_header",
    "in_footer",
    "in_aside",
    "in_form",
    "in_main",
    "in_article",
    "in_section",
    "in_figure",
    "in_table",
    "in_list",
    "in_details",
    "in_dialog",
    "in_link",
    "in_quote",
    "in_hidden",
    "in_body_property",
    "in_noscript",
];

/// The hint of a table, the tenth.
pub(super) const TABLE: Hints = 1 << 9;

/// Words in classes and ids, by what they speak of. A word between spaces must stand alone, others may be part of one.
const VOCABULARY: [(&str, &[&str]); 22] = [
    (
        "says_body",
        &[
            "article body",
            "articlebody",
            "entry content",
            "entrycontent",
            "post content",
            "postcontent",
            "post body",
            "postbody",
            "article content",
            "articlecontent",
            "story body",
            "storybody",
            "article text",
            "articletext",
            "body copy",
            "markdown",
            "prose",
            "rich text",
            "richtext",
            " rte ",
            "wysiwyg",
            "body content",
            "main content",
            "maincontent",
            "page content",
            "content body",
            "post text",
            "td post content",
        ],
    ),
    ("says_content", &["content", "article", "entry", "story", " text ", " body ", " main ", "blog", "news"]),
    ("says_post", &["post", "message", "thread", "topic", "answer", "question", "reply", "bbcode", "discussion"]),
    ("says_comment", &["comment", "disqus", "respond", "livefyre", "fbcomments", "replies"]),
    ("says_nav", &["nav", "menu", "crumb", " tabs ", " tab ", "sitemap", "skip", "quicklinks", " links "]),
    ("says_pager", &["pagination", "pager", "paging", " next ", " prev ", "previous", "adjacent", "paginat"]),
    ("says_contents", &[" toc ", "table of contents", "tableofcontents", "on this page", "outline", "anchor"]),
    ("says_header", &["header", "masthead", "banner", "topbar", " top ", "logo", "brand"]),
    (
        "says_hero",
        &[
            "hero",
            "jumbotron",
            "intro",
            "lead",
            "standfirst",
            "subtitle",
            "dek",
            "summary",
            "excerpt",
            "abstract",
            "deck",
        ],
    ),
    ("says_footer", &["footer", "foot ", "copyright", "colophon", "legal", "bottom", "disclaimer", "impress"]),
    (
        "says_sidebar",
        &[
            "sidebar",
            "side bar",
            "aside",
            "widget",
            " rail ",
            "secondary",
            "complementary",
            " side ",
            "column right",
            "right col",
        ],
    ),
    (
        "says_related",
        &[
            "related",
            "recommend",
            "popular",
            "trending",
            "latest",
            "suggest",
            "similar",
            "outbrain",
            "taboola",
            "teaser",
            "more from",
            "read more",
            "readmore",
            "see also",
            "also like",
            "most read",
            "recent",
            "upsell",
            "cross sell",
            "crosssell",
            "read next",
            "more stories",
            "recirc",
            "promo",
            " more ",
        ],
    ),
    (
        "says_share",
        &["share", "sharing", "social", "facebook", "twitter", "follow", " like ", "addthis", "sharedaddy", "whatsapp"],
    ),
    (
        "says_meta",
        &[
            "byline",
            "author",
            "meta",
            "date",
            "time",
            " tag",
            "category",
            "categories",
            "avatar",
            "profile",
            "published",
            "bio",
            "user",
            "signature",
        ],
    ),
    (
        "says_caption",
        &[
            "caption", "credit", "image", "photo", "gallery", "carousel", "slider", "slide", "video", "player",
            "media", "figure", "swiper",
        ],
    ),
    ("says_ad", &["advert", " ad ", " ads ", "sponsor", "adslot", "adunit", "dfp", "gpt ", "affiliate", "commercial"]),
    (
        "says_overlay",
        &[
            "cookie",
            "consent",
            "gdpr",
            "modal",
            "popup",
            "overlay",
            "dialog",
            "toast",
            "tooltip",
            "notification",
            "alert",
            "lightbox",
            "drawer",
            "offcanvas",
            "onetrust",
        ],
    ),
    (
        "says_call",
        &[
            "newsletter",
            "subscri",
            "signup",
            "sign up",
            "login",
            "log in",
            "register",
            "paywall",
            " cta ",
            "call to action",
            "donate",
            "button",
            " btn ",
        ],
    ),
    (
        "says_product",
        &[
            "product",
            "price",
            "spec",
            "feature",
            "detail",
            "variant",
            "review",
            "rating",
            "description",
            "overview",
            " sku ",
        ],
    ),
    (
        "says_item",
        &[
            "card",
            " item",
            "grid",
            " list",
            "tile",
            "result",
            "collection",
            "listing",
            "accordion",
            "faq",
            "collapse",
            "panel",
        ],
    ),
    (
        "says_search",
        &[
            "search", "filter", " sort", "facet", "refine", "form", "field", "input", "dropdown", "select", "toolbar",
            "control",
        ],
    ),
    (
        "says_hidden",
        &[
            "hidden",
            " hide ",
            "sr only",
            "screen reader",
            "screenreader",
            "invisible",
            "visually",
            "assistive",
            "print only",
            "noprint",
            " d none ",
        ],
    ),
];

/// The names of the hints in the order of their bits.
pub(super) static NAMES: LazyLock<[&str; COUNT]> = LazyLock::new(|| {
    std::array::from_fn(|at| if at < ELEMENTS.len() { ELEMENTS[at] } else { VOCABULARY[at - ELEMENTS.len()].0 })
});

/// Finds every word of the vocabulary in one pass; the pattern's number leads to its bit.
static WORDS: LazyLock<Option<(AhoCorasick, Vec<usize>)>> = LazyLock::new(|| {
    let patterns =
        || VOCABULARY.iter().enumerate().flat_map(|(group, (_, words))| words.iter().map(move |w| (group, *w)));
    let finder =
        AhoCorasickBuilder::new().match_kind(MatchKind::Standard).build(patterns().map(|(_, word)| word)).ok()?;
    Some((finder, patterns().map(|(group, _)| ELEMENTS.len() + group).collect()))
});

/// Reads hints, and remembers what it has read: pages repeat their classes.
#[derive(Default)]
pub(super) struct Reader {
    known: HashMap<String, Hints>,
}

impl Reader {
    /// The hints of one element.
    pub(super) fn read(&mut self, element: &Element) -> Hints {
        let name = element.name();
        let mut hints = of_element(name, element.attr("role").unwrap_or_default());
        if is_invisible(element) {
            hints |= bit("in_hidden");
        }
        if matches!(
            element.attr("itemprop"),
            Some("articleBody" | "text" | "description" | "reviewBody" | "acceptedAnswer")
        ) {
            hints |= bit("in_body_property");
        }
        if matches!(name, "body" | "html") {
            return 0;
        }
        for attribute in ["class", "id"] {
            if let Some(value) = element.attr(attribute).filter(|value| !value.is_empty()) {
                hints |= self.words(value);
            }
        }
        hints
    }

    fn words(&mut self, value: &str) -> Hints {
        if let Some(hints) = self.known.get(value) {
            return *hints;
        }
        let mut hints = 0;
        if let Some((finder, bits)) = WORDS.as_ref() {
            let spaced = spaced(value);
            for found in finder.find_overlapping_iter(&spaced) {
                hints |= 1 << bits[found.pattern().as_usize()];
            }
        }
        self.known.insert(value.to_owned(), hints);
        hints
    }
}

/// The bit of a hint of an element.
fn bit(name: &str) -> Hints {
    ELEMENTS.iter().position(|element| *element == name).map_or(0, |at| 1 << at)
}

fn of_element(name: &str, role: &str) -> Hints {
    let hint = match (name, role) {
        ("nav", _) | (_, "navigation" | "menu" | "menubar" | "tablist") => "in_nav",
        ("header", _) | (_, "banner") => "in_header",
        ("footer", _) | (_, "contentinfo") => "in_footer",
        ("aside", _) | (_, "complementary") => "in_aside",
        ("form" | "fieldset" | "label", _) | (_, "search" | "form") => "in_form",
        ("dialog", _) | (_, "dialog" | "alertdialog" | "alert") => "in_dialog",
        ("main", _) | (_, "main") => "in_main",
        ("article", _) | (_, "article") => "in_article",
        ("section", _) => "in_section",
        ("figure", _) => "in_figure",
        ("table", _) => "in_table",
        ("ul" | "ol" | "menu" | "dl", _) => "in_list",
        ("details", _) => "in_details",
        ("a" | "button", _) => "in_link",
        ("blockquote", _) => "in_quote",
        ("noscript", _) => "in_noscript",
        _ => return 0,
    };
    bit(hint)
}

fn is_invisible(element: &Element) -> bool {
    let style = element.attr("style").unwrap_or_default();
    let styled =
        style.contains("display:none") || style.contains("display: none") || style.contains("visibility:hidden");
    styled || element.attr("hidden").is_some() || element.attr("aria-hidden") == Some("true")
}

/// Lower case, words parted by single spaces, also where they are parted by a capital only, and a space at either end.
pub(super) fn spaced(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    out.push(' ');
    let mut lower = false;
    for c in value.chars().take(400) {
        if !c.is_ascii_alphanumeric() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            lower = false;
            continue;
        }
        if c.is_ascii_uppercase() && lower {
            out.push(' ');
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(c.to_ascii_lowercase());
    }
    out.push(' ');
    out
}
