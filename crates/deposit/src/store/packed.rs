//! A batch of postings packed into bytes: some sixty bytes per command instead of a row. Pure.
//!
//! Of a key only that is told which the one before did not begin with; of a day by how many it is later than that of the
//! one before; of where an entry points back by how far that is.

use jangbu_kernel::date::BusinessDate;

use super::postings::{NewRow, Stored};
use crate::domain::chain::Back;
use crate::domain::command::{Kind, stored_bank_account};
use crate::domain::decide::{Leg, Posting};

/// Hash of all that follows, first place, last place, when it was decided: eight bytes each.
const HEAD: usize = 32;
/// What the rows of most batches take each.
const BYTES_PER_ROW: usize = 80;

// What a row has, beside what every row has.
const REFUSED: u8 = 1;
const MEMO: u8 = 2;
const REFERS: u8 = 4;
const BANK: u8 = 8;
const DEBIT: u8 = 16;
const CREDIT: u8 = 32;

/// Packs rows that follow each other and were decided together.
#[must_use]
pub fn pack(rows: &[NewRow<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + rows.len() * BYTES_PER_ROW);
    bytes.resize(HEAD, 0);
    let (mut key_before, mut day_before) = (&[][..], 0);
    for row in rows {
        let posting = row.outcome.as_ref().ok().copied();
        let refers = posting.and_then(|posting| posting.refers);
        let bank = posting.and_then(|posting| posting.bank);
        let has = [
            (REFUSED, posting.is_none()),
            (MEMO, row.memo.is_some()),
            (REFERS, refers.is_some()),
            (BANK, bank.is_some()),
            (DEBIT, posting.is_some_and(|posting| posting.debit.is_some())),
            (CREDIT, posting.is_some_and(|posting| posting.credit.is_some())),
        ];
        bytes.push(row.kind as u8);
        bytes.push(has.iter().filter(|(_, has)| *has).fold(0, |all, (bit, _)| all | bit));
        let key = row.key.as_bytes();
        let shared = key.iter().zip(key_before).take_while(|(a, b)| a == b).count();
        put(&mut bytes, shared as u64);
        put_bytes(&mut bytes, &key[shared..]);
        key_before = key;
        bytes.extend_from_slice(&row.hash.to_le_bytes());
        let day = i64::from(posting.map_or(row.date, |posting| posting.date).days());
        put(&mut bytes, zigzag(day - day_before));
        day_before = day;
        if let Some(memo) = row.memo {
            put_bytes(&mut bytes, memo.as_bytes());
        }
        match &row.outcome {
            Err(refusal) => put_bytes(&mut bytes, refusal.as_bytes()),
            Ok(posting) => {
                let numbers = [posting.amount, posting.tax, posting.held, posting.counted];
                numbers.into_iter().for_each(|n| put(&mut bytes, zigzag(n)));
                if let Some(refers) = refers {
                    put(&mut bytes, refers);
                }
                if let Some(bank) = bank {
                    put_bytes(&mut bytes, bank.as_bytes());
                }
                for leg in [posting.debit, posting.credit].into_iter().flatten() {
                    let back = [leg.back.prev, leg.back.jump].map(|place| row.seq.wrapping_sub(place));
                    let numbers = [leg.account, leg.serial, zigzag(leg.balance), back[0], back[1]];
                    numbers.into_iter().for_each(|n| put(&mut bytes, n));
                }
            }
        }
    }
    let (first, last) = (rows.first().map_or(0, |row| row.seq), rows.last().map_or(0, |row| row.seq));
    let head = [first, last, rows.first().map_or(0, |row| row.at).cast_unsigned()];
    for (at, word) in (1..).zip(head) {
        bytes[at * 8..(at + 1) * 8].copy_from_slice(&word.to_le_bytes());
    }
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes[8..]);
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes
}

fn head(bytes: &[u8]) -> Option<([u64; 4], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(head.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Some((words, rest))
}

/// The first and the last place of a batch.
#[must_use]
pub fn places(bytes: &[u8]) -> Option<(u64, u64)> {
    head(bytes).map(|([_, first, last, _], _)| (first, last))
}

/// The rows of a batch; nothing when they are not as they were packed.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Vec<Stored>> {
    let mut rows = Vec::with_capacity(bytes.len() / BYTES_PER_ROW);
    each(bytes, &mut |row| rows.push(Stored::of(row)))?;
    Some(rows)
}

