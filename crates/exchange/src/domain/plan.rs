//! The plan of an exchange: withdraw first, deposit second, whichever way it goes. A withdrawal that was not needed can
//! be given back; a deposit may be spent already.
//!
//! | state | step | done | refused | not known |
//! |---|---|---|---|---|
//! | `STARTED` | withdraw | `WITHDRAW_SUCCEEDED` | `EXCHANGE_FAILED` | `WITHDRAW_RESULT_CHECK_NEEDED` |
//! | `WITHDRAW_RESULT_CHECK_NEEDED` | ask by key | `WITHDRAW_SUCCEEDED` | `EXCHANGE_FAILED` | again, later |
//! | `WITHDRAW_SUCCEEDED` | deposit | `EXCHANGE_SUCCEEDED` | `WITHDRAW_CANCEL_NEEDED` | `DEPOSIT_RESULT_CHECK_NEEDED` |
//! | `DEPOSIT_RESULT_CHECK_NEEDED` | ask by key | `EXCHANGE_SUCCEEDED` | `WITHDRAW_CANCEL_NEEDED` | again, later |
//! | `WITHDRAW_CANCEL_NEEDED` | ask by the cancellation's key | `EXCHANGE_FAILED` | a person | again, later |
//!
//! "There is no such command" is not yet a no: it may still be on its way. So the key is closed: a command that can only
//! be refused is sent under it. When that is refused for its own sake, whatever comes later under the key takes no
//! effect; when the key was used before, what it came to is asked anew.
//!
//! A withdrawal that was made is not kept before the deposit is asked for: both are kept together. So of an exchange
//! whose withdrawal is found late its deposit may be on its way, whatever its row says, and the deposit's key is closed
//! before anything is given back.
//!
//! Who has waited [`GIVE_UP_US`] is told that the exchange was not decided; from then on it is only undone, never begun
//! or carried on: rates of an exchange that nobody waits for any more are not risked.

use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{AccountId, PostingId};
use serde::{Deserialize, Serialize};

/// How long an exchange is carried forward, in microseconds.
pub const GIVE_UP_US: i64 = 15_000_000;
/// How long the cancellation is left alone before it is looked for, in milliseconds.
const CANCEL_MS: u64 = 1_000;

/// Which books a leg is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instance {
    /// Won.
    Krw,
    /// Foreign currencies.
    Fx,
}

impl Instance {
    /// The service's name.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Instance::Krw => "deposit-krw",
            Instance::Fx => "deposit-fx",
        }
    }
}

/// One of the two movements of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Where.
    pub instance: Instance,
    /// The customer's account.
    pub account: AccountId,
    /// Minor units.
    pub amount: i64,
}

/// Why an exchange fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Because {
    /// A stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Where an exchange stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing is known to have moved.
    Started,
    /// The withdrawal may have been made. With `closing` its key is to be closed.
    WithdrawResultCheckNeeded {
        /// Whether the key is to be closed.
        closing: bool,
    },
    /// The withdrawal was made, and no deposit is known of.
    WithdrawSucceeded {
        /// It.
        withdrawal: PostingId,
    },
    /// The deposit may have been made. With `closing` its key is to be closed.
    DepositResultCheckNeeded {
        /// The withdrawal.
        withdrawal: PostingId,
        /// Whether the key is to be closed.
        closing: bool,
    },
    /// There is no deposit and there won't be: the withdrawal is being given back.
    WithdrawCancelNeeded {
        /// The withdrawal.
        withdrawal: PostingId,
        /// Why.
        because: Because,
    },
    /// Nothing moved, or it was given back.
    ExchangeFailed {
        /// Why.
        because: Because,
    },
    /// Both legs were made.
    ExchangeSucceeded {
        /// The withdrawal.
        withdrawal: PostingId,
        /// The deposit.
        deposit: PostingId,
    },
}

