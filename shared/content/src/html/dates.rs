//! When a page was published.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use url::Url;

use super::facts::{Facts, Moment};
use super::linked::{self, Linked};
use super::outline::Outline;

/// The years a page of the Web can be from.
const YEARS: std::ops::RangeInclusive<i32> = 1990..=2100;

/// Pieces before and after the headline that are looked at for a date.
const NEAR: usize = 12;

/// Longer texts are no date lines, in bytes.
const DATE_LINE: usize = 120;

/// Months by their first letters, in the languages most pages are written in; accents left out.
const MONTHS: [&[&str]; 12] = [
    &["jan", "gen", "ene", "january", "januar", "janvier", "enero", "gennaio", "janeiro", "januari", "jänner"],
    &["feb", "fev", "fév", "february", "februar", "fevrier", "février", "febrero", "febbraio", "fevereiro", "februari"],
    &["mar", "mär", "mrz", "march", "marz", "märz", "mars", "marzo", "marco", "março", "maart"],
    &["apr", "abr", "avr", "april", "avril", "abril", "aprile"],
    &["may", "mai", "mag", "mayo", "maggio", "maio", "mei"],
    &["jun", "juin", "giu", "june", "juni", "junio", "giugno", "junho"],
    &["jul", "juil", "lug", "july", "juli", "juillet", "julio", "luglio", "julho"],
    &["aug", "aou", "aoû", "ago", "august", "aout", "août", "agosto", "augustus"],
    &["sep", "sept", "set", "september", "septembre", "septiembre", "settembre", "setembro"],
    &["oct", "okt", "ott", "out", "october", "oktober", "octobre", "octubre", "ottobre", "outubro"],
    &["nov", "november", "novembre", "noviembre", "novembro"],
    &["dec", "dez", "déc", "dic", "december", "dezember", "decembre", "décembre", "diciembre", "dicembre", "dezembro"],
];

/// The moment of publication: what the page declares, then what it marks, then what its address and its text say.
pub(super) fn of(
    facts: &Facts,
    linked: &Linked,
    outline: &Outline,
    headline: Option<usize>,
    address: Option<&Url>,
) -> Option<DateTime<Utc>> {
    let keys = ["datePublished", "dateCreated", "uploadDate"];
    let objects = [linked.subject(), linked.page()];
    let declared = || objects.into_iter().flatten().find_map(|object| parse(linked::text(object, &keys)?));
    let names = [
        "article:published_time",
        "og:article:published_time",
        "og:published_time",
        "datepublished",
        "parsely-pub-date",
        "sailthru.date",
        "date",
        "dc.date",
        "dc.date.issued",
        "dc.date.created",
        "dcterms.created",
        "dcterms.date",
        "dcterms.issued",
        "pubdate",
        "publishdate",
        "publish-date",
        "publish_date",
        "published",
        "article.published",
        "citation_publication_date",
        "citation_date",
        "datecreated",
        "bt:pubdate",
        "cxenseparse:recs:publishtime",
        "date.created",
        "originalpublicationdate",
        "article:published",
        "release_date",
    ];
    let named = || names.iter().find_map(|name| parse(facts.meta(&[name])?));
    let other = || facts.metas_about("publish").find_map(parse);
    let moments = |wanted: fn(&Moment) -> bool| facts.moments.own().filter(|m| wanted(m)).find_map(|m| parse(&m.value));
    let changed = || {
        let named = facts.meta(&["article:modified_time", "og:updated_time", "last-modified", "dcterms.modified"]);
        let declared = objects.into_iter().flatten().find_map(|object| linked::text(object, &["dateModified"]));
        named.and_then(parse).or_else(|| declared.and_then(parse))
    };
    declared()
        .or_else(named)
        .or_else(other)
        .or_else(|| moments(|moment| moment.published))
        .or_else(|| address.and_then(in_address))
        .or_else(|| moments(|moment| !moment.changed))
        .or_else(|| facts.dated.own().find_map(|text| in_text(text)))
        .or_else(|| near(outline, headline))
        .or_else(|| facts.moments.all().find_map(|moment| parse(&moment.value)))
        .or_else(|| facts.dated.all().chain(facts.bylines.all()).find_map(|text| in_text(text)))
        .or_else(changed)
}

/// A date line around the headline, those that follow it first.
fn near(outline: &Outline, headline: Option<usize>) -> Option<DateTime<Utc>> {
    let at = headline.unwrap_or(0);
    let pieces = &outline.pieces;
    let after = pieces.iter().skip(at).take(NEAR);
    let before = pieces[..at.min(pieces.len())].iter().rev().take(NEAR / 2);
    after.chain(before).filter(|piece| piece.text.len() < DATE_LINE).find_map(|piece| in_text(&piece.text))
}

/// A date in the path of an address: `/2026/03/01/`, `/2026-03-01-…`.
fn in_address(address: &Url) -> Option<DateTime<Utc>> {
    let numbers: Vec<&str> = address.path().split(['/', '-', '_', '.']).collect();
    numbers.windows(3).find_map(|window| {
        let [year, month, day] = window else { return None };
        (year.len() == 4 && month.len() == 2 && day.len() == 2)
            .then(|| date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))?
    })
}

