//! Bytes of unknown encoding to text: byte order mark, declared charset, UTF-8, then a guess.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{ContentError, Warning};

/// How much of a long text the guess is made from, in bytes.
const GUESS_SAMPLE: usize = 256 * 1024;

/// Share of replacement characters above which a decoded text is not text: 1 in 20.
const MAX_REPLACED: usize = 20;

/// Decodes a whole text. `declared` may be a media type with a `charset` parameter; `embedded` is a label found in
/// the document itself. The order follows the WHATWG HTML standard: byte order mark, transport, document, guess;
/// with one liberty: a declared legacy charset yields to valid multi-byte UTF-8, for that does not happen by chance.
///
/// # Errors
///
/// [`ContentError::TextUndecodable`] if more than 1 character in 20 does not fit.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    declared: Option<&str>,
    embedded: Option<&str>,
) -> Result<(Cow<'a, str>, Option<Warning>), ContentError> {
    let (encoding, skip) = choose(bytes, declared, embedded);
    let (text, had_errors) = encoding.decode_without_bom_handling(&bytes[skip..]);
    if !had_errors {
        return Ok((text, None));
    }
    let (mut total, mut replaced) = (0_usize, 0_usize);
    for c in text.chars() {
        total += 1;
        replaced += usize::from(c == '\u{fffd}');
    }
    if replaced * MAX_REPLACED > total {
        return Err(ContentError::TextUndecodable { encoding: encoding.name().to_owned() });
    }
    Ok((text, Some(Warning::TextReplaced { encoding: encoding.name().to_owned() })))
}

/// Decodes a piece for looking at it; broken characters, such as one cut at the end, are replaced.
pub(crate) fn decode_lossy<'a>(bytes: &'a [u8], declared: Option<&str>) -> (Cow<'a, str>, &'static Encoding) {
    let (encoding, skip) = choose(bytes, declared, None);
    (encoding.decode_without_bom_handling(&bytes[skip..]).0, encoding)
}

/// The encoding and the length of the byte order mark.
fn choose(bytes: &[u8], declared: Option<&str>, embedded: Option<&str>) -> (&'static Encoding, usize) {
    if let Some(found) = bom(bytes) {
        return found;
    }
    if let Some(encoding) = utf16_without_bom(&bytes[..bytes.len().min(1024)]) {
        return (encoding, 0);
    }
    let sample = &bytes[..bytes.len().min(GUESS_SAMPLE)];
    let valid_utf8 = match std::str::from_utf8(sample) {
        Ok(_) => true,
        // A character cut at the end of the sample is no error.
        Err(error) => error.error_len().is_none() && sample.len() < bytes.len(),
    };
    if valid_utf8 && !looks_like_iso_2022_jp(sample) {
        return (UTF_8, 0);
    }
    let label = declared.and_then(charset_parameter).or(embedded);
    if let Some(encoding) = label.and_then(|label| Encoding::for_label(label.as_bytes())) {
        // UTF-16 without a mark was ruled out above: such a label is wrong (WHATWG treats it as UTF-8 in HTML).
        if encoding != UTF_16LE && encoding != UTF_16BE {
            return (encoding, 0);
        }
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, sample.len() == bytes.len());
    (detector.guess(None, Utf8Detection::Allow), 0)
}

/// The byte order mark's encoding and length.
pub(crate) fn bom(bytes: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(bytes)
}

/// UTF-16 without a byte order mark shows as NULs at every other place.
pub(crate) fn utf16_without_bom(head: &[u8]) -> Option<&'static Encoding> {
    let pairs = head.len() / 2;
    if pairs < 2 {
        return None;
    }
    let (even, odd) = head[..pairs * 2]
        .chunks_exact(2)
        .fold((0, 0), |(even, odd), pair| (even + usize::from(pair[0] == 0), odd + usize::from(pair[1] == 0)));
    match (even * 100 / pairs, odd * 100 / pairs) {
        (0..=2, 50..) => Some(UTF_16LE),
        (50.., 0..=2) => Some(UTF_16BE),
        _ => None,
    }
}

/// ISO-2022-JP is plain ASCII with escapes, hence valid UTF-8 too.
fn looks_like_iso_2022_jp(sample: &[u8]) -> bool {
    sample.windows(3).any(|w| matches!(w, b"\x1b$B" | b"\x1b$@" | b"\x1b(J"))
}

/// The `charset` parameter of a media type, unquoted.
fn charset_parameter(declared: &str) -> Option<&str> {
    declared.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], declared: Option<&str>) -> String {
        decode(bytes, declared, None).unwrap().0.into_owned()
    }

    #[test]
    fn byte_order_marks_are_obeyed_and_dropped() {
        assert_eq!(read(b"\xef\xbb\xbfa\xc3\xa9", None), "aé");
        assert_eq!(read(b"\xff\xfea\0\xe9\0", Some("text/plain; charset=utf-8")), "aé");
        assert_eq!(read(b"\xfe\xff\0a\0\xe9", None), "aé");
    }

    #[test]
    fn legacy_encodings_are_guessed() {
        let text = "Der Müller ging früh über die Brücke – „schön“ war’s dort, sagte er.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(text);
        assert_eq!(read(&bytes, None), text);
        let text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。";
        for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, encoding_rs::ISO_2022_JP] {
            let (bytes, _, _) = encoding.encode(text);
            assert_eq!(read(&bytes, None), text, "{}", encoding.name());
        }
        let text = "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(text);
        assert_eq!(read(&bytes, None), text);
    }

    #[test]
    fn a_declared_charset_counts_unless_the_bytes_are_utf_8() {
        assert_eq!(read(b"\xe9t\xe9", Some("text/plain; charset=\"ISO-8859-1\"")), "été");
        assert_eq!(read("été".as_bytes(), Some("text/plain; charset=iso-8859-1")), "été");
    }

    #[test]
    fn what_is_mostly_broken_is_refused() {
        let bytes = [0xc3, 0x28].repeat(50);
        let error = decode(&bytes, Some("text/plain; charset=utf-8"), None).unwrap_err();
        assert_eq!(error.code(), "text-undecodable");
    }
}
