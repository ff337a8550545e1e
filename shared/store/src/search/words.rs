//! Search by words: BM25 over the organization's postings, one configuration (language) after the other.

use std::collections::HashSet;

use gristmill_core::ids::{ChunkId, DocumentId};
use sea_orm::{FromQueryResult, Value};

use super::{
    Filters, Found, Narrowed,
    query::{Asked, Typed},
};
use crate::{
    bm25::{Collection, Scores},
    db::{OrgTx, Tx, sql},
    error::Result,
    postings::{self, TermStats, Total},
};

/// Postings that are read at once before it is asked whether that was enough.
const AT_ONCE: i64 = 20_000;
/// How much deeper it is looked where too few were left.
const DEEPER: usize = 4;

/// The best `limit` chunks by words, best first. Phrases in quotes must be there as they stand, `-not` words must not; of
/// all other words some are enough.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_words(
    tx: &OrgTx,
    query: &str,
    filters: &Filters,
    narrowed: &Narrowed,
    limit: usize,
) -> Result<Vec<Found>> {
    let totals = postings::totals(tx).await?;
    let configs: Vec<String> = totals.iter().map(|total| total.config.clone()).collect();
    if configs.is_empty() {
        return Ok(Vec::new());
    }
    let mut asked = Typed::of(query).asked(tx, &configs).await?;
    let mut found = Vec::new();
    for total in &totals {
        let Some(asked) = asked.remove(&total.config) else { continue };
        if !asked.terms.is_empty() {
            let search = Search { tx, total, asked: &asked, filters };
            found.extend(search.run(narrowed.numbers(), limit).await?);
        }
    }
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    found.truncate(limit);
    Ok(found.into_iter().map(|(found, _)| found).collect())
}

/// A search among chunks of one configuration.
struct Search<'a> {
    tx: &'a OrgTx,
    total: &'a Total,
    asked: &'a Asked,
    filters: &'a Filters,
}

/// A term of the query and what it can add.
struct Term {
    term: String,
    entries: i64,
    weight: f32,
    /// The most it can add to a chunk's score.
    bound: f32,
}

