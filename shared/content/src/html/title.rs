//! The title of a page: of all the names it bears, the one a reader would give it.

use url::Url;

use super::facts::Facts;
use super::features::letters;

/// What stands between a page's name and its site's in `<title>`.
const BARS: [char; 9] = ['|', '-', '–', '—', '·', '•', '»', '«', '/'];

/// Words in the name of a site, at most.
const SITE_WORDS: usize = 4;

/// The title. A heading that repeats what the head says is best: it has no site name. Without one, the head's title
/// loses the name of the site.
pub(super) fn of(facts: &Facts, headline: Option<&str>, address: Option<&Url>) -> Option<String> {
    let host = address.and_then(Url::host_str).map(|host| letters(host.trim_start_matches("www."))).unwrap_or_default();
    let site = facts
        .meta(&["og:site_name", "application-name"])
        .map(letters)
        .filter(|site| !site.is_empty())
        .unwrap_or_else(|| host.clone());
    let open = facts.meta(&["og:title", "twitter:title", "dc.title", "dcterms.title"]);
    let names: Vec<&str> =
        [open, facts.title.as_deref(), headline].into_iter().flatten().filter(|n| !n.trim().is_empty()).collect();
    let headings: Vec<String> = facts.headings.iter().map(|h| unmarked(h)).filter(|h| letters(h).len() > 2).collect();

    let repeated = headings.iter().filter(|heading| {
        letters(heading) != site && letters(heading) != host && names.iter().any(|name| repeats(heading, name, &site))
    });
    if let Some(heading) = repeated.max_by_key(|heading| heading.len()) {
        return Some(heading.clone());
    }
    let first = names.first().map(|name| {
        let bare = without_site(name, &site);
        let bare = if bare.len() < name.trim().len() { bare } else { without_tail(&bare) };
        before_bar(&bare)
    });
    match (headings.as_slice(), first) {
        // A single heading that says the same in other words.
        ([heading], Some(name)) if shared_words(heading, &name) => Some(heading.clone()),
        (_, Some(name)) => Some(name),
        (headings, None) => headings.first().cloned(),
    }
}

/// Whether a heading is a good part of a name.
fn repeats(heading: &str, name: &str, site: &str) -> bool {
    let own = letters(heading);
    let name = without_site(name, site);
    // What follows the first bar may be anything; what precedes it is the page.
    let head = name.split(" | ").next().unwrap_or_default();
    let whole = letters(&name);
    whole.contains(&own) && (own.len() * 5 >= whole.len() * 2 || own == letters(head))
}

/// Whether at least half of the words of either are words of the other.
fn shared_words(one: &str, other: &str) -> bool {
    let words = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|w| w.chars().count() > 2)
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    let (one, other) = (words(one), words(other));
    let common = one.iter().filter(|word| other.contains(word)).count();
    common * 2 >= one.len().min(other.len()).max(1) && common > 0
}

/// A name without the parts at its ends that are the site's name.
fn without_site(name: &str, site: &str) -> String {
    let mut name = name.trim();
    while let Some((head, tail)) = split_last(name) {
        let own = letters(tail);
        if site.is_empty() || own.len() < 3 || !(site.contains(&own) || own.contains(site)) {
            break;
        }
        name = head;
    }
    if let Some((head, tail)) = split_first(name)
        && !site.is_empty()
        && letters(head) == site
    {
        name = tail;
    }
    name.to_owned()
}

/// A name without a short last part.
fn without_tail(name: &str) -> String {
    let words = |text: &str| text.split_whitespace().count();
    match split_last(name) {
        Some((head, tail)) if words(tail) <= SITE_WORDS && words(head) >= words(tail) => head.to_owned(),
        _ => name.to_owned(),
    }
}

/// What precedes a vertical bar, unless it is a single word: what follows is a slogan, a section, a second name.
fn before_bar(name: &str) -> String {
    let head = name.split(" | ").next().unwrap_or_default().trim();
    if head.contains(' ') { head.to_owned() } else { name.to_owned() }
}

/// Parts a name at its last bar between spaces; a vertical bar needs none.
fn split_last(name: &str) -> Option<(&str, &str)> {
    bars(name).last().map(|(start, end)| (name[..start].trim_end(), name[end..].trim_start()))
}

fn split_first(name: &str) -> Option<(&str, &str)> {
    bars(name).next().map(|(start, end)| (name[..start].trim_end(), name[end..].trim_start()))
}

fn bars(name: &str) -> impl Iterator<Item = (usize, usize)> {
    name.char_indices().filter(|(_, c)| BARS.contains(c)).filter_map(|(at, c)| {
        let end = at + c.len_utf8();
        let spaced =
            c == '|' || name[..at].ends_with(char::is_whitespace) && name[end..].starts_with(char::is_whitespace);
        (spaced && !name[..at].trim().is_empty() && !name[end..].trim().is_empty()).then_some((at, end))
    })
}

/// A heading without the mark that links to it.
fn unmarked(heading: &str) -> String {
    heading.trim_end_matches(['¶', '#', ' ', '§']).trim_end_matches("Copy item path").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(source: &str) -> Option<String> {
        of(&Facts::of(&scraper::Html::parse_document(source)), None, None)
    }

    #[test]
    fn the_heading_that_repeats_the_title_is_the_title() {
        let page = "<title>Mill to grind again - The News</title><h1>The News</h1><h1>Mill to grind again</h1>";
        assert_eq!(title(page).as_deref(), Some("Mill to grind again"));
        let page = "<title>Logging HOWTO — Docs</title><h1>Logging HOWTO¶</h1>";
        assert_eq!(title(page).as_deref(), Some("Logging HOWTO"));
    }

    #[test]
    fn the_name_of_the_site_is_no_part_of_it() {
        let page = "<meta property='og:site_name' content='The Daily Grind and Flour News'><title>Wheel | Daily Grind</title><h1>Menu</h1>";
        assert_eq!(title(page).as_deref(), Some("Wheel"));
        assert_eq!(
            title("<title>The wheel turns once more - Grist</title>").as_deref(),
            Some("The wheel turns once more")
        );
        assert_eq!(title("<title>A self-made wheel</title>").as_deref(), Some("A self-made wheel"));
    }

    #[test]
    fn a_heading_alone_will_do() {
        assert_eq!(title("<h1>Wheel</h1>").as_deref(), Some("Wheel"));
        assert_eq!(title("<p>text"), None);
    }
}