impl State {
    /// Its name in answers and in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            State::Started => "STARTED",
            State::WithdrawResultCheckNeeded { .. } => "WITHDRAW_RESULT_CHECK_NEEDED",
            State::WithdrawSucceeded { .. } => "WITHDRAW_SUCCEEDED",
            State::DepositResultCheckNeeded { .. } => "DEPOSIT_RESULT_CHECK_NEEDED",
            State::WithdrawCancelNeeded { .. } => "WITHDRAW_CANCEL_NEEDED",
            State::ExchangeFailed { .. } => "EXCHANGE_FAILED",
            State::ExchangeSucceeded { .. } => "EXCHANGE_SUCCEEDED",
        }
    }
    /// Its place among the states that an exchange passes: whatever way it goes, it never comes back to one.
    #[must_use]
    pub fn place(&self) -> u8 {
        match self {
            State::Started => 0,
            State::WithdrawResultCheckNeeded { .. } => 1,
            State::WithdrawSucceeded { .. } => 2,
            State::DepositResultCheckNeeded { .. } => 3,
            State::WithdrawCancelNeeded { .. } => 4,
            State::ExchangeFailed { .. } => 5,
            State::ExchangeSucceeded { .. } => 6,
        }
    }
    /// The names of states that don't stay.
    pub const UNDECIDED: [&str; 5] = [
        "STARTED",
        "WITHDRAW_RESULT_CHECK_NEEDED",
        "WITHDRAW_SUCCEEDED",
        "DEPOSIT_RESULT_CHECK_NEEDED",
        "WITHDRAW_CANCEL_NEEDED",
    ];
    /// The names of those that do.
    pub const DECIDED: [&str; 2] = ["EXCHANGE_SUCCEEDED", "EXCHANGE_FAILED"];

    /// The withdrawal, where one is known.
    #[must_use]
    pub fn withdrawal(&self) -> Option<PostingId> {
        match self {
            State::Started | State::WithdrawResultCheckNeeded { .. } | State::ExchangeFailed { .. } => None,
            State::WithdrawSucceeded { withdrawal }
            | State::DepositResultCheckNeeded { withdrawal, .. }
            | State::WithdrawCancelNeeded { withdrawal, .. }
            | State::ExchangeSucceeded { withdrawal, .. } => Some(*withdrawal),
        }
    }
    /// Why it fails, where it does.
    #[must_use]
    pub fn because(&self) -> Option<&Because> {
        match self {
            State::WithdrawCancelNeeded { because, .. } | State::ExchangeFailed { because } => Some(because),
            State::Started
            | State::WithdrawResultCheckNeeded { .. }
            | State::WithdrawSucceeded { .. }
            | State::DepositResultCheckNeeded { .. }
            | State::ExchangeSucceeded { .. } => None,
        }
    }
    /// Whether it stays so.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        matches!(self, State::ExchangeFailed { .. } | State::ExchangeSucceeded { .. })
    }
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the withdrawal.
    Withdraw,
    /// Ask what came of it.
    CheckWithdraw,
    /// Close its key.
    CloseWithdraw,
    /// Make the deposit.
    Deposit,
    /// Ask what came of it.
    CheckDeposit,
    /// Close its key.
    CloseDeposit,
    /// Ask whether the withdrawal was given back.
    CheckCancel,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was posted.
    Done(PostingId),
    /// It was refused, and that is kept.
    Refused(Because),
    /// There is no such command.
    NotFound,
    /// Nobody knows.
    Unknown(String),
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    On,
    /// At once, and kept with what comes next.
    Through,
    /// Not before so many milliseconds.
    After(u64),
    /// Later, ever more rarely.
    Again,
    /// It is decided.
    End,
    /// A person has to look.
    Person,
}

/// What the plan needs to know of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// From the customer.
    pub withdraw: Leg,
    /// To the customer.
    pub deposit: Leg,
    /// Until when it is carried forward, microseconds since 1970.
    pub until: i64,
    /// Where it stands.
    pub state: State,
}

impl Exchange {
    /// Its next step; none when it is decided.
    #[must_use]
    pub fn next(&self, now: i64) -> Option<Step> {
        let late = now >= self.until;
        match &self.state {
            State::Started => Some(if late { Step::CheckWithdraw } else { Step::Withdraw }),
            State::WithdrawResultCheckNeeded { closing } => {
                Some(if *closing { Step::CloseWithdraw } else { Step::CheckWithdraw })
            }
            State::WithdrawSucceeded { .. } => Some(if late { Step::CheckDeposit } else { Step::Deposit }),
            State::DepositResultCheckNeeded { closing, .. } => {
                Some(if *closing { Step::CloseDeposit } else { Step::CheckDeposit })
            }
            State::WithdrawCancelNeeded { .. } => Some(Step::CheckCancel),
            State::ExchangeFailed { .. } | State::ExchangeSucceeded { .. } => None,
        }
    }

