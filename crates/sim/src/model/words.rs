//! What is asked and what becomes of it, in words.

use std::collections::BTreeSet;
use std::fmt;

use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::Command;

use super::rules::{Verdict, What};

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Claim(account) => write!(f, "interest for {account}"),
            What::Post(Command::Credit { account, amount, source, .. }) => {
                write!(f, "credit of {} to {account} from {source}", amount.get())
            }
            What::Post(Command::Debit { account, amount, target, .. }) => {
                write!(f, "debit of {} from {account} to {target}", amount.get())
            }
            What::Post(Command::Transfer { from, to, amount, .. }) => {
                write!(f, "transfer of {} from {from} to {to}", amount.get())
            }
            What::Post(Command::Hold { account, amount, until }) => {
                write!(f, "hold of {} on {account}", amount.get())?;
                until.map_or(Ok(()), |until| write!(f, " until {until}"))
            }
            What::Post(Command::Capture { hold, amount, target }) => {
                let amount = amount.map_or_else(|| "all".to_owned(), |amount| amount.get().to_string());
                write!(f, "capture of {amount} of {hold} to {target}")
            }
            What::Post(Command::Release { hold }) => write!(f, "release of {hold}"),
            What::Post(Command::Reversal { posting, .. }) => write!(f, "reversal of {posting}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept(doing) => {
                write!(f, "posted on {} as a {} of {}", doing.date, doing.kind, doing.amount)?;
                doing.pays_interest.map_or(Ok(()), |(_, to)| write!(f, ", interest up to {to}"))
            }
            Verdict::Refuse(codes) => write!(f, "refused with {}", titled(codes.iter().map(String::as_str))),
            Verdict::TurnAway(code) => write!(f, "turned away with {}", titled([*code])),
        }
    }
}

/// Codes with what they mean.
pub fn titled<'a>(codes: impl IntoIterator<Item = &'a str>) -> String {
    let titled = |code: &str| match Code::parse(code) {
        Some(known) => format!("{code} ({})", known.title()),
        None => code.to_owned(),
    };
    let distinct: BTreeSet<&str> = codes.into_iter().collect();
    distinct.into_iter().map(titled).collect::<Vec<_>>().join(", ")
}
