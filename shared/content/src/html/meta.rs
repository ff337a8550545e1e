//! What a page says about itself: title, author, date, canonical address, language.

use scraper::Html;
use url::Url;

use super::facts::Facts;
use super::features::letters;
use super::linked::{self, Linked};
use super::outline::Outline;
use super::{author, dates, title};
use crate::{Metadata, language};

/// Collects the metadata of a page: JSON-LD and the head first, then what the markup marks, then what stands near the
/// headline.
pub(super) fn read(page: &Html, linked: &Linked, outline: &Outline, base: Option<&Url>) -> Metadata {
    let facts = Facts::of(page);
    let headline = linked.subject().and_then(|subject| linked::text(subject, &["headline", "name"]));
    let canonical = facts.canonical.as_deref().or_else(|| facts.meta(&["og:url"]));
    let canonical_url = canonical.and_then(|address| web_address(address, base));
    let own = canonical_url.as_deref().and_then(|address| Url::parse(address).ok());
    let title = title::of(&facts, headline, base.or(own.as_ref()));
    let wanted = title.as_deref().map(letters).filter(|title| title.len() > 3);
    let place = wanted.and_then(|wanted| {
        // A text of another length is another text: most need not be compared.
        let alike = |text: &str| text.len() >= wanted.len() && text.len() < wanted.len() * 2 + 20;
        outline.pieces.iter().position(|piece| alike(&piece.text) && letters(&piece.text) == wanted)
    });
    Metadata {
        author: author::of(&facts, linked, outline, place),
        created: dates::of(&facts, linked, outline, place, base.or(own.as_ref())),
        language: [facts.language.as_deref(), facts.meta(&["content-language", "og:locale", "dc.language"])]
            .into_iter()
            .flatten()
            .find_map(language::from_tag),
        page_count: None,
        canonical_url,
        title: title.as_deref().map(squeeze).filter(|title| !title.is_empty()),
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An absolute HTTP address, or none.
pub(crate) fn web_address(address: &str, base: Option<&Url>) -> Option<String> {
    let resolved = match base {
        Some(base) => base.join(address.trim()),
        None => Url::parse(address.trim()),
    };
    resolved.ok().filter(|url| matches!(url.scheme(), "http" | "https")).map(String::from)
}
