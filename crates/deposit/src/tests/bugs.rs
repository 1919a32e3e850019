//! A bug ends a batch midway: nothing of it is trusted, and those behind it are served.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::book::Hold;
use crate::domain::command::Original;
use crate::domain::eligibility::{BALANCE_MAX, TURNOVER_MAX};
use crate::tests::lost::Bank;

/// No request gives such an amount; carrying it out is a bug that panics where overflow is checked, as in tests.
fn bug(bank: &Bank) -> Action {
    bank.credit(1, i64::MIN)
}

#[tokio::test]
async fn what_was_decided_before_a_bug_is_not_trusted() {
    let bank = Bank::new(2).await;
    bank.post("1", bank.credit(0, 100)).await.unwrap();
    bank.post("2", bank.credit(1, 100)).await.unwrap();
    for (key, alone) in [("3", false), ("4", true)] {
        let mut actions = vec![bank.credit(0, 10), bug(&bank)];
        if alone {
            actions.insert(0, Action::Release { hold: 99 }); // looked for in the store
        }
        let commands = actions.into_iter().enumerate().map(|(i, a)| bank.command(&format!("{key}{i}"), a)).collect();
        bank.combiner.post(commands).await.unwrap_err();
        assert_eq!(bank.balance(0).await, 100, "alone: {alone}");
    }
    bank.post("5", bank.credit(0, 1)).await.unwrap();
    assert_eq!(bank.balance(0).await, 101);
}

#[tokio::test]
async fn a_batch_that_can_t_be_written_for_a_bug_takes_its_generation_along_and_no_other() {
    let bank = Bank::new(1).await;
    bank.post("1", bank.credit(0, 100)).await.unwrap();
    let ledger = &bank.ledger;
    let room = ledger.room().await;
    let mut state = ledger.current().await.unwrap();
    // A row of a command that is not there.
    let batch = Batch { fresh: vec![(7, 1)], ..Batch::new(bank.db.now(), 0) };
    let sent = ledger.send(&mut state, room, Work::Postings(batch));
    drop(state);
    sent.flush.await.unwrap_err();
    assert!(ledger.current().await.is_none());
    bank.post("2", bank.credit(0, 1)).await.unwrap();
    assert_eq!(bank.balance(0).await, 101);
}

#[tokio::test]
async fn a_batch_leaves_no_holds_in_memory_and_the_next_one_knows_them() {
    let bank = Bank::new(1).await;
    let Outcome::Posted(credit, _) = bank.post("1", bank.credit(0, 100)).await.unwrap() else { panic!("refused") };
    let hold = |amount| Action::Hold { account: bank.accounts[0], amount, until: None };
    let undo = || {
        let original = Original {
            seq: credit.posting.seq,
            kind: Kind::Credit,
            debit: None,
            credit: Some(1),
            bank: Some("cash"),
            amount: 100,
            counted_on: bank.day,
            reversed: false,
        };
        Action::Reversal { original: Some(original) }
    };
    let (release, capture) =
        (|hold| Action::Release { hold }, |hold| Action::Capture { hold, amount: None, bank: "cash" });
    for (i, (actions, refused)) in [
        (vec![hold(10), hold(20)], ""),
        (vec![release(2), release(2), capture(3)], "HOLD_SETTLED"),
        (vec![bank.credit(0, 20), hold(1), capture(8), release(8)], "HOLD_SETTLED"),
        (vec![release(3), bank.credit(0, 1)], "HOLD_SETTLED"),
        (vec![undo(), undo()], "ALREADY_REVERSED"),
        (vec![undo()], "ALREADY_REVERSED"),
    ]
    .into_iter()
    .enumerate()
    {
        let command = |(j, action)| bank.command(&format!("b{i}{j}"), action);
        let outcomes = bank.combiner.post(actions.into_iter().enumerate().map(command).collect()).await.unwrap();
        let codes: Vec<&str> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Refused(why, _) => Some(why[0].0.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(codes.join(" "), refused, "batch {i}");
        let state = bank.ledger.current().await.unwrap();
        assert_eq!(state.book.holds.len(), 0, "batch {i}");
    }
}

#[tokio::test]
async fn a_key_sent_with_another_request_and_its_own_at_once_gives_its_answer_to_its_own() {
    let bank = Bank::new(1).await;
    bank.post("k", bank.credit(0, 100)).await.unwrap();
    let own = bank.command("k", bank.credit(0, 100));
    let other = Command { hash: 2, ..own.clone() };
    let outcomes = bank.combiner.post(vec![other.clone(), own.clone(), other, own]).await.unwrap();
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome == Outcome::KeyReused, i % 2 == 0, "{i}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Posted(_, true)), i % 2 == 1, "{i}: {outcome:?}");
    }
    assert_eq!(bank.balance(0).await, 100);
}

