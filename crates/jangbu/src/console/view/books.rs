//! The books: what customers have and what the bank has against it, and whether both are the same.

use std::fmt::Write as _;

use jangbu_contracts::deposit::CurrencyTotals;
use jangbu_kernel::money::Currency;

use super::capital;
use crate::console::figures::{Book, Shown};
use crate::console::text::{Escaped, grouped, money};

/// Looks in a row, with nothing on its way, after which another figure in the general ledger is a break.
const DIFFERING_LOOKS_MAX: u32 = 2;

fn breaks(book: &Book) -> bool {
    !book.sums.balanced || book.control.is_some_and(|control| control.differs >= DIFFERING_LOOKS_MAX)
}

/// Whether the books balance, in a sentence, and how far that was proved.
pub(super) fn verdict(shown: &Shown) -> String {
    if shown.now.is_none() || shown.books.is_empty() {
        return "<p class=\"verdict\">Nothing has been posted yet</p>\
                <p class=\"faint\">Open an account and pay something in: the books show here within a second.</p>"
            .to_owned();
    }
    let broken = shown.books.iter().filter(|book| breaks(book)).count();
    let summed = shown.counted.recorded.saturating_sub(shown.counted.behind);
    let summed = grouped(i64::try_from(summed).unwrap_or(i64::MAX));
    let behind = i64::try_from(shown.counted.behind).unwrap_or(i64::MAX);
    let behind = if behind == 0 { String::new() } else { format!("; {} to go", grouped(behind)) };
    let how = format!(
        "<p class=\"faint\">Every entry read back from the store: debits equal credits, each balance goes on from the one \
         before, no serial is missing. {summed} decisions proved{behind}.</p>"
    );
    if broken == 0 {
        return format!("<p class=\"verdict good\">{}The books balance</p>{how}", tick());
    }
    let what = if broken == 1 { "One set of books does" } else { "Several sets of books do" };
    format!("<p class=\"verdict bad\">{}{what} not balance</p>{how}", cross())
}

fn tick() -> &'static str {
    "<svg class=\"sign\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M4 12.5l5.5 5.5L20.5 6.5\"/></svg>"
}

fn cross() -> &'static str {
    "<svg class=\"sign\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M6 6l12 12M18 6L6 18\"/></svg>"
}

/// The books of each instance.
pub(super) fn books(shown: &Shown) -> String {
    let mut out = String::new();
    let mut instances: Vec<&str> = shown.books.iter().map(|book| book.instance.as_str()).collect();
    instances.dedup();
    for instance in instances {
        let of_instance: Vec<&Book> = shown.books.iter().filter(|book| book.instance == instance).collect();
        out.push_str("<div>");
        match of_instance.as_slice() {
            [book] => account(&mut out, book),
            many => currencies(&mut out, instance, many),
        }
        out.push_str("</div>");
    }
    out
}

/// An account of the bank as people call it.
fn name(account: &str) -> String {
    match account {
        "nostro" => "Due from banks".to_owned(),
        "tax_suspense" => "Tax withheld".to_owned(),
        "exchange" => "Currency exchange".to_owned(),
        other => capital(other),
    }
}

/// Debits and credits of one set of books.
fn sides(sums: &CurrencyTotals) -> [i128; 2] {
    let all = sums.bank.values().chain([&sums.customers_total]).map(|n| i128::from(*n));
    all.fold([0; 2], |[debits, credits], n| if n < 0 { [debits - n, credits] } else { [debits, credits + n] })
}

fn wide(sum: i128, currency: Currency) -> String {
    money(i64::try_from(sum).unwrap_or(i64::MAX), currency)
}

/// One currency: a trial balance with all its accounts.
fn account(out: &mut String, book: &Book) {
    let (sums, currency) = (&book.sums, book.sums.currency);
    let _ = write!(
        out,
        "<table class=\"ledger\"><caption>{} <span class=\"faint\">{currency}</span></caption>\
         <thead><tr><th scope=\"col\"><span class=\"unseen\">Account</span></th><th scope=\"col\">Debit</th>\
         <th scope=\"col\">Credit</th></tr></thead><tbody>",
        Escaped(&book.instance)
    );
    let mut row = |name: &str, sum: i64, strong: bool| {
        let class = if strong { " class=\"own\"" } else { "" };
        let (amount, nothing) = (money(sum.saturating_abs(), currency), "");
        let (debit, credit) = if sum < 0 { (amount.as_str(), nothing) } else { (nothing, amount.as_str()) };
        let _ =
            write!(out, "<tr{class}><th scope=\"row\">{}</th><td>{debit}</td><td>{credit}</td></tr>", Escaped(name));
    };
    row("Customers\u{2019} balances", sums.customers_total, true);
    for (account, sum) in sums.bank.iter().filter(|(_, sum)| **sum != 0) {
        row(&name(account), *sum, false);
    }
    let [debits, credits] = sides(sums);
    let _ = write!(
        out,
        "</tbody><tfoot><tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr></tfoot></table>",
        said(book),
        wide(debits, currency),
        wide(credits, currency)
    );
    control(out, book);
}

/// Whether one set of books balances.
fn said(book: &Book) -> String {
    let sums = &book.sums;
    if !sums.balanced {
        let broken = grouped(i64::try_from(sums.broken_entries).unwrap_or(i64::MAX));
        let difference = money(sums.difference, sums.currency);
        return format!("<span class=\"bad\">Off by {difference}, {broken} broken entries</span>");
    }
    "<span class=\"good\">Equal</span>".to_owned()
}

/// What the general ledger says beside it.
fn control(out: &mut String, book: &Book) {
    let Some(control) = book.control else { return };
    let figure = wide(control.balance, book.sums.currency);
    let text = match (control.same, control.differs) {
        (true, _) => "The general ledger has the same for customers".to_owned(),
        (false, n) if n < DIFFERING_LOOKS_MAX => format!("The general ledger follows, at {figure}"),
        (false, _) => format!("<span class=\"bad\">The general ledger has {figure} for customers</span>"),
    };
    let _ = write!(out, "<p class=\"control faint\">{text}.</p>");
}

/// Many currencies: a line for each.
fn currencies(out: &mut String, instance: &str, books: &[&Book]) {
    let _ = write!(
        out,
        "<table class=\"ledger\"><caption>{} <span class=\"faint\">{} currencies</span></caption>\
         <thead><tr><th scope=\"col\"><span class=\"unseen\">Currency</span></th><th scope=\"col\">Customers have</th>\
         <th scope=\"col\">The bank against it</th></tr></thead><tbody>",
        Escaped(instance),
        books.len()
    );
    for book in books {
        let currency = book.sums.currency;
        let bank: i128 = book.sums.bank.values().map(|n| i128::from(*n)).sum();
        let mark = if breaks(book) { format!(" {}", said(book)) } else { String::new() };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{currency}{mark}</th><td>{}</td><td>{}</td></tr>",
            money(book.sums.customers_total, currency),
            wide(-bank, currency)
        );
    }
    out.push_str("</tbody></table>");
    let controls: Vec<_> = books.iter().filter_map(|book| book.control).collect();
    let text = if controls.is_empty() {
        return;
    } else if controls.iter().all(|control| control.same) {
        "The general ledger has the same for customers"
    } else if controls.iter().all(|control| control.differs < DIFFERING_LOOKS_MAX) {
        "The general ledger follows"
    } else {
        "<span class=\"bad\">The general ledger has other figures for customers</span>"
    };
    let _ = write!(out, "<p class=\"control faint\">{text}.</p>");
}
