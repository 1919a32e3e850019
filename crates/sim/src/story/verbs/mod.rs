//! The words of stories.
//!
//! | verb | does |
//! |---|---|
//! | `clock INSTANT`, `day DATE`, `time HH:MM:SS` | moves the clock, forward only |
//! | `customer NAME [kind corporation] [born DATE]` | registers |
//! | `account NAME[.more] CURRENCY [AMOUNT] [product CODE] [by WHO]` | opens, registers its owner when new, first money |
//! | `product CODE CURRENCY from DATE [tier AMOUNT@RATE]… [rest RATE] [transaction N] [day N] [month N] …` | new terms |
//! | `mark NAME MARK`, `unmark NAME MARK`, `close ACCOUNT` | as told |
//! | `credit A N [from BANK]`, `debit A N [to BANK]`, `pay A B N`, `hold A N [until T]` | post |
//! | `capture HOLD [N] [to BANK]`, `release HOLD`, `reverse [POSTING]`, `claim A [through channel]` | post |
//! | `again`, `altered COMMAND`, `ask [KEY]` | the last request once more, another one under its key, what became of it |
//! | `batch` … `end` | commands at once, each with its arrow |
//! | `balance A`, `entries A`, `days A [from D] [to D]`, `preview A`, `screen A` | look |
//! | `board CURRENCY MID TTS TTB …`, `approve [by OPERATOR]` | publish prices; what waited for a second person |
//! | `quote WHO buy\|sell CURRENCY N [in krw] [as NAME]`, `exchange QUOTE WON_ACCOUNT FOREIGN_ACCOUNT` | exchange |
//! | `exchanges WHO`, `left WHO` | how they ended, and what limits leave |
//! | `restart`, `books` | kill the bank and open it again; compare the books |
//!
//! Commands take `key K`, `by WHO` (a customer, `service`, `operator`), `as NAME`, `memo "…"`. A hold has the name of its
//! account unless told otherwise; `reverse` alone undoes the last posting.

mod commands;
mod exchanging;
mod looks;
mod people;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::Clock as _;

use super::text::Line;
use super::world::World;

/// What came of a line: main words, and figures by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Words that an arrow must name.
    pub main: Vec<String>,
    /// Figures that an arrow may name.
    pub more: Vec<(String, String)>,
}

impl Shown {
    fn new(main: &str) -> Shown {
        Shown { main: main.split_whitespace().map(str::to_owned).collect(), more: Vec::new() }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Shown {
        self.more.push((name.to_owned(), value.to_string()));
        self
    }
}

/// The words of a line on their way to be understood.
struct Words<'a> {
    words: &'a [String],
}

impl<'a> Words<'a> {
    /// The next word.
    fn word(&mut self, what: &str) -> Result<&'a str, String> {
        let (first, rest) = self.words.split_first().ok_or_else(|| format!("{what} is missing"))?;
        self.words = rest;
        Ok(first)
    }

    /// The next word if it is a number.
    fn number(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        first.starts_with(|c: char| c.is_ascii_digit()).then(|| {
            self.words = rest;
            first.as_str()
        })
    }

    /// All that is left, as names with values.
    fn options(&mut self, known: &[&str]) -> Result<Options<'a>, String> {
        let mut options = Vec::new();
        for pair in std::mem::take(&mut self.words).chunks(2) {
            let [name, value] = pair else { return Err(format!("{} has no value", pair[0])) };
            if !known.contains(&name.as_str()) {
                return Err(format!("{name} is not known here"));
            }
            options.push((name.as_str(), value.as_str()));
        }
        Ok(Options(options))
    }
}

/// Names with values, at the end of a line.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }
}

/// An instant as stories write it: whole, or a time of the present day.
fn instant(world: &World, text: &str) -> Result<Timestamp, String> {
    if text.contains('T') {
        return text.parse().map_err(|e| format!("{e}"));
    }
    let today = world.clock.now().business_date(UtcOffset::SEOUL);
    let padded = if text.len() == 5 { format!("{text}:00") } else { text.to_owned() };
    format!("{today}T{padded}+09:00").parse().map_err(|e| format!("{e}"))
}

/// Does what a line says.
///
/// # Errors
/// It can't be understood, or the bank did something that no line can expect.
pub async fn line(world: &mut World, line: &Line) -> Result<Shown, String> {
    let mut words = Words { words: &line.words };
    let verb = words.word("a verb")?;
    match verb {
        "clock" | "day" | "time" => {
            let word = words.word("when")?;
            let to = match verb {
                "day" => {
                    let day: BusinessDate = word.parse().map_err(|e| format!("{e}"))?;
                    Timestamp::start_of(day, UtcOffset::SEOUL)
                }
                _ => instant(world, word)?,
            };
            world.move_to(to).await?;
            Ok(Shown::default())
        }
        "customer" => people::customer(world, words).await,
        "account" => people::account(world, words).await,
        "product" => people::product(world, words).await,
        "mark" | "unmark" => people::mark(world, words, verb == "mark").await,
        "close" => people::close(world, words).await,
        "again" => commands::again(world).await,
        "altered" => commands::altered(world, words).await,
        "batch" => commands::batch(world, line).await,
        "ask" => commands::ask(world, words).await,
        "balance" => looks::balance(world, words).await,
        "entries" => looks::entries(world, words).await,
        "days" => looks::days(world, words).await,
        "preview" => looks::preview(world, words).await,
        "screen" => looks::screen(world, words).await,
        "board" => exchanging::board(world, words).await,
        "approve" => exchanging::approve(world, words).await,
        "quote" => exchanging::quote(world, words).await,
        "exchange" => exchanging::exchange(world, words).await,
        "exchanges" => exchanging::exchanges(world, words).await,
        "left" => exchanging::left(world, words).await,
        "restart" => world.restart().await.map(|()| Shown::default()),
        "books" => world.books().await.map(|()| Shown::default()),
        _ => commands::command(world, verb, words).await,
    }
}