/// Shows the rows of a batch in order; nothing comes back when they are not as they were packed, of which some may have been
/// shown.
pub fn each(bytes: &[u8], see: &mut dyn FnMut(&NewRow<'_>)) -> Option<()> {
    let ([hash, mut seq, last, posted_at], mut rest) = head(bytes)?;
    if xxhash_rust::xxh3::xxh3_64(&bytes[8..]) != hash {
        return None;
    }
    let (mut key, mut day) = (Vec::new(), 0);
    while !rest.is_empty() {
        row(&mut rest, (&mut key, &mut day), (seq, posted_at.cast_signed()), see)?;
        seq += 1;
    }
    (seq == last + 1).then_some(())
}

fn row(
    rest: &mut &[u8],
    (key, day): (&mut Vec<u8>, &mut i64),
    (seq, at): (u64, i64),
    see: &mut dyn FnMut(&NewRow<'_>),
) -> Option<()> {
    let (head, left) = rest.split_at_checked(2)?;
    *rest = left;
    let kind = Kind::from_number(i64::from(head[0]))?;
    let has = |bit: u8| head[1] & bit != 0;
    key.truncate(usize::try_from(take(rest)?).ok()?);
    key.extend_from_slice(take_bytes(rest)?);
    let (hash, left) = rest.split_at_checked(8)?;
    *rest = left;
    let (key, hash) = (std::str::from_utf8(key).ok()?, u64::from_le_bytes(hash.try_into().ok()?));
    *day += unzigzag(take(rest)?);
    let date = BusinessDate::from_days(i32::try_from(*day).ok()?);
    let memo = if has(MEMO) { Some(text(rest)?) } else { None };
    if has(REFUSED) {
        see(&NewRow { seq, key, hash, kind, date, at, memo, outcome: Err(text(rest)?.into()) });
    } else {
        let posting = posting(rest, has, (seq, kind, date))?;
        see(&NewRow { seq, key, hash, kind, date, at, memo, outcome: Ok(&posting) });
    }
    Some(())
}

fn posting(
    rest: &mut &[u8],
    has: impl Fn(u8) -> bool,
    (seq, kind, date): (u64, Kind, BusinessDate),
) -> Option<Posting> {
    let mut number = || take(rest).map(unzigzag);
    let (amount, tax, held, counted) = (number()?, number()?, number()?, number()?);
    let refers = if has(REFERS) { Some(take(rest)?) } else { None };
    let bank = if has(BANK) { Some(stored_bank_account(text(rest)?)?) } else { None };
    let mut leg = |bit| {
        if !has(bit) {
            return Some(None);
        }
        let (account, serial, balance) = (take(rest)?, take(rest)?, unzigzag(take(rest)?));
        let back = Back { prev: seq.wrapping_sub(take(rest)?), jump: seq.wrapping_sub(take(rest)?) };
        Some(Some(Leg { account, serial, balance, back }))
    };
    let (debit, credit) = (leg(DEBIT)?, leg(CREDIT)?);
    Some(Posting { seq, kind, debit, credit, bank, amount, tax, held, counted, refers, date, interest: None })
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

/// With their length before them.
fn put_bytes(bytes: &mut Vec<u8>, some: &[u8]) {
    put(bytes, some.len() as u64);
    bytes.extend_from_slice(some);
}

fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (some, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(some)
}

fn text<'b>(bytes: &mut &'b [u8]) -> Option<&'b str> {
    std::str::from_utf8(take_bytes(bytes)?).ok()
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

    fn any_leg() -> impl Strategy<Value = Option<Leg>> {
        let leg = any::<(u64, u64, i64, u64, u64)>().prop_map(|(account, serial, balance, prev, jump)| Leg {
            account,
            serial,
            balance,
            back: Back { prev, jump },
        });
        proptest::option::of(leg)
    }

    fn any_posting() -> impl Strategy<Value = Posting> {
        let bank = proptest::option::of(proptest::sample::select(&crate::domain::command::BANK_ACCOUNTS[..]));
        let rest = (any::<[i64; 4]>(), any::<Option<u64>>());
        (any_leg(), any_leg(), bank, rest).prop_map(|(debit, credit, bank, (numbers, refers))| {
            let [amount, tax, held, counted] = numbers;
            let (kind, date) = (Kind::Credit, BusinessDate::from_days(0)); // those of the row
            Posting { seq: 0, kind, debit, credit, bank, amount, tax, held, counted, refers, date, interest: None }
        })
    }

    fn any_row() -> impl Strategy<Value = Stored> {
        let key = (".{0,40}", any::<u64>(), 1i64..=8, -1_000_000..1_000_000);
        let text = || proptest::option::of(".{0,40}");
        (key, any_posting(), text(), text()).prop_map(|((key, hash, kind, day), posting, refused, memo)| {
            let (kind, date) = (Kind::from_number(kind).unwrap(), BusinessDate::from_days(day));
            let posting = refused.is_none().then_some(Posting { kind, date, ..posting });
            Stored { seq: 0, key, hash, kind, posting, refused, date, posted_at: 0, memo }
        })
    }

    fn at_places(first: u64, posted_at: i64, mut rows: Vec<Stored>) -> Vec<Stored> {
        for (seq, row) in (first..).zip(&mut rows) {
            (row.seq, row.posted_at) = (seq, posted_at);
            row.posting.iter_mut().for_each(|posting| posting.seq = seq);
        }
        rows
    }

    fn packed(rows: &[Stored]) -> Vec<u8> {
        pack(&rows.iter().map(Stored::row).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(
            first in 1..u64::MAX / 2, at in any::<i64>(), rows in proptest::collection::vec(any_row(), 1..50),
        ) {
            let rows = at_places(first, at, rows);
            prop_assert_eq!(unpack(&packed(&rows)), Some(rows));
        }

        #[test]
        fn what_is_damaged_is_no_batch(at in any::<prop::sample::Index>(), bit in 0..8u32, rows in proptest::collection::vec(any_row(), 1..9)) {
            let rows = at_places(11, 12, rows);
            let whole = packed(&rows);
            let mut damaged = whole.clone();
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            prop_assert!(unpack(&damaged).is_none());
            prop_assert!(unpack(&whole[..at]).is_none());
        }
    }
}
