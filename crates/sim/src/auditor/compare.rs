//! Reads accounts from the bank and compares them with the model: balances, every entry, every day, and the sum of all.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_contracts::deposit::{Account, AccountEntry, DailyBalance};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::money::Currency;

use super::Auditor;
use crate::client::Client;
use crate::model;

/// Entries asked for at once.
const ENTRIES_PER_PAGE: u32 = 500;
/// Days asked for at once.
const DAYS_PER_PAGE: u32 = 500;

impl Auditor {
    /// Compares all accounts that may have changed since the last time. All must be at rest and judged.
    ///
    /// # Errors
    /// All that differs.
    pub async fn compare(&self, client: &Client) -> Result<(), Vec<String>> {
        let mut touched: Vec<AccountId> = self.state().touched.drain().collect();
        touched.sort_unstable();
        let mut differences = Vec::new();
        for id in touched {
            if let Err(why) = self.account(client, id).await {
                differences.push(format!("{id}: {why}"));
            }
        }
        differences.extend(self.sums());
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    /// The model's account, what is held of it, and how many of its entries were compared before.
    fn ours(&self, id: AccountId) -> Option<(model::Account, i64, u64)> {
        let mut state = self.state();
        let now = self.clock.now();
        state.model.lapse(now);
        let seen = state.told.get(&id).map_or(0, |(_, seen)| *seen);
        Some((state.model.accounts.get(&id)?.clone(), state.model.held(id), seen))
    }

    async fn account(&self, client: &Client, id: AccountId) -> Result<(), String> {
        let (ours, held, seen) = self.ours(id).ok_or("not in the model")?;
        let deposit = client.deposit(&ours.instance);
        let shown = deposit.account(id).await.reply()?;
        balances(&shown, &ours, held)?;
        self.marks(&shown, &ours)?;
        let mut after = seen;
        loop {
            let page = deposit.entries(id, after, ENTRIES_PER_PAGE).await.reply()?;
            entries(&page.items, &ours, after)?;
            after += page.items.len() as u64;
            if page.next.is_none() {
                break;
            }
            if page.items.is_empty() {
                return Err(format!("an empty page of entries after {after} that is not the last"));
            }
        }
        if after != ours.entries.len() as u64 {
            return Err(format!("the bank has {after} entries, should be {}", ours.entries.len()));
        }
        // Days that ended before what was compared last can't have changed, but reading them is cheap.
        let (mut told, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let page = deposit.days(id, &format!("limit={DAYS_PER_PAGE}{cursor}")).await.reply()?;
            told.extend(page.items);
            next = page.next.map(|cursor| format!("&cursor={cursor}"));
        }
        days(&told, &ours, self.today())?;
        self.state().told.insert(id, (shown.ledger_balance, after));
        Ok(())
    }

    /// An account shows its own marks and those of its owner, and no others.
    fn marks(&self, shown: &Account, ours: &model::Account) -> Result<(), String> {
        let owners = self.look(|m| m.customers.get(&ours.customer).map(|owner| owner.marks.clone()));
        let marks: BTreeSet<&String> = ours.marks.iter().chain(owners.iter().flatten()).collect();
        let bank: BTreeSet<&String> = shown.marks.iter().collect();
        if bank == marks { Ok(()) } else { Err(format!("marks are {bank:?}, should be {marks:?}")) }
    }

    /// Compares the general ledger with the model, currency by currency. All must be at rest, judged, and told.
    ///
    /// # Errors
    /// All that differs.
    pub async fn general_ledger(&self, client: &Client) -> Result<(), Vec<String>> {
        let mut differences = Vec::new();
        for (currency, wanted) in self.accounts_of_the_ledger() {
            let ledger = match client.trial_balance(currency).await.reply() {
                Ok(ledger) => ledger,
                Err(why) => return Err(vec![format!("trial balance of {currency}: {why}")]),
            };
            if !ledger.balanced || ledger.debits != ledger.credits {
                differences.push(format!("{currency}: debits {} and credits {}", ledger.debits, ledger.credits));
            }
            let mut stands: BTreeMap<&str, i128> = BTreeMap::new();
            for row in &ledger.accounts {
                // What positions gain by the day's prices is moved between two accounts; together they stay.
                let name = if row.account == "fx_revaluation" { "fx_counter_value" } else { &row.account };
                *stands.entry(name).or_default() += row.credits - row.debits;
            }
            let names: BTreeSet<&str> = stands.keys().copied().chain(wanted.keys().map(String::as_str)).collect();
            for name in names {
                let (there, here) = (stands.get(name).unwrap_or(&0), wanted.get(name).unwrap_or(&0));
                if there != here {
                    differences.push(format!("{name} in {currency} stands at {there}, should be at {here}"));
                }
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    /// Credits less debits of each account of the general ledger, by currency.
    fn accounts_of_the_ledger(&self) -> BTreeMap<Currency, BTreeMap<String, i128>> {
        let state = self.state();
        let mut all: BTreeMap<Currency, BTreeMap<String, i128>> = BTreeMap::new();
        let mut add = |currency: Currency, name: &str, sum: i128| {
            *all.entry(currency).or_default().entry(name.to_owned()).or_default() += sum;
        };
        for account in state.model.accounts.values() {
            add(account.currency, "customer_deposits", i128::from(account.ledger()));
        }
        // Tax stands in suspense only until accounting has seen it.
        for ((currency, name), sum) in state.model.bank.iter().filter(|((_, name), _)| name != "tax_suspense") {
            add(*currency, name, *sum);
        }
        state.fx.booked(&mut add);
        for (currency, (income, local)) in &state.model.taxes {
            add(*currency, "income_tax_payable", *income);
            add(*currency, "local_tax_payable", *local);
        }
        all
    }

    /// Customers' balances as the bank told them against the bank's own sides of all postings.
    fn sums(&self) -> Vec<String> {
        let state = self.state();
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for (id, (balance, _)) in &state.told {
            if let Some(account) = state.model.accounts.get(id) {
                *sums.entry(account.currency).or_default() += i128::from(*balance);
            }
        }
        for ((currency, _), sum) in &state.model.bank {
            *sums.entry(*currency).or_default() += sum;
        }
        let off = |(currency, sum): (Currency, i128)| {
            (sum != 0).then(|| format!("customers and bank differ by {sum} {currency}"))
        };
        sums.into_iter().filter_map(off).collect()
    }
}

fn balances(shown: &Account, ours: &model::Account, held: i64) -> Result<(), String> {
    let bank = (shown.ledger_balance, shown.held, shown.available_balance, shown.last_serial, shown.closed_on);
    let model = (ours.ledger(), held, ours.ledger() - held, ours.entries.len() as u64, ours.closed_on);
    let what = "balance, held, available, serial, closed";
    if bank == model { Ok(()) } else { Err(format!("{what} are {bank:?}, should be {model:?}")) }
}

fn entries(page: &[AccountEntry], ours: &model::Account, after: u64) -> Result<(), String> {
    for (serial, entry) in (after + 1..).zip(page) {
        let expected = usize::try_from(serial - 1).ok().and_then(|at| ours.entries.get(at));
        let bank = model::Entry {
            posting: entry.posting,
            kind: entry.kind.clone(),
            side: entry.side,
            amount: entry.amount,
            balance_after: entry.balance_after,
            date: entry.business_date,
            memo: entry.memo.clone(),
        };
        if entry.serial != serial || Some(&bank) != expected {
            return Err(format!("entry {} is {bank:?}, should be {serial} {expected:?}", entry.serial));
        }
    }
    Ok(())
}

fn days(shown: &[DailyBalance], ours: &model::Account, today: BusinessDate) -> Result<(), String> {
    let last = shown.last().map(|d| d.date);
    let complete = last.is_some_and(|last| last >= today.add_days(-1)) || today < ours.opened_on;
    if !complete {
        return Err(format!("the last day told is {last:?}, today is {today}"));
    }
    for (at, day) in shown.iter().enumerate() {
        let bank = (day.opening, day.debits, day.credits, day.closing, day.last_serial);
        let model = ours.day(day.date);
        let follows = at == 0 || shown[at - 1].date.add_days(1) == day.date;
        if bank != model || !follows {
            let why = "opening, debits, credits, closing, serial of";
            return Err(format!("{why} {} are {bank:?}, should be {model:?}", day.date));
        }
    }
    Ok(())
}
