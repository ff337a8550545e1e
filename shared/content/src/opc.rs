//! What DOCX, PPTX and XLSX share: relationships between parts, and core properties (ECMA-376, part 2).

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::container::{Container, resolve};
use crate::xml::{Node, Xml};
use crate::{ContentError, Metadata, language};

/// The relationships of a part, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Relations(HashMap<String, Relation>);

/// One part named by another.
#[derive(Debug)]
struct Relation {
    /// The last step of the type's URI: the same in the transitional and the strict dialect.
    kind: String,
    target: String,
}

impl Relations {
    /// Those of the part at `path`; the whole package's for an empty path. A broken list is an empty one.
    pub(crate) fn of(container: &mut Container<'_>, path: &str) -> Result<Self, ContentError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let list = if folder.is_empty() { format!("_rels/{name}.rels") } else { format!("{folder}/_rels/{name}.rels") };
        let Some(source) = container.text(&list)? else { return Ok(Self::default()) };
        let mut relations = HashMap::new();
        let mut xml = Xml::new(&source);
        while let Ok(Some(node)) = xml.next() {
            let Node::Open(tag) = node else { continue };
            let (Some(id), Some(kind), Some(target)) = (tag.attr("Id"), tag.attr("Type"), tag.attr("Target")) else {
                continue;
            };
            if tag.attr("TargetMode").is_some_and(|mode| mode == "External") {
                continue;
            }
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            relations.insert(id, Relation { kind, target: resolve(path, &target) });
        }
        Ok(Self(relations))
    }

    /// The part that an id stands for.
    pub(crate) fn target(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|relation| relation.target.as_str())
    }

    /// The first part of a kind, such as `styles`.
    pub(crate) fn first(&self, kind: &str) -> Option<&str> {
        self.all(kind).into_iter().next()
    }

    /// All parts of a kind, in the order of their names.
    pub(crate) fn all(&self, kind: &str) -> Vec<&str> {
        let mut found: Vec<&str> =
            self.0.values().filter(|relation| relation.kind == kind).map(|relation| relation.target.as_str()).collect();
        found.sort_unstable();
        found
    }
}

/// The path of the document itself: what the package names, or where everybody puts it.
pub(crate) fn main_part(container: &mut Container<'_>, usual: &str) -> Result<String, ContentError> {
    let relations = Relations::of(container, "")?;
    let named = relations.first("officeDocument").filter(|path| container.has(path));
    Ok(named.unwrap_or(usual).to_owned())
}

/// Title, author, creation and language as the package's core properties have them.
pub(crate) fn metadata(container: &mut Container<'_>) -> Result<Metadata, ContentError> {
    let relations = Relations::of(container, "")?;
    let path = relations.first("core-properties").unwrap_or("docProps/core.xml").to_owned();
    let Some(source) = container.text(&path)? else { return Ok(Metadata::default()) };
    let mut metadata = Metadata::default();
    let mut xml = Xml::new(&source);
    while let Ok(Some(node)) = xml.next() {
        let Node::Open(tag) = node else { continue };
        let name = tag.name().to_owned();
        if !matches!(name.as_str(), "title" | "creator" | "created" | "language") {
            continue;
        }
        let Ok(value) = xml.text() else { break };
        let value = value.trim();
        match name.as_str() {
            "title" => metadata.title = some(value),
            "creator" => metadata.author = some(value),
            "created" => metadata.created = moment(value),
            _ => metadata.language = language::from_tag(value),
        }
    }
    Ok(metadata)
}

fn some(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// A W3C-DTF time stamp; without a zone, UTC.
pub(crate) fn moment(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(value) {
        return Some(moment.to_utc());
    }
    if let Ok(moment) = NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(moment.and_utc());
    }
    let day = match value.len() {
        4 => format!("{value}-01-01"),
        7 => format!("{value}-01"),
        _ => value.get(..10)?.to_owned(),
    };
    let day = chrono::NaiveDate::parse_from_str(&day, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaType;
    use crate::container::tests::archive;

    #[test]
    fn relations_are_found_by_id_and_kind_and_leave_the_package_alone() {
        let rels = r#"<Relationships xmlns="x"><Relationship Id="r2" Type="http://purl.oclc.org/ooxml/officeDocument/relationships/styles" Target="styles.xml"/>
            <Relationship Id="r3" Type="http://schemas.openxmlformats.org/a/hyperlink" Target="https://mill.test" TargetMode="External"/></Relationships>"#;
        let bytes = archive(&[("word/_rels/document.xml.rels", rels)]);
        let mut container = Container::open(&bytes, MediaType::Docx).unwrap();
        let relations = Relations::of(&mut container, "word/document.xml").unwrap();
        assert_eq!(relations.first("styles"), Some("word/styles.xml"));
        assert_eq!(relations.target("r2"), Some("word/styles.xml"));
        assert_eq!(relations.target("r3"), None);
    }

    #[test]
    fn moments_may_be_days_months_and_years() {
        let of = |value| moment(value).map(|moment| moment.to_rfc3339());
        assert_eq!(of("2026-03-04T05:06:07Z").as_deref(), Some("2026-03-04T05:06:07+00:00"));
        assert_eq!(of("2026-03-04T05:06:07.5").as_deref(), Some("2026-03-04T05:06:07.500+00:00"));
        assert_eq!(of("2026").as_deref(), Some("2026-01-01T00:00:00+00:00"));
        assert_eq!(of("soon"), None);
    }
}
