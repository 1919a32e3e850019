//! Proves an instance's books from its postings alone: every balance, day, hold and payment is worked out again and held
//! against what was kept. Written apart from the code that posts, so that one mistake does not prove the other. Pure.

use std::collections::BTreeMap;

use jangbu_contracts::breaks::{Breaks, Class, Level};
use jangbu_kernel::money::Currency;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::chain::Path;
use super::command::Kind;
use super::totals::TAX_SUSPENSE;

/// One leg of a posting as stored.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// The account's number.
    pub no: u64,
    /// Serial of its entry.
    pub serial: u64,
    /// Ledger balance after.
    pub balance: i64,
    /// Place of the entry before.
    pub prev: u64,
    /// Place of the entry further back.
    pub jump: u64,
}

/// A posting as stored.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// Its place.
    pub seq: u64,
    /// Its kind; none when it is of no known kind.
    pub kind: Option<Kind>,
    /// Whether the command was refused.
    pub refused: bool,
    /// Debited, or held.
    pub debit: Option<Leg>,
    /// Credited.
    pub credit: Option<Leg>,
    /// The bank's own account.
    pub bank: Option<&'a str>,
    /// Minor units.
    pub amount: i64,
    /// Withheld.
    pub tax: i64,
    /// Change of the holds.
    pub held: i64,
    /// The posting it refers to.
    pub refers: Option<u64>,
    /// Days since 1970 of its business date.
    pub date: i32,
}

/// A day of an account: opening, debits, credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayOf {
    /// Days since 1970.
    pub date: i32,
    /// Balance when it began.
    pub opening: i64,
    /// Sum of debits.
    pub debits: i64,
    /// Sum of credits.
    pub credits: i64,
}

/// An account as it was last written back.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Its number.
    pub no: u64,
    /// Its currency.
    pub currency: Currency,
    /// Days since 1970 of its opening.
    pub opened_on: i32,
    /// Whether it is closed.
    pub closed: bool,
    /// Ledger balance.
    pub ledger: i64,
    /// Sum of holds.
    pub held: i64,
    /// Serial of the last entry.
    pub serial: u64,
    /// Hash of the places that its path names, see [`path_hash`].
    pub path: u64,
    /// The running day.
    pub day: DayOf,
    /// The last day for which interest was paid, days since 1970.
    pub paid_through: i32,
    /// The posting up to which this holds.
    pub changed: u64,
}

/// Hash of a path as stored, less the zeros that it is filled up with: all that is remembered of it, since paths are long.
#[must_use]
pub fn path_hash(path: &[u8]) -> u64 {
    let filled_up = path.rchunks(8).take_while(|place| place.iter().all(|byte| *byte == 0)).count();
    xxh3_64(&path[..path.len() - 8 * filled_up.min(path.len() / 8)])
}

/// How far a posting moved what customers have in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The posting's place.
    pub seq: u64,
    /// The currency.
    pub currency: Currency,
    /// Credits less debits, minor units.
    pub customers: i64,
    /// Withheld from interest.
    pub tax: i64,
}

/// An interest payment as kept.
#[derive(Clone, Copy, Debug)]
pub struct Paid {
    /// The account.
    pub no: u64,
    /// First and last day, days since 1970.
    pub days: (i32, i32),
    /// Before tax.
    pub gross: i64,
    /// All taxes.
    pub taxes: i64,
    /// Credited.
    pub net: i64,
}

#[derive(Clone, Debug)]
struct Run {
    kept: Kept,
    serial: u64,
    balance: i64,
    held: i64,
    path: Path,
    day: DayOf,
    paid_through: i32,
    met: bool,
    /// A posting that was said to be written back is not in it; told once.
    behind: bool,
}

/// A day that ended: account, day, serial that it ended with.
pub type Ended = (u64, DayOf, u64);

/// Days of all accounts, without their order: how many, and a sum over their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// How many.
    pub count: u64,
    sum: u128,
}

impl Days {
    /// Adds one.
    pub fn add(&mut self, (no, day, serial): Ended) {
        let closing = day.opening + day.credits - day.debits;
        let numbers = [no.cast_signed(), i64::from(day.date), day.opening, day.debits, day.credits, closing];
        let mut bytes = [0u8; 56];
        for (at, n) in numbers.iter().chain([&serial.cast_signed()]).enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&n.to_le_bytes());
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(xxh3_128(&bytes));
    }
}

