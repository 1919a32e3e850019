//! The text of a story: lines, words, amounts.

use jangbu_kernel::money::Currency;

/// One line, with the lines that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// As it is written.
    pub text: String,
    /// Its words.
    pub words: Vec<String>,
    /// Words after the arrow; none when there is no arrow.
    pub expected: Option<Vec<String>>,
    /// Lines up to `end`, of a batch.
    pub inside: Vec<Line>,
}

/// Splits at white space; quotes keep words together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in text.split('"').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn line(number: usize, text: &str) -> Line {
    let (told, expected) = match text.split_once("->") {
        Some((told, expected)) => (told, Some(words(&expected.replace(',', " ")))),
        None => (text, None),
    };
    Line { number, text: text.trim().to_owned(), words: words(told), expected, inside: Vec::new() }
}

/// The lines of a story without empty ones and comments (`#` to the end).
///
/// # Errors
/// A batch without end.
pub fn lines(story: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    let mut inside = false;
    for (i, text) in story.lines().enumerate() {
        let text = text.split('#').next().unwrap_or("");
        let read = line(i + 1, text);
        match read.words.first().map(String::as_str) {
            None => {}
            Some("end") if inside => inside = false,
            Some(_) if inside => lines.last_mut().expect("a batch began").inside.push(read),
            Some(verb) => {
                inside = verb == "batch";
                lines.push(read);
            }
        }
    }
    if inside { Err("a batch without end".to_owned()) } else { Ok(lines) }
}

/// An amount as written, in minor units: `70_000`, or `12.50` where the currency has cents.
///
/// # Errors
/// It is no such amount.
pub fn amount(text: &str, currency: Currency) -> Result<i64, String> {
    let bad = || format!("{text:?} is not an amount of {currency}");
    let plain = text.replace('_', "");
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = usize::from(currency.exponent());
    if part.len() > digits {
        return Err(bad());
    }
    format!("{whole}{part:0<digits$}").parse().map_err(|_| bad())
}

/// Minor units as they are written in stories.
#[must_use]
pub fn shown(minor: i64, currency: Currency) -> String {
    let unit = 10u64.pow(u32::from(currency.exponent()));
    let (whole, part) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let digits = whole.to_string();
    let mut grouped = String::from(if minor < 0 { "-" } else { "" });
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push('_');
        }
        grouped.push(c);
    }
    if unit > 1 {
        grouped.push_str(&format!(".{part:0width$}", width = usize::from(currency.exponent())));
    }
    grouped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_read() {
        let story =
            "# a story\nclock x\n\npay a b 1 memo \"two words\" -> refused A, B # why\nbatch\n pay a b 1\nend\n";
        let read = lines(story).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!((read[1].number, read[1].words[5].as_str()), (4, "two words"));
        assert_eq!(read[1].expected.as_deref().unwrap(), ["refused", "A", "B"]);
        assert_eq!(read[2].inside.len(), 1);
        assert!(lines("batch\npay a b 1\n").is_err());
    }

    #[test]
    fn amounts_are_read_and_written() {
        for (text, currency, minor) in
            [("1_234_567", Currency::KRW, 1_234_567), ("12.50", Currency::USD, 1_250), ("3", Currency::USD, 300)]
        {
            assert_eq!(amount(text, currency), Ok(minor));
        }
        assert!(amount("1.5", Currency::JPY).is_err() && amount("x", Currency::KRW).is_err());
        assert_eq!(shown(1_234_567, Currency::JPY), "1_234_567");
        assert_eq!(shown(-123_456, Currency::USD), "-1_234.56");
    }
}
