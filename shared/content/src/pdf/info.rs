//! Title, author and creation date from a PDF's information dictionary: by lopdf, or by hayro where lopdf gives up.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use hayro_syntax::Pdf;
use lopdf::Document;

use crate::{Metadata, clean, guard};

/// Reads the information dictionary.
pub(super) fn read(bytes: &[u8], pdf: &Pdf) -> Metadata {
    let found = guard::guarded(|| Document::load_metadata_mem(bytes).ok()).ok().flatten();
    let first = found.map_or_else(Metadata::default, |info| Metadata {
        title: info.title.as_deref().and_then(title),
        author: info.author.as_deref().and_then(squeezed),
        created: info.creation_date.as_deref().and_then(date),
        ..Metadata::default()
    });
    if first.title.is_some() || first.author.is_some() || first.created.is_some() {
        return first;
    }
    let info = pdf.metadata();
    Metadata {
        title: info.title.as_deref().map(text_string).as_deref().and_then(title),
        author: info.author.as_deref().map(text_string).as_deref().and_then(squeezed),
        created: info.creation_date.as_ref().and_then(|date| {
            let offset = i32::from(date.utc_offset_hour) * 3600
                + i32::from(date.utc_offset_hour.signum()) * i32::from(date.utc_offset_minute) * 60;
            moment(
                [
                    date.year.into(),
                    date.month.into(),
                    date.day.into(),
                    date.hour.into(),
                    date.minute.into(),
                    date.second.into(),
                ],
                offset,
            )
        }),
        ..Metadata::default()
    }
}

/// A text string: UTF-16 or UTF-8 with a byte order mark, else close enough to Windows-1252 (ISO 32000-2, 7.9.2.2).
fn text_string(bytes: &[u8]) -> String {
    let (encoding, skip) = encoding_rs::Encoding::for_bom(bytes).unwrap_or((encoding_rs::WINDOWS_1252, 0));
    encoding.decode_without_bom_handling(&bytes[skip..]).0.into_owned()
}

fn squeezed(value: &str) -> Option<String> {
    let value = clean::line(value)?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A title that says something: programs write the names of files and templates there.
fn title(value: &str) -> Option<String> {
    let title = squeezed(value)?;
    let lower = title.to_lowercase();
    let is_file = [
        ".doc", ".docx", ".dvi", ".tex", ".indd", ".qxd", ".pdf", ".ppt", ".pptx", ".xls", ".xlsx", ".odt", ".rtf",
        ".ps",
    ]
    .iter()
    .any(|extension| lower.ends_with(extension));
    let is_default =
        lower.starts_with("untitled") || lower.starts_with("microsoft word -") || lower.starts_with("document1");
    (!is_file && !is_default).then_some(title)
}

/// A PDF date, `D:YYYYMMDDHHmmSSOHH'mm'`, where all after the year may be missing (ISO 32000-2, 7.9.4).
fn date(value: &str) -> Option<DateTime<Utc>> {
    let digits = value.trim().strip_prefix("D:").unwrap_or(value.trim());
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let fields = [
        number(0, 4)?,
        number(4, 6).unwrap_or(1),
        number(6, 8).unwrap_or(1),
        number(8, 10).unwrap_or(0),
        number(10, 12).unwrap_or(0),
        number(12, 14).unwrap_or(0),
    ];
    let zone = digits.get(14..).unwrap_or_default();
    let sign = match zone.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => 0,
    };
    let hours = zone.get(1..3).and_then(|part| part.parse::<i32>().ok()).unwrap_or(0);
    let minutes = zone.get(4..6).or_else(|| zone.get(3..5)).and_then(|part| part.parse::<i32>().ok()).unwrap_or(0);
    moment(fields, sign * (hours * 3600 + minutes * 60))
}

fn moment([year, month, day, hour, minute, second]: [u32; 6], offset: i32) -> Option<DateTime<Utc>> {
    let local =
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?.and_hms_opt(hour, minute, second.min(59))?;
    Some(local.and_local_timezone(FixedOffset::east_opt(offset)?).single()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_whole_or_in_part() {
        let read = |value: &str| date(value).map(|moment| moment.to_rfc3339());
        assert_eq!(read("D:20260301080910+01'00'").as_deref(), Some("2026-03-01T07:09:10+00:00"));
        assert_eq!(read("D:20260301080910Z").as_deref(), Some("2026-03-01T08:09:10+00:00"));
        assert_eq!(read("D:2026").as_deref(), Some("2026-01-01T00:00:00+00:00"));
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn names_of_files_are_no_titles() {
        assert_eq!(title("Microsoft Word - report.doc"), None);
        assert_eq!(title(" A  Survey\u{0}\nof Mills ").as_deref(), Some("A Survey of Mills"));
    }
}