/// The books, worked out again.
#[derive(Debug, Default)]
pub struct Books {
    /// What does not hold.
    pub breaks: Breaks,
    /// Postings met.
    pub postings: u64,
    /// Refusals met.
    pub refused: u64,
    /// The last place met.
    pub through: u64,
    /// Days that ended.
    pub days: Days,
    ended: Option<Vec<Ended>>,
    /// Sums of the bank's own accounts, credits less debits.
    pub bank: BTreeMap<(Currency, String), i128>,
    accounts: Vec<Option<Run>>,
    holds: FxHashMap<u64, (u64, i64)>,
    reversals: FxHashMap<u64, u64>,
    written_back: u64,
}

impl Books {
    /// Books that also keep the days that end, one by one.
    #[must_use]
    pub fn with_days() -> Self {
        Self { ended: Some(Vec::new()), ..Self::default() }
    }

    /// Notes up to which posting all balances are said to be written back.
    pub fn written_back(&mut self, seq: u64) {
        self.written_back = seq;
    }

    /// The days that ended, of books that keep them.
    pub fn take_days(&mut self) -> Vec<Ended> {
        self.ended.take().unwrap_or_default()
    }

    /// Takes in an account as it was kept.
    pub fn account(&mut self, kept: Kept) {
        let at = usize::try_from(kept.no).unwrap_or(usize::MAX - 1);
        if self.accounts.len() <= at {
            self.accounts.resize(at + 1, None);
        }
        let day = DayOf { date: kept.opened_on, ..DayOf::default() };
        let run = Run {
            kept,
            serial: 0,
            balance: 0,
            held: 0,
            path: Path::default(),
            day,
            paid_through: kept.opened_on - 1,
            met: false,
            behind: false,
        };
        self.accounts[at] = Some(run);
        self.meet(kept.no, 0);
    }

    fn run(&mut self, no: u64) -> Option<&mut Run> {
        self.accounts.get_mut(usize::try_from(no).ok()?)?.as_mut()
    }

    /// Takes the next row; `paid` is the payment kept of it. What it moved, if it moves money.
    pub fn posting(&mut self, row: &Row<'_>, paid: Option<&Paid>) -> Option<Moved> {
        if row.seq != self.through + 1 {
            let through = self.through;
            self.breaks.add(Level::Entries, Class::MissingLeft, row.seq, || format!("the row before it is {through}"));
        }
        self.through = row.seq;
        if row.refused {
            self.refused += 1;
            if row.debit.is_some() || row.credit.is_some() {
                self.breaks.add(Level::Entries, Class::Damaged, row.seq, || "it was refused and moves money".into());
            }
            return None;
        }
        self.postings += 1;
        let Some(kind) = row.kind else {
            self.breaks.add(Level::Entries, Class::Damaged, row.seq, || "its kind is unknown".into());
            return None;
        };
        if row.amount <= 0 || row.tax < 0 {
            self.breaks.add(Level::Entries, Class::Damaged, row.seq, || {
                format!("its amount is {}, its tax {}", row.amount, row.tax)
            });
        }
        let moves = !matches!(kind, Kind::Hold | Kind::Release);
        let amount = if moves { row.amount } else { 0 };
        if let Some(leg) = row.debit {
            self.leg(row, leg, -amount, moves, row.held);
        }
        if let Some(leg) = row.credit {
            self.leg(row, leg, amount, moves, 0);
        }
        let moved = self.balance(row, amount);
        self.hold(row, kind);
        self.interest(row, kind, paid);
        for leg in [row.debit, row.credit].into_iter().flatten() {
            self.meet(leg.no, row.seq);
        }
        moved.filter(|_| moves)
    }

