//! A failure, told: what happened to the accounts that its findings are about, in order, with the faults and crashes
//! near it, and how these accounts stand in the model.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jangbu_contracts::deposit::Side;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::time::Timestamp;
use serde_json::Value;

use super::trace::{Exchange, Happening, clock_of};
use crate::model::Model;

/// Accounts that are told of.
const ACCOUNTS_TOLD: usize = 2;
/// Requests told of one account, the last of them.
const EXCHANGES_TOLD: usize = 16;
/// Entries told of one account, the last of them.
const ENTRIES_TOLD: usize = 10;
/// How long before and after a request faults are told with it, microseconds.
const NEAR_US: i64 = 60_000;
/// Length of an account's id.
const ID_CHARS: usize = 30;
/// Most of one request or answer that is told, characters.
const TEXT_CHARS: usize = 400;

/// Tells of what findings are about.
#[must_use]
pub fn tell(happened: &[(Timestamp, Happening)], model: &Model, findings: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for account in subjects(happened, findings) {
        lines.push(format!("what happened to {account}:"));
        lines.extend(events(happened, &account, findings));
        lines.extend(stands(model, &account));
    }
    lines
}

/// Words of a text that may be ids or keys.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).filter(|word| !word.is_empty())
}

fn is_account(word: &&str) -> bool {
    word.len() == ID_CHARS && word.starts_with("acc_")
}

/// Accounts that findings name, or whose requests they name by key, in that order.
fn subjects(happened: &[(Timestamp, Happening)], findings: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for finding in findings {
        let named = words(finding).filter(is_account).map(str::to_owned);
        let named: Vec<String> = named.chain(keyed(happened, finding)).collect();
        for account in named {
            if !found.contains(&account) {
                found.push(account);
            }
            if found.len() == ACCOUNTS_TOLD {
                return found;
            }
        }
    }
    found
}

/// Accounts in requests whose key a finding names.
fn keyed(happened: &[(Timestamp, Happening)], finding: &str) -> Vec<String> {
    let mut found = Vec::new();
    for exchange in happened.iter().filter_map(|(_, happening)| exchange_of(happening)) {
        if exchange.key.as_deref().is_some_and(|key| words(finding).any(|word| word == key)) {
            for body in [&exchange.asked, &exchange.answered] {
                let body = String::from_utf8_lossy(body);
                found.extend(words(&body).chain(words(&exchange.call)).filter(is_account).map(str::to_owned));
            }
        }
    }
    found
}

fn exchange_of(happening: &Happening) -> Option<&Exchange> {
    match happening {
        Happening::Exchange(exchange) => Some(exchange),
        Happening::Line(_) | Happening::Fault(_) | Happening::Died(..) | Happening::Back(_) => None,
    }
}

/// Whether a request or its answer names one of these, or stands under a key that findings name.
fn concerns(exchange: &Exchange, names: &BTreeSet<String>, keys: &BTreeSet<&str>) -> bool {
    let (asked, answered) = (String::from_utf8_lossy(&exchange.asked), String::from_utf8_lossy(&exchange.answered));
    let texts = [exchange.call.as_str(), &asked, &answered];
    exchange.key.as_deref().is_some_and(|key| keys.contains(key))
        || texts.iter().any(|text| words(text).any(|word| names.contains(word)))
}

/// The account, and what was made of it: its holds and postings, which later requests name instead of it.
fn names(happened: &[(Timestamp, Happening)], account: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from([account.to_owned()]);
    for exchange in happened.iter().filter_map(|(_, happening)| exchange_of(happening)) {
        let made = exchange.call.starts_with("POST") && !exchange.call.contains("/batch");
        if made && concerns(exchange, &BTreeSet::from([account.to_owned()]), &BTreeSet::new()) {
            let answered: Value = serde_json::from_slice(&exchange.answered).unwrap_or_default();
            let made = ["id", "hold"].iter().filter_map(|field| answered[field].as_str());
            names.extend(made.map(str::to_owned));
        }
    }
    names
}

/// Requests about an account with their answers, and what went wrong near them.
fn events(happened: &[(Timestamp, Happening)], account: &str, findings: &[String]) -> Vec<String> {
    let names = names(happened, account);
    let keys: BTreeSet<&str> = findings.iter().flat_map(|finding| words(finding)).collect();
    // Reading it again at rest is no event of its life.
    let lived = |exchange: &Exchange| !exchange.call.starts_with("GET") || exchange.call.contains("key=");
    let all: Vec<(usize, &Exchange)> = happened
        .iter()
        .enumerate()
        .filter_map(|(at, (_, happening))| Some((at, exchange_of(happening)?)))
        .filter(|(_, exchange)| lived(exchange) && concerns(exchange, &names, &keys))
        .collect();
    let skipped = all.len().saturating_sub(EXCHANGES_TOLD);
    let told = &all[skipped..];
    let mut lines = Vec::new();
    if skipped > 0 {
        lines.push(format!("  ({skipped} earlier requests are not told)"));
    }
    let Some(first) = told.first().map(|(_, exchange)| exchange.sent.micros() - NEAR_US) else { return lines };
    let spans: Vec<(i64, i64)> = told
        .iter()
        .map(|(at, exchange)| (exchange.sent.micros() - NEAR_US, happened[*at].0.micros() + NEAR_US))
        .collect();
    let near = |at: Timestamp| spans.iter().any(|(from, to)| (*from..=*to).contains(&at.micros()));
    let mut next = told.iter().peekable();
    for (place, (at, happening)) in happened.iter().enumerate() {
        let clock = clock_of(*at);
        match happening {
            Happening::Exchange(exchange) => {
                if next.next_if(|(told, _)| *told == place).is_some() {
                    lines.extend(told_of(exchange, *at, &names));
                }
            }
            Happening::Fault(_) if near(*at) => lines.push(format!("  {clock}   {happening}")),
            Happening::Died(..) | Happening::Back(_) if at.micros() >= first => {
                lines.push(format!("  {clock}   {happening}"));
            }
            Happening::Fault(_) | Happening::Died(..) | Happening::Back(_) | Happening::Line(_) => {}
        }
    }
    lines
}