    /// Where the outcome of a step leads.
    #[must_use]
    pub fn heard(&self, step: Step, heard: Heard, now: i64) -> (State, Pace) {
        match step {
            Step::Withdraw | Step::CheckWithdraw => withdrawn(step, heard, now >= self.until),
            Step::CloseWithdraw => match closed(heard) {
                Closed::Never(because) => (State::ExchangeFailed { because }, Pace::End),
                Closed::Used => (State::WithdrawResultCheckNeeded { closing: false }, Pace::On),
                Closed::Unknown => (State::WithdrawResultCheckNeeded { closing: true }, Pace::Again),
            },
            Step::Deposit | Step::CheckDeposit | Step::CloseDeposit | Step::CheckCancel => {
                let Some(withdrawal) = self.state.withdrawal() else {
                    return (self.state.clone(), Pace::Person); // no such step without a withdrawal
                };
                match step {
                    Step::CloseDeposit => match closed(heard) {
                        Closed::Never(because) => cancel(withdrawal, because),
                        Closed::Used => (State::DepositResultCheckNeeded { withdrawal, closing: false }, Pace::On),
                        Closed::Unknown => (State::DepositResultCheckNeeded { withdrawal, closing: true }, Pace::Again),
                    },
                    Step::CheckCancel => self.given_back(heard),
                    _ => deposited(step, heard, withdrawal),
                }
            }
        }
    }

    fn given_back(&self, heard: Heard) -> (State, Pace) {
        let because = self.state.because().cloned().unwrap_or_else(not_in_time);
        match heard {
            Heard::Done(_) => (State::ExchangeFailed { because }, Pace::End),
            Heard::Refused(refusal) if refusal.code == "ALREADY_REVERSED" => {
                (State::ExchangeFailed { because }, Pace::End)
            }
            Heard::Refused(_) => (self.state.clone(), Pace::Person),
            Heard::NotFound | Heard::Unknown(_) => (self.state.clone(), Pace::Again),
        }
    }
}

fn withdrawn(step: Step, heard: Heard, late: bool) -> (State, Pace) {
    let check = |closing| State::WithdrawResultCheckNeeded { closing };
    match heard {
        Heard::Done(withdrawal) if late && planted("deposit-not-closed") => cancel(withdrawal, not_in_time()),
        Heard::Done(withdrawal) => {
            (State::WithdrawSucceeded { withdrawal }, if late { Pace::On } else { Pace::Through })
        }
        Heard::Refused(because) => (State::ExchangeFailed { because }, Pace::End),
        Heard::NotFound if planted("key-not-closed") => (State::ExchangeFailed { because: not_in_time() }, Pace::End),
        Heard::NotFound => (check(true), Pace::On),
        Heard::Unknown(_) if planted("unknown-as-refused") => {
            (State::ExchangeFailed { because: not_in_time() }, Pace::End)
        }
        Heard::Unknown(_) if step == Step::Withdraw => (check(false), Pace::On),
        Heard::Unknown(_) => (check(false), Pace::Again),
    }
}

fn deposited(step: Step, heard: Heard, withdrawal: PostingId) -> (State, Pace) {
    let check = |closing| State::DepositResultCheckNeeded { withdrawal, closing };
    match heard {
        Heard::Done(deposit) => (State::ExchangeSucceeded { withdrawal, deposit }, Pace::End),
        Heard::Refused(because) => cancel(withdrawal, because),
        Heard::Unknown(_) if planted("unknown-as-done") => {
            (State::ExchangeSucceeded { withdrawal, deposit: withdrawal }, Pace::End)
        }
        Heard::NotFound => (check(true), Pace::On),
        Heard::Unknown(_) if step == Step::Deposit => (check(false), Pace::On),
        Heard::Unknown(_) => (check(false), Pace::Again),
    }
}

fn cancel(withdrawal: PostingId, because: Because) -> (State, Pace) {
    (State::WithdrawCancelNeeded { withdrawal, because }, Pace::After(CANCEL_MS))
}

/// Why an exchange fails that nobody refused.
#[must_use]
pub fn not_in_time() -> Because {
    Because { code: "UNAVAILABLE".into(), detail: "it was not decided in time, and nothing was exchanged".into() }
}

/// What closing a key came to.
enum Closed {
    /// Nothing was or will be done under it.
    Never(Because),
    /// It was used.
    Used,
    Unknown,
}

