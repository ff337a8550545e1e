//! What a query asks of words: terms, phrases in quotes, and `-not` words, as each configuration stems them.

use std::collections::HashMap;

use sea_orm::FromQueryResult;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// A query as it was typed, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// Words that count.
    words: String,
    /// Phrases that must be there.
    phrases: Vec<String>,
    /// Words and phrases that must not.
    denied: Vec<String>,
}

/// What a query asks of chunks of one configuration.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What counts, and how often it was said.
    pub(super) terms: HashMap<String, i32>,
    /// Terms that must be there: those of phrases.
    pub(super) needed: Vec<String>,
    /// Terms that must not be there.
    pub(super) denied: Vec<String>,
    /// What terms alone cannot tell, as a `tsquery`: whether phrases stand as they were typed.
    pub(super) test: Option<String>,
}

impl Typed {
    /// Takes `query` apart. A quote that is never closed is none, and a dash within a word is part of it.
    pub(super) fn of(query: &str) -> Self {
        let mut typed = Self::default();
        let mut rest = query;
        while let Some(at) = rest.find(|letter: char| !letter.is_whitespace()) {
            rest = &rest[at..];
            let (denied, body) = match rest.strip_prefix('-') {
                Some(body) if body.starts_with(|letter: char| letter == '"' || letter.is_alphanumeric()) => {
                    (true, body)
                }
                _ => (false, rest),
            };
            let phrase = body.strip_prefix('"').and_then(|body| body.split_once('"'));
            let (text, after) = match phrase {
                Some(found) => found,
                None => {
                    let end = body.char_indices().skip(1).find(|(_, letter)| letter.is_whitespace() || *letter == '"');
                    body.split_at(end.map_or(body.len(), |(end, _)| end))
                }
            };
            match (denied, phrase) {
                (true, _) => typed.denied.push(text.to_owned()),
                (false, Some(_)) => typed.phrases.push(text.to_owned()),
                (false, None) => {
                    typed.words.push_str(text);
                    typed.words.push(' ');
                }
            }
            rest = after;
        }
        typed
    }

    /// What it asks of chunks of each of `configs`.
    pub(super) async fn asked(&self, tx: &OrgTx, configs: &[String]) -> Result<HashMap<String, Asked>> {
        #[derive(FromQueryResult)]
        struct Row {
            config: String,
            kind: String,
            part: i64,
            phrase: String,
            lexeme: String,
            times: i32,
        }
        let parts = [("words", &self.words)]
            .into_iter()
            .chain(self.phrases.iter().map(|text| ("phrase", text)))
            .chain(self.denied.iter().map(|text| ("denied", text)));
        let (kinds, texts): (Vec<String>, Vec<String>) =
            parts.map(|(kind, text)| (kind.to_owned(), text.replace('\0', " "))).unzip();
        let statement = "SELECT config, kind, part, phraseto_tsquery(config::regconfig, p.text)::text AS phrase,
                 t.lexeme, greatest(cardinality(t.positions), 1) AS times
             FROM unnest($1::text[]) AS config
                 CROSS JOIN unnest($2::text[], $3::text[]) WITH ORDINALITY AS p(kind, text, part)
                 CROSS JOIN LATERAL unnest(to_tsvector(config::regconfig, p.text)) AS t
             ORDER BY config, part, t.lexeme";
        let rows: Vec<Row> = tx.all(sql(statement, [configs.to_vec().into(), kinds.into(), texts.into()])).await?;
        let mut asked: HashMap<String, Asked> = HashMap::new();
        for part in rows.chunk_by(|one, other| (&one.config, one.part) == (&other.config, other.part)) {
            let [first, further @ ..] = part else { continue };
            let asked = asked.entry(first.config.clone()).or_default();
            let mut test = None;
            match first.kind.as_str() {
                "denied" if further.is_empty() => asked.denied.push(first.lexeme.clone()),
                "denied" => test = Some(format!("!({})", first.phrase)),
                kind => {
                    for row in part {
                        *asked.terms.entry(row.lexeme.clone()).or_default() += row.times;
                        if kind == "phrase" {
                            asked.needed.push(row.lexeme.clone());
                        }
                    }
                    test = (kind == "phrase" && !further.is_empty()).then(|| format!("({})", first.phrase));
                }
            }
            if let Some(test) = test {
                asked.test =
                    Some(asked.test.take().map_or_else(|| test.clone(), |before| format!("{before} & {test}")));
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::Typed;

    fn typed(words: &str, phrases: &[&str], denied: &[&str]) -> Typed {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Typed { words: words.to_owned(), phrases: owned(phrases), denied: owned(denied) }
    }

    #[test]
    fn a_query_is_taken_apart() {
        assert_eq!(Typed::of("air  leaks"), typed("air leaks ", &[], &[]));
        assert_eq!(Typed::of("\"wet bulb\" -fan silo"), typed("silo ", &["wet bulb"], &["fan"]));
        assert_eq!(Typed::of("silo -\"wet bulb\""), typed("silo ", &[], &["wet bulb"]));
        assert_eq!(Typed::of("re-use a-b"), typed("re-use a-b ", &[], &[]));
        assert_eq!(Typed::of("size 5\" pipe"), typed("size 5 \" pipe ", &[], &[]));
        assert_eq!(Typed::of(" - -- -"), typed("- -- - ", &[], &[]));
        assert_eq!(Typed::of(""), Typed::default());
    }
}
