//! What postings moved, so that they can be carried out again in memory.

use std::collections::HashMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_platform::db::lines::Line;
use jangbu_platform::db::{Fault, Tx, Value};

use super::{accounts, batches, locked};
use crate::domain::command::Kind;
use crate::domain::decide::Movement;

/// Shows each key of the places after `last` up to `upto`, and tells what their postings moved, in order. Whoever has the
/// instance's place knows that they stand.
pub async fn moved(
    tx: &mut Tx,
    last: u64,
    upto: u64,
    see: &mut (dyn FnMut(&str) + Send),
) -> Result<Vec<Movement>, Fault> {
    // Packed ones first: those whose rows are written meanwhile are in the table then.
    let mut all = Vec::new();
    for batch in batches::after(tx, last).await? {
        batch.each(&mut |row| {
            see(row.key);
            all.push((row.seq, row.outcome.as_ref().ok().map(|posting| posting.movement())));
        })?;
    }
    if (all.len() as u64) < upto - last {
        let sql = "SELECT seq, idem_key, kind, debit_no, credit_no, amount, held, counted, business_date, \
                   refers, refused IS NULL FROM posting WHERE seq > ? AND seq <= ? ORDER BY seq";
        let mut each = |line: &Line<'_>| {
            see(line.text(1)?);
            all.push(moved_by(line)?);
            Ok(())
        };
        tx.each(sql, &[last.cast_signed().into(), upto.cast_signed().into()], &mut each).await?;
        all.sort_unstable_by_key(|(seq, _)| *seq);
        all.dedup_by_key(|(seq, _)| *seq);
    }
    if all.len() as u64 != upto - last {
        return Err(Fault::Damaged(format!("of the postings {} to {upto} some are missing", last + 1)));
    }
    let mut all: Vec<Movement> = all.into_iter().filter_map(|(_, moved)| moved).collect();
    complete(tx, &mut all).await?;
    Ok(all)
}

fn moved_by(line: &Line<'_>) -> Result<(u64, Option<Movement>), Fault> {
    let no = |i: usize| line.opt_int(i).map(|no| no.map(i64::cast_unsigned));
    let moved = Movement {
        seq: line.int(0)?.cast_unsigned(),
        kind: Kind::from_number(line.int(2)?).ok_or_else(|| Fault::Damaged("a kind of posting".into()))?,
        debit: no(3)?,
        credit: no(4)?,
        amount: line.int(5)?,
        held: line.int(6)?,
        counted: line.int(7)?,
        date: accounts::day(line.int(8)?),
        refers: no(9)?,
        counted_on: None,
        paid_through: None,
    };
    Ok((moved.seq, (line.int(10)? != 0).then_some(moved)))
}

/// Fills in what movements rest on: the days on which holds and originals were counted, and days that interest was paid for.
/// None of it ever changes.
///
/// # Errors
/// The store can't be read.
pub async fn complete(tx: &mut Tx, moved: &mut [Movement]) -> Result<(), Fault> {
    let of = |kinds: &[Kind], place: fn(&Movement) -> Option<u64>| {
        moved.iter().filter(|moved| kinds.contains(&moved.kind)).filter_map(place).collect::<Vec<u64>>()
    };
    let mut holds = of(&[Kind::Capture, Kind::Release], |moved| moved.refers);
    let originals = locked::by_seqs(tx, &of(&[Kind::Reversal], |moved| moved.refers)).await?;
    let originals = originals.into_iter().filter_map(|row| row.posting);
    // What a capture takes was counted when it was held.
    let originals: HashMap<u64, (BusinessDate, Option<u64>)> = originals
        .map(|posting| (posting.seq, (posting.date, posting.refers.filter(|_| posting.kind == Kind::Capture))))
        .collect();
    holds.extend(originals.values().filter_map(|(_, hold)| *hold));
    let paid = of(&[Kind::Interest], |moved| Some(moved.seq));
    let paid = days(tx, "SELECT posting, to_date FROM interest_payment WHERE posting IN (?*)", &paid).await?;
    let holds = days(tx, "SELECT seq, counted_on FROM hold WHERE seq IN (?*)", &holds).await?;
    for moved in moved {
        let refers = moved.refers.unwrap_or_default();
        match moved.kind {
            Kind::Capture | Kind::Release => moved.counted_on = holds.get(&refers).copied(),
            Kind::Reversal => {
                let original = originals.get(&refers).copied();
                moved.counted_on =
                    original.map(|(date, hold)| hold.and_then(|hold| holds.get(&hold).copied()).unwrap_or(date));
            }
            Kind::Interest => moved.paid_through = paid.get(&moved.seq).copied(),
            Kind::Credit | Kind::Debit | Kind::Transfer | Kind::Hold => {}
        }
    }
    Ok(())
}

/// Days by places.
async fn days(tx: &mut Tx, sql: &str, places: &[u64]) -> Result<HashMap<u64, BusinessDate>, Fault> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<Value<'_>> = places.iter().map(|place| place.cast_signed().into()).collect();
    let rows = tx.query(sql, &places).await?;
    Ok(rows.iter().map(|row| (row.int(0).cast_unsigned(), accounts::day(row.int(1)))).collect())
}
