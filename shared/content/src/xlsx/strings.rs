//! The strings that cells share.

use crate::xml::{Node, Xml};

/// Reads the part; as far as it goes, if it is broken.
pub(super) fn read(source: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut xml = Xml::new(source);
    while let Ok(Some(node)) = xml.next() {
        if let Node::Open(tag) = node
            && tag.name() == "si"
        {
            match one(&mut xml, "si") {
                Some(string) => strings.push(string),
                None => break,
            }
        }
    }
    strings
}

/// The text up to the end of `element`: all runs, but not the readings of East Asian characters.
pub(super) fn one(xml: &mut Xml<'_>, element: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        match xml.next().ok()?? {
            Node::Open(tag) => match tag.name() {
                "t" => text.push_str(&xml.text().ok()?),
                "rPh" => xml.skip().ok()?,
                _ => {}
            },
            Node::Close(name) if *name == *element => return Some(unescaped(text)),
            _ => {}
        }
    }
}

/// Characters that XML cannot hold are written as `_x000D_` (ECMA-376, part 1, 22.9.2.19).
pub(super) fn unescaped(text: String) -> String {
    if !text.contains("_x00") {
        return text;
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find("_x") {
        let code = rest.get(at + 2..at + 6).filter(|_| rest.as_bytes().get(at + 6) == Some(&b'_'));
        let c = code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        out.push_str(&rest[..at]);
        match c {
            Some(c) => {
                out.push(c);
                rest = &rest[at + 7..];
            }
            None => {
                out.push_str("_x");
                rest = &rest[at + 2..];
            }
        }
    }
    out + rest
}
