//! Postings as the bytes of a row; the migration that makes the table says which byte is what.

use crate::bm25::Posting;

/// Postings of a full row: with its other columns it stays below the 2,000 bytes from which Postgres would put it elsewhere.
pub(super) const FULL: usize = 224;
/// Bytes of a posting.
const BYTES: usize = 8;

/// Cuts postings, which are in order, to rows: full ones, and none whose numbers lie further apart than a posting can say.
pub(super) fn parts(mut postings: &[Posting]) -> impl Iterator<Item = &[Posting]> {
    std::iter::from_fn(move || {
        let first = postings.first()?.number;
        let reach =
            postings.iter().take(FULL).take_while(|posting| posting.number - first <= i64::from(i32::MAX)).count();
        let (part, rest) = postings.split_at(reach);
        postings = rest;
        Some(part)
    })
}

/// The bytes of postings that are in order and begin at chunk `first`.
pub(super) fn pack(first: i64, postings: &[Posting]) -> Vec<u8> {
    let mut data = Vec::with_capacity(postings.len() * BYTES);
    for posting in postings {
        data.extend_from_slice(&i32::try_from(posting.number - first).unwrap_or(i32::MAX).to_be_bytes());
        data.extend_from_slice(&posting.times.to_be_bytes());
        data.extend_from_slice(&posting.terms.to_be_bytes());
    }
    data
}

/// The postings that the bytes of a row are.
pub(super) fn unpack(first: i64, data: &[u8]) -> impl Iterator<Item = Posting> {
    data.as_chunks::<BYTES>().0.iter().map(move |[a, b, c, d, e, f, g, h]| Posting {
        number: first + i64::from(i32::from_be_bytes([*a, *b, *c, *d])),
        times: u16::from_be_bytes([*e, *f]),
        terms: u16::from_be_bytes([*g, *h]),
    })
}

#[cfg(test)]
mod tests {
    use super::{FULL, Posting, pack, parts, unpack};

    fn posting(number: i64) -> Posting {
        Posting { number, times: u16::try_from(number % 7 + 1).unwrap(), terms: 300 }
    }

    #[test]
    fn postings_survive_being_packed() {
        let postings: Vec<_> = [5, 6, 1_000_000, 2_000_000_000].map(posting).to_vec();
        assert_eq!(unpack(5, &pack(5, &postings)).collect::<Vec<_>>(), postings);
    }

    #[test]
    fn rows_are_full_and_reach_no_further_than_they_can_say() {
        let near: Vec<_> = (0..500).map(posting).collect();
        assert_eq!(parts(&near).map(<[_]>::len).collect::<Vec<_>>(), [FULL, FULL, 52]);
        let far = [1, 5_000_000_000, 5_000_000_001].map(posting);
        assert_eq!(parts(&far).map(<[_]>::len).collect::<Vec<_>>(), [1, 2]);
    }
}