/// A request and its answer, in two lines.
fn told_of(exchange: &Exchange, at: Timestamp, names: &BTreeSet<String>) -> [String; 2] {
    let key = exchange.key.as_deref().map_or_else(String::new, |key| format!(" under {key}"));
    let asked = part_of(&exchange.asked, names);
    let asked = format!("  {}   asked: {}{key} {asked}", clock_of(exchange.sent), exchange.call);
    let answered = match exchange.status {
        None => "no answer".to_owned(),
        Some(status) => format!("{status} {}", part_of(&exchange.answered, names)),
    };
    [asked, format!("  {}   answered: {answered}", clock_of(at))]
}

/// What a body says of these names: of a list within it only the items that are about them.
fn part_of(body: &[u8], names: &BTreeSet<String>) -> String {
    let Ok(mut body) = serde_json::from_slice::<Value>(body) else {
        return short(&String::from_utf8_lossy(body));
    };
    for list in ["commands", "outcomes"] {
        if let Some(items) = body.get_mut(list).and_then(Value::as_array_mut) {
            items.retain(|item| words(&item.to_string()).any(|word| names.contains(word)));
        }
    }
    short(&body.to_string())
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How the model has an account: what it should be.
fn stands(model: &Model, account: &str) -> Vec<String> {
    let Ok(id) = account.parse::<AccountId>() else { return Vec::new() };
    let Some(ours) = model.accounts.get(&id) else { return vec!["  the model does not know it".to_owned()] };
    let mut head = format!(
        "  in the model: {} at {}, balance {}, held {}, {} entries, interest paid through {}",
        ours.product,
        ours.instance,
        ours.ledger(),
        model.held(id),
        ours.entries.len(),
        ours.paid_through
    );
    if !ours.marks.is_empty() {
        let marks: Vec<&str> = ours.marks.iter().map(String::as_str).collect();
        let _ = write!(head, ", marked {}", marks.join(", "));
    }
    let mut lines = vec![head];
    let skipped = ours.entries.len().saturating_sub(ENTRIES_TOLD);
    for (serial, entry) in ours.entries.iter().enumerate().skip(skipped) {
        let side = if entry.side == Side::Debit { "debit" } else { "credit" };
        let (serial, date, kind, amount) = (serial + 1, entry.date, &entry.kind, entry.amount);
        lines.push(format!("    entry {serial} on {date}: {kind}, {side} {amount}, balance {}", entry.balance_after));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::body::Bytes;

    use super::*;

    const ACCOUNT: &str = "acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2F";
    const OTHER: &str = "acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2G";

    fn exchange(sent: i64, key: &str, asked: &str, status: Option<u16>, answered: &str) -> Happening {
        let (node, call) = ("deposit-krw".to_owned(), "POST /deposit-krw/v1/postings".to_owned());
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Happening::Exchange(Box::new(Exchange {
            sent: Timestamp::from_micros(sent),
            node,
            call,
            key: Some(key.to_owned()),
            asked: bytes(asked),
            status,
            answered: bytes(answered),
        }))
    }

    fn happened() -> Vec<(Timestamp, Happening)> {
        let hold = format!("{{\"kind\":\"hold\",\"account\":\"{ACCOUNT}\"}}");
        let other = format!("{{\"kind\":\"debit\",\"account\":\"{OTHER}\"}}");
        let all = [
            (10, exchange(1, "k1", &hold, Some(201), "{\"id\":\"pos_1\",\"hold\":\"hld_1\"}")),
            (20, Happening::Fault("lock wait, far away in time")),
            (900_000, exchange(800_000, "k2", &other, Some(201), "{}")),
            (1_000_000, Happening::Fault("slow flush")),
            (1_000_001, Happening::Died("deposit-krw".to_owned(), "in a flush".to_owned())),
            (1_000_002, exchange(1_000_000, "k3", "{\"kind\":\"capture\",\"hold\":\"hld_1\"}", None, "")),
            (5_000_000, Happening::Fault("cache wiped")),
        ];
        all.into_iter().map(|(at, happening)| (Timestamp::from_micros(at), happening)).collect()
    }

    #[test]
    fn the_story_of_an_account_has_its_holds_and_the_faults_near_it() {
        let told = tell(&happened(), &Model::default(), &[format!("{ACCOUNT}: balance is off")]).join("\n");
        for there in ["under k1", "hld_1", "slow flush", "deposit-krw: crashes in a flush", "under k3", "no answer"] {
            assert!(told.contains(there), "{there}: {told}");
        }
        for absent in ["k2", "cache wiped", OTHER] {
            assert!(!told.contains(absent), "{absent}: {told}");
        }
        let places: Vec<usize> = ["k1", "slow flush", "crashes", "k3", "no answer", "the model does not know it"]
            .iter()
            .map(|text| told.find(text).unwrap())
            .collect();
        assert!(places.is_sorted(), "{told}");
    }

    #[test]
    fn a_key_leads_to_its_account() {
        let told = tell(&happened(), &Model::default(), &["k2: refused, should be posted".to_owned()]).join("\n");
        assert!(told.contains(OTHER) && told.contains("under k2") && !told.contains("k3"), "{told}");
    }
}
