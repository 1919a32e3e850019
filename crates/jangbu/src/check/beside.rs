//! Postings held against the journals made from them, one by one, without holding either in memory.
//!
//! Both books are cut into blocks of some thousand postings, and a block of each is summed over the hashes of what its
//! postings moved. Where the sums are the same, so are the postings. What is kept of the others is looked at alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jangbu_contracts::breaks::{Breaks, Class, Level};
use jangbu_kernel::money::Currency;
use xxhash_rust::xxh3::xxh3_128;

/// Postings of a block.
const BLOCK: u64 = 4_096;

/// What a posting moved, as either book tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The posting's place.
    pub seq: u64,
    /// The currency.
    pub currency: Currency,
    /// Customers' credits less debits, minor units.
    pub customers: i128,
    /// Withheld from interest, minor units.
    pub tax: i128,
}

impl Moved {
    fn hash(&self) -> u128 {
        let mut bytes = [0; 43];
        bytes[..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..11].copy_from_slice(self.currency.code().as_bytes());
        bytes[11..27].copy_from_slice(&self.customers.to_le_bytes());
        bytes[27..].copy_from_slice(&self.tax.to_le_bytes());
        xxh3_128(&bytes)
    }
}

/// The place of a posting by an id made of it: the low 64 bits.
#[must_use]
pub fn place(rest: u128) -> u64 {
    u64::try_from(rest & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

/// The journals of an instance, in any order.
#[derive(Debug, Default)]
pub struct Journals(BTreeMap<u64, u128>);

impl Journals {
    /// Takes in the journal of a posting.
    pub fn add(&mut self, moved: &Moved) {
        let sum = self.0.entry(moved.seq / BLOCK).or_default();
        *sum = sum.wrapping_add(moved.hash());
    }
}

/// The postings of an instance, in order, beside its journals.
#[derive(Debug, Default)]
pub struct Postings {
    journals: Journals,
    block: Vec<Moved>,
    suspects: Suspects,
}

/// Blocks in which the books differ, with their postings.
#[derive(Debug, Default)]
pub struct Suspects {
    blocks: BTreeSet<u64>,
    postings: Vec<Moved>,
}

impl Postings {
    /// Postings that will be held against these journals.
    #[must_use]
    pub fn beside(journals: Journals) -> Postings {
        Postings { journals, ..Postings::default() }
    }

    /// Takes in the next posting.
    pub fn see(&mut self, moved: Moved) {
        if self.block.first().is_some_and(|first| first.seq / BLOCK != moved.seq / BLOCK) {
            self.close();
        }
        self.block.push(moved);
    }

    fn close(&mut self) {
        let Some(first) = self.block.first() else { return };
        let at = first.seq / BLOCK;
        let sum = self.block.iter().fold(0u128, |sum, moved| sum.wrapping_add(moved.hash()));
        if self.journals.0.remove(&at) == Some(sum) {
            self.block.clear();
        } else {
            self.suspects.blocks.insert(at);
            self.suspects.postings.append(&mut self.block);
        }
    }

    /// There are no more: where the books differ.
    #[must_use]
    pub fn end(mut self) -> Suspects {
        self.close();
        self.suspects.blocks.extend(self.journals.0.into_keys()); // journals where no posting is
        self.suspects
    }
}

/// What has been posted and is on its way to the general ledger.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OnTheWay {
    /// Postings.
    pub count: u64,
    /// What they move of customers' money, by currency.
    pub customers: BTreeMap<Currency, i128>,
}

impl Suspects {
    /// Whether the books are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether a posting's journal has to be read again.
    #[must_use]
    pub fn holds(&self, seq: u64) -> bool {
        self.blocks.contains(&(seq / BLOCK))
    }

    /// Holds what differs against the journals of these blocks; `is_on_its_way` knows which postings may lack theirs.
    #[must_use]
    pub fn compare(
        self,
        journals: Vec<Moved>,
        is_on_its_way: &HashSet<u64>,
        instance: &str,
        breaks: &mut Breaks,
    ) -> OnTheWay {
        let mut way = OnTheWay::default();
        let mut made: HashMap<u64, Vec<Moved>> = HashMap::new();
        for journal in journals {
            made.entry(journal.seq).or_default().push(journal);
        }
        let subject = |seq: u64| format!("{instance} {seq}");
        for posting in self.postings {
            let seq = posting.seq;
            match made.remove(&seq).as_deref() {
                Some([journal]) if *journal == posting => {}
                Some([journal]) => {
                    let why = || format!("{posting:?} is journaled as {journal:?}");
                    breaks.add(Level::Control, Class::Amount, subject(seq), why);
                }
                Some(several) => {
                    let why = || format!("{posting:?} is journaled as {several:?}");
                    breaks.add(Level::Control, Class::Duplicate, subject(seq), why);
                }
                None if is_on_its_way.contains(&seq) => {
                    way.count += 1;
                    *way.customers.entry(posting.currency).or_default() += posting.customers;
                }
                None => {
                    let why = || format!("{posting:?} has no journal, and nothing of it is on its way");
                    breaks.add(Level::Control, Class::MissingRight, subject(seq), why);
                }
            }
        }
        let mut left: Vec<Moved> = made.into_values().flatten().collect();
        left.sort_by_key(|journal| journal.seq);
        for journal in left {
            let why = || format!("{journal:?} is a journal of no posting");
            breaks.add(Level::Control, Class::MissingLeft, subject(journal.seq), why);
        }
        way
    }
}

#[cfg(test)]
mod tests;
