//! Documents that wrap others: ZIP archives, compound files, mails.

use super::{Hint, find, unsupported};
use crate::container::Container;
use crate::{ContentError, MediaType};

/// What a compound file begins with ([MS-CFB], 2.2): Word, Excel, PowerPoint and Outlook before 2007, and what later ones
/// encrypt.
pub(super) const COMPOUND_FILE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// How many bytes of a compound file are searched for the names of its streams.
const DIRECTORY_WINDOW: usize = 8 << 20;

/// Header fields that only programs write.
const TRACES: [&str; 6] = ["message-id", "mime-version", "received", "return-path", "delivered-to", "dkim-signature"];

/// Header fields that mails have (RFC 5322, 3.6; RFC 2045; and what servers add).
const FIELDS: [&str; 16] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "delivered-to",
    "reply-to",
    "sender",
    "content-type",
    "in-reply-to",
    "references",
    "dkim-signature",
];

/// Where everybody puts the main part of a document.
const USUAL_PARTS: [(&str, MediaType); 3] = [
    ("word/document.xml", MediaType::Docx),
    ("ppt/presentation.xml", MediaType::Pptx),
    ("xl/workbook.xml", MediaType::Xlsx),
];

/// What a ZIP archive is.
pub(super) fn archive(bytes: &[u8]) -> Result<MediaType, ContentError> {
    // Only to look inside: which document it is decides what errors are called.
    let Ok(mut container) = Container::open(bytes, MediaType::Docx) else {
        return Err(ContentError::DocumentDamaged { media_type: broken(bytes).to_owned() });
    };
    if let Some(kind) = container.text("mimetype").ok().flatten() {
        return match kind.trim().trim_start_matches('\u{feff}') {
            "application/epub+zip" => Ok(MediaType::Epub),
            "application/vnd.oasis.opendocument.text" | "application/vnd.oasis.opendocument.text-template" => {
                Ok(MediaType::Odt)
            }
            kind if kind.len() < 100 && kind.starts_with("application/") => Err(unsupported(kind)),
            _ => Err(unsupported("application/zip")),
        };
    }
    if container.has("META-INF/container.xml") {
        return Ok(MediaType::Epub);
    }
    let types = container.text("[Content_Types].xml").ok().flatten().unwrap_or_default().to_lowercase();
    // Templates, shows and documents with macros are read as the documents they are.
    let main = |words: &[&str]| words.iter().any(|word| types.contains(word));
    if main(&[
        "wordprocessingml.document.main",
        "wordprocessingml.template.main",
        "ms-word.document.macroenabled.main",
        "ms-word.template.macroenabledtemplate.main",
    ]) {
        return Ok(MediaType::Docx);
    }
    if main(&[
        "presentationml.presentation.main",
        "presentationml.slideshow.main",
        "presentationml.template.main",
        "ms-powerpoint.presentation.macroenabled.main",
        "ms-powerpoint.slideshow.macroenabled.main",
        "ms-powerpoint.template.macroenabled.main",
    ]) {
        return Ok(MediaType::Pptx);
    }
    if main(&["ms-excel.sheet.binary.macroenabled.main"]) {
        return Err(unsupported("application/vnd.ms-excel.sheet.binary.macroEnabled.12"));
    }
    if main(&[
        "spreadsheetml.sheet.main",
        "spreadsheetml.template.main",
        "ms-excel.sheet.macroenabled.main",
        "ms-excel.template.macroenabled.main",
    ]) {
        return Ok(MediaType::Xlsx);
    }
    let usual = USUAL_PARTS.iter().find(|(part, _)| container.has(part));
    usual.map(|(_, kind)| *kind).ok_or_else(|| unsupported("application/zip"))
}

/// What an archive without a readable directory may have been, by the names of its first parts.
fn broken(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(64 << 10)];
    let kinds: [(&[u8], MediaType); 5] = [
        (b"mimetypeapplication/epub+zip", MediaType::Epub),
        (b"mimetypeapplication/vnd.oasis.opendocument.text", MediaType::Odt),
        (b"word/", MediaType::Docx),
        (b"ppt/", MediaType::Pptx),
        (b"xl/", MediaType::Xlsx),
    ];
    let found = kinds.iter().find(|(sign, _)| find(head, sign).is_some());
    found.map_or("application/zip", |(_, kind)| kind.as_str())
}

