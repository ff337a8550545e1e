//! E-mail to blocks: the subject as title, the body in the better of its forms, attachments by their names.

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::document::Builder;
use crate::{BlockKind, ContentError, Extracted, MediaType, Metadata, clean, html, language, markup};

/// Mails within mails that are followed.
const MAX_DEPTH: usize = 5;

/// Attachments that are named.
const MAX_NAMES: usize = 1_000;

/// Plain text shorter than this share of the same as HTML only says that one's program cannot show HTML.
const STUB: usize = 4;

/// Reads a mail.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, ContentError> {
    let damaged = || ContentError::DocumentDamaged { media_type: MediaType::Eml.as_str().to_owned() };
    let message = MessageParser::default().parse(bytes).ok_or_else(damaged)?;
    let mut builder = Builder::default();
    push(&mut builder, &message, 1);
    builder.bounded()?;
    let metadata = Metadata {
        title: message.subject().and_then(clean::line),
        author: message.from().and_then(author),
        created: message.date().and_then(|date| chrono::DateTime::from_timestamp(date.to_timestamp(), 0)),
        language: message.content_language().as_text().and_then(language::from_tag),
        ..Metadata::default()
    };
    Ok(builder.finish(MediaType::Eml, metadata, Vec::new()))
}

/// Subject, body, and what is attached; a mail within this one with a heading of its own.
fn push(builder: &mut Builder, message: &Message<'_>, depth: usize) {
    let level = u8::try_from(depth).unwrap_or(u8::MAX).min(6);
    builder.push(BlockKind::Heading { level }, None, &message.subject().and_then(clean::line).unwrap_or_default());
    if plain_is_a_stub(message) {
        message.html_bodies().for_each(|part| body(builder, part));
    } else {
        message.text_bodies().for_each(|part| body(builder, part));
    }
    // What stands in one of the bodies alone counts as attached too.
    let attached =
        message.attachments.iter().filter(|id| !message.text_body.contains(id) && !message.html_body.contains(id));
    attached.filter_map(|id| message.part(*id)).filter(|part| is_shown(part)).for_each(|part| beside(builder, part));
    let names: Vec<String> = message.attachments().filter_map(name).take(MAX_NAMES).collect();
    if !names.is_empty() {
        builder.push(BlockKind::Paragraph, None, "Attachments:");
    }
    for name in names {
        builder.push(BlockKind::ListItem, None, &format!("- {name}"));
    }
    if depth < MAX_DEPTH {
        for part in message.attachments() {
            if let PartType::Message(inner) = &part.body {
                push(builder, inner, depth + 1);
            }
        }
    }
}

fn body(builder: &mut Builder, part: &MessagePart<'_>) {
    match &part.body {
        PartType::Html(source) => html::push_fragment(builder, &markup::body(source)),
        PartType::Text(text) => {
            let parameter = |name| part.content_type().and_then(|kind| kind.attribute(name)).unwrap_or_default();
            let flowed = parameter("format").eq_ignore_ascii_case("flowed");
            let text =
                if flowed { unflowed(text, parameter("delsp").eq_ignore_ascii_case("yes")) } else { text.to_string() };
            paragraphs(builder, &text);
        }
        _ => {}
    }
}

/// Whether a mail program shows a part in the mail itself: it has no name, or is said to be shown (RFC 2183, 2.1).
fn is_shown(part: &MessagePart<'_>) -> bool {
    let inline = part.content_disposition().is_some_and(|said| said.ctype().eq_ignore_ascii_case("inline"));
    inline || part.attachment_name().is_none()
}

/// Kinds of text that are for programs: headers of a mail that came back, dates, addresses, styles.
const FOR_PROGRAMS: [&str; 6] = ["rfc822-headers", "calendar", "vcard", "x-vcard", "directory", "css"];

/// A part that is shown beside the body: more text, or the report of a server (RFC 3464).
fn beside(builder: &mut Builder, part: &MessagePart<'_>) {
    match &part.body {
        PartType::Binary(bytes) | PartType::InlineBinary(bytes)
            if part.is_content_type("message", "delivery-status") =>
        {
            paragraphs(builder, &String::from_utf8_lossy(bytes));
        }
        PartType::Html(_) => body(builder, part),
        PartType::Text(_) if !FOR_PROGRAMS.iter().any(|kind| part.is_content_type("text", kind)) => body(builder, part),
        _ => {}
    }
}

/// Whether the plain text says next to nothing beside the HTML.
fn plain_is_a_stub(message: &Message<'_>) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    let plain: usize = message
        .text_bodies()
        .filter_map(|part| if let PartType::Text(text) = &part.body { Some(letters(text)) } else { None })
        .sum();
    let rich: usize = message
        .html_bodies()
        .filter_map(
            |part| if let PartType::Html(source) = &part.body { html::bare_text(&markup::body(source)) } else { None },
        )
        .map(|text| letters(&text))
        .sum();
    plain * STUB < rich
}

fn paragraphs(builder: &mut Builder, text: &str) {
    let unified = text.replace("\r\n", "\n");
    for paragraph in unified.split("\n\n") {
        let lines: Vec<&str> = paragraph.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        builder.push(BlockKind::Paragraph, None, &lines.join("\n"));
    }
}

