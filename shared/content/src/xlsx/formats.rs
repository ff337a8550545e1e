//! Which numbers are dates, times and percentages, by the formats of their cells (ECMA-376, part 1, 18.8.30).

use std::collections::HashMap;

use chrono::{NaiveDate, TimeDelta};

use crate::xml::{Node, Xml};

/// What a format makes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Number,
    Percent,
    Date,
    Time,
    Moment,
    /// Hours and minutes that went by, which may be more than a day.
    Elapsed,
}

/// The formats of cells, by the index a cell names.
#[derive(Debug, Default)]
pub(super) struct Formats {
    looks: Vec<Look>,
    since_1904: bool,
}

impl Formats {
    /// Reads the part; as far as it goes, if it is broken.
    pub(super) fn read(source: &str, since_1904: bool) -> Self {
        let (mut codes, mut looks, mut cells) = (HashMap::new(), Vec::new(), false);
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            match node {
                Node::Open(tag) => match tag.name() {
                    "numFmt" => {
                        if let (Some(id), Some(code)) = (tag.number::<u32>("numFmtId"), tag.attr("formatCode")) {
                            codes.insert(id, look_of(&code));
                        }
                    }
                    "cellXfs" => cells = true,
                    "xf" if cells => {
                        let id = tag.number("numFmtId").unwrap_or(0);
                        looks.push(codes.get(&id).copied().unwrap_or_else(|| built_in(id)));
                    }
                    _ => {}
                },
                Node::Close(name) if *name == *"cellXfs" => cells = false,
                _ => {}
            }
        }
        Self { looks, since_1904 }
    }

    /// How a reader sees a number in a cell of this style.
    pub(super) fn show(&self, value: &str, style: Option<usize>) -> String {
        let Ok(number) = value.trim().parse::<f64>() else { return value.trim().to_owned() };
        let look = style.and_then(|style| self.looks.get(style)).copied().unwrap_or(Look::Number);
        match look {
            Look::Number => plain(number),
            Look::Percent => format!("{}%", plain(number * 100.0)),
            _ => self.moment(number, look).unwrap_or_else(|| plain(number)),
        }
    }

    /// A count of days as date and time of day.
    fn moment(&self, days: f64, look: Look) -> Option<String> {
        // Parts of a second are cut off, as on a clock; what floating point lost is given back before.
        let seconds = (days * 86_400.0 + 0.001).floor();
        if !(0.0..=2_958_466.0 * 86_400.0).contains(&seconds) {
            return None;
        }
        let seconds = seconds as i64;
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if look == Look::Elapsed {
            return Some(format!("{hours}:{minutes:02}:{rest:02}"));
        }
        let clock = if rest == 0 {
            format!("{:02}:{minutes:02}", hours % 24)
        } else {
            format!("{:02}:{minutes:02}:{rest:02}", hours % 24)
        };
        if look == Look::Time {
            return Some(clock);
        }
        // Excel believes in 29 February 1900, as Lotus 1-2-3 did: before it, its days are one behind.
        let first = match (self.since_1904, days < 60.0) {
            (true, _) => NaiveDate::from_ymd_opt(1904, 1, 1)?,
            (false, true) => NaiveDate::from_ymd_opt(1899, 12, 31)?,
            (false, false) => NaiveDate::from_ymd_opt(1899, 12, 30)?,
        };
        let date = first.checked_add_signed(TimeDelta::try_days(seconds / 86_400)?)?;
        let shown = date.format("%Y-%m-%d");
        Some(if look == Look::Moment && seconds % 86_400 != 0 { format!("{shown} {clock}") } else { shown.to_string() })
    }
}

/// A number with the 15 digits that Excel keeps, without an exponent where one can do without.
fn plain(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let size = number.abs().log10().floor();
    if !(-5.0..15.0).contains(&size) {
        return format!("{number}");
    }
    let decimals = (14.0 - size).clamp(0.0, 20.0) as usize;
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The formats that have a number instead of a code (18.8.30).
fn built_in(id: u32) -> Look {
    match id {
        9 | 10 => Look::Percent,
        14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Look::Date,
        18..=21 | 32..=35 | 55 | 56 | 45 | 47 => Look::Time,
        22 => Look::Moment,
        46 => Look::Elapsed,
        _ => Look::Number,
    }
}

/// What a code such as `dd/mm/yyyy hh:mm` or `0.0%` makes of a number.
fn look_of(code: &str) -> Look {
    let first = code.split(';').next().unwrap_or_default();
    let (mut letters, mut chars) = (String::new(), first.chars());
    let mut elapsed = false;
    while let Some(c) = chars.next() {
        match c {
            // Literal text, and characters that only take room.
            '"' => while chars.next().is_some_and(|c| c != '"') {},
            '\\' | '_' | '*' => {
                chars.next();
            }
            // A colour, a currency, a condition, or hours that went by.
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                elapsed |= !inside.is_empty() && inside.to_lowercase().chars().all(|c| matches!(c, 'h' | 'm' | 's'));
            }
            c => letters.push(c.to_ascii_lowercase()),
        }
    }
    if letters.contains('%') {
        return Look::Percent;
    }
    if elapsed {
        return Look::Elapsed;
    }
    if letters.contains("general") {
        return Look::Number;
    }
    let days = letters.contains('y') || letters.contains('d');
    let clock = letters.contains('h') || letters.contains('s');
    match (days, clock, letters.contains('m')) {
        (true, true, _) => Look::Moment,
        (true, false, _) | (false, false, true) => Look::Date,
        (false, true, _) => Look::Time,
        (false, false, false) => Look::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_dates_times_and_percentages() {
        for (code, look) in [
            ("General", Look::Number),
            ("#,##0.00 \"days\"", Look::Number),
            ("[Red]-0.0", Look::Number),
            ("0.0%", Look::Percent),
            ("dd/mm/yyyy", Look::Date),
            ("mmm\\-yy", Look::Date),
            ("[$-409]d mmm yyyy h:mm AM/PM;@", Look::Moment),
            ("hh:mm:ss", Look::Time),
            ("[h]:mm", Look::Elapsed),
        ] {
            assert_eq!(look_of(code), look, "{code}");
        }
    }

    #[test]
    fn numbers_are_shown_as_a_reader_sees_them() {
        let styles = "<styleSheet><cellStyleXfs><xf numFmtId='14'/></cellStyleXfs><cellXfs><xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='22'/><xf numFmtId='10'/><xf numFmtId='46'/><xf numFmtId='20'/></cellXfs></styleSheet>";
        let formats = Formats::read(styles, false);
        for (value, style, shown) in [
            ("0.30000000000000004", 0, "0.3"),
            ("1234567890123456", 0, "1234567890123456"),
            ("12", 0, "12"),
            ("46000", 1, "2025-12-09"),
            ("1", 1, "1900-01-01"),
            ("61", 1, "1900-03-01"),
            ("46000.75", 2, "2025-12-09 18:00"),
            ("0.1525", 3, "15.25%"),
            ("1.5", 4, "36:00:00"),
            ("0.5", 5, "12:00"),
            ("-3", 1, "-3"),
            ("1e300", 1, &format!("{}", 1e300)),
        ] {
            assert_eq!(formats.show(value, Some(style)), shown, "{value}");
        }
        assert_eq!(Formats::read(styles, true).show("0", Some(1)), "1904-01-01");
    }
}
