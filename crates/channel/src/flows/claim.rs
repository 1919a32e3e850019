//! Claiming interest.
//!
//! | step | calls to the core |
//! |---|---|
//! | find the account and its owner | one or two |
//! | claim under a key that follows from the caller and his key | one |
//!
//! The channel keeps no record of its own, because it would prove nothing: the core remembers the key in the same
//! transaction that pays, so whoever asks again with the same key gets the first answer, whether that answer was lost
//! on the way to the channel, on the way from it, or never given. A key that comes back for another account of the
//! instance is refused by the core as well; the instances keep their keys apart, as all services do.

use axum::body::Bytes;
use axum::http::Method;
use jangbu_kernel::id::AccountId;
use jangbu_platform::ask::{Call, Reply};
use jangbu_platform::db::{Fault, Key};
use jangbu_platform::defect::planted;
use jangbu_platform::http::Known;
use jangbu_platform::probe;

use crate::domain::core_key::core_key;
use crate::{Channel, instances, previews};

/// Claims interest on an account, if there is one that the caller may see; the core's answer, as it came.
///
/// # Errors
/// [`Fault::Unavailable`] when nobody knows whether it was paid: the same key tells.
pub async fn claim(channel: &Channel, known: &Known, key: &Key, id: AccountId) -> Result<Option<Reply>, Fault> {
    let Some(found) = instances::find(channel, known, id).await? else { return Ok(None) };
    let mut own = core_key(&key.caller, &key.key);
    if planted("core-key-anew") {
        own = core_key(&key.caller, &channel.clock.now().to_string());
    }
    let call = Call {
        service: found.instance,
        method: Method::POST,
        path: &format!("/accounts/{id}/interest-claims"),
        key: Some(&own),
        body: Bytes::from_static(b"{}"),
    };
    let answer = channel.ask.answer(&call).await;
    // Whatever came of it: the figure shown so far may be over.
    previews::forget(channel, id).await;
    match answer {
        Ok(reply) if reply.status < 400 || matches!(reply.status, 404 | 409 | 422 | 429) => Ok(Some(reply)),
        Ok(reply) => {
            tracing::error!(instance = found.instance, status = reply.status, "the core refused the channel itself");
            Err(Fault::Unavailable("the core could not be asked; nothing was paid".into()))
        }
        Err(why) => {
            probe::reached("claim-of-unknown-outcome-told-so");
            tracing::warn!(instance = found.instance, why, "the outcome of a claim is unknown");
            let told = "nobody knows yet whether it was paid; ask again with the same key, which pays at most once";
            Err(Fault::Unavailable(told.into()))
        }
    }
}
