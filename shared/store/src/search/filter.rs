//! What hits must satisfy.
//!
//! Where a filter leaves few chunks, those are found first and nothing else is ranked. Where it leaves many, the best are
//! ranked and those that it does not leave are passed over, as deep as need be. Both give the same hits.

use chrono::{DateTime, Utc};
use gristmill_core::ids::DocumentId;
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// Documents up to which a label counts as rare.
const FEW_DOCUMENTS: i64 = 1_000;
/// Chunks up to which they are found first.
const FEW_CHUNKS: i64 = 5_000;

/// What hits must satisfy; what is not set does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// All of these tags.
    pub tags: Vec<String>,
    /// This category.
    pub category: Option<String>,
    /// This engagement.
    pub engagement: Option<String>,
    /// This kind of source: `upload`, `text`, `url` or `feed`.
    pub source: Option<String>,
    /// Published (articles) or handed in (documents) at this time or later.
    pub published_after: Option<DateTime<Utc>>,
    /// One of these documents.
    pub document_ids: Vec<DocumentId>,
}

/// The chunks that filters leave, where those are few enough to be named.
#[derive(Debug, Clone, Default)]
pub struct Narrowed(Option<Vec<(i64, Uuid)>>);

impl Narrowed {
    /// The numbers of the chunks, in order.
    pub(super) fn numbers(&self) -> Option<Vec<i64>> {
        self.0.as_ref().map(|chunks| chunks.iter().map(|(number, _)| *number).collect())
    }

    /// The ids of the chunks.
    pub(super) fn ids(&self) -> Option<Vec<Uuid>> {
        self.0.as_ref().map(|chunks| chunks.iter().map(|(_, id)| *id).collect())
    }
}

impl Filters {
    /// True where nothing is narrowed.
    pub(super) fn is_empty(&self) -> bool {
        let Self { tags, category, engagement, source, published_after, document_ids } = self;
        tags.is_empty()
            && document_ids.is_empty()
            && category.is_none()
            && engagement.is_none()
            && source.is_none()
            && published_after.is_none()
    }

    /// What documents must be labelled with.
    fn labels(&self) -> Vec<String> {
        let tags = self.tags.iter().map(|tag| format!("tag:{tag}"));
        let category = self.category.iter().map(|category| format!("category:{category}"));
        let engagement = self.engagement.iter().map(|engagement| format!("engagement:{engagement}"));
        tags.chain(category).chain(engagement).collect()
    }

    /// Finds the chunks that are left, where it takes little to see that they are few.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn narrow(&self, tx: &OrgTx) -> Result<Narrowed> {
        #[derive(FromQueryResult)]
        struct Row {
            number: i64,
            id: Uuid,
        }
        let mut values: Vec<Value> = vec![tx.org().into(), (FEW_CHUNKS + 1).into()];
        let among = if !self.document_ids.is_empty() {
            String::new()
        } else if let Some(label) = self.rarest_label(tx).await? {
            values.push(label.into());
            " AND d.id IN (SELECT document_id FROM document_labels WHERE org_id = $1 AND label = $3)".to_owned()
        } else {
            return Ok(Narrowed(None));
        };
        let (joins, conditions) = self.conditions(&mut values);
        let statement = format!(
            "SELECT c.number, c.id FROM documents d
                 JOIN chunks c ON c.document_id = d.id AND c.version_id = d.current_version_id{joins}
             WHERE d.org_id = $1 AND d.deleted_at IS NULL{among}{conditions} LIMIT $2"
        );
        let mut rows: Vec<Row> = tx.all(sql(&statement, values)).await?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) > FEW_CHUNKS {
            return Ok(Narrowed(None));
        }
        rows.sort_unstable_by_key(|row| row.number);
        Ok(Narrowed(Some(rows.into_iter().map(|row| (row.number, row.id)).collect())))
    }

    /// Of the labels asked for, the one that fewest documents have, if those are few.
    async fn rarest_label(&self, tx: &OrgTx) -> Result<Option<String>> {
        #[derive(FromQueryResult)]
        struct Row {
            label: String,
        }
        let labels = self.labels();
        if labels.is_empty() {
            return Ok(None);
        }
        let statement = "SELECT asked.label FROM unnest($2::text[]) AS asked(label) CROSS JOIN LATERAL (
                 SELECT count(*) AS documents FROM (
                     SELECT FROM document_labels l WHERE l.org_id = $1 AND l.label = asked.label LIMIT $3 + 1) AS found
             ) AS counted
             WHERE documents <= $3 ORDER BY documents, asked.label LIMIT 1";
        let row: Option<Row> = tx.one(sql(statement, [tx.org().into(), labels.into(), FEW_DOCUMENTS.into()])).await?;
        Ok(row.map(|row| row.label))
    }

    /// Joins and conditions that chunks `c` of documents `d` must satisfy; their values are added to `values`.
    pub(super) fn conditions(&self, values: &mut Vec<Value>) -> (String, String) {
        let mut conditions = String::new();
        let mut and = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                conditions.push_str(&format!(" AND {}", condition.replace('?', &format!("${}", values.len()))));
            }
        };
        // `@>` on arrays, not on JSON: each element must be there.
        and("d.tags @> ?", (!self.tags.is_empty()).then(|| self.tags.clone().into()));
        and("d.category = ?", self.category.clone().map(Into::into));
        and("d.engagement = ?", self.engagement.clone().map(Into::into));
        and("v.source ->> 'type' = ?", self.source.clone().map(Into::into));
        and("coalesce(a.published_at, d.created_at) >= ?", self.published_after.map(Into::into));
        let documents: Vec<Uuid> = self.document_ids.iter().map(|id| id.uuid()).collect();
        and("d.id = ANY(?)", (!documents.is_empty()).then(|| documents.into()));
        let mut joins = String::new();
        if self.source.is_some() {
            joins.push_str(" JOIN document_versions v ON v.id = d.current_version_id");
        }
        if self.published_after.is_some() {
            joins.push_str(" LEFT JOIN articles a ON a.document_id = d.id");
        }
        (joins, conditions)
    }
}
