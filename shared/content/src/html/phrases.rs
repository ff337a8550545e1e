//! Phrases of what surrounds main content: legal notices, calls, links to other pages.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

/// Texts of at least this many bytes are not looked at: they are sentences.
const MAX_TEXT: usize = 400;

/// The phrases, by what they speak of.
const PHRASES: [(&str, &[&str]); 6] = [
    (
        "phrase_legal",
        &[
            "©",
            "copyright",
            "all rights reserved",
            "privacy",
            "terms of",
            "cookie",
            "impressum",
            "datenschutz",
            "disclaimer",
            "derechos reservados",
            "tous droits",
            "mentions légales",
            "alle rechte",
        ],
    ),
    (
        "phrase_action",
        &[
            "subscribe",
            "sign up",
            "sign in",
            "newsletter",
            "log in",
            "login",
            "share",
            "follow us",
            "click here",
            "add to cart",
            "buy now",
            "download",
            "contact us",
            "learn more",
            "read more",
            "register",
            "get started",
            "comment",
            "teilen",
            "anmelden",
            "abonnieren",
            "weiterlesen",
            "partager",
            "s'abonner",
            "compartir",
            "donate",
            "tweet",
            "facebook",
            "instagram",
            "pinterest",
            "linkedin",
            "whatsapp",
            "print",
            "email",
        ],
    ),
    (
        "phrase_related",
        &[
            "related",
            "you may also",
            "you might also",
            "recommended",
            "popular",
            "trending",
            "more from",
            "read next",
            "also read",
            "read also",
            "see also",
            "latest",
            "most read",
            "previous",
            "next",
            "mehr zum thema",
            "lesen sie auch",
            "à lire aussi",
            "lire aussi",
            "más noticias",
            "customers also",
            "recently viewed",
            "similar",
        ],
    ),
    (
        "phrase_meta",
        &[
            "published",
            "posted",
            "updated",
            "min read",
            "written by",
            "by ",
            "comments",
            "views",
            "reply",
            "replies",
            "author",
            "filed under",
            "tags:",
            "tagged",
            "categories",
            "category",
            "veröffentlicht",
            "publié",
            "edited",
            "joined",
            "likes",
            "am ",
            "pm ",
        ],
    ),
    (
        "phrase_nav",
        &[
            "home",
            "back to",
            "skip to",
            "menu",
            "search",
            "show more",
            "view all",
            "see all",
            "load more",
            "sort by",
            "filter",
            "toggle",
            "close",
            "jump to",
        ],
    ),
    (
        "phrase_credit",
        &[
            "advertisement",
            "sponsored",
            "photo:",
            "image:",
            "photo by",
            "getty",
            "credit:",
            "source:",
            "image source",
            "foto:",
            "anzeige",
            "reuters",
            "affiliate",
        ],
    ),
];

static FINDER: LazyLock<Option<(AhoCorasick, Vec<usize>)>> = LazyLock::new(|| {
    let all = || PHRASES.iter().enumerate().flat_map(|(group, (_, phrases))| phrases.iter().map(move |p| (group, *p)));
    let finder = AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(all().map(|(_, phrase)| phrase))
        .ok()?;
    Some((finder, all().map(|(group, _)| group).collect()))
});

/// What each group of phrases speaks of, in their order.
pub(super) static NAMES: LazyLock<[&str; PHRASES.len()]> = LazyLock::new(|| PHRASES.map(|(name, _)| name));

/// How often phrases of each group occur in a text.
pub(super) fn count(text: &str) -> [u32; PHRASES.len()] {
    let mut times = [0; PHRASES.len()];
    if let Some((finder, groups)) = FINDER.as_ref().filter(|_| text.len() < MAX_TEXT) {
        for found in finder.find_iter(text) {
            times[groups[found.pattern().as_usize()]] += 1;
        }
    }
    times
}