/// Why a compound file is not read, by the names of its streams, which are UTF-16.
pub(super) fn compound_file(bytes: &[u8]) -> ContentError {
    let head = &bytes[..bytes.len().min(DIRECTORY_WINDOW)];
    let has = |name: &str| {
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        find(head, &wide).is_some()
    };
    if has("EncryptedPackage") {
        return ContentError::DocumentEncrypted { media_type: "application/vnd.ms-office".to_owned() };
    }
    for (stream, kind) in [
        ("WordDocument", "application/msword"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("Workbook", "application/vnd.ms-excel"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
    ] {
        if has(stream) {
            return unsupported(kind);
        }
    }
    unsupported("application/x-ole-storage")
}

/// Whether this is a mail: three fields that mails have before anything else, one of a file that is called a mail; of one
/// that is called a text, one that only programs write as well. A mailbox of several mails is none.
pub(super) fn mail(bytes: &[u8], head: &[u8], hint: Hint) -> Option<Result<MediaType, ContentError>> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mailbox = head.starts_with(b"From ");
    let (mut known, mut traces) = (0, 0);
    for line in head.split(|byte| *byte == b'\n').skip(usize::from(mailbox)) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let name = line[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            break;
        }
        let among = |fields: &[&str]| fields.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        known += usize::from(among(&FIELDS));
        traces += usize::from(among(&TRACES));
    }
    let is_mail = match hint {
        Hint::Mail => known >= 1,
        Hint::None => known >= 3,
        _ => known >= 3 && traces >= 1,
    };
    if !is_mail {
        return None;
    }
    if mailbox && find(&bytes[1..], b"\n\nFrom ").or_else(|| find(&bytes[1..], b"\r\n\r\nFrom ")).is_some() {
        return Some(Err(unsupported("application/mbox")));
    }
    Some(Ok(MediaType::Eml))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::tests::archive as zip;
    use crate::sniff;

    #[test]
    fn archives_are_told_by_their_parts() {
        let types = |main: &str| {
            format!("<Types><Override PartName='/x.xml' ContentType='application/vnd.{main}+xml'/></Types>")
        };
        for (main, found) in [
            ("openxmlformats-officedocument.wordprocessingml.document.main", Ok(MediaType::Docx)),
            ("ms-excel.sheet.macroEnabled.main", Ok(MediaType::Xlsx)),
            ("openxmlformats-officedocument.presentationml.slideshow.main", Ok(MediaType::Pptx)),
            ("ms-visio.drawing.main", Err(unsupported("application/zip"))),
        ] {
            assert_eq!(sniff(&zip(&[("[Content_Types].xml", &types(main))]), Some("a.pdf")), found, "{main}");
        }
        assert_eq!(sniff(&zip(&[("mimetype", "application/epub+zip")]), None), Ok(MediaType::Epub));
        let sheet = "application/vnd.oasis.opendocument.spreadsheet";
        assert_eq!(sniff(&zip(&[("mimetype", sheet)]), None), Err(unsupported(sheet)));
        assert_eq!(sniff(&zip(&[("a.txt", "x")]), Some("a.docx")), Err(unsupported("application/zip")));
        let whole = zip(&[("word/document.xml", "x")]);
        let error = sniff(&whole[..whole.len() / 2], None).unwrap_err();
        assert_eq!(error, ContentError::DocumentDamaged { media_type: MediaType::Docx.as_str().into() });
    }

    #[test]
    fn compound_files_are_named_or_locked() {
        let of = |stream: &str| {
            let wide = stream.encode_utf16().flat_map(u16::to_le_bytes);
            sniff(&COMPOUND_FILE.iter().copied().chain([0; 500]).chain(wide).collect::<Vec<_>>(), None).unwrap_err()
        };
        assert_eq!(of("WordDocument"), unsupported("application/msword"));
        assert_eq!(of("EncryptedPackage").code(), "document-encrypted");
        assert_eq!(of("Other"), unsupported("application/x-ole-storage"));
    }
}
