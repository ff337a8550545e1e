//! A JSON text as a tree that keeps the order of keys and the digits of numbers.

use json_event_parser::{JsonEvent, SliceJsonParser};

use crate::ContentError;

/// Values a document may have. Each takes some 50 bytes.
const MAX_VALUES: usize = 2_000_000;

/// Levels that are followed.
const MAX_DEPTH: usize = 200;

/// Texts in a list, in characters, up to which it is written on one line.
const MAX_LINE: usize = 200;

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    /// Null.
    Nothing,
    /// A string, a number as it is written, or a truth value.
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    /// The value on one line: a text, or a short list of texts.
    pub(super) fn line(&self) -> Option<String> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            Self::List(values) if !values.is_empty() => {
                let mut line = String::new();
                for value in values {
                    let Self::Text(text) = value else { return None };
                    if line.len() + text.len() > MAX_LINE {
                        return None;
                    }
                    line.push_str(if line.is_empty() { "" } else { ", " });
                    line.push_str(text);
                }
                Some(line)
            }
            _ => None,
        }
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::List(values) => values.iter().all(Self::is_empty),
            Self::Map(members) => members.iter().all(|(_, value)| value.is_empty()),
        }
    }
}

/// Reads a text, or each line of it as one; none if it is neither.
pub(super) fn parse(text: &str) -> Result<Option<Value>, ContentError> {
    let mut left = MAX_VALUES;
    if let Some(value) = one(text, &mut left)? {
        return Ok(Some(value));
    }
    left = MAX_VALUES;
    let mut values = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match one(line, &mut left)? {
            Some(value) => values.push(value),
            None => return Ok(None),
        }
    }
    Ok((values.len() > 1).then_some(Value::List(values)))
}

/// A list or an object that is being read, with the key of the member to come.
enum Open {
    List(Vec<Value>),
    Map(Vec<(String, Value)>, String),
}

/// Reads one text; none if it is no JSON.
fn one(text: &str, left: &mut usize) -> Result<Option<Value>, ContentError> {
    let mut parser = SliceJsonParser::new(text.trim_start_matches('\u{feff}').as_bytes());
    let (mut open, mut done) = (Vec::new(), None);
    loop {
        let Ok(event) = parser.parse_next() else { return Ok(None) };
        let value = match event {
            JsonEvent::Eof => return Ok(done.filter(|_| open.is_empty())),
            JsonEvent::StartArray => {
                open.push(Open::List(Vec::new()));
                None
            }
            JsonEvent::StartObject => {
                open.push(Open::Map(Vec::new(), String::new()));
                None
            }
            JsonEvent::ObjectKey(name) => {
                if let Some(Open::Map(_, key)) = open.last_mut() {
                    *key = name.into_owned();
                }
                None
            }
            JsonEvent::EndArray | JsonEvent::EndObject => match open.pop() {
                Some(Open::List(values)) => Some(Value::List(values)),
                Some(Open::Map(members, _)) => Some(Value::Map(members)),
                None => return Ok(None),
            },
            JsonEvent::Null => Some(Value::Nothing),
            JsonEvent::Boolean(truth) => Some(Value::Text(truth.to_string())),
            JsonEvent::String(text) | JsonEvent::Number(text) => Some(Value::Text(text.into_owned())),
        };
        if open.len() > MAX_DEPTH {
            return Err(ContentError::TooDeep { max: MAX_DEPTH });
        }
        let Some(value) = value else { continue };
        *left = left.checked_sub(1).ok_or(ContentError::TooManyElements { max: MAX_VALUES })?;
        match open.last_mut() {
            Some(Open::List(values)) => values.push(value),
            Some(Open::Map(members, key)) => members.push((std::mem::take(key), value)),
            None => done = Some(value),
        }
    }
}
