//! What many ask for at the same time is done together: in one unit of work, with one flush. A lone one waits for nobody.
//!
//! While one lot is done, the next one is already waiting for its turn, and who comes meanwhile joins it. So those who are
//! flushed together go on together, instead of each waiting for the other's flush. A lot that hangs, on a lock or on a
//! service that does not answer, holds up the next one for a moment only.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::db::{Db, Fault, Tx};
use crate::task;

type Asked<T, R> = (T, oneshot::Sender<Result<R, Fault>>);

/// Lots under way at a time where turns follow one another: one that is done, and one that waits for its turn.
const LOTS: usize = 2;
/// The same where a turn is had at once: a second lot would only be half as large, and cost as much as a whole one.
const LOTS_AT_ONCE: usize = 1;
/// How long a lot waits for those before it, in milliseconds; then it goes beside them.
const PATIENCE_MS: u64 = 20;
/// Lots under way at most.
const LOTS_MAX: usize = 16;
/// Those who wait at most; who comes then waits for room.
const WAITING_MAX: usize = 4_096;

/// The way to those who do what has gathered.
pub struct Gather<T, R>(mpsc::Sender<Asked<T, R>>);

impl<T, R> std::fmt::Debug for Gather<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gather")
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Gather<T, R> {
    /// Starts the tasks, which end when this is dropped. A lot has up to `together`, in the order in which they came: it
    /// waits for its turn, takes whoever is there then, and `work` has an answer for each. When work fails it is done for
    /// each alone, so that one which can't be done holds up nobody.
    fn start<U, O, F>(lots: usize, together: usize, turn: O, work: F) -> Gather<T, R>
    where
        U: Send + 'static,
        O: Fn() -> BoxFuture<'static, Result<U, Fault>> + Send + Sync + 'static,
        F: for<'a> Fn(U, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let (queue, asked) = mpsc::channel::<Asked<T, R>>(WAITING_MAX);
        let places = Arc::new(Semaphore::new(lots));
        let shared = Arc::new((Mutex::new(asked), turn, work));
        for _ in 0..LOTS_MAX {
            let (shared, places) = (Arc::clone(&shared), Arc::clone(&places));
            task::spawn(async move {
                let (asked, turn, work) = shared.as_ref();
                while let Some(Lot { place: _place, turn: turn_had, asked: lot }) =
                    lot(asked, &places, turn, together).await
                {
                    let (asks, askers): (Vec<T>, Vec<_>) = lot.into_iter().unzip();
                    for (asker, answer) in askers.into_iter().zip(all(turn_had, &asks, turn, work).await) {
                        let _ = asker.send(answer); // he may have gone; it is done all the same
                    }
                }
            });
        }
        Gather(queue)
    }

    /// Gathers up to `together` for a unit of work, which `work` commits.
    pub fn writing<F>(together: usize, db: &Db, flow: &'static str, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(Tx, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let (db, lots) = (db.clone(), lots(db));
        let turn = move || {
            let db = db.clone();
            async move { db.begin(flow).await }.boxed()
        };
        Self::start(lots, together, turn, work)
    }

    /// The same for one statement that reads.
    pub fn glancing<F>(together: usize, db: &Db, flow: &'static str, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(Tx, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let (db, lots) = (db.clone(), lots(db));
        let turn = move || {
            let db = db.clone();
            async move { db.glance(flow).await }.boxed()
        };
        Self::start(lots, together, turn, work)
    }

    /// The same for calls, which need no turn: whoever is there goes on at once.
    pub fn calling<F>(together: usize, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        Self::start(LOTS_AT_ONCE, together, || ready(Ok(())).boxed(), move |(), asks| work(asks))
    }

    /// Asks, and waits for the answer. Whoever leaves meanwhile does not stop it.
    ///
    /// # Errors
    /// The work failed, or the tasks are gone.
    pub async fn ask(&self, what: T) -> Result<R, Fault> {
        let (answer, answered) = oneshot::channel();
        let gone = || Fault::Unavailable("the service is shutting down".into());
        self.0.send((what, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn lots(db: &Db) -> usize {
    if db.sole_owner() { LOTS } else { LOTS_AT_ONCE }
}

/// A turn, and those who were there when it came.
struct Lot<T, R, U> {
    /// Its place among those under way; none when it did not wait any longer.
    place: Option<OwnedSemaphorePermit>,
    turn: Result<U, Fault>,
    asked: Vec<Asked<T, R>>,
}

/// The next lot; none when nobody can come any more. Nobody else gathers meanwhile.
async fn lot<T, R, U, O>(
    asked: &Mutex<mpsc::Receiver<Asked<T, R>>>,
    places: &Arc<Semaphore>,
    turn: &O,
    together: usize,
) -> Option<Lot<T, R, U>>
where
    O: Fn() -> BoxFuture<'static, Result<U, Fault>>,
{
    let mut asked = asked.lock().await;
    let mut lot = vec![asked.recv().await?];
    let place = Arc::clone(places).acquire_owned();
    let place = timeout(Duration::from_millis(PATIENCE_MS), place).await.ok().and_then(Result::ok);
    let turn = turn().await;
    while lot.len() < together {
        let Ok(one) = asked.try_recv() else { break };
        lot.push(one);
    }
    Some(Lot { place, turn, asked: lot })
}

async fn all<T, R, U, O, F>(turn_had: Result<U, Fault>, asks: &[T], turn: &O, work: &F) -> Vec<Result<R, Fault>>
where
    O: Fn() -> BoxFuture<'static, Result<U, Fault>>,
    F: for<'a> Fn(U, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>>,
{
    let done = match turn_had {
        Ok(turn) => work(turn, asks).await,
        // No turn is to be had: none for each alone either.
        Err(fault) => return asks.iter().map(|_| Err(fault.clone())).collect(),
    };
    match done {
        Ok(done) => {
            assert_eq!(done.len(), asks.len(), "each is answered");
            done.into_iter().map(Ok).collect()
        }
        Err(fault) if asks.len() == 1 => vec![Err(fault)],
        Err(_) => {
            let mut all = Vec::with_capacity(asks.len());
            for ask in asks {
                let done = match turn().await {
                    Ok(turn) => work(turn, std::slice::from_ref(ask)).await,
                    Err(fault) => Err(fault),
                };
                all.push(done.map(|mut done| done.pop().expect("each is answered")));
            }
            all
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn those_who_meet_are_done_together_and_one_who_fails_fails_alone() {
        let gather = Arc::new(Gather::calling(4, |asks: &[u32]| {
            async move {
                if asks.contains(&6) {
                    return Err(Fault::Busy("six".into()));
                }
                Ok(asks.iter().map(|n| (*n, asks.len())).collect())
            }
            .boxed()
        }));
        let answers = join_all((0..8).map(|n| gather.ask(n))).await;
        for (n, answer) in (0..8).zip(answers) {
            match answer {
                Ok(answer) => assert_eq!(answer, (n, if n < 4 { 4 } else { 1 })),
                Err(fault) => assert!(n == 6 && fault.is_busy(), "{n}: {fault}"),
            }
        }
        assert!(gather.ask(6).await.is_err() && gather.ask(9).await.unwrap() == (9, 1));
    }

    #[tokio::test]
    async fn a_lot_that_hangs_holds_up_the_next_one_for_a_moment() {
        let gather = Arc::new(Gather::calling(4, |asks: &[u32]| {
            async move {
                if asks.contains(&6) {
                    std::future::pending::<()>().await;
                }
                Ok(asks.iter().map(|n| (*n, asks.len())).collect())
            }
            .boxed()
        }));
        let hanging = Arc::clone(&gather);
        let hangs = tokio::spawn(async move { hanging.ask(6).await });
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        let answers = join_all((0..3).map(|n| gather.ask(n))).await;
        assert!(answers.into_iter().map(Result::unwrap).eq((0..3).map(|n| (n, 3))), "they go together");
        assert!(began.elapsed() >= Duration::from_millis(PATIENCE_MS), "they waited for it");
        assert!(!hangs.is_finished());
    }
}
