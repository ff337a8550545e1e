//! What glyphs mean whose font has no `ToUnicode` entry for them: through the character collection of a CID font, else
//! through the font program's own table of characters.
//!
//! hayro looks into a character collection only where the font program is missing. Many files from East Asia embed their
//! fonts and still name nothing but a predefined `CMap` (ISO 32000-2, 9.7.5.2): code → CID by that `CMap`, CID → Unicode
//! by Adobe's tables, which the `hayro-cmap` crate carries.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use hayro_interpret::font::{OutlineFontData, OutlineGlyph};
use hayro_interpret::hayro_cmap::{BfString, CMap, CMapName, CidFamily, load_embedded};
use hayro_syntax::object::{Array, Dict, Name, Object, Stream, String as PdfString};
use hayro_syntax::page::Resources;
use skrifa::MetadataProvider;

/// Forms within forms that are searched for fonts.
const MAX_DEPTH: usize = 4;

/// Dictionaries of resources that are searched on one page.
const MAX_FORMS: usize = 400;

/// The fonts of a document that had to be asked, by program and name.
#[derive(Default)]
pub(super) struct Fonts {
    known: HashMap<(u128, Option<String>), Rc<Font>>,
    families: HashMap<&'static str, Option<Rc<CMap>>>,
}

/// The ways to the meaning of a glyph.
#[derive(Default)]
struct Font {
    /// `ToUnicode` is the name `Identity-H`: codes are characters. Not in the standard, yet met and understood.
    codes_are_characters: bool,
    collection: Option<(CMap, Rc<CMap>)>,
    program: HashMap<u32, char>,
}

impl Fonts {
    /// The characters of a glyph whose font, met on a page with these resources, does not name them.
    pub(super) fn meaning(&mut self, glyph: &OutlineGlyph, resources: &Resources<'_>) -> Option<BfString> {
        let data = glyph.font_data()?;
        let key = (data.cache_key, data.postscript_name.clone());
        let font = if let Some(font) = self.known.get(&key) {
            Rc::clone(font)
        } else {
            let font = Rc::new(self.load(&data, resources));
            self.known.insert(key, Rc::clone(&font));
            font
        };
        if font.codes_are_characters {
            return char::from_u32(glyph.char_code()).map(BfString::Char);
        }
        font.by_collection(glyph.char_code())
            .or_else(|| font.program.get(&glyph.glyph_id().to_u32()).map(|c| BfString::Char(*c)))
    }

    fn load(&mut self, data: &OutlineFontData, resources: &Resources<'_>) -> Font {
        let mut search = Search { data, seen: HashSet::new(), forms: 0 };
        let font = search.within(resources, 0);
        let unicode = font.as_ref().and_then(|font| font.get::<Name<'_>>("ToUnicode"));
        Font {
            codes_are_characters: unicode.is_some_and(|name| name.as_ref().starts_with(b"Identity")),
            collection: font.and_then(|font| self.collection(&font)),
            program: characters((*data.data).as_ref()),
        }
    }

    /// The `CMap` from codes to CIDs and the one from CIDs to Unicode.
    fn collection(&mut self, font: &Dict<'_>) -> Option<(CMap, Rc<CMap>)> {
        let encoding = encoding(font)?;
        let descendant = descendant(font)?;
        let named = encoding.metadata().character_collection.as_ref().map(|collection| collection.family.clone());
        let family = named.filter(|family| family.ucs2_cmap().is_some()).or_else(|| family(&descendant))?;
        let table = family.ucs2_cmap()?;
        let key = match family {
            CidFamily::AdobeJapan1 => "Japan1",
            CidFamily::AdobeGB1 => "GB1",
            CidFamily::AdobeCNS1 => "CNS1",
            _ => "Korea1",
        };
        let unicode = self
            .families
            .entry(key)
            .or_insert_with(|| CMap::parse(load_embedded(table)?, load_embedded).map(Rc::new))
            .clone()?;
        Some((encoding, unicode))
    }
}

impl Font {
    fn by_collection(&self, code: u32) -> Option<BfString> {
        let (encoding, unicode) = self.collection.as_ref()?;
        let cid = (1..=4).find_map(|length| encoding.lookup_cid_code(code, length)).filter(|cid| *cid > 0)?;
        unicode.lookup_bf_string(cid)
    }
}

/// The search for the dictionary of a composite font among the resources of a page and of the forms on it.
struct Search<'s> {
    data: &'s OutlineFontData,
    seen: HashSet<*const u8>,
    forms: usize,
}

