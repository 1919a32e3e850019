//! What a batch did, packed for those who keep accounts in memory beside the one who posted: some twenty bytes per command
//! instead of a row. Pure.
//!
//! Of a key only that is told which the one before did not begin with, and of a day by how many it is later.

use jangbu_kernel::date::BusinessDate;

use super::command::Kind;
use super::decide::Movement;

/// Bytes of the news of one batch at most; of a larger one the rows tell.
pub const NEWS_BYTES_MAX: usize = 60_000;

/// First place, last place, hash of the rest: eight bytes each.
const HEAD: usize = 24;

/// Packs what was done at the places from `first` on: each key, and what its posting moved; nothing where it was refused.
/// Nothing comes of what grows too large.
#[must_use]
pub fn pack<'a>(first: u64, done: impl Iterator<Item = (&'a str, Option<Movement>)>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    let mut last = first.checked_sub(1)?;
    let (mut key_before, mut day_before) = (&[][..], 0);
    for (key, moved) in done {
        last += 1;
        let key = key.as_bytes();
        bytes.push(moved.map_or(0, |moved| moved.kind as u8));
        let shared = key.iter().zip(key_before).take_while(|(a, b)| a == b).count();
        put(&mut bytes, shared as u64);
        put(&mut bytes, (key.len() - shared) as u64);
        bytes.extend_from_slice(&key[shared..]);
        key_before = key;
        if let Some(moved) = moved {
            let numbers = [moved.debit, moved.credit].map(|no| no.unwrap_or(0)); // accounts are counted from 1
            numbers.into_iter().for_each(|no| put(&mut bytes, no));
            let day = i64::from(moved.date.days());
            let numbers = [moved.amount, moved.held, moved.counted, day - day_before];
            numbers.into_iter().for_each(|n| put(&mut bytes, zigzag(n)));
            day_before = day;
        }
        if bytes.len() > NEWS_BYTES_MAX {
            return None;
        }
    }
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes[HEAD..]);
    for (at, word) in [first, last, hash].into_iter().enumerate() {
        bytes[at * 8..(at + 1) * 8].copy_from_slice(&word.to_le_bytes());
    }
    Some(bytes)
}

/// News of certain places, whole.
#[derive(Clone, Copy, Debug)]
pub struct News<'b> {
    first: u64,
    rest: &'b [u8],
}

impl<'b> News<'b> {
    /// The news when they are of all the places after `after` up to `upto`, and as they were packed.
    #[must_use]
    pub fn of(bytes: &'b [u8], after: u64, upto: u64) -> Option<News<'b>> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let word = |at: usize| Some(u64::from_le_bytes(head.get(at * 8..(at + 1) * 8)?.try_into().ok()?));
        let hash = xxhash_rust::xxh3::xxh3_64(rest);
        let fits = word(0)? == after + 1 && word(1)? == upto && word(2)? == hash;
        fits.then_some(News { first: after + 1, rest })
    }
}

impl News<'_> {
    /// Shows what was done, in order; whether all of it could be read.
    pub fn each(self, mut see: impl FnMut(&str, Option<Movement>)) -> bool {
        self.read(&mut see).is_some()
    }

    fn read(self, see: &mut impl FnMut(&str, Option<Movement>)) -> Option<()> {
        let News { first: mut seq, mut rest } = self;
        let (mut key, mut day) = (Vec::new(), 0);
        while let Some((kind, left)) = rest.split_first() {
            rest = left;
            let mut number = || take(&mut rest);
            let (shared, length) = (usize::try_from(number()?).ok()?, usize::try_from(number()?).ok()?);
            let (new, left) = rest.split_at_checked(length)?;
            rest = left;
            key.truncate(shared);
            key.extend_from_slice(new);
            let mut number = || take(&mut rest);
            let moved = match kind {
                0 => None,
                kind => {
                    let mut account = || number().map(|no| (no != 0).then_some(no));
                    let (debit, credit) = (account()?, account()?);
                    let (amount, held, counted) = (unzigzag(number()?), unzigzag(number()?), unzigzag(number()?));
                    day += unzigzag(number()?);
                    let date = BusinessDate::from_days(i32::try_from(day).ok()?);
                    let kind = Kind::from_number(i64::from(*kind))?;
                    Some(Movement { seq, kind, debit, credit, amount, held, counted, date })
                }
            };
            see(std::str::from_utf8(&key).ok()?, moved);
            seq += 1;
        }
        Some(())
    }
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    bytes.push(n.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut n, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
        shift += 7;
    }
}

/// Small numbers of either sign stay small.
fn zigzag(n: i64) -> u64 {
    (n.wrapping_shl(1) ^ (n >> 63)).cast_unsigned()
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn any_movement() -> impl Strategy<Value = Option<Movement>> {
        let account = || proptest::option::of(1..=u64::MAX);
        let numbers = (any::<i64>(), any::<i64>(), any::<i64>(), -1_000_000..1_000_000);
        let moved = (1i64..=8, account(), account(), numbers).prop_map(|(kind, debit, credit, numbers)| Movement {
            seq: 0,
            kind: Kind::from_number(kind).unwrap(),
            debit,
            credit,
            amount: numbers.0,
            held: numbers.1,
            counted: numbers.2,
            date: BusinessDate::from_days(numbers.3),
        });
        proptest::option::of(moved)
    }

    proptest! {
        #[test]
        fn news_come_as_they_went(first in 1..u64::MAX / 2, done in proptest::collection::vec((".{0,40}", any_movement()), 1..50)) {
            let packed = pack(first, done.iter().map(|(key, moved)| (key.as_str(), *moved))).unwrap();
            let last = first + done.len() as u64 - 1;
            let mut read = Vec::new();
            let whole = News::of(&packed, first - 1, last).unwrap().each(|key, moved| read.push((key.to_owned(), moved)));
            prop_assert!(whole);
            let wanted = (first..).zip(&done).map(|(seq, (key, moved))| {
                (key.clone(), moved.map(|moved| Movement { seq, ..moved }))
            });
            prop_assert_eq!(read, wanted.collect::<Vec<_>>());
        }

        #[test]
        fn what_is_of_other_places_or_damaged_is_no_news(at in 0..200usize, bit in 0..8u32) {
            let done = (1..=9).map(|_| ("key", Some(Movement {
                seq: 0, kind: Kind::Transfer, debit: Some(1), credit: Some(2), amount: 3, held: 0, counted: 3,
                date: BusinessDate::from_days(20_000),
            })));
            let packed = pack(11, done).unwrap();
            prop_assert!(News::of(&packed, 10, 19).is_some());
            prop_assert!(News::of(&packed, 10, 20).is_none() && News::of(&packed, 9, 19).is_none());
            let mut damaged = packed.clone();
            let at = at % damaged.len();
            damaged[at] ^= 1 << bit;
            prop_assert!(News::of(&damaged, 10, 19).is_none());
            prop_assert!(News::of(&packed[..at], 10, 19).is_none());
        }
    }

    #[test]
    fn a_batch_that_is_too_large_makes_no_news() {
        let keys: Vec<String> = (0..1_000).map(|n| format!("{n:0100}").chars().rev().collect()).collect();
        assert_eq!(pack(1, keys.iter().map(|key| (key.as_str(), None))), None);
    }
}
