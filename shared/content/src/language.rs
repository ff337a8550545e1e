//! The main language of a text, as an ISO 639-1 code.

use whatlang::Lang;

/// How much of a text is looked at, in characters.
const SAMPLE_CHARS: usize = 6_000;

/// Below this many characters a guess is worth nothing.
const MIN_CHARS: usize = 24;

/// The ISO 639-1 code of the text's language, where it can be told with some confidence.
pub(crate) fn detect(text: &str) -> Option<String> {
    let sample: String = text.chars().take(SAMPLE_CHARS).collect();
    if sample.chars().filter(|c| c.is_alphabetic()).count() < MIN_CHARS {
        return None;
    }
    let info = whatlang::detect(&sample)?;
    (info.is_reliable() || info.confidence() > 0.6).then(|| iso_639_1(info.lang()).to_owned())
}

/// The two-letter code of a declared language tag (BCP 47), such as `en` of `en-GB`.
pub(crate) fn from_tag(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
    match primary.len() {
        2 if primary.bytes().all(|b| b.is_ascii_lowercase()) => Some(primary),
        3 => Lang::from_code(primary).map(|lang| iso_639_1(lang).to_owned()),
        _ => None,
    }
}

/// ISO 639-1 of each language the detector knows (it speaks ISO 639-3).
fn iso_639_1(lang: Lang) -> &'static str {
    match lang.code() {
        "cmn" => "zh",
        "spa" => "es",
        "por" => "pt",
        "ben" => "bn",
        "ukr" => "uk",
        "deu" => "de",
        "heb" => "he",
        "jpn" => "ja",
        "kat" => "ka",
        "pol" => "pl",
        "jav" => "jv",
        "pan" => "pa",
        "mlg" => "mg",
        "pes" => "fa",
        "guj" => "gu",
        "mal" => "ml",
        "tam" => "ta",
        "mya" => "my",
        "tel" => "te",
        "swe" => "sv",
        "tur" => "tr",
        "kan" => "kn",
        "ces" => "cs",
        "ell" => "el",
        "khm" => "km",
        "dan" => "da",
        "est" => "et",
        "lav" => "lv",
        "lit" => "lt",
        "slk" => "sk",
        "slv" => "sl",
        "srp" => "sr",
        "hrv" => "hr",
        "mkd" => "mk",
        "bul" => "bg",
        "bel" => "be",
        "kor" => "ko",
        "hye" => "hy",
        "zho" => "zh",
        "ind" => "id",
        "mar" => "mr",
        "tgl" => "tl",
        "tuk" => "tk",
        "cym" => "cy",
        // For the rest the two-letter code is the beginning of the three-letter one.
        code => &code[..2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_languages_are_told() {
        let samples = [
            ("en", "The quick brown fox jumps over the lazy dog while everyone is watching it from afar."),
            ("de", "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung."),
            ("fr", "Tous les êtres humains naissent libres et égaux en dignité et en droits."),
            ("ja", "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
            ("zh", "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。"),
        ];
        for (code, text) in samples {
            assert_eq!(detect(text).as_deref(), Some(code));
        }
        assert_eq!(detect("42"), None);
    }

    #[test]
    fn every_code_is_two_letters_long_and_no_two_languages_share_one() {
        let mut codes: Vec<_> = Lang::all().iter().map(|lang| iso_639_1(*lang)).collect();
        assert!(codes.iter().all(|code| code.len() == 2));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn tags_are_reduced_to_their_language() {
        assert_eq!(from_tag("en-GB").as_deref(), Some("en"));
        assert_eq!(from_tag("deu").as_deref(), Some("de"));
        assert_eq!(from_tag("x-default"), None);
    }
}