/// A machine-readable moment, else any date in the text; without a zone, UTC is taken.
fn parse(value: &str) -> Option<DateTime<Utc>> {
    let value = value.trim();
    let moment = DateTime::parse_from_rfc3339(value).or_else(|_| DateTime::parse_from_rfc2822(value)).ok();
    let zoned = || {
        ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S %z"]
            .iter()
            .find_map(|format| DateTime::parse_from_str(value, format).ok())
    };
    let local = || {
        let formats = [
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.fZ",
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
            "%Y/%m/%d %H:%M:%S",
        ];
        formats
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(value, format).ok())
            .map(|moment| moment.and_utc())
    };
    let day = || NaiveDate::parse_from_str(value, "%Y%m%d").ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let found =
        moment.or_else(zoned).map(|moment| moment.to_utc()).or_else(local).or_else(day).or_else(|| in_text(value));
    found.filter(|moment| YEARS.contains(&moment.year()))
}

/// The first date in a text: `March 1, 2026`, `1. März 2026`, `2026-03-01`, `01.03.2026`, `3/1/2026`.
pub(super) fn in_text(text: &str) -> Option<DateTime<Utc>> {
    let mut words: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    // Words of letters or of digits, each with what stands before it.
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let digits = rest[start..].starts_with(|c: char| c.is_ascii_digit());
        let end = rest[start..]
            .find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != digits)
            .map_or(rest.len(), |end| start + end);
        words.push((&rest[..start], &rest[start..end]));
        rest = &rest[end..];
    }
    (0..words.len()).find_map(|at| from_words(&words[at..]))
}

fn from_words(words: &[(&str, &str)]) -> Option<DateTime<Utc>> {
    // Ordinals and the small words of "1st of March" and "1 de marzo de 2026" are passed over.
    let small = |word: &str| {
        matches!(word.to_lowercase().as_str(), "st" | "nd" | "rd" | "th" | "of" | "de" | "del" | "er" | "the")
    };
    let mut kept = words.iter().take(8).filter(|(_, word)| !small(word)).copied();
    let (first, second, third) = (kept.next()?, kept.next()?, kept.next()?);
    let number = |word: &str| word.parse::<u32>().ok().filter(|_| word.len() <= 4);
    let year = |word: &str| word.parse::<i32>().ok().filter(|year| word.len() == 4 && YEARS.contains(year));
    if let (Some(month), Some(day), Some(year)) = (month(first.1), number(second.1), year(third.1)) {
        return date(year, month, day);
    }
    if let (Some(day), Some(month), Some(year)) = (number(first.1), month(second.1), year(third.1)) {
        return date(year, month, day);
    }
    let (one, two) = (number(second.1)?, number(third.1));
    let tied = |between: &str| matches!(between, "-" | "/" | "." | ". " | "年" | "月");
    if !tied(second.0) || !tied(third.0) {
        return None;
    }
    if let Some(year) = year(first.1) {
        return date(year, one, two.filter(|_| third.1.len() <= 2)?);
    }
    let year = year(third.1)?;
    let other = number(first.1)?;
    // Dots are European, day first; slashes are American unless the month would be none.
    if second.0.starts_with('.') || other > 12 { date(year, one, other) } else { date(year, other, one) }
}

fn month(word: &str) -> Option<u32> {
    let word = word.to_lowercase();
    let at = MONTHS.iter().position(|names| names.contains(&word.as_str()))?;
    u32::try_from(at + 1).ok()
}

fn date(year: i32, month: u32, day: u32) -> Option<DateTime<Utc>> {
    let day = NaiveDate::from_ymd_opt(year, month, day).filter(|_| YEARS.contains(&year))?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_people_write_them() {
        for text in [
            "March 1, 2026",
            "Published on Mar 1st, 2026 by Jane",
            "1 March 2026",
            "1. März 2026",
            "Sunday, 1 de marzo de 2026",
            "le 1er mars 2026",
            "2026-03-01",
            "2026/03/01",
            "01.03.2026",
            "3/1/2026",
            "2026-03-01T10:00:00Z",
            "20260301",
            "Sun, 01 Mar 2026 08:00:00 +0000",
        ] {
            assert_eq!(parse(text).map(|m| m.date_naive().to_string()).as_deref(), Some("2026-03-01"), "{text}");
        }
        for text in ["12 minutes", "3/4/5", "call 555-01-2026", "May I ask 2026 questions", "1999", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_may_hold_the_date() {
        let day = |address: &str| in_address(&address.parse().unwrap()).map(|m| m.date_naive().to_string());
        assert_eq!(day("https://mill.test/2026/03/01/wheel").as_deref(), Some("2026-03-01"));
        assert_eq!(day("https://mill.test/a-2026-03-01.html").as_deref(), Some("2026-03-01"));
        assert_eq!(day("https://mill.test/1234/56/78"), None);
    }
}
