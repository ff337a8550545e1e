//! Code in pages: the language it is in, and what highlighters put around it.

use scraper::node::Element;

/// The numbers that highlighters set beside lines of code.
pub(super) fn is_line_number(element: &Element) -> bool {
    let named = |class: &str| {
        matches!(
            class,
            "lineno" | "linenos" | "linenodiv" | "line-number" | "line-numbers-rows" | "gutter" | "gl" | "blob-num"
        )
    };
    matches!(element.name(), "td" | "span" | "div" | "pre" | "a") && element.classes().any(named)
}

/// The language that classes of code name: `language-rust`, `lang-rust`, `highlight-source-rust`, `brush: rust`.
pub(super) fn language(element: &Element) -> Option<String> {
    let class = element.attr("class").unwrap_or_default();
    let declared = element.attr("data-lang").or_else(|| element.attr("data-language")).map(str::to_owned);
    let named = || {
        let mut words = class.split([' ', ';']).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if word == "brush:" {
                return words.next().map(str::to_owned);
            }
            let prefixes = ["language-", "lang-", "highlight-source-", "highlight-text-", "brush:"];
            if let Some(name) = prefixes.iter().find_map(|prefix| word.strip_prefix(prefix)) {
                return Some(name.to_owned());
            }
        }
        // Sphinx: `highlight-python3 notranslate`.
        let bare = class.split(' ').find_map(|word| word.strip_prefix("highlight-"));
        bare.filter(|_| class.contains("notranslate")).map(str::to_owned)
    };
    declared.or_else(named).map(|name| name.to_ascii_lowercase()).filter(|name| is_language(name))
}

/// A name that can be one of a language; `default` and `none` say that there is none.
fn is_language(name: &str) -> bool {
    let lettered = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+#-._".contains(&byte));
    (1..=24).contains(&name.len())
        && lettered
        && !matches!(name, "default" | "none" | "plaintext" | "text" | "txt" | "plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_name_the_language() {
        for (class, expected) in [
            ("language-Rust", Some("rust")),
            ("brush: js; toolbar: false", Some("js")),
            ("highlight highlight-source-c++", Some("c++")),
            ("highlight-python3 notranslate", Some("python3")),
            ("highlight-box", None),
            ("language-plaintext", None),
            ("lang-{{lang}}", None),
        ] {
            let page = scraper::Html::parse_fragment(&format!("<pre class='{class}'>x</pre>"));
            let element = page.select(&scraper::Selector::parse("pre").unwrap()).next().unwrap();
            assert_eq!(language(element.value()).as_deref(), expected, "{class}");
        }
    }
}
