//! Tasks that belong to somebody: a simulation can end all tasks of one service at any moment, as a crash would.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

/// Tasks noted after which those that have ended are forgotten.
const NOTED_MAX: usize = 256;

tokio::task_local! {
    static HOME: Home;
}

/// Starts a task. It belongs to the home of the task that starts it, where there is one.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match HOME.try_with(Home::clone) {
        Ok(home) => home.spawn(work),
        Err(_) => tokio::spawn(work),
    }
}

/// What the tasks of one service live and die with. Cheap to clone.
#[derive(Clone, Default)]
pub struct Home(Arc<Inner>);

#[derive(Default)]
struct Inner {
    dead: AtomicBool,
    died: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Home({})", if self.is_dead() { "dead" } else { "living" })
    }
}

impl Home {
    /// Starts a task that belongs here.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(HOME.scope(self.clone(), work));
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= NOTED_MAX {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle.abort_handle());
        if self.is_dead() {
            handle.abort();
        }
        handle
    }

    /// Does something whose tasks belong here. `None` when this home dies first; then the rest is not done.
    pub async fn visit<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.died() => None,
            done = HOME.scope(self.clone(), work) => Some(done),
        }
    }

    /// Ends when it is killed.
    pub async fn died(&self) {
        let mut died = std::pin::pin!(self.0.died.notified());
        died.as_mut().enable(); // a kill between the look and the sleep still wakes
        if !self.is_dead() {
            died.await;
        }
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::SeqCst)
    }

    /// Ends everything here: no task gets to its next step.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::SeqCst);
        for task in self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
        self.0.died.notify_waiters();
    }

    /// Waits until all tasks here have let go of what they held.
    pub async fn buried(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            tasks.retain(|task| !task.is_finished());
            if tasks.is_empty() {
                return;
            }
            self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).append(&mut tasks);
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_home_that_is_killed_takes_its_tasks_and_visitors_with_it() {
        let home = Home::default();
        let held = Arc::new(());
        let (inner, kept) = (Arc::clone(&held), Arc::clone(&held));
        // A task started by a task at home is at home too.
        home.spawn(async move {
            spawn(async move {
                std::future::pending::<()>().await;
                drop(inner);
            });
            std::future::pending::<()>().await;
            drop(kept);
        });
        let visited = home.clone();
        let visitor = tokio::spawn(async move { visited.visit(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 3);
        home.kill();
        home.buried().await;
        assert_eq!(Arc::strong_count(&held), 1, "nothing is held any more");
        assert!(visitor.await.is_ok_and(|done| done.is_none()));
        assert!(home.visit(async {}).await.is_none(), "nobody visits the dead");
    }
}
