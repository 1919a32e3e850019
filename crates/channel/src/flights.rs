//! One piece of work for all who ask for the same at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

type UnderWay<K, T> = Mutex<HashMap<K, Arc<OnceCell<T>>>>;

/// Work under way. It holds as many entries as requests are under way at most; different keys never wait for each other.
pub struct Flights<K: Copy + Eq + Hash, T>(UnderWay<K, T>);

impl<K: Copy + Eq + Hash, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A place on a flight. The flight leaves the list when it has landed or everybody has left, so that whoever comes
/// later takes a new one.
struct Seat<'a, K: Copy + Eq + Hash, T> {
    under_way: &'a UnderWay<K, T>,
    key: K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Copy + Eq + Hash, T> Drop for Seat<'_, K, T> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // Two: the list's and this seat's. Seats are only taken under the lock.
        let over = self.cell.initialized() || Arc::strong_count(&self.cell) == 2;
        if over && under_way.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell)) {
            under_way.remove(&self.key);
        }
    }
}

impl<K: Copy + Eq + Hash, T: Clone> Flights<K, T> {
    /// What `work` gives, or the same work that another began before. When he leaves, one of those who wait goes on.
    pub async fn join(&self, key: K, work: impl Future<Output = T>) -> T {
        let cell = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let seat = Seat { under_way: &self.0, key, cell };
        seat.cell.get_or_init(|| work).await.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tokio::sync::Semaphore;

    use super::*;

    /// Lets every other task go as far as it can.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn those_who_ask_at_once_share_the_work() {
        let (flights, begun) = (Arc::new(Flights::<u8, u32>::default()), Arc::new(AtomicU32::new(0)));
        let go = Arc::new(Semaphore::new(0));
        let ask = |key: u8| {
            let (flights, begun, go) = (Arc::clone(&flights), Arc::clone(&begun), Arc::clone(&go));
            tokio::spawn(async move {
                let work = async {
                    let n = begun.fetch_add(1, SeqCst) + 1;
                    go.acquire().await.unwrap().forget();
                    n
                };
                flights.join(key, work).await
            })
        };
        let first = ask(1);
        settle().await;
        let others: Vec<_> = (0..20).map(|_| ask(1)).collect();
        let apart = ask(2);
        settle().await;
        assert_eq!(begun.load(SeqCst), 2, "one for each key");
        first.abort();
        settle().await;
        assert_eq!(begun.load(SeqCst), 3, "one of those who waited began anew");
        go.add_permits(2);
        for other in others {
            assert_eq!(other.await.unwrap(), 3);
        }
        assert_eq!(apart.await.unwrap(), 2);
        go.add_permits(1);
        assert_eq!(ask(1).await.unwrap(), 4, "what has landed is not taken again");
        let alone = ask(3);
        settle().await;
        alone.abort();
        assert!(alone.await.unwrap_err().is_cancelled());
        assert!(flights.0.lock().unwrap().is_empty(), "nothing stays behind");
    }
}
