//! XML as the office formats use it: elements by their local names, text with its references resolved.
//!
//! Entities that a document defines itself are not expanded (no office format has any, and they are how a few bytes
//! unfold to billions); nesting is bounded. Prefixes are not looked at: which one stands for a namespace is up to the
//! program that wrote the file, and no two elements that matter here differ by their namespace alone.

use std::borrow::Cow;
use std::ops::Deref;

use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::ContentError;

/// Deeper nesting than this is no document: Word writes some 30 levels for a table in a table in a text box.
const MAX_DEPTH: usize = 2_000;

/// The source is no well-formed XML, or nested beyond reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What comes next in a source.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    /// An element begins; one without content is followed by its end like any other.
    Open(Tag<'a>),
    /// An element ends.
    Close(End<'a>),
    /// Text, as it stands.
    Text(Cow<'a, str>),
}

/// The start of an element.
#[derive(Debug)]
pub(crate) struct Tag<'a>(BytesStart<'a>);

impl Tag<'_> {
    /// The name without its prefix.
    pub(crate) fn name(&self) -> &str {
        local(self.0.name().0)
    }

    /// Whether the name has this prefix, where two share a local one.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.name().0.split_once(':').is_some_and(|(own, _)| own == prefix)
    }

    /// The value of the first attribute with this local name.
    pub(crate) fn attr(&self, name: &str) -> Option<String> {
        self.find(|key| local(key) == name)
    }

    /// The value of the attribute with this qualified name, where two share a local one.
    pub(crate) fn attr_qualified(&self, name: &str) -> Option<String> {
        self.find(|key| key == name)
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let attribute = self.0.attributes().with_checks(false).flatten().find(|attribute| wanted(attribute.key.0))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        value.ok().map(Cow::into_owned)
    }

    /// A number in an attribute.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.attr(name)?.trim().parse().ok()
    }
}

/// The end of an element; stands for its name without the prefix.
#[derive(Debug)]
pub(crate) struct End<'a>(BytesEnd<'a>);

impl Deref for End<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        local(self.0.name().0)
    }
}

/// Walks through a source.
pub(crate) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Xml<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let mut reader = Reader::from_str(source.trim_start_matches('\u{feff}'));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self { reader, depth: 0 }
    }

    /// The next node, or none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Node<'a>>, Malformed> {
        loop {
            match self.reader.read_event().map_err(|_| Malformed)? {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(Malformed);
                    }
                    return Ok(Some(Node::Open(Tag(start))));
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Some(Node::Close(End(end))));
                }
                Event::Text(text) => return Ok(Some(Node::Text(text.xml10_content()))),
                Event::CData(text) => return Ok(Some(Node::Text(text.xml10_content()))),
                Event::GeneralRef(reference) => {
                    if let Some(text) = resolved(&reference) {
                        return Ok(Some(Node::Text(Cow::Owned(text))));
                    }
                }
                Event::Eof => return if self.depth == 0 { Ok(None) } else { Err(Malformed) },
                _ => {}
            }
        }
    }

    /// Feeds `reader` every node to the end; false if the source breaks off. `enter` may take what is inside by itself.
    pub(crate) fn feed<R>(
        &mut self,
        reader: &mut R,
        enter: fn(&mut R, &Tag<'_>, &mut Xml<'_>) -> Result<(), Malformed>,
        leave: fn(&mut R, &str) -> Result<(), ContentError>,
        write: fn(&mut R, &str),
    ) -> Result<bool, ContentError> {
        loop {
            match self.next() {
                Ok(Some(Node::Open(tag))) => {
                    if enter(reader, &tag, self).is_err() {
                        return Ok(false);
                    }
                }
                Ok(Some(Node::Close(name))) => leave(reader, &name)?,
                Ok(Some(Node::Text(text))) => write(reader, &text),
                Ok(None) => return Ok(true),
                Err(Malformed) => return Ok(false),
            }
        }
    }

    /// Passes over the rest of the element that was opened last.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if self.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The text of the rest of the element that was opened last, whatever elements it stands in.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let outside = self.depth.saturating_sub(1);
        let mut text = String::new();
        while self.depth > outside {
            match self.next()? {
                Some(Node::Text(part)) => text.push_str(&part),
                Some(_) => {}
                None => break,
            }
        }
        Ok(text)
    }
}

/// A reference to a character by number, or one of the five that XML defines; none for any other.
fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(c.to_string());
    }
    let name = reference.xml10_content();
    quick_xml::escape::resolve_xml_entity(&name).map(str::to_owned)
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str) -> Result<String, Malformed> {
        let mut xml = Xml::new(source);
        let mut out = String::new();
        while let Some(node) = xml.next()? {
            match node {
                Node::Open(tag) => out += &format!("<{} {}>", tag.name(), tag.attr("v").unwrap_or_default()),
                Node::Close(name) => out += &format!("</{}>", &*name),
                Node::Text(text) => out += &text,
            }
        }
        Ok(out)
    }

    #[test]
    fn references_are_resolved_and_prefixes_dropped() {
        assert_eq!(
            told("<w:a x:v='1 &lt; 2'>A &amp; &#x42;<![CDATA[<c>]]><b/></w:a>").unwrap(),
            "<a 1 < 2>A & B<c><b ></b></a>"
        );
    }

    #[test]
    fn entities_of_its_own_do_not_unfold() {
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;'>]><a v='&y;'>1&y;2</a>";
        assert_eq!(told(bomb).unwrap(), "<a >12</a>");
    }

    #[test]
    fn what_is_broken_or_bottomless_is_malformed() {
        assert_eq!(told("<a><b></a></b>"), Err(Malformed));
        assert_eq!(told("<a><b>"), Err(Malformed));
        assert_eq!(told(&"<a>".repeat(100_000)), Err(Malformed));
    }
}
