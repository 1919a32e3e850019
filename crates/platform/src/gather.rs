//! What many ask for at the same time is done together: in one unit of work, with one flush. A lone one waits for nobody.
//!
//! While one lot is done, the next one is already waiting for its turn, and who comes meanwhile joins it. So those who are
//! flushed together go on together, instead of each waiting for the other's flush.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::db::{Db, Fault, Tx};
use crate::task;

type Asked<T, R> = (T, oneshot::Sender<Result<R, Fault>>);

/// Lots under way at a time: one that is done, and one that waits for its turn.
const LOTS: usize = 2;
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
    pub fn start<U, O, F>(together: usize, turn: O, work: F) -> Gather<T, R>
    where
        U: Send + 'static,
        O: Fn() -> BoxFuture<'static, Result<U, Fault>> + Send + Sync + 'static,
        F: for<'a> Fn(U, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let (queue, asked) = mpsc::channel::<Asked<T, R>>(WAITING_MAX);
        let shared = Arc::new((Mutex::new(asked), turn, work));
        for _ in 0..LOTS {
            let shared = Arc::clone(&shared);
            task::spawn(async move {
                let (asked, turn, work) = shared.as_ref();
                while let Some((turn_had, lot)) = lot(asked, turn, together).await {
                    let (asks, askers): (Vec<T>, Vec<_>) = lot.into_iter().unzip();
                    for (asker, answer) in askers.into_iter().zip(all(turn_had, &asks, turn, work).await) {
                        let _ = asker.send(answer); // he may have gone; it is done all the same
                    }
                }
            });
        }
        Gather(queue)
    }

    /// The same where a turn is a unit of work, which `work` commits.
    pub fn writing<F>(together: usize, db: &Db, flow: &'static str, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(Tx, &'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let db = db.clone();
        let turn = move || {
            let db = db.clone();
            async move { db.begin(flow).await }.boxed()
        };
        Self::start(together, turn, work)
    }

    /// The same for what needs no turn: whoever is there goes on at once.
    pub fn looking<F>(together: usize, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        Self::start(together, || ready(Ok(())).boxed(), move |(), asks| work(asks))
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

/// A turn, and those who were there when it came; none when nobody can come any more. Nobody else gathers meanwhile.
async fn lot<T, R, U, O>(
    asked: &Mutex<mpsc::Receiver<Asked<T, R>>>,
    turn: &O,
    together: usize,
) -> Option<(Result<U, Fault>, Vec<Asked<T, R>>)>
where
    O: Fn() -> BoxFuture<'static, Result<U, Fault>>,
{
    let mut asked = asked.lock().await;
    let mut lot = vec![asked.recv().await?];
    let turn = turn().await;
    while lot.len() < together {
        let Ok(one) = asked.try_recv() else { break };
        lot.push(one);
    }
    Some((turn, lot))
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
        let gather = Arc::new(Gather::looking(4, |asks: &[u32]| {
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
}
