//! New versions of product terms.

use jangbu_kernel::date::BusinessDate;
use jangbu_platform::db::{Fault, Inserted};

use crate::ledger::Ledger;
use crate::store;
use crate::terms_text::{self, TermsText};

/// Adds a version of terms that holds from a day not before `today`; the text says why it can't be.
///
/// # Errors
/// Nothing was added.
pub async fn add_version(ledger: &Ledger, text: &TermsText, today: BusinessDate) -> Result<Result<(), String>, Fault> {
    let terms = match terms_text::parse(text) {
        Ok(terms) => terms,
        Err(why) => return Ok(Err(why)),
    };
    let mut tx = ledger.db.begin("deposit.add_terms").await?;
    let mut state = ledger.state(&mut tx).await?;
    if let Some(known) = state.product(&text.code) {
        let versions = state.products[known as usize].history.versions();
        if versions.first().is_some_and(|v| v.currency != terms.currency) {
            return Ok(Err("a product keeps its currency".into()));
        }
        // A rate of a day that ended may have been paid by: it stays.
        if terms.from < today {
            return Ok(Err("terms of days that ended stay as they are".into()));
        }
    }
    let kept = serde_json::to_string(text).map_err(|e| Fault::Damaged(e.to_string()))?;
    if store::products::insert(&mut tx, &text.code, terms.from, &kept).await? == Inserted::Duplicate {
        return Ok(Err("a version from this day stands already".into()));
    }
    tx.commit().await?;
    Ledger::forget(&mut state); // read again with the new terms
    Ok(Ok(()))
}
