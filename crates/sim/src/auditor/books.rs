//! Holds what the general ledger says of single days and payments against the model, and the screens of customers.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_contracts::accounting::TaxPayment;
use jangbu_contracts::channel::AccountScreen;
use jangbu_contracts::deposit::Account;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::UtcOffset;

use super::Auditor;
use crate::client::Client;
use crate::model::{Model, Paid, interest};

/// Days that are compared, the last ones on which something was posted.
const DAYS_MAX: usize = 4;

/// What a customer saw of his account while others were at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    account: AccountId,
    serial: u64,
    balance: i64,
}

impl Look {
    /// An answer is never taken back: what was shown must have been so.
    pub(super) fn judge(&self, model: &Model) -> Result<(), String> {
        let Some(account) = model.accounts.get(&self.account) else { return Ok(()) };
        let before = usize::try_from(self.serial).ok().and_then(|n| n.checked_sub(1));
        let was = before.map_or(Some(0), |at| account.entries.get(at).map(|entry| entry.balance_after));
        if was == Some(self.balance) { Ok(()) } else { Err(format!("{self:?} was shown, but the balance was {was:?}")) }
    }
}

impl Auditor {
    /// Accounts that may have changed since they were compared.
    #[must_use]
    pub fn touched(&self) -> Vec<AccountId> {
        let mut touched: Vec<AccountId> = self.state().touched.iter().copied().collect();
        touched.sort_unstable();
        touched
    }

    /// Somebody saw an account.
    pub fn glanced(&self, shown: &Account) {
        let (account, serial, balance) = (shown.id, shown.last_serial, shown.ledger_balance);
        self.state().looks.push(Look { account, serial, balance });
    }

    /// A customer saw his screen, which he had asked for on the day `asked`.
    pub fn looked(&self, screen: &AccountScreen, asked: BusinessDate) {
        let latest = self.ahead.now().business_date(UtcOffset::SEOUL);
        let shown = &screen.account;
        let account = shown.id;
        self.glanced(shown);
        let mut state = self.state();
        if let Some(interest) = &screen.interest
            && (interest.as_of < asked
                || interest.as_of > latest
                || interest.preview.to.add_days(1) != interest.as_of
                || interest.preview.from <= shown.interest_paid_through)
        {
            state.findings.push(format!("on {asked} {account} was shown the interest of another day: {screen:?}"));
        }
    }

    /// Compares the screens of accounts with the model. All must be at rest, judged and compared.
    ///
    /// # Errors
    /// All that differs.
    pub async fn screens(&self, client: &Client, accounts: &[AccountId]) -> Result<(), Vec<String>> {
        let mut differences = Vec::new();
        for id in accounts {
            let shown = client.screen(*id).await.reply();
            if let Err(why) = shown.and_then(|screen| self.screen(*id, &screen)) {
                differences.push(format!("the screen of {id}: {why}"));
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    fn screen(&self, id: AccountId, screen: &AccountScreen) -> Result<(), String> {
        let today = [&self.clock, &self.ahead].map(|clock| clock.now().business_date(UtcOffset::SEOUL));
        let state = self.state();
        let account = state.model.accounts.get(&id).ok_or("not in the model")?;
        let shown = (screen.account.ledger_balance, screen.account.last_serial, screen.account.interest_paid_through);
        let ours = (account.ledger(), account.entries.len() as u64, account.paid_through);
        if shown != ours {
            return Err(format!("balance, serial, day paid through are {shown:?}, should be {ours:?}"));
        }
        let interest = screen.interest.as_ref().ok_or("it has no interest")?;
        if !today.contains(&interest.as_of) {
            return Err(format!("it has the interest of {}, today is {today:?}", interest.as_of));
        }
        let (from, to) = (account.paid_through.add_days(1), interest.as_of.add_days(-1));
        let nothing = interest::Due { gross: 0, income_tax: 0, local_tax: 0 };
        let due = if from > to { Some(nothing) } else { state.model.due(account, from, to) };
        let due = due.ok_or("the model has no terms")?;
        let said = &interest.preview;
        let said = (said.from, said.to, said.gross, said.income_tax, said.local_tax, said.other_tax, said.net);
        let ours = (from, to, due.gross, due.income_tax, due.local_tax, 0, due.net());
        if said == ours { Ok(()) } else { Err(format!("its interest is {said:?}, should be {ours:?}")) }
    }

    /// Compares the rows of tax payments and the balances at the end of days with the model.
    ///
    /// # Errors
    /// All that differs.
    pub async fn days_of_the_ledger(&self, client: &Client) -> Result<(), Vec<String>> {
        let mut differences = Vec::new();
        let days: BTreeSet<BusinessDate> = self.look(|model| model.postings.values().map(|done| done.date).collect());
        for day in days.into_iter().rev().take(DAYS_MAX) {
            match taxes(client, day).await {
                Ok(rows) => differences.extend(self.taxes(day, &rows)),
                Err(why) => differences.push(format!("tax payments of {day}: {why}")),
            }
            for (currency, closing) in self.look(|model| closings(model, day)) {
                let told = client.trial_balance_on(currency, day).await.reply();
                let deposits = told.map(|ledger| {
                    let rows = ledger.accounts.iter().filter(|row| row.account == "customer_deposits");
                    rows.map(|row| row.credits - row.debits).sum::<i128>()
                });
                if deposits != Ok(closing) {
                    differences.push(format!("{currency} deposits on {day} are {deposits:?}, should be {closing}"));
                }
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    fn taxes(&self, day: BusinessDate, rows: &[TaxPayment]) -> Vec<String> {
        let state = self.state();
        let told: BTreeMap<PostingId, (Paid, i64, i64)> = rows.iter().map(|row| (row.posting, paid(row))).collect();
        let of_day = state.model.postings.iter().filter(|(_, done)| done.date == day);
        let ours: BTreeMap<PostingId, (Paid, i64, i64)> =
            of_day.filter_map(|(id, done)| done.paid.map(|paid| (*id, (paid, 0, paid.due.net())))).collect();
        let ids: BTreeSet<&PostingId> = told.keys().chain(ours.keys()).collect();
        let differ = |id: &&PostingId| told.get(*id) != ours.get(*id);
        let why = |id: &PostingId| format!("tax of {id} is {:?}, should be {:?}", told.get(id), ours.get(id));
        let mut found: Vec<String> = ids.into_iter().filter(differ).map(why).collect();
        if told.len() != rows.len() {
            found.push(format!("{} payments of {day} have {} tax rows", told.len(), rows.len()));
        }
        found
    }
}

/// What a row says: the payment, other tax, net.
fn paid(row: &TaxPayment) -> (Paid, i64, i64) {
    let due = interest::Due { gross: row.gross, income_tax: row.income_tax, local_tax: row.local_tax };
    (Paid { from: row.from, to: row.to, due }, row.other_tax, row.net)
}

async fn taxes(client: &Client, day: BusinessDate) -> Result<Vec<TaxPayment>, String> {
    let (mut rows, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let page = client.tax_payments(day, &cursor).await.reply()?;
        rows.extend(page.items);
        next = page.next.map(|cursor| format!("&cursor={cursor}"));
    }
    Ok(rows)
}

/// What all accounts of a currency held when a day ended.
fn closings(model: &Model, day: BusinessDate) -> BTreeMap<Currency, i128> {
    let mut sums = BTreeMap::new();
    for account in model.accounts.values() {
        *sums.entry(account.currency).or_default() += i128::from(account.closing(day));
    }
    sums
}
