//! Running headers, footers and page numbers: lines at the edge of a page that come back on others.

use std::collections::{HashMap, HashSet};

use super::lines::Segment;

/// How much of a page's height at top and at bottom may hold furniture.
const MARGIN: f32 = 0.18;

/// How many rows at each edge are looked at.
const EDGE_ROWS: usize = 3;

/// What a row at the edge of a page looks like, whatever its page number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Signature {
    text: String,
    /// Its height on the page, in steps of 1 %.
    height: i32,
}

impl Signature {
    /// Whether it is a page number's distance from the page's own.
    fn is_number(&self) -> bool {
        self.text.starts_with("page ")
    }
}

/// Drops what comes back from page to page, unless it is set larger than the body as the headings of chapters are. Each
/// page is its segments, ordered by baseline, and its height.
pub(super) fn remove(pages: &mut [(Vec<Segment>, f32)], body: f32) {
    if pages.len() < 2 {
        return;
    }
    let mut seen: HashMap<Signature, usize> = HashMap::new();
    let edges: Vec<Vec<(f32, Signature)>> =
        pages.iter().enumerate().map(|(page, (segments, height))| edge_rows(segments, *height, body, page)).collect();
    for edge in &edges {
        // A row may show a signature twice ("3 … 3"): a page counts once.
        let own: HashSet<Signature> = edge.iter().flat_map(|(_, signature)| neighbours(signature)).collect();
        for signature in own {
            *seen.entry(signature).or_default() += 1;
        }
    }
    // Two pages may begin alike by chance; a bare page number comes back from the second page on.
    let needed = if pages.len() < 4 { 2 } else { 3.max(pages.len() / 12) };
    // A letterhead on two or three pages is information once; page numbers never are.
    let mut kept: HashSet<Signature> = HashSet::new();
    let mut drop: Vec<Vec<f32>> = Vec::new();
    for edge in edges {
        let mut heights = Vec::new();
        for (y, signature) in edge {
            let repeated = seen.get(&signature).is_some_and(|count| *count >= needed);
            let once = needed == 2 && signature.text.chars().any(char::is_alphabetic) && !signature.is_number();
            if repeated && (!once || neighbours(&signature).iter().any(|known| kept.contains(known))) {
                heights.push(y);
            } else if repeated {
                kept.insert(signature);
            }
        }
        drop.push(heights);
    }
    let goes =
        |segment: &Segment, heights: &[f32]| heights.iter().any(|y| (segment.y - y).abs() <= 0.35 * segment.size);
    let rest =
        pages.iter().zip(&drop).flat_map(|((segments, _), heights)| segments.iter().filter(|s| !goes(s, heights)));
    // Pages that hold nothing else are all content.
    if rest.count() == 0 {
        return;
    }
    for ((segments, _), heights) in pages.iter_mut().zip(&drop) {
        segments.retain(|segment| !goes(segment, heights));
    }
}

/// A signature and those one step above and below it: rounding must not part equals.
fn neighbours(signature: &Signature) -> [Signature; 3] {
    [-1, 0, 1].map(|step| Signature { text: signature.text.clone(), height: signature.height + step })
}

/// The rows at the edges of a page that may be furniture, by baseline; a row that begins or ends with a number has a
/// second signature, the number's distance from the page's, which page numbers share whatever stands beside them.
fn edge_rows(segments: &[Segment], height: f32, body: f32, page: usize) -> Vec<(f32, Signature)> {
    let mut rows: Vec<(f32, String, usize)> = Vec::new();
    for segment in segments {
        if segment.size > 1.2 * body {
            continue;
        }
        let text = segment.text();
        let chars = text.chars().count();
        match rows.last_mut() {
            Some((y, row, total)) if (*y - segment.y).abs() <= 0.35 * segment.size => {
                row.push(' ');
                row.push_str(&text);
                *total += chars;
            }
            _ => rows.push((segment.y, text, chars)),
        }
    }
    let count = rows.len();
    rows.into_iter()
        .enumerate()
        .filter(|(index, (y, _, chars))| {
            let at_edge = (*index < EDGE_ROWS && *y < MARGIN * height)
                || (*index + EDGE_ROWS >= count && *y > (1.0 - MARGIN) * height);
            at_edge && *chars < 160
        })
        .flat_map(|(_, (y, text, _))| {
            let height = (100.0 * y / height.max(1.0)).round() as i32;
            let numbers = [text.split_whitespace().next(), text.split_whitespace().next_back()];
            let distances = numbers
                .into_iter()
                .flatten()
                .filter_map(|word| word.parse::<i64>().ok())
                .filter_map(move |number| Some(format!("page {}", number - i64::try_from(page).ok()?)));
            let texts: Vec<String> = std::iter::once(masked(&text)).chain(distances).collect();
            texts.into_iter().map(move |text| (y, Signature { text, height }))
        })
        .collect()
}

/// Digits and Roman page numbers made equal, white space dropped.
fn masked(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let roman = word.len() <= 6 && !word.is_empty() && word.chars().all(|c| "ivxlc".contains(c));
        if roman { "#".to_owned() } else { word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect() }
    });
    let mut out = String::new();
    for word in words {
        for c in word.chars() {
            // A number of any length is one sign.
            if !(c == '#' && out.ends_with('#')) {
                out.push(c);
            }
        }
    }
    out
}
