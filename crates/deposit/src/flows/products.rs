//! New versions of product terms.

use jangbu_kernel::date::BusinessDate;
use jangbu_platform::audit::{self, Deed};
use jangbu_platform::db::{Fault, Inserted};

use crate::ledger::Ledger;
use crate::store;
use crate::terms_text::{self, Flaw, TermsText};

/// Adds a version of terms that holds from a day not before `today`, in the name of `who`; the flaws say why it can't be.
///
/// # Errors
/// Nothing was added.
pub async fn add_version(
    ledger: &Ledger,
    text: &TermsText,
    today: BusinessDate,
    who: &str,
) -> Result<Result<(), Vec<Flaw>>, Fault> {
    let terms = match terms_text::parse(text) {
        Ok(terms) => terms,
        Err(flaws) => return Ok(Err(flaws)),
    };
    let flaw = |field: &str, why: &str| Err(vec![(field.to_owned(), why.to_owned())]);
    let mut alone = ledger.alone("deposit.add_terms").await?;
    let (tx, state) = (&mut alone.tx, &mut alone.state);
    let text = text.clone().complete();
    let kept = serde_json::to_string(&text).map_err(|e| Fault::Damaged(e.to_string()))?;
    if let Some(stands) = store::products::find(tx, &text.code, terms.from).await? {
        let stands: TermsText = serde_json::from_str(&stands).map_err(|e| Fault::Damaged(e.to_string()))?;
        if stands.complete() == text {
            return alone.commit().await.map(Ok); // as it stands: no deed
        }
    }
    if let Some(first) = state.product(&text.code).and_then(|at| state.products[at as usize].history.versions().first())
    {
        if (first.currency, first.kind) != (terms.currency, terms.kind) {
            let flaw = flaw("code", "is of a product that keeps its currency and kind");
            return alone.commit().await.map(|()| flaw);
        }
        // A rate of a day that ended may have been paid by: it stays.
        if terms.from < today {
            let flaw = flaw("from", "must not lie before today: terms of days that ended stay as they are");
            return alone.commit().await.map(|()| flaw);
        }
    }
    if store::products::insert(tx, &text.code, terms.from, &kept).await? == Inserted::Duplicate {
        let flaw = flaw("from", "has a version already, which stands");
        return alone.commit().await.map(|()| flaw);
    }
    let result = format!("terms from {} on", terms.from);
    let deed = Deed { who, what: "product.version", subject: &text.code, reason: "", result: &result };
    audit::note(tx, &deed).await?;
    ledger.changes(tx).await?;
    state.offer(&text.code, terms);
    state.take_limits();
    alone.commit().await.map(Ok)
}
