//! What the head of a page says: title, byline, date, canonical address, language.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use dom_smoothie::Article;
use scraper::{Html, Selector};
use url::Url;

use crate::{Metadata, language};

/// Collects the metadata of a page; what the article reader found out comes second to what the page declares.
pub(super) fn read(page: &Html, article: Option<&Article>, base: Option<&Url>) -> Metadata {
    let title = article
        .map(|article| article.title.clone())
        .or_else(|| meta(page, &["og:title", "twitter:title", "dc.title"]))
        .or_else(|| text(page, "title"))
        .or_else(|| text(page, "h1"));
    let author = article
        .and_then(|article| article.byline.clone())
        .or_else(|| meta(page, &["author", "article:author", "dc.creator"]))
        .map(|author| author.trim().trim_start_matches("By ").trim_start_matches("by ").to_owned())
        // Some pages name the author by the address of a profile.
        .filter(|author| !author.starts_with("http"));
    let created = article
        .and_then(|article| article.published_time.clone())
        .or_else(|| {
            meta(page, &["article:published_time", "datepublished", "date", "dc.date", "dcterms.created", "pubdate"])
        })
        .or_else(|| attribute(page, "time[datetime]", "datetime"))
        .and_then(|value| moment(&value));
    let canonical = attribute(page, "link[rel='canonical']", "href").or_else(|| meta(page, &["og:url"]));
    Metadata {
        title: title.as_deref().map(squeeze).filter(|title| !title.is_empty()),
        author: author.as_deref().map(squeeze).filter(|author| !author.is_empty()),
        created,
        language: attribute(page, "html", "lang")
            .or_else(|| attribute(page, "html", "xml:lang"))
            .or_else(|| meta(page, &["content-language", "og:locale"]))
            .and_then(|tag| language::from_tag(&tag)),
        page_count: None,
        canonical_url: canonical.and_then(|address| web_address(&address, base)),
    }
}

/// The content of the first `<meta>` with one of these names, in the order of the names.
fn meta(page: &Html, names: &[&str]) -> Option<String> {
    let selector = Selector::parse("meta[content]").ok()?;
    names.iter().find_map(|name| {
        page.select(&selector).find_map(|element| {
            let named = ["name", "property", "itemprop", "http-equiv"]
                .iter()
                .any(|key| element.attr(key).is_some_and(|value| value.eq_ignore_ascii_case(name)));
            let content = element.attr("content").unwrap_or_default().trim();
            (named && !content.is_empty()).then(|| content.to_owned())
        })
    })
}

fn attribute(page: &Html, selector: &str, name: &str) -> Option<String> {
    let selector = Selector::parse(selector).ok()?;
    page.select(&selector).find_map(|element| element.attr(name)).map(str::to_owned)
}

fn text(page: &Html, selector: &str) -> Option<String> {
    let selector = Selector::parse(selector).ok()?;
    page.select(&selector).map(|element| element.text().collect::<String>()).find(|text| !text.trim().is_empty())
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

/// The date formats pages use; without a zone, UTC is taken.
fn moment(value: &str) -> Option<DateTime<Utc>> {
    let value = value.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(value).or_else(|_| DateTime::parse_from_rfc2822(value)) {
        return Some(moment.to_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S %z"] {
        if let Ok(moment) = DateTime::parse_from_str(value, format) {
            return Some(moment.to_utc());
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(value, format) {
            return Some(moment.and_utc());
        }
    }
    for format in ["%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%Y%m%d"] {
        if let Ok(day) = NaiveDate::parse_from_str(value, format) {
            return day.and_hms_opt(0, 0, 0).map(|moment| moment.and_utc());
        }
    }
    None
}