    fn leg(&mut self, row: &Row<'_>, leg: Leg, change: i64, moves: bool, held: i64) {
        let (mut wrong, mut ended, written_back) = (Vec::new(), None, self.written_back);
        let Some(run) = self.run(leg.no) else {
            let no = leg.no;
            self.breaks.add(Level::Entries, Class::MissingRight, row.seq, || format!("there is no account {no}"));
            return;
        };
        if row.date < run.day.date {
            wrong.push(format!("its day {} is before the account's day {}", row.date, run.day.date));
        } else if row.date > run.day.date {
            if run.day.debits != 0 || run.day.credits != 0 {
                ended = Some((leg.no, run.day, run.serial));
            }
            run.day = DayOf { date: row.date, opening: run.balance, debits: 0, credits: 0 };
        }
        run.balance += change;
        run.held += held;
        if moves {
            run.serial += 1;
            run.day.debits -= change.min(0);
            run.day.credits += change.max(0);
            let back = run.path.push(run.serial, row.seq);
            if (back.prev, back.jump) != (leg.prev, leg.jump) {
                wrong.push(format!("it points to {} and {}, not {} and {}", leg.prev, leg.jump, back.prev, back.jump));
            }
        }
        if leg.serial != run.serial {
            wrong.push(format!("its serial is {}, not {}", leg.serial, run.serial));
        }
        if leg.balance != run.balance {
            wrong.push(format!("its balance after is {}, not {}", leg.balance, run.balance));
        }
        if run.balance < 0 || run.held < 0 {
            wrong.push(format!("it leaves {} with {} held", run.balance, run.held));
        }
        // Later entries are held against what is stored, so that one wrong row is one break.
        (run.serial, run.balance) = (leg.serial, leg.balance);
        let behind = run.met && row.seq <= written_back && !std::mem::replace(&mut run.behind, true);
        let changed = run.kept.changed;
        for why in wrong {
            self.breaks.add(Level::Entries, Class::Amount, format!("{} on account {}", row.seq, leg.no), || why);
        }
        if behind {
            let why =
                || format!("kept is its state as of posting {changed}; {} came before it was written back", row.seq);
            self.breaks.add(Level::Balances, Class::MissingRight, format!("account {}", leg.no), why);
        }
        if let Some(ended) = ended {
            self.days.add(ended);
            if let Some(all) = &mut self.ended {
                all.push(ended);
            }
        }
    }

    /// Debits equal credits, within each posting.
    fn balance(&mut self, row: &Row<'_>, amount: i64) -> Option<Moved> {
        let moved = row.credit.map_or(0, |_| amount) - row.debit.map_or(0, |_| amount);
        let customers = i128::from(moved);
        let mut currency_of = |leg: Option<Leg>| Some(self.run(leg?.no)?.kept.currency);
        let (debit, credit) = (currency_of(row.debit), currency_of(row.credit));
        if row.debit.or(row.credit).is_none() {
            self.breaks.add(Level::Entries, Class::Damaged, row.seq, || "it has no account".into());
        }
        if debit.zip(credit).is_some_and(|(a, b)| a != b) {
            let why = || format!("it takes {debit:?} and gives {credit:?}");
            self.breaks.add(Level::Entries, Class::Damaged, row.seq, why);
        }
        let currency = debit.or(credit)?;
        let bank = match row.bank {
            Some(_) if row.credit.is_some() => -i128::from(amount) - i128::from(row.tax),
            Some(_) => i128::from(amount),
            None => 0,
        };
        if customers + bank + i128::from(row.tax) != 0 {
            let why = || format!("customers {customers}, bank {bank}, tax {}", row.tax);
            self.breaks.add(Level::Sums, Class::Amount, row.seq, why);
        }
        for (name, change) in [(row.bank, bank), (Some(TAX_SUSPENSE), i128::from(row.tax))] {
            if let Some(name) = name.filter(|_| change != 0) {
                *self.bank.entry((currency, name.to_owned())).or_default() += change;
            }
        }
        Some(Moved { seq: row.seq, currency, customers: moved, tax: row.tax })
    }

    fn hold(&mut self, row: &Row<'_>, kind: Kind) {
        let no = row.debit.map_or(0, |leg| leg.no);
        match (kind, row.refers) {
            (Kind::Hold, _) => drop(self.holds.insert(row.seq, (no, row.amount))),
            (Kind::Capture | Kind::Release, Some(hold)) => match self.holds.remove(&hold) {
                Some((of, remaining)) if of == no && remaining == -row.held => {}
                found => {
                    let why = || format!("it settles hold {hold} with {}; open there is {found:?}", row.held);
                    self.breaks.add(Level::Holds, Class::Amount, row.seq, why);
                }
            },
            (Kind::Reversal, Some(original))
                if original >= row.seq || self.reversals.insert(original, row.seq).is_some() =>
            {
                let why = || format!("it undoes {original}, which is later or undone before");
                self.breaks.add(Level::Reversals, Class::Duplicate, row.seq, why);
            }
            (Kind::Capture | Kind::Release | Kind::Reversal, None) => {
                self.breaks.add(Level::Holds, Class::Damaged, row.seq, || "it refers to nothing".into());
            }
            _ => {}
        }
    }