impl Search<'_> {
    fn within<'a>(&mut self, resources: &Resources<'a>, depth: usize) -> Option<Dict<'a>> {
        let fonts = resources.fonts.keys().filter_map(|name| resources.fonts.get::<Dict<'a>>(name.as_ref()));
        if let Some(font) = fonts.into_iter().find(|font| self.is_it(font)) {
            return Some(font);
        }
        if depth >= MAX_DEPTH {
            return None;
        }
        for name in resources.x_objects.keys() {
            if self.forms >= MAX_FORMS {
                return None;
            }
            let Some(form) = resources.x_objects.get::<Stream<'a>>(name.as_ref()) else { continue };
            let Some(own) = form.dict().get::<Dict<'a>>("Resources") else { continue };
            self.forms += 1;
            if self.seen.insert(own.data().as_ptr())
                && let Some(font) = self.within(&Resources::new(own), depth + 1)
            {
                return Some(font);
            }
        }
        None
    }

    fn is_it(&self, font: &Dict<'_>) -> bool {
        let name = font.get::<Name<'_>>("BaseFont").map(|name| without_prefix(name.as_str()).to_owned());
        name == self.data.postscript_name
            && descendant(font)
                .and_then(|own| program(&own))
                .is_some_and(|stream| stream.decoded_data().is_ok_and(|bytes| *bytes == *(*self.data.data).as_ref()))
    }
}

/// A subset's name without the six letters that mark it (ISO 32000-2, 9.9.2).
fn without_prefix(name: &str) -> &str {
    match name.split_once('+') {
        Some((prefix, rest)) if prefix.len() == 6 => rest,
        _ => name,
    }
}

fn descendant<'a>(font: &Dict<'a>) -> Option<Dict<'a>> {
    font.get::<Array<'a>>("DescendantFonts")?.iter::<Dict<'a>>().next()
}

fn program<'a>(descendant: &Dict<'a>) -> Option<Stream<'a>> {
    let descriptor = descendant.get::<Dict<'a>>("FontDescriptor")?;
    ["FontFile2", "FontFile3", "FontFile"].into_iter().find_map(|key| descriptor.get::<Stream<'a>>(key))
}

fn encoding(font: &Dict<'_>) -> Option<CMap> {
    match font.get::<Object<'_>>("Encoding")? {
        Object::Name(name) => match CMapName::from_bytes(name.as_ref()) {
            CMapName::IdentityH => Some(CMap::identity_h()),
            CMapName::IdentityV => Some(CMap::identity_v()),
            predefined => CMap::parse(load_embedded(predefined)?, load_embedded),
        },
        Object::Stream(stream) => CMap::parse(&stream.decoded_data().ok()?, load_embedded),
        _ => None,
    }
}

fn family(descendant: &Dict<'_>) -> Option<CidFamily> {
    let info = descendant.get::<Dict<'_>>("CIDSystemInfo")?;
    let registry = info.get::<PdfString<'_>>("Registry")?;
    let ordering = info.get::<PdfString<'_>>("Ordering")?;
    let family = CidFamily::from_registry_ordering(registry.as_bytes(), ordering.as_bytes());
    family.ucs2_cmap().is_some().then_some(family)
}

/// A font program's table of characters, the other way round. Of several characters with one glyph the first is taken,
/// private ones never.
fn characters(program: &[u8]) -> HashMap<u32, char> {
    let mut out = HashMap::new();
    let Ok(font) = skrifa::FontRef::new(program) else { return out };
    for (code, glyph) in font.charmap().mappings() {
        let Some(c) = char::from_u32(code).filter(|c| !c.is_control() && !('\u{e000}'..='\u{f8ff}').contains(c)) else {
            continue;
        };
        out.entry(glyph.to_u32()).or_insert(c);
    }
    out.remove(&0);
    out
}
