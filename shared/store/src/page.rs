//! Pages of a list, newest first, by keyset: a cursor says after which row the next page begins, so that rows that
//! come or go meanwhile shift nothing.

use std::str::FromStr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// Where a page begins. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// The cursor that continues after the row with this id.
    pub fn after(id: impl Into<Uuid>) -> Self {
        Self(id.into())
    }

    /// The id of the last row that was seen.
    pub fn last_seen(self) -> Uuid {
        self.0
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

/// A text that is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that a list returned as next_cursor")]
pub struct BadCursor;

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        Uuid::from_slice(&bytes).map(Self).map_err(|_| BadCursor)
    }
}

/// Which rows of a list are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// At most so many rows.
    pub limit: u64,
    /// After which row to begin; from the newest if not set.
    pub cursor: Option<Cursor>,
}

impl Page {
    /// How many rows to ask for: one more than wanted shows whether there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// The id that wanted rows lie before; the greatest of all ids on the first page.
    pub(crate) fn before(self) -> Uuid {
        self.cursor.map_or(Uuid::max(), Cursor::last_seen)
    }

    /// Cuts `rows` to the page and says where the next one begins, if there is one.
    pub fn cut<T>(self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<Cursor>) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| Cursor(id(row))) } else { None };
        (rows, next)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Page};
    use uuid::Uuid;

    #[test]
    fn a_cursor_survives_being_written_and_read_and_others_are_refused() {
        let cursor = Cursor::after(Uuid::now_v7());
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        assert!("nonsense".parse::<Cursor>().is_err());
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        let page = Page { limit: 2, cursor: None };
        assert_eq!(page.cut(ids.clone(), |id| *id), (ids[..2].to_vec(), Some(Cursor::after(ids[1]))));
        assert_eq!(page.cut(ids[..2].to_vec(), |id| *id).1, None);
    }
}
