//! How an account's postings are found without an index: each entry points back twice.
//!
//! The entry with serial `s` knows where entry `s-1` lies, and where one further back lies; the distances follow
//! the skew-binary numbers, so any serial is reached from the last in about `2 log2(n)` steps, and a posting
//! costs no index row. What is kept per account is the path from its last entry: about `log2(n)` places.
//! (E. W. Myers, "An applicative random-access stack", 1983.)

use smallvec::SmallVec;

/// The places (posting sequence numbers) on the path from an account's last entry back to its first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(SmallVec<[u64; 4]>);

/// Where an entry points: zero means nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Back {
    /// The place of the entry before.
    pub prev: u64,
    /// The place of the entry with serial [`jump_serial`].
    pub jump: u64,
}

/// The serial that entry `serial` (from 1) jumps back to; zero when there is none.
#[must_use]
pub fn jump_serial(serial: u64) -> u64 {
    // Greedy skew-binary form of `serial`: the jump goes over the smallest term.
    let mut rest = serial;
    loop {
        let term = largest_term(rest);
        if term == 0 || term == rest {
            return serial - rest;
        }
        if rest == 2 * term {
            return serial - term;
        }
        rest -= term;
    }
}

/// The largest `2^k - 1` that is not above `n`.
fn largest_term(n: u64) -> u64 {
    if n == 0 { 0 } else { (1 << (63 - (n + 1).leading_zeros())) - 1 }
}

impl Path {
    /// A path read back from its stored form, which may be filled up with zeros.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let place = |c: &[u8]| c.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b));
        Self(bytes.chunks(8).map(place).take_while(|place| *place != 0).collect())
    }

    /// The stored form: eight bytes a place, little endian, first to last.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|p| p.to_le_bytes()).collect()
    }

    /// The place of the last entry; zero when there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// Adds the entry with `serial` (one above the last) at `place`; where it points.
    pub fn push(&mut self, serial: u64, place: u64) -> Back {
        let prev = self.last();
        if jump_serial(serial) + 1 != serial {
            // The two terms before and this entry become one term: both leave the path.
            let keep = self.0.len().saturating_sub(2);
            self.0.truncate(keep);
        }
        let jump = self.last();
        self.0.push(place);
        Back { prev, jump }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every jump leads to the place of the serial it promises, and any serial is reached in few steps.
    #[test]
    fn pointers_lead_where_they_say() {
        let mut path = Path::default();
        let mut backs = vec![Back::default()];
        for serial in 1..=5_000u64 {
            backs.push(path.push(serial, serial * 10));
            let back = backs.last().unwrap();
            assert_eq!(back.prev, (serial - 1) * 10);
            assert_eq!(back.jump, jump_serial(serial) * 10, "jump of {serial}");
            assert_eq!(Path::from_bytes(&path.to_bytes()), path);
        }
        for target in [1u64, 2, 777, 4_095, 4_999] {
            let (mut at, mut steps) = (5_000u64, 0);
            while at != target {
                at = if jump_serial(at) >= target { jump_serial(at) } else { at - 1 };
                steps += 1;
            }
            assert!(steps <= 40, "{steps} steps to {target}");
        }
    }
}
