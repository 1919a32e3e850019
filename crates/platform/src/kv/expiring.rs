//! A map whose entries are gone at an instant.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jangbu_kernel::time::Timestamp;

/// Entries that one insertion clears away at most when their time has passed. A day's end expires very many at once;
/// they leave in small steps, so that nobody waits for all of them.
const CLEARED_PER_INSERT_MAX: usize = 64;

struct Entry<V> {
    value: V,
    due: Due,
}

/// When an entry ends; entries of one instant in the order they came.
type Due = (Timestamp, u64);

/// Names with values, each until its instant.
pub(super) struct Expiring<V> {
    entries: HashMap<Arc<str>, Entry<V>>,
    dues: BTreeMap<Due, Arc<str>>,
    came: u64,
}

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), dues: BTreeMap::new(), came: 0 }
    }
}

impl<V> Expiring<V> {
    /// Entries kept, some of which may be over.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value, while its time has not come.
    pub fn get(&self, name: &str, now: Timestamp) -> Option<&V> {
        self.entries.get(name).filter(|entry| now < entry.due.0).map(|entry| &entry.value)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, name: &str, now: Timestamp) -> Option<&mut V> {
        self.entries.get_mut(name).filter(|entry| now < entry.due.0).map(|entry| &mut entry.value)
    }

    /// Keeps a value until an instant, in place of what had the name.
    pub fn insert(&mut self, name: &str, value: V, until: Timestamp) {
        self.remove(name);
        self.came += 1;
        let (name, due) = (Arc::<str>::from(name), (until, self.came));
        self.dues.insert(due, Arc::clone(&name));
        self.entries.insert(name, Entry { value, due });
    }

    /// Takes a value out, also one that is over.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let entry = self.entries.remove(name)?;
        self.dues.remove(&entry.due);
        Some(entry.value)
    }

    /// Takes out the entry that ends soonest.
    pub fn pop(&mut self) -> Option<(Arc<str>, V)> {
        let (_, name) = self.dues.pop_first()?;
        let entry = self.entries.remove(&name)?;
        Some((name, entry.value))
    }

    /// Takes out some of what is over.
    pub fn clear(&mut self, now: Timestamp) -> Vec<(Arc<str>, V)> {
        let mut cleared = Vec::new();
        while cleared.len() < CLEARED_PER_INSERT_MAX && self.dues.first_key_value().is_some_and(|(due, _)| due.0 <= now)
        {
            cleared.extend(self.pop());
        }
        cleared
    }
}
