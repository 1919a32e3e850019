//! Opening, restricting and closing accounts; owners' standing.

use jangbu_contracts::codes::Code;
use jangbu_contracts::customer::StandingChangedV1;
use jangbu_kernel::account_number::AccountNumber;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::audit::{self, Deed};
use jangbu_platform::db::{Answer, Fault, Key, Recall, Tx};
use jangbu_platform::defect::planted;

use crate::domain::book::{Account, Day, Marks, Owner, Used};
use crate::domain::chain::Path;
use crate::domain::decide::Refusal;
use crate::domain::eligibility::{find, number_of};
use crate::flows::standing;
use crate::ledger::{Ledger, State, millis};
use crate::store;
use crate::store::accounts::Fixed;

/// An answer that is kept under its key, or what the key says instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Done now.
    New(Answer),
    /// Done before.
    Again(Answer),
    /// The key came with another request.
    KeyReused,
}

/// What opening needs.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Owner.
    pub customer: CustomerId,
    /// Product code.
    pub product: String,
    /// Currency; the product's when absent.
    pub currency: Option<Currency>,
    /// The day.
    pub date: BusinessDate,
    /// The owner's standing, where it was asked for.
    pub standing: Option<StandingChangedV1>,
}

/// An account with all that is shown of it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The account.
    pub account: Account,
    /// Its owner.
    pub owner: Owner,
    /// Its number for people.
    pub number: String,
    /// Code of its product.
    pub product: String,
}

/// What a key says, before anything is asked or begun.
///
/// # Errors
/// The store can't be read.
pub async fn kept(ledger: &Ledger, key: &Key, hash: u64) -> Result<Option<Kept>, Fault> {
    recall(&mut ledger.db.read("deposit.kept").await?, key, hash).await
}

async fn recall(tx: &mut Tx, key: &Key, hash: u64) -> Result<Option<Kept>, Fault> {
    Ok(match tx.recall(key, hash).await? {
        Recall::Same(answer) => Some(Kept::Again(answer)),
        Recall::KeyReused => Some(Kept::KeyReused),
        Recall::New => None,
    })
}

/// Opens an account, once per key; `answer` makes the answer that is kept.
///
/// # Errors
/// Nothing was opened.
pub async fn open(
    ledger: &Ledger,
    key: &Key,
    hash: u64,
    opening: &Opening,
    answer: impl Fn(&Result<Shown, Refusal>) -> Answer,
) -> Result<Kept, Fault> {
    let mut alone = ledger.alone("deposit.open_account").await?;
    let (tx, state) = (&mut alone.tx, &mut alone.state);
    if let Some(kept) = recall(tx, key, hash).await? {
        return alone.commit().await.map(|()| kept);
    }
    if let Some(standing) = &opening.standing {
        standing::keep(ledger, tx, standing).await?;
    }
    let owner = store::accounts::owner(tx, opening.customer).await?;
    ledger.take_numbers(tx, state).await?;
    let opened = decide_opening(ledger, tx.now(), state, opening, owner)?;
    if let Ok((account, number)) = &opened {
        store::accounts::insert(tx, account, number, &opening.product).await?;
    }
    let opened = opened.map(|(account, number)| Shown {
        account,
        owner: owner.unwrap_or_default(),
        number,
        product: opening.product.clone(),
    });
    let answer = answer(&opened);
    tx.remember(key, hash, &answer).await?;
    if let Ok(Shown { account, .. }) = opened {
        state.last_no = account.no;
        state.book.owners.extend(owner.map(|owner| (account.customer, owner)));
        state.book.accounts.insert(account);
    }
    alone.commit().await.map(|()| Kept::New(answer))
}

/// Everything that speaks against opening; product and currency, when nothing does.
fn eligible(state: &State, opening: &Opening, owner: Option<Owner>) -> Result<(u32, Currency), Refusal> {
    let mut found: Refusal = Vec::new();
    let mut refuse = |bad: bool, code: Code, why: &str| {
        if bad {
            found.push((code, why.to_owned()));
        }
    };
    let product = state.product(&opening.product);
    let history = product.map(|product| &state.products[product as usize].history);
    let terms = history.and_then(|history| history.at(opening.date));
    refuse(product.is_none(), Code::ProductNotFound, "the product is not offered here");
    refuse(product.is_some() && terms.is_none(), Code::ProductNotFound, "the product has no terms on this day");
    let closed = terms.is_some_and(|terms| !terms.is_open());
    refuse(closed, Code::ProductNotEligible, "only demand products that pay on claim are opened");
    let other = terms.zip(opening.currency).is_some_and(|(terms, currency)| terms.currency != currency);
    refuse(other, Code::CurrencyMismatch, "the product is not in this currency");
    refuse(owner.is_none(), Code::CustomerNotFound, "the customer is not registered");
    let marks = owner.unwrap_or_default().marks;
    for (mark, code) in [
        (Marks::DECEASED, Code::OwnerDeceased),
        (Marks::IDENTITY_THEFT, Code::OwnerIdentityTheft),
        (Marks::SANCTIONED, Code::Sanctioned),
        (Marks::KYC_EXPIRED, Code::KycExpired),
    ] {
        refuse(marks.any(mark), code, code.title());
    }
    let barred = marks.any(Marks::CORPORATION) && terms.is_some_and(|terms| !terms.corporations);
    refuse(barred, Code::ProductNotEligible, "the product is for persons");
    match (product, terms) {
        (Some(product), Some(terms)) if found.is_empty() => Ok((product, terms.currency)),
        _ => Err(found),
    }
}