/// Joins lines that were broken for the journey (RFC 3676, 4.2); quotations keep theirs.
fn unflowed(text: &str, delete_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        let line = line.strip_prefix(' ').unwrap_or(line);
        // The line before a signature is no broken one.
        if line.ends_with(' ') && line != "-- " && !line.starts_with('>') {
            out.push_str(if delete_space { &line[..line.len() - 1] } else { line });
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The first sender, with the address if the name is not one.
fn author(from: &Address<'_>) -> Option<String> {
    let first = from.first()?;
    match (first.name(), first.address()) {
        (Some(name), Some(address)) if !name.contains('@') => Some(format!("{name} <{address}>")),
        (name, address) => address.or(name).map(str::to_owned),
    }
}

/// What an attachment is called; one without a name is what the mail is made of, such as a picture in its text.
fn name(part: &MessagePart<'_>) -> Option<String> {
    part.attachment_name().and_then(clean::line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Extracted {
        extract(source.replace('\n', "\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn headers_are_metadata_and_the_body_is_text() {
        let doc = read(
            "From: =?utf-8?q?J=C3=BCrgen?= <j@mill.test>\nTo: a@mill.test\nSubject: =?iso-8859-1?q?M=FChle?=\n 2026\nDate: Tue, 3 Feb 2026 04:05:06 +0100\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\naus Wien.\n\nBis bald\n",
        );
        assert_eq!(doc.text, "Mühle 2026\n\nGrüße\naus Wien.\n\nBis bald");
        assert_eq!(doc.metadata.title.as_deref(), Some("Mühle 2026"));
        assert_eq!(doc.metadata.author.as_deref(), Some("Jürgen <j@mill.test>"));
        assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2026-02-03T03:05:06+00:00");
    }

    fn parts(kind: &str, parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
        format!(
            "From: a@mill.test\nSubject: Parts\nMIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=b\n\n{parts}--b--\n"
        )
    }

    #[test]
    fn plain_text_wins_unless_it_says_nothing() {
        let rich = "Content-Type: text/html\n\n<html><head><title>t</title><style>p{}</style></head><body><p>The <b>whole</b> story of the mill, told at length.</p></body></html>";
        let plain = "Content-Type: text/plain\n\nThe whole story of the mill, told at length.";
        assert_eq!(
            read(&parts("alternative", &[plain, rich])).text,
            "Parts\n\nThe whole story of the mill, told at length."
        );
        let stub = "Content-Type: text/plain\n\nUse HTML.";
        assert_eq!(
            read(&parts("alternative", &[stub, rich])).text,
            "Parts\n\nThe whole story of the mill, told at length."
        );
        assert_eq!(read(&parts("mixed", &[rich])).text, "Parts\n\nThe whole story of the mill, told at length.");
    }

    #[test]
    fn attachments_are_named_and_mails_in_mails_are_read() {
        let text = "Content-Type: text/plain\n\nSee below.";
        let file = "Content-Type: application/pdf; name=\"audit.pdf\"\nContent-Disposition: attachment; filename=\"audit.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0=";
        let inner = "Content-Type: message/rfc822\n\nFrom: b@mill.test\nSubject: Inner\n\nInner text.";
        let doc = read(&parts("mixed", &[text, file, inner]));
        assert_eq!(doc.text, "Parts\n\nSee below.\n\nAttachments:\n\n- audit.pdf\n\nInner\n\nInner text.");
        assert_eq!(doc.blocks[4].kind, BlockKind::Heading { level: 2 });
    }

    #[test]
    fn what_a_mail_shows_is_read_once() {
        let first = "Content-Type: text/plain\n\nFirst.";
        let inline = "Content-Type: text/plain; name=\"note.txt\"\nContent-Disposition: inline; filename=\"note.txt\"\n\nA note.";
        let file = "Content-Type: text/plain; name=\"log.txt\"\nContent-Disposition: attachment; filename=\"log.txt\"\n\nA log.";
        let text = read(&parts("mixed", &[first, inline, file])).text;
        assert_eq!(text.matches("First.").count(), 1, "{text}");
        assert_eq!(text.matches("A note.").count(), 1, "{text}");
        assert!(!text.contains("A log.") && text.contains("- log.txt"), "{text}");
    }

    #[test]
    fn reports_of_servers_are_read() {
        let status = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.mill.test\n\nAction: failed\nStatus: 5.1.1";
        let text = "Content-Type: text/plain\n\nUndeliverable.";
        let doc = read(&parts("report", &[text, status]));
        assert_eq!(
            doc.text,
            "Parts\n\nUndeliverable.\n\nReporting-MTA: dns; mx.mill.test\n\nAction: failed\nStatus: 5.1.1"
        );
    }

    #[test]
    fn lines_broken_for_the_journey_are_joined() {
        let doc = read(
            "From: a@mill.test\nSubject: x\nContent-Type: text/plain; format=flowed\n\nOne \nline.\nTwo.\n-- \nA.\n",
        );
        assert_eq!(doc.text, "x\n\nOne line.\nTwo.\n--\nA.");
    }
}