#[tokio::test]
async fn sums_that_could_not_be_kept_are_refused() {
    let (full, most) = (BALANCE_MAX, TURNOVER_MAX);
    let bank = Bank::new(1).await;
    bank.post("1", bank.credit(0, full)).await.unwrap();
    bank.post("2", Action::Hold { account: bank.accounts[0], amount: 10, until: None }).await.unwrap();
    let mut state = bank.ledger.current().await.unwrap();
    let before = state.book.accounts.get(1).unwrap().clone();
    let hold = Hold { seq: 2, account: 1, remaining: 10, until: None, counted_on: bank.day };
    let undone = |debit, credit| Original {
        seq: 1,
        kind: Kind::Credit,
        debit,
        credit,
        bank: Some("cash"),
        amount: 10,
        counted_on: bank.day,
        reversed: false,
    };
    let interest = Interest {
        from: bank.day.add_days(-1),
        to: bank.day.add_days(-1),
        gross: 10,
        income_tax: 0,
        local_tax: 0,
        other_tax: 0,
        net: 10,
        periods: Vec::new(),
    };
    let account = bank.accounts[0];
    let credits = [
        bank.credit(0, 10),
        Action::Reversal { original: Some(undone(Some(1), None)) },
        Action::Interest { account, due: Some(interest) },
    ];
    let debits = [
        Action::Debit { account, amount: 10, bank: "cash" },
        Action::Reversal { original: Some(undone(None, Some(1))) },
        Action::Capture { hold: 2, amount: None, bank: "cash" },
    ];
    let counted =
        [Action::Debit { account, amount: 10, bank: "cash" }, Action::Hold { account, amount: 10, until: None }];
    type Set = fn(&mut Account, i64);
    let cases: [(&[Action], Set, i64, &str); 5] = [
        (&credits, |a, sum| a.ledger = sum, full, "BALANCE_OVERFLOW"),
        (&credits, |a, sum| a.day.credits = sum, most, "LIMIT_EXCEEDED"),
        (&debits, |a, sum| a.day.debits = sum, most, "LIMIT_EXCEEDED"),
        (&counted, |a, sum| a.used.day_sum = sum, most, "LIMIT_EXCEEDED"),
        (&counted, |a, sum| a.used.month_sum = sum, most, "LIMIT_EXCEEDED"),
    ];
    for (actions, set, most, code) in cases {
        for (action, room) in actions.iter().flat_map(|action| [(action, 9), (action, 10)]) {
            let mut account = Account { ledger: 1_000, ..before.clone() };
            set(&mut account, most - room);
            state.book.accounts.insert(account);
            state.book.holds.insert(2, hold);
            let (_, decided) = state.decide(&bank.command("k", action.clone()), 0);
            let codes = decided.outcome.err().unwrap_or_default();
            let codes: Vec<&str> = codes.iter().map(|(code, _)| code.as_str()).collect();
            assert_eq!(codes.join(" "), if room < 10 { code } else { "" }, "{action:?} with room for {room}");
        }
    }
}