    fn interest(&mut self, row: &Row<'_>, kind: Kind, paid: Option<&Paid>) {
        if kind != Kind::Interest {
            if paid.is_some() {
                self.breaks.add(Level::Interest, Class::MissingLeft, row.seq, || "a payment of no interest".into());
            }
            return;
        }
        let Some(paid) = paid else {
            self.breaks.add(Level::Interest, Class::MissingRight, row.seq, || "its payment was not kept".into());
            return;
        };
        let no = row.credit.map_or(0, |leg| leg.no);
        let sums = paid.net == row.amount && paid.taxes == row.tax && paid.gross == paid.net + paid.taxes;
        if paid.no != no || !sums {
            self.breaks.add(Level::Interest, Class::Amount, row.seq, || format!("{paid:?} was kept of {row:?}"));
        }
        let (from, to) = paid.days;
        let Some(run) = self.run(no) else { return };
        let through = std::mem::replace(&mut run.paid_through, to);
        let class = if from <= through { Class::Duplicate } else { Class::MissingLeft };
        if from != through + 1 || to < from || to >= row.date {
            let why = || format!("days {from} to {to} are paid on day {}, and {through} was paid before", row.date);
            self.breaks.add(Level::Interest, class, row.seq, why);
        }
    }

    /// Holds an account against what was kept of it, when that is as of this posting.
    fn meet(&mut self, no: u64, seq: u64) {
        let Some(run) = self.run(no).filter(|run| run.kept.changed == seq) else { return };
        run.met = true;
        let kept = (run.kept.ledger, run.kept.held, run.kept.serial, run.kept.day);
        let worked = (run.balance, run.held, run.serial, run.day);
        let (kept_path, kept_through) = (run.kept.path, run.kept.paid_through);
        let worked_rest = (path_hash(&run.path.to_bytes()), run.paid_through);
        if kept != worked {
            let why = || format!("kept is {kept:?} as of posting {seq}, its entries say {worked:?}");
            self.breaks.add(Level::Balances, Class::Amount, format!("account {no}"), why);
        }
        if (kept_path, kept_through) != worked_rest {
            let why = || {
                format!(
                    "as of posting {seq}, it leads elsewhere than its entries, or interest is paid up to another day than {kept_through}"
                )
            };
            self.breaks.add(Level::Balances, Class::Damaged, format!("account {no}"), why);
        }
    }

    /// A hold as kept.
    pub fn hold_kept(&mut self, seq: u64, no: u64, remaining: i64) {
        let open = self.holds.remove(&seq);
        if open.unwrap_or((no, 0)) != (no, remaining) {
            let why = || format!("kept is {remaining} on account {no}, its postings say {open:?}");
            self.breaks.add(Level::Holds, Class::Amount, seq, why);
        }
    }

    /// A note that `seq` undoes `original`.
    pub fn reversal_kept(&mut self, original: u64, seq: u64) {
        if self.reversals.remove(&original) != Some(seq) {
            let why = || format!("kept is that {seq} undoes it");
            self.breaks.add(Level::Reversals, Class::MissingLeft, original, why);
        }
    }

    /// Ends the reading of rows: what is left over has no match. Customers' balances by currency.
    pub fn end(&mut self) -> BTreeMap<Currency, i128> {
        let mut customers = BTreeMap::new();
        let accounts = std::mem::take(&mut self.accounts);
        for run in accounts.iter().flatten() {
            let no = run.kept.no;
            *customers.entry(run.kept.currency).or_default() += i128::from(run.balance);
            if !run.met {
                let why = || format!("kept is its state as of posting {}, which didn't touch it", run.kept.changed);
                self.breaks.add(Level::Balances, Class::Damaged, format!("account {no}"), why);
            }
            if run.kept.closed && (run.balance != 0 || run.held != 0) {
                let why = || format!("it is closed and has {} with {} held", run.balance, run.held);
                self.breaks.add(Level::Balances, Class::Amount, format!("account {no}"), why);
            }
        }
        for (seq, (no, remaining)) in std::mem::take(&mut self.holds) {
            let why = || format!("{remaining} of account {no} is held, and nothing was kept of it");
            self.breaks.add(Level::Holds, Class::MissingRight, seq, why);
        }
        for (original, seq) in std::mem::take(&mut self.reversals) {
            self.breaks.add(Level::Reversals, Class::MissingRight, original, || format!("{seq} undoes it"));
        }
        for (currency, sum) in &customers {
            let bank: i128 = self.bank.iter().filter(|((c, _), _)| c == currency).map(|(_, sum)| sum).sum();
            if sum + bank != 0 {
                let why = || format!("customers have {sum}, the bank's own accounts {bank}");
                self.breaks.add(Level::Sums, Class::Amount, currency, why);
            }
        }
        customers
    }
}