impl Search<'_> {
    async fn run(&self, narrowed: Option<Vec<i64>>, limit: usize) -> Result<Vec<(Found, f32)>> {
        let collection = Collection::new(self.total.chunks, self.total.terms);
        let names: Vec<String> = self.asked.terms.keys().cloned().collect();
        let stats = postings::stats(self.tx, &self.total.config, &names).await?;
        let terms = self.terms(collection, &stats);
        if terms.is_empty() || self.asked.needed.iter().any(|term| stats.iter().all(|known| known.term != *term)) {
            return Ok(Vec::new());
        }
        let among = self.needed(narrowed, &stats).await?;
        let denied = self.denied().await?;
        let mut depth = limit + limit / 2;
        loop {
            let ranked = self.rank(collection, &terms, among.as_deref(), &denied, depth).await?;
            let exhausted = ranked.len() < depth;
            let left = self.left(&ranked).await?;
            if exhausted || left.len() >= limit {
                return Ok(left);
            }
            depth *= DEEPER;
        }
    }

    /// The terms that occur, the rarest first.
    fn terms(&self, collection: Collection, stats: &[TermStats]) -> Vec<Term> {
        let term = |known: &TermStats| {
            let times = self.asked.terms.get(&known.term).copied().unwrap_or(1);
            let weight = collection.weight(known.entries, times);
            let unsigned = |number: i16| u16::try_from(number).unwrap_or_default();
            let bound = weight * collection.gain(unsigned(known.most), unsigned(known.shortest));
            Term { term: known.term.clone(), entries: known.entries, weight, bound }
        };
        let mut terms: Vec<Term> = stats.iter().map(term).collect();
        terms.sort_by(|one, other| one.entries.cmp(&other.entries).then_with(|| one.term.cmp(&other.term)));
        terms
    }

    /// The chunks, in order, that are left by the filters and have all terms that must be there, where either narrows.
    async fn needed(&self, narrowed: Option<Vec<i64>>, stats: &[TermStats]) -> Result<Option<Vec<i64>>> {
        let mut among = narrowed;
        let mut needed: Vec<&TermStats> =
            stats.iter().filter(|known| self.asked.needed.contains(&known.term)).collect();
        needed.sort_by_key(|known| known.entries);
        for term in needed {
            let having = match &among {
                Some(among) => postings::of_chunks(self.tx, &self.total.config, &term.term, among).await?,
                None => self
                    .read(std::slice::from_ref(&term.term))
                    .await?
                    .into_iter()
                    .flat_map(|(_, found)| found)
                    .collect(),
            };
            let mut having: Vec<i64> = having.into_iter().map(|posting| posting.number).collect();
            having.sort_unstable();
            if let Some(among) = among {
                having.retain(|number| among.binary_search(number).is_ok());
            }
            among = Some(having);
        }
        Ok(among)
    }

    /// The chunks that have terms that must not be there.
    async fn denied(&self) -> Result<HashSet<i64>> {
        if self.asked.denied.is_empty() {
            return Ok(HashSet::new());
        }
        let found = self.read(&self.asked.denied).await?;
        Ok(found.into_iter().flat_map(|(_, postings)| postings).map(|posting| posting.number).collect())
    }

    async fn read(&self, terms: &[String]) -> Result<Vec<(String, Vec<crate::bm25::Posting>)>> {
        postings::of_terms(self.tx, &self.total.config, terms).await
    }

    /// The best `count` of the chunks that are not denied, of those `among` where that is said.
    async fn rank(
        &self,
        collection: Collection,
        terms: &[Term],
        among: Option<&[i64]>,
        denied: &HashSet<i64>,
        count: usize,
    ) -> Result<Vec<(i64, f32)>> {
        let may =
            |number: i64| !denied.contains(&number) && among.is_none_or(|among| among.binary_search(&number).is_ok());
        let mut scores = Scores::default();
        let mut rest = terms;
        while !rest.is_empty() {
            let to_come: f32 = rest.iter().map(|term| term.bound).sum();
            let threshold = scores.threshold(count);
            if threshold > to_come * 1.0001 {
                return self.look_up(collection, scores, rest, count).await;
            }
            let mut postings = 0;
            let batch = rest.iter().take_while(|term| {
                postings += term.entries;
                postings <= AT_ONCE
            });
            let (batch, later) = rest.split_at(batch.count().max(1));
            rest = later;
            let names: Vec<String> = batch.iter().map(|term| term.term.clone()).collect();
            let found = match among {
                // Where few chunks are in question, most rows of a frequent term need not be read.
                Some(among) if batch.len() == 1 => {
                    let name = &batch[0].term;
                    vec![(name.clone(), postings::of_chunks(self.tx, &self.total.config, name, among).await?)]
                }
                _ => self.read(&names).await?,
            };
            for (name, mut postings) in found {
                postings.retain(|posting| may(posting.number));
                let weight = batch.iter().find(|term| term.term == name).map_or(0.0, |term| term.weight);
                scores.add(postings, collection, weight, true);
            }
        }
        Ok(scores.best(count))
    }

    /// Adds what the `rest` of the terms is worth to chunks that were found; no other can be among the best.
    async fn look_up(
        &self,
        collection: Collection,
        mut scores: Scores,
        rest: &[Term],
        count: usize,
    ) -> Result<Vec<(i64, f32)>> {
        for (at, term) in rest.iter().enumerate() {
            let to_come: f32 = rest[at..].iter().map(|term| term.bound).sum();
            scores.prune(scores.threshold(count), to_come);
            let numbers = scores.numbers();
            let postings = postings::of_chunks(self.tx, &self.total.config, &term.term, &numbers).await?;
            scores.add(postings, collection, term.weight, false);
        }
        Ok(scores.best(count))
    }

    /// Those of `ranked` that the filters leave and that pass the test, in their order.
    async fn left(&self, ranked: &[(i64, f32)]) -> Result<Vec<(Found, f32)>> {
        #[derive(FromQueryResult)]
        struct Row {
            id: ChunkId,
            document_id: DocumentId,
            place: i64,
        }
        let numbers: Vec<i64> = ranked.iter().map(|(number, _)| *number).collect();
        let mut values: Vec<Value> = vec![self.tx.org().into(), numbers.into()];
        let (joins, mut conditions) = self.filters.conditions(&mut values);
        if let Some(test) = &self.asked.test {
            values.push(test.clone().into());
            conditions.push_str(&format!(" AND c.lexemes @@ ${}::text::tsquery", values.len()));
        }
        let statement = format!(
            "SELECT c.id, c.document_id, r.place FROM unnest($2::bigint[]) WITH ORDINALITY AS r(number, place)
                 JOIN chunks c ON c.number = r.number
                 JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id{joins}
             WHERE c.org_id = $1 AND d.org_id = $1 AND d.deleted_at IS NULL{conditions} ORDER BY r.place"
        );
        let rows: Vec<Row> = self.tx.all(sql(&statement, values)).await?;
        let score = |place: i64| usize::try_from(place - 1).ok().and_then(|place| ranked.get(place));
        let found = rows.into_iter().filter_map(|row| {
            let (_, score) = score(row.place)?;
            Some((Found { id: row.id, document_id: row.document_id }, *score))
        });
        Ok(found.collect())
    }
}
