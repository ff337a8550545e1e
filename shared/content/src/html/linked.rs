//! What a page says about itself in JSON-LD, with the vocabulary of schema.org.

use scraper::{Html, Selector};
use serde_json::Value;

use super::features::Signs;

/// Objects looked at in one page; some list thousands of products.
const MAX_OBJECTS: usize = 2_000;

/// The objects that JSON-LD describes, in the order of the page, without those nested in lists of other pages.
#[derive(Debug, Default)]
pub(super) struct Linked {
    objects: Vec<Value>,
}

impl Linked {
    /// Reads all of a page's JSON-LD; what cannot be parsed is left out.
    pub(super) fn of(page: &Html) -> Self {
        let mut objects = Vec::new();
        let Ok(selector) = Selector::parse("script[type*='ld+json']") else { return Self::default() };
        for script in page.select(&selector) {
            let source: String = script.text().collect();
            let source = source.trim().trim_start_matches("<!--").trim_end_matches("-->").trim_end_matches(';');
            // Line breaks within strings are an error in JSON and common in pages.
            let value = serde_json::from_str(source)
                .or_else(|_| serde_json::from_str(&source.replace(['\n', '\r', '\t'], " ")));
            if let Ok(value) = value {
                gather(value, &mut objects);
            }
        }
        Self { objects }
    }

    /// What the page calls itself.
    pub(super) fn signs(&self) -> Signs {
        let mut signs = Signs::default();
        for object in &self.objects {
            for name in types(object) {
                signs.article |= is_article(name);
                signs.product |= name == "Product" || name == "ProductGroup";
                signs.thread |= matches!(name, "DiscussionForumPosting" | "QAPage" | "Question" | "SocialMediaPosting");
            }
        }
        signs
    }

    /// The object that describes what the page is about: an article before anything else that has a headline or name.
    pub(super) fn subject(&self) -> Option<&Value> {
        let of = |wanted: fn(&str) -> bool| self.objects.iter().find(|object| types(object).any(wanted));
        of(is_article)
            .or_else(|| {
                of(|name| {
                    matches!(
                        name,
                        "DiscussionForumPosting"
                            | "SocialMediaPosting"
                            | "Question"
                            | "Recipe"
                            | "VideoObject"
                            | "HowTo"
                    )
                })
            })
            .or_else(|| {
                of(|name| {
                    matches!(
                        name,
                        "Product" | "ProductGroup" | "Course" | "Event" | "JobPosting" | "Book" | "SoftwareApplication"
                    )
                })
            })
    }

    /// The page itself, where it is described beside its subject.
    pub(super) fn page(&self) -> Option<&Value> {
        self.objects.iter().find(|object| types(object).any(|name| name.ends_with("Page") && name != "QAPage"))
    }

    /// The longest text the page gives as its own: an article's body, a product's description.
    pub(super) fn body(&self) -> Option<&str> {
        let texts = self.objects.iter().flat_map(|object| {
            ["articleBody", "text", "description"].into_iter().filter_map(|key| object.get(key).and_then(Value::as_str))
        });
        texts.max_by_key(|text| text.len())
    }

    /// The object with this identifier.
    pub(super) fn by_id(&self, id: &str) -> Option<&Value> {
        self.objects
            .iter()
            .find(|object| object.get("@id").and_then(Value::as_str) == Some(id) && object.get("name").is_some())
    }
}

/// The first text under one of these keys.
pub(super) fn text<'v>(object: &'v Value, keys: &[&str]) -> Option<&'v str> {
    keys.iter().filter_map(|key| object.get(key)?.as_str()).find(|text| !text.trim().is_empty())
}

fn is_article(name: &str) -> bool {
    name.ends_with("Article") || matches!(name, "BlogPosting" | "Report" | "LiveBlogPosting" | "Review" | "TechArticle")
}

fn types(object: &Value) -> impl Iterator<Item = &str> {
    let (one, many) = match object.get("@type") {
        Some(Value::String(name)) => (Some(name.as_str()), None),
        Some(Value::Array(names)) => (None, Some(names)),
        _ => (None, None),
    };
    one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str)).map(bare)
}

/// A type without the address of its vocabulary.
fn bare(name: &str) -> &str {
    name.rsplit(['/', ':']).next().unwrap_or(name)
}

fn gather(value: Value, objects: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| gather(value, objects)),
        Value::Object(mut map) if objects.len() < MAX_OBJECTS => {
            let nested = [map.remove("@graph"), map.remove("mainEntity")];
            objects.push(Value::Object(map));
            nested.into_iter().flatten().for_each(|value| gather(value, objects));
        }
        _ => {}
    }
}
