//! Who wrote a page.

use serde_json::Value;

use super::facts::Facts;
use super::linked::{self, Linked};
use super::outline::Outline;

/// Words in a name, at most; longer ones are sentences.
const MAX_WORDS: usize = 8;

/// Words before a name that are not part of it.
const LEADS: [&str; 18] = [
    "by",
    "by:",
    "written by",
    "written by:",
    "posted by",
    "posted by:",
    "author",
    "author:",
    "text by",
    "words by",
    "von",
    "par",
    "por",
    "story by",
    "article by",
    "published by",
    "reviewed by",
    "contributed by",
];

/// What follows a name in a byline.
const TRAILS: [&str; 16] = [
    " on ",
    " | ",
    " · ",
    " • ",
    " – ",
    " — ",
    " - ",
    " published",
    " posted",
    " updated",
    " last ",
    " in ",
    " @",
    " ✉",
    " (",
    " about ",
];

/// Pieces before and after the headline that are looked at for a byline.
const NEAR: usize = 12;

/// The author or authors, parted by commas: what the page declares, then what it marks, then what its classes say, then
/// what stands near the headline, and in the end whoever comes first on a page of many.
pub(super) fn of(facts: &Facts, linked: &Linked, outline: &Outline, headline: Option<usize>) -> Option<String> {
    let declared = || linked.subject().and_then(|subject| of_object(subject, linked));
    let names =
        ["author", "parsely-author", "sailthru.author", "dc.creator", "dcterms.creator", "article:author", "byl"];
    let labelled = || {
        let label = facts.meta(&["twitter:label1"]).filter(|label| label.to_lowercase().contains("by"));
        label.and(facts.meta(&["twitter:data1"])).and_then(name)
    };
    declared()
        .or_else(|| names.iter().filter_map(|name| facts.meta(&[name])).find_map(name))
        .or_else(labelled)
        .or_else(|| facts.authors.own().find_map(|text| first_name(text)))
        .or_else(|| facts.bylines.own().find_map(|text| first_name(text)))
        .or_else(|| near(outline, headline))
        .or_else(|| facts.authors.all().chain(facts.bylines.all()).find_map(|text| first_name(text)))
}

/// The first name in the parts of a byline.
fn first_name(parts: &str) -> Option<String> {
    parts.lines().find_map(name)
}

/// The name in a line near the headline that says "by".
fn near(outline: &Outline, headline: Option<usize>) -> Option<String> {
    let at = headline?;
    let pieces = outline.pieces.iter().skip(at.saturating_sub(NEAR / 2)).take(NEAR + NEAR / 2);
    let mut lines = pieces.map(|piece| piece.text.trim()).filter(|text| text.len() < 120);
    lines.find_map(|text| LEADS.iter().any(|lead| strip(text, lead).is_some()).then(|| name(text))?)
}

/// The `author` of an object of schema.org: a name, an object with one, a reference, or several.
fn of_object(object: &Value, linked: &Linked) -> Option<String> {
    let author = object.get("author").or_else(|| object.get("creator"))?;
    let all = match author {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut names: Vec<String> = Vec::new();
    for author in all {
        let own = author.as_str().or_else(|| linked::text(author, &["name"]));
        let referred = || linked::text(linked.by_id(author.get("@id")?.as_str()?)?, &["name"]);
        if let Some(name) = own.or_else(referred).and_then(name).filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// The name in a byline; none where there is no name.
fn name(byline: &str) -> Option<String> {
    let mut rest = byline.trim().trim_matches(['-', '–', '—', '|', '·', '•', ',', ':', '/']).trim();
    // "Jan 10 Written by …"
    for lead in ["Written by ", "Written By ", "written by "] {
        rest = rest.split_once(lead).map_or(rest, |(_, name)| name.trim());
    }
    while let Some(after) = LEADS.iter().find_map(|lead| strip(rest, lead)) {
        rest = after;
    }
    let lower = rest.to_lowercase();
    let same_length = lower.len() == rest.len();
    let end = TRAILS
        .iter()
        .filter_map(|trail| lower.find(trail))
        .min()
        .filter(|at| same_length && rest.is_char_boundary(*at));
    let rest = rest[..end.unwrap_or(rest.len())].trim_matches(|c: char| c.is_whitespace() || ",|·•-–—:".contains(c));
    // A date that follows at once.
    let digits = rest.find(|c: char| c.is_ascii_digit()).filter(|at| rest[..*at].contains(' '));
    let rest = match digits {
        Some(at) => rest[..at].trim_end_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation()),
        None => rest,
    };
    let rest = MONTHS
        .iter()
        .fold(rest, |rest, month| rest.strip_suffix(month).unwrap_or(rest))
        .trim_matches(|c: char| c.is_whitespace() || c == ',');
    let words = rest.split_whitespace().count();
    let address = rest.starts_with("http")
        || rest.contains("://")
        || rest.contains('@') && !rest.starts_with('@')
        || rest.contains("www.");
    let generic = matches!(
        rest.to_lowercase().as_str(),
        "admin"
            | "administrator"
            | "guest"
            | "anonymous"
            | "unknown"
            | "author"
            | "null"
            | "undefined"
            | "about the author"
            | "webmaster"
    );
    let lettered = rest.chars().any(char::is_alphabetic);
    let label = ["updated", "published", "posted"].iter().chain(&LEADS).any(|word| rest.eq_ignore_ascii_case(word));
    let dated = MONTHS.iter().any(|month| rest.eq_ignore_ascii_case(month.trim()));
    (lettered && !label && !dated && words <= MAX_WORDS && !address && !generic)
        .then(|| rest.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Names of months as they follow names of people: with a space before, so that nobody loses the end of a surname.
const MONTHS: [&str; 23] = [
    " January",
    " February",
    " March",
    " April",
    " May",
    " June",
    " July",
    " August",
    " September",
    " October",
    " November",
    " December",
    " Jan",
    " Feb",
    " Mar",
    " Apr",
    " Jun",
    " Jul",
    " Aug",
    " Sep",
    " Oct",
    " Nov",
    " Dec",
];

/// The rest after a leading word or words, if they stand alone.
fn strip<'t>(text: &'t str, lead: &str) -> Option<&'t str> {
    let start = text.get(..lead.len()).filter(|start| start.eq_ignore_ascii_case(lead))?;
    let rest = &text[start.len()..];
    (rest.starts_with(char::is_whitespace) || lead.ends_with(':') || rest.starts_with(':'))
        .then(|| rest.trim_start_matches([':', ' ']).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byline_gives_its_name() {
        for (byline, expected) in [
            ("By Jane Miller", Some("Jane Miller")),
            ("Written by: Jane Miller", Some("Jane Miller")),
            ("by Jane Miller on June 3, 2026", Some("Jane Miller")),
            ("Jane Miller June 3, 2026", Some("Jane Miller")),
            ("Jan 10 Written By Jane Miller", Some("Jane Miller")),
            ("Jane Miller | The News", Some("Jane Miller")),
            ("Byron Miller", Some("Byron Miller")),
            ("https://www.facebook.com/jane", None),
            ("jane@mill.test", None),
            ("admin", None),
        ] {
            assert_eq!(name(byline).as_deref(), expected, "{byline}");
        }
    }
}