fn closed(heard: Heard) -> Closed {
    match heard {
        Heard::Refused(because) if because.code == "KEY_REUSED" => Closed::Used,
        // Whatever it was refused for is kept under the key, and takes its place.
        Heard::Refused(_) => Closed::Never(not_in_time()),
        Heard::Done(_) | Heard::NotFound | Heard::Unknown(_) => Closed::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(n: u128) -> PostingId {
        PostingId::from_parts(1, n)
    }

    fn exchange(state: State) -> Exchange {
        let leg = |instance, n| Leg { instance, account: AccountId::from_parts(1, n), amount: 5 };
        Exchange { withdraw: leg(Instance::Krw, 1), deposit: leg(Instance::Fx, 2), until: 100, state }
    }

    fn refused(code: &str) -> Heard {
        Heard::Refused(Because { code: code.into(), detail: String::new() })
    }

    /// Runs a plan through what it hears, all in time or all late; the states and the steps.
    fn run(now: i64, heard: Vec<Heard>) -> String {
        let (mut exchange, mut told) = (exchange(State::Started), Vec::new());
        for heard in heard {
            let Some(step) = exchange.next(now) else {
                told.push("it is decided".to_owned());
                break;
            };
            let (state, pace) = exchange.heard(step, heard, now);
            assert!(state.place() > exchange.state.place() || state.name() == exchange.state.name());
            told.push(format!("{step:?} {} {pace:?}", state.name()));
            exchange.state = state;
        }
        told.join(", ")
    }

    #[test]
    fn the_plan_goes_where_its_table_says() {
        use Heard::{Done, NotFound};
        let unknown = || Heard::Unknown(String::new());
        let (w, d) = (|| Done(posting(1)), || Done(posting(2)));
        for (now, heard, expected) in [
            (0, vec![w(), d()], "Withdraw WITHDRAW_SUCCEEDED Through, Deposit EXCHANGE_SUCCEEDED End"),
            (0, vec![refused("ATTACHED"), d()], "Withdraw EXCHANGE_FAILED End, it is decided"),
            (
                0,
                vec![unknown(), unknown(), w(), d()],
                "Withdraw WITHDRAW_RESULT_CHECK_NEEDED On, CheckWithdraw WITHDRAW_RESULT_CHECK_NEEDED Again, \
                 CheckWithdraw WITHDRAW_SUCCEEDED Through, Deposit EXCHANGE_SUCCEEDED End",
            ),
            (
                0,
                vec![unknown(), NotFound, refused("POSTING_NOT_FOUND")],
                "Withdraw WITHDRAW_RESULT_CHECK_NEEDED On, CheckWithdraw WITHDRAW_RESULT_CHECK_NEEDED On, \
                 CloseWithdraw EXCHANGE_FAILED End",
            ),
            (
                0,
                vec![w(), refused("ACCOUNT_CLOSED"), NotFound, d()],
                "Withdraw WITHDRAW_SUCCEEDED Through, Deposit WITHDRAW_CANCEL_NEEDED After(1000), \
                 CheckCancel WITHDRAW_CANCEL_NEEDED Again, CheckCancel EXCHANGE_FAILED End",
            ),
            (
                0,
                vec![w(), unknown(), NotFound, refused("KEY_REUSED"), d()],
                "Withdraw WITHDRAW_SUCCEEDED Through, Deposit DEPOSIT_RESULT_CHECK_NEEDED On, \
                 CheckDeposit DEPOSIT_RESULT_CHECK_NEEDED On, CloseDeposit DEPOSIT_RESULT_CHECK_NEEDED On, \
                 CheckDeposit EXCHANGE_SUCCEEDED End",
            ),
            // Late, nothing is begun or carried on.
            (
                100,
                vec![w(), NotFound, refused("POSTING_NOT_FOUND"), refused("ACCOUNT_CLOSED")],
                "CheckWithdraw WITHDRAW_SUCCEEDED On, CheckDeposit DEPOSIT_RESULT_CHECK_NEEDED On, \
                 CloseDeposit WITHDRAW_CANCEL_NEEDED After(1000), CheckCancel WITHDRAW_CANCEL_NEEDED Person",
            ),
            (100, vec![w(), d()], "CheckWithdraw WITHDRAW_SUCCEEDED On, CheckDeposit EXCHANGE_SUCCEEDED End"),
            (
                100,
                vec![NotFound, unknown(), refused("POSTING_NOT_FOUND")],
                "CheckWithdraw WITHDRAW_RESULT_CHECK_NEEDED On, CloseWithdraw WITHDRAW_RESULT_CHECK_NEEDED Again, \
                 CloseWithdraw EXCHANGE_FAILED End",
            ),
        ] {
            assert_eq!(run(now, heard), expected);
        }
    }

    #[test]
    fn a_withdrawal_without_a_deposit_is_given_back_when_it_is_late() {
        let stalled = exchange(State::WithdrawSucceeded { withdrawal: posting(1) });
        assert_eq!(stalled.next(99), Some(Step::Deposit));
        assert_eq!(stalled.next(100), Some(Step::CheckDeposit));
        let (state, pace) = stalled.heard(Step::CheckDeposit, Heard::NotFound, 100);
        assert_eq!((state.name(), pace), ("DEPOSIT_RESULT_CHECK_NEEDED", Pace::On));
        let closing = exchange(state);
        assert_eq!(closing.next(100), Some(Step::CloseDeposit));
        let (state, _) = closing.heard(Step::CloseDeposit, refused("POSTING_NOT_FOUND"), 100);
        assert_eq!(state.name(), "WITHDRAW_CANCEL_NEEDED");
    }
}
