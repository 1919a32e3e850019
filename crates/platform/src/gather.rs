//! What many ask for at the same time is done together: in one unit of work, with one flush. A lone one waits for nobody.

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::db::Fault;
use crate::task;

type Asked<T, R> = (T, oneshot::Sender<Result<R, Fault>>);

/// The way to a task that does what has gathered while it was busy.
pub struct Gather<T, R>(mpsc::Sender<Asked<T, R>>);

impl<T, R> std::fmt::Debug for Gather<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gather")
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Gather<T, R> {
    /// Starts the task, which ends when this is dropped: `work` does up to `together` at a time, in the order in which
    /// they came, and has an answer for each. When it fails it is done for each alone, so that one which can't be done
    /// holds up nobody. Up to `waiting` wait for it; who comes then waits for room.
    pub fn start<F>(together: usize, waiting: usize, work: F) -> Gather<T, R>
    where
        F: for<'a> Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Send + Sync + 'static,
    {
        let (queue, mut asked) = mpsc::channel::<Asked<T, R>>(waiting);
        task::spawn(async move {
            let mut batch = Vec::new();
            while asked.recv_many(&mut batch, together).await > 0 {
                let (asks, askers): (Vec<T>, Vec<_>) = batch.drain(..).unzip();
                for (asker, answer) in askers.into_iter().zip(all(&asks, &work).await) {
                    let _ = asker.send(answer); // he may have gone; it is done all the same
                }
            }
        });
        Gather(queue)
    }

    /// Asks, and waits for the answer. Whoever leaves meanwhile does not stop it.
    ///
    /// # Errors
    /// The work failed, or the task is gone.
    pub async fn ask(&self, what: T) -> Result<R, Fault> {
        let (answer, answered) = oneshot::channel();
        let gone = || Fault::Unavailable("the service is shutting down".into());
        self.0.send((what, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn all<T, R, F>(asks: &[T], work: &F) -> Vec<Result<R, Fault>>
where
    F: for<'a> Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<R>, Fault>> + Sync,
{
    match work(asks).await {
        Ok(done) => {
            assert_eq!(done.len(), asks.len(), "each is answered");
            done.into_iter().map(Ok).collect()
        }
        Err(fault) if asks.len() == 1 => vec![Err(fault)],
        Err(_) => {
            let mut all = Vec::with_capacity(asks.len());
            for ask in asks {
                let done = work(std::slice::from_ref(ask)).await;
                all.push(done.map(|mut done| done.pop().expect("each is answered")));
            }
            all
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn those_who_meet_are_done_together_and_one_who_fails_fails_alone() {
        let gather = Arc::new(Gather::start(4, 16, |asks: &[u32]| {
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
