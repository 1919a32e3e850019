//! What the bank's own people do in a simulation: marks, terms, closings at rest; openings at any time. The world goes
//! wrong meanwhile, so they ask again until they are answered.

use std::time::Duration;

use jangbu_contracts::deposit::Command;
use jangbu_kernel::money::Amount;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;

use super::bank::{Bank, dollar, tight};
use crate::client::{Answer, Client, FX, KRW, Said};
use crate::teller::Teller;
use crate::workload::town::{Newcomer, Person, Town};

/// How long somebody waits before he asks again, milliseconds, and how often he does.
pub(super) const AGAIN_MS: u64 = 150;
pub(super) const TRIES_MAX: u32 = 400;
/// Marks of accounts.
const OF_ACCOUNTS: [&str; 8] =
    ["deposit_stop", "withdrawal_stop", "limited", "suspended", "dormant", "loss_report", "pledged", "fraud_freeze"];
/// Marks of customers.
const OF_CUSTOMERS: [&str; 5] = ["deceased", "identity_theft", "sanctioned", "kyc_expired", "minor_restricted"];

/// Asks until there is an answer that stands.
pub(super) async fn insist<T, F: Future<Output = Answer<T>>>(mut ask: impl FnMut() -> F) -> Result<Answer<T>, String> {
    for tried in 0..TRIES_MAX {
        let answer = ask().await;
        match &answer.said {
            Said::Reply(_) => {}
            Said::Problem(problem) if problem.status == 422 => {}
            _ => {
                tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
                continue;
            }
        }
        if tried > 0 {
            probe::reached("office-asked-again-until-it-was-answered");
        }
        return Ok(answer);
    }
    Err(format!("no answer in {TRIES_MAX} tries"))
}

impl Bank {
    fn operator(&self) -> Result<Client, String> {
        self.client(Role::Operator, "operator")
    }

    /// Sets or clears marks of an account and of a customer, while no customer is under way, and waits until all know.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn mark_somebody(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        let pick = |n: usize| usize::try_from(dice.below(n as u64)).unwrap_or(0);
        let operator = self.operator()?;
        let account = town.people[pick(town.people.len())].account;
        let mark = OF_ACCOUNTS[pick(OF_ACCOUNTS.len())];
        let on = self.auditor.look(|m| !m.accounts[&account].marks.contains(mark));
        let deposit = operator.deposit(KRW);
        insist(|| deposit.mark(account, mark, on)).await?.reply()?;
        self.auditor.account_marked(account, mark, on);
        // Those who exchange are few, and not to be missed.
        let abroad = town.abroad.get(pick(2 * town.abroad.len()));
        let customer = town.people[abroad.map_or_else(|| pick(town.people.len()), |pocket| pocket.who)].customer;
        let mark = OF_CUSTOMERS[pick(OF_CUSTOMERS.len())];
        let on = self.auditor.look(|m| !m.customers[&customer].marks.contains(mark));
        insist(|| operator.mark_customer(customer, mark, on)).await?.reply()?;
        if dice.below(3) == 0 {
            // Changed again before anybody heard: the later standing must win, however events come.
            insist(|| operator.mark_customer(customer, mark, !on)).await?.reply()?;
            insist(|| operator.mark_customer(customer, mark, on)).await?.reply()?;
        }
        self.auditor.customer_marked(customer, mark, on);
        Ok(())
    }

    /// Gives a product other terms from tomorrow on, unless it has some for that day.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn change_terms(&self, dice: &Dice) -> Result<(), String> {
        let tomorrow = self.time.now().business_date(UtcOffset::SEOUL).add_days(1);
        let rate = format!("0.{:04}", 100 + dice.below(800));
        let (instance, terms) = if dice.below(2) == 0 {
            (KRW, tight(&tomorrow.to_string(), &rate))
        } else {
            (FX, dollar(&tomorrow.to_string(), &rate))
        };
        let code = terms["code"].as_str().unwrap_or_default().to_owned();
        let known = (instance.to_owned(), code.clone());
        if self.auditor.look(|m| m.products.get(&known).is_some_and(|versions| versions.contains_key(&tomorrow))) {
            return Ok(());
        }
        let operator = self.operator()?;
        let deposit = operator.deposit(instance);
        insist(|| deposit.put_product(&code, &terms)).await?.reply()?;
        probe::reached("terms-changed-from-the-next-day-on");
        self.auditor.product(instance, &terms)
    }

    /// Takes all that there is from somebody's account.
    pub async fn empty(&self, town: &Town, person: &Person) {
        let rest = self.auditor.look(|m| m.available(person.account));
        if let Ok(amount) = Amount::new(rest) {
            let (account, target, memo) = (person.account, "cash".to_owned(), None);
            town.service.post(KRW, &town.keys.next(), &Command::Debit { account, amount, target, memo }).await;
        }
    }

    /// Asks to close somebody's account, whether it is empty or not.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn close(&self, town: &Town, person: &Person) -> Result<(), String> {
        let (key, operator) = (town.keys.next(), self.operator()?);
        let deposit = operator.deposit(KRW);
        let answer = insist(|| deposit.close(person.account, &key)).await?;
        if answer.code().is_none() {
            probe::reached("account-closed-in-the-midst-of-life");
        }
        self.auditor.closed(person.account, answer.code());
        Ok(())
    }
}

/// Lets a newcomer in and gives him his first money.
///
/// # Errors
/// Nobody answered him.
pub async fn welcome(newcomer: Newcomer, service: Teller, key: String) -> Result<Person, String> {
    for _ in 0..TRIES_MAX {
        let Ok(person) = newcomer.knock().await else {
            tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
            continue;
        };
        probe::reached("account-opened-in-the-midst-of-life");
        let amount = Amount::new(person.salary).map_err(|e| e.to_string())?;
        let (source, memo) = ("nostro".to_owned(), Some("welcome".to_owned()));
        service.post(KRW, &key, &Command::Credit { account: person.account, amount, source, memo }).await;
        return Ok(person);
    }
    Err(format!("a newcomer was not heard in {TRIES_MAX} tries"))
}
