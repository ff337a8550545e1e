//! Numbers before the items of lists: digits, letters, Roman numerals.

/// A number in a format as ODF (`1`, `a`, `I`) or Office Open XML (`decimal`, `lowerLetter`, `upperRoman`) names it;
/// those of other scripts are written in digits.
pub(crate) fn written(number: u32, format: &str) -> String {
    match format {
        "a" | "lowerLetter" => letters(number),
        "A" | "upperLetter" => letters(number).to_uppercase(),
        "i" | "lowerRoman" => roman(number),
        "I" | "upperRoman" => roman(number).to_uppercase(),
        "decimalZero" => format!("{number:02}"),
        _ => number.to_string(),
    }
}

/// a … z, aa … zz, aaa …
fn letters(number: u32) -> String {
    if number == 0 {
        return String::new();
    }
    let letter = u8::try_from((number - 1) % 26).map_or('a', |at| char::from(b'a' + at));
    letter.to_string().repeat(((number - 1) / 26 + 1).min(20) as usize)
}

/// Up to where they are in use.
fn roman(number: u32) -> String {
    const SIGNS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    if number > 4_999 {
        return number.to_string();
    }
    let (mut left, mut out) = (number, String::new());
    for (value, sign) in SIGNS {
        while left >= value {
            out.push_str(sign);
            left -= value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_their_format_says() {
        let of =
            |number| ["1", "a", "A", "lowerRoman", "I", "decimalZero"].map(|format| written(number, format)).join(" ");
        assert_eq!(of(4), "4 d D iv IV 04");
        assert_eq!(of(28), "28 bb BB xxviii XXVIII 28");
        assert_eq!(of(0), "0     00");
    }
}