pub(super) fn decide_opening(
    ledger: &Ledger,
    now: Timestamp,
    state: &State,
    opening: &Opening,
    owner: Option<Owner>,
) -> Result<Result<(Account, String), Refusal>, Fault> {
    let (product, currency) = match eligible(state, opening, owner) {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let no = state.last_no + 1;
    let number = AccountNumber::make(1_000 + u32::from(ledger.tag), no).map_err(|e| Fault::Busy(e.to_string()))?;
    let chance = u128::from(ledger.dice.u64() & 0xffff_ffff) << 48;
    let id = AccountId::from_parts(millis(now), chance | u128::from(no));
    let account = Account {
        id,
        no,
        customer: opening.customer,
        product,
        currency,
        marks: Marks::default(),
        opened_on: opening.date,
        closed_on: None,
        ledger: 0,
        held: 0,
        serial: 0,
        path: Path::default(),
        day: Day { date: opening.date, opening: 0, debits: 0, credits: 0 },
        used: Used::default(),
        paid_through: opening.date.add_days(-1),
        changed: 0,
    };
    Ok(Ok((account, number.as_str().to_owned())))
}

/// Sets or clears a mark of an account and notes the deed; `None` when there is no such account.
///
/// # Errors
/// Nothing was changed.
pub async fn set_mark(
    ledger: &Ledger,
    id: AccountId,
    (mark, on): (Marks, bool),
    deed: &Deed<'_>,
) -> Result<Option<()>, Fault> {
    let mut alone = ledger.alone("deposit.set_mark").await?;
    let (tx, state) = (&mut alone.tx, &mut alone.state);
    ledger.load(tx, state, number_of(id)).await?;
    let Some(mut account) = find(&state.book, id).cloned() else { return alone.commit().await.map(|()| None) };
    if account.marks.any(mark) == on {
        return alone.commit().await.map(Some); // as it was: no deed
    }
    account.marks = account.marks.with(mark, on);
    if !planted("mark-in-memory-only") {
        store::accounts::update_standing(tx, &account).await?;
        ledger.changes(tx).await?;
    }
    audit::note(tx, deed).await?;
    state.book.accounts.insert(account);
    alone.commit().await.map(Some)
}

/// Closes an empty account, once per key; `answer` makes the answer that is kept. `None` when there is no such account.
///
/// # Errors
/// Nothing was changed.
pub async fn close(
    ledger: &Ledger,
    key: &Key,
    hash: u64,
    (id, date): (AccountId, BusinessDate),
    answer: impl Fn(&Result<Shown, Refusal>) -> Answer,
) -> Result<Option<Kept>, Fault> {
    let mut alone = ledger.alone("deposit.close_account").await?;
    let (tx, state) = (&mut alone.tx, &mut alone.state);
    if let Some(kept) = recall(tx, key, hash).await? {
        return alone.commit().await.map(|()| Some(kept));
    }
    ledger.load(tx, state, number_of(id)).await?;
    let account = find(&state.book, id).cloned();
    let shown = match &account {
        Some(account) => store::accounts::fixed(tx, &[account.no]).await?.pop(),
        None => None,
    };
    let (Some(account), Some((_, Fixed { number, product, .. }))) = (account, shown) else {
        return alone.commit().await.map(|()| None);
    };
    let closed = if account.closed_on.is_some() {
        Err(vec![(Code::AccountClosed, "it was closed before".to_owned())])
    } else if account.ledger != 0 || account.held != 0 {
        let why = format!("balance {} and holds {} must be zero", account.ledger, account.held);
        Err(vec![(Code::AccountNotEmpty, why)])
    } else {
        let owner = state.book.owners.get(&account.customer).copied().unwrap_or_default();
        Ok(Shown { account: Account { closed_on: Some(date), ..account }, owner, number, product })
    };
    if let Ok(shown) = &closed {
        store::accounts::update_standing(tx, &shown.account).await?;
        ledger.changes(tx).await?;
    }
    let answer = answer(&closed);
    tx.remember(key, hash, &answer).await?;
    if let Ok(shown) = closed {
        state.book.accounts.insert(shown.account);
    }
    alone.commit().await.map(|()| Some(Kept::New(answer)))
}
