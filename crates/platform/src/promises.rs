//! What engines promise, as suites that every engine is put through: the embedded ones by this crate's tests, those on
//! servers by the tests of their own crate. Not for running a bank.

pub mod db;
pub mod kv;
pub mod log;

use futures_util::future::BoxFuture;

use crate::db::Fault;

/// A promise: its name, and what breaks it.
pub type Promise<World> = (&'static str, fn(World) -> BoxFuture<'static, Result<(), Fault>>);

/// Tries promises one after the other, each on a world of its own.
///
/// # Errors
/// The engine failed where it must not.
///
/// # Panics
/// A promise is broken.
pub async fn hold<World, Opening>(promises: &[Promise<World>], open: impl Fn() -> Opening) -> Result<(), Fault>
where
    Opening: Future<Output = Result<World, Fault>>,
{
    for (name, promise) in promises {
        println!("{name}"); // a test that fails shows the last one
        promise(open().await?).await?;
    }
    Ok(())
}
