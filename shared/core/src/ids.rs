//! One newtype per kind of id.
//!
//! Ids are UUIDs of version 7 (so they sort by creation) and are written to the outside as TypeIDs
//! (<https://github.com/jetify-com/typeid>): a prefix that says what the id is of, and 26 characters of base 32.
//! In the database they are plain `uuid`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

/// An id that could not be read: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that starts with \"{prefix}_\" and 26 more characters, found \"{found}\"")]
pub struct IdError {
    /// The prefix the id should have.
    pub prefix: &'static str,
    /// The text as it came, at most 64 characters of it.
    pub found: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "sea-orm", derive(sea_orm::DeriveValueType))]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later in order than those made before it.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID as the database has it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                #[derive(Default)]
                struct Type;
                impl StaticType for Type {
                    const TYPE: &'static str = $prefix;
                }
                TypeSafeId::<Type>::from_uuid(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                #[derive(Default)]
                struct Type;
                impl StaticType for Type {
                    const TYPE: &'static str = $prefix;
                }
                text.parse::<TypeSafeId<Type>>().map(|id| Self(id.uuid())).map_err(|_| IdError {
                    prefix: $prefix,
                    found: text.chars().take(64).collect(),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
                })
            }
        }
    )* };
}

ids! {
    /// An organization: the tenant everything belongs to.
    OrgId = "org";
    /// An API key.
    KeyId = "key";
    /// A job.
    JobId = "job";
    /// Jobs that were handed in together.
    BatchId = "bat";
    /// A document.
    DocumentId = "doc";
    /// One version of a document.
    VersionId = "ver";
    /// A chunk of a document version.
    ChunkId = "chk";
    /// An embedding space: the vectors of an organization's chunks by one model.
    SpaceId = "spc";
    /// An entry of the search history.
    SearchId = "srh";
    /// A feed that is polled.
    FeedId = "feed";
    /// An entry of a feed.
    ArticleId = "art";
    /// One incarnation of a worker process.
    WorkerId = "wrk";
}

#[cfg(test)]
mod tests {
    use super::{DocumentId, JobId};

    #[test]
    fn an_id_survives_being_written_and_read() {
        let id = JobId::generate();
        let text = id.to_string();
        assert!(text.starts_with("job_") && text.len() == 30, "{text}");
        assert_eq!(text.parse::<JobId>().unwrap(), id);
        assert_eq!(serde_json::from_str::<JobId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn an_id_of_another_kind_is_refused_with_both_named() {
        let problem = DocumentId::generate().to_string().parse::<JobId>().unwrap_err();
        assert!(problem.to_string().contains("starts with \"job_\"") && problem.to_string().contains("doc_"));
    }

    #[test]
    fn the_example_of_the_typeid_specification_is_read() {
        // https://github.com/jetify-com/typeid/blob/main/spec/valid.json, "uuidv7"
        let id: uuid::Uuid = "0188bac7-4afa-78aa-bc3b-bd1eef28d881".parse().unwrap();
        assert_eq!(JobId::from(id).to_string(), "job_01h2xcejqtf2nbrexx3vqjhp41");
    }

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<_> = (0..100).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted());
    }
}
