//! A hand: does one thing after the other for the people it acts for.

mod changing;
mod minding;

use std::sync::Arc;
use std::time::Duration;

use jangbu_contracts::deposit::{Command, InterestPayment, Posting};
use jangbu_kernel::id::{AccountId, HoldId, PostingId, QuoteId};
use jangbu_kernel::money::Amount;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;

use super::town::{Pocket, Town};
use crate::client::{Answer, FX, KRW, Said};
use crate::model::rules::What;
use crate::teller::Teller;

/// How often what is done, as weights; and how the answer is waited for, in parts of a thousand.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Pays another, or a shop.
    pub pay: u64,
    /// Salary comes.
    pub salary: u64,
    /// Cash is drawn.
    pub cash: u64,
    /// A card is held somewhere.
    pub hold: u64,
    /// A hold is captured or released.
    pub settle: u64,
    /// A posting is undone.
    pub reverse: u64,
    /// Interest is taken.
    pub claim: u64,
    /// The bank posts many at once.
    pub batch: u64,
    /// More is paid than there is.
    pub overdraw: u64,
    /// Something is done with an account in a foreign currency.
    pub abroad: u64,
    /// Two ask for the same interest under keys of their own.
    pub race: u64,
    /// A customer looks at his screen.
    pub look: u64,
    /// Money is exchanged for money of another kind.
    pub exchange: u64,
    /// A payment is undone, and what that gives back to the limits is spent at once.
    pub regret: u64,
    /// Looked at while the answer to a payment is waited for.
    pub glance_per_mille: u64,
    /// Tapped twice: the same request twice at once.
    pub double_tap_per_mille: u64,
    /// Sent again after the answer, under the same key.
    pub again_per_mille: u64,
    /// Another request under the same key after the answer.
    pub altered_per_mille: u64,
    /// Given up before the answer comes.
    pub give_up_per_mille: u64,
    /// Largest payment, won.
    pub amount_max: u64,
}

impl Habits {
    /// Habits that try everything, with weights that follow from the dice.
    #[must_use]
    pub fn wild(dice: &Dice) -> Habits {
        let about = |n: u64| n / 2 + dice.below(n + 1);
        Habits {
            pay: about(40),
            salary: about(8),
            cash: about(6),
            hold: about(12),
            settle: about(14),
            reverse: about(5),
            claim: about(6),
            batch: about(3),
            overdraw: about(4),
            abroad: about(8),
            race: about(2),
            look: about(3),
            exchange: about(12),
            regret: about(3),
            glance_per_mille: about(60),
            double_tap_per_mille: about(40),
            again_per_mille: about(40),
            altered_per_mille: about(20),
            give_up_per_mille: about(20),
            amount_max: about(20_000) + 1,
        }
    }

    /// The same, but some things are never done and others all the time, so that lives differ in kind.
    #[must_use]
    pub fn swarm(dice: &Dice) -> Habits {
        let mut habits = Habits::wild(dice);
        let Habits {
            salary,
            cash,
            hold,
            settle,
            reverse,
            claim,
            batch,
            overdraw,
            abroad,
            race,
            look,
            exchange,
            regret,
            ..
        } = &mut habits;
        let first = [salary, cash, hold, settle, reverse, claim, batch];
        for weight in first.into_iter().chain([overdraw, abroad, race, look, exchange, regret]) {
            match dice.below(8) {
                0 => *weight = 0,
                1 => *weight *= 6,
                _ => {}
            }
        }
        let Habits {
            glance_per_mille,
            double_tap_per_mille,
            again_per_mille,
            altered_per_mille,
            give_up_per_mille,
            ..
        } = &mut habits;
        let others = [double_tap_per_mille, again_per_mille, altered_per_mille, give_up_per_mille];
        for per_mille in others.into_iter().chain([glance_per_mille]) {
            match dice.below(6) {
                0 => *per_mille = 0,
                1 => *per_mille *= 4,
                _ => {}
            }
        }
        habits
    }

    /// Habits of a quiet day.
    #[must_use]
    pub fn gentle() -> Habits {
        Habits {
            pay: 70,
            salary: 0,
            cash: 6,
            hold: 10,
            settle: 11,
            reverse: 1,
            claim: 0,
            batch: 0,
            overdraw: 2,
            abroad: 0,
            race: 0,
            look: 0,
            exchange: 0,
            regret: 0,
            glance_per_mille: 0,
            double_tap_per_mille: 5,
            again_per_mille: 3,
            altered_per_mille: 1,
            give_up_per_mille: 2,
            amount_max: 30_000,
        }
    }
}

/// What is remembered for later.
const REMEMBERED_MAX: usize = 64;
/// Commands of one batch at most.
const BATCH_MAX: u64 = 40;
/// How far ahead a hold may lapse, in minutes.
const HOLD_MINUTES_MAX: u64 = 3_000;

/// A hand.
pub struct Hand {
    town: Arc<Town>,
    dice: Dice,
    habits: Habits,
    /// Whether holds may lapse: only where somebody knows to the microsecond when.
    lapsing_from: Option<Timestamp>,
    holds: Vec<HoldId>,
    postings: Vec<PostingId>,
    /// Quotes that were given, and to whom.
    quotes: Vec<(Pocket, QuoteId)>,
}

impl Hand {
    /// A hand for the people of a town.
    #[must_use]
    pub fn new(town: Arc<Town>, dice: Dice, habits: Habits) -> Hand {
        Hand { town, dice, habits, lapsing_from: None, holds: Vec::new(), postings: Vec::new(), quotes: Vec::new() }
    }

    /// The same where the clock stands at `now` while it acts, so that holds may lapse later.
    #[must_use]
    pub fn with_lapsing(mut self, now: Timestamp) -> Hand {
        self.lapsing_from = Some(now);
        self
    }

    fn below(&self, n: usize) -> usize {
        usize::try_from(self.dice.below(n as u64)).unwrap_or(0)
    }

    fn amount(&self) -> Amount {
        let amount = i64::try_from(1 + self.dice.below(self.habits.amount_max)).unwrap_or(1);
        Amount::new(amount).expect("a payment is an amount")
    }

    /// Somebody, or often a shop.
    fn payee(&self, but: usize) -> AccountId {
        let people = &self.town.people;
        let mut other = self.below(people.len());
        if self.dice.below(3) == 0 {
            let shops: Vec<usize> = (0..people.len()).filter(|i| people[*i].shop).collect();
            other = shops.get(self.below(shops.len().max(1))).copied().unwrap_or(other);
        }
        let other = if other == but { (but + 1) % people.len() } else { other };
        people[other].account
    }

    /// Does one thing; whether everything was answered.
    ///
    /// # Errors
    /// A credential can't be had.
    pub async fn act(&mut self) -> Result<bool, String> {
        let who = self.below(self.town.people.len());
        let account = self.town.people[who].account;
        let h = &self.habits;
        let weights = [
            h.pay, h.salary, h.cash, h.hold, h.settle, h.reverse, h.claim, h.batch, h.overdraw, h.abroad, h.race,
            h.look, h.exchange, h.regret,
        ];
        let mut at = self.dice.below(weights.iter().sum());
        let choice = weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        let service = self.town.service.clone();
        let (teller, what) = match choice.unwrap_or(0) {
            1 => (service, What::Post(self.salary(who))),
            2 => {
                let target = ["cash", "nostro", "fees"][self.below(3)].to_owned();
                (service, What::Post(Command::Debit { account, amount: self.amount(), target, memo: None }))
            }
            3 => {
                let until = self.until();
                (service, What::Post(Command::Hold { account, amount: self.amount(), until }))
            }
            4 if !self.holds.is_empty() => {
                let what = What::Post(self.settle());
                if self.now_and_then(self.habits.double_tap_per_mille) {
                    // Another tries to settle the same hold at the same time.
                    let other = self.altered(&what);
                    let keys = [self.town.keys.next(), self.town.keys.next()];
                    let (one, other) =
                        tokio::join!(service.send(KRW, &keys[0], &what), service.send(KRW, &keys[1], &other));
                    return Ok(one && other);
                }
                (service, what)
            }
            5 if !self.postings.is_empty() => {
                let posting = self.postings[self.below(self.postings.len())];
                (service, What::Post(Command::Reversal { posting, reason: "a mistake".to_owned() }))
            }
            6 => (self.town.teller(who)?, What::Claim(account)),
            7 => return Ok(self.batch(&service).await),
            9 if !self.town.abroad.is_empty() => return self.abroad(&service).await,
            10 => {
                let teller = self.town.teller(who)?;
                return Ok(race(&teller, [self.town.keys.next(), self.town.keys.next()], account).await);
            }
            11 => return Ok(self.town.teller(who)?.screen(account).await),
            12 if !self.town.abroad.is_empty() => return self.change().await,
            13 => return Ok(self.regret(&service, account).await),
            8 => {
                let amount = self.too_much(account);
                let transfer = Command::Transfer { from: account, to: self.payee(who), amount, memo: None };
                (self.town.teller(who)?, What::Post(transfer))
            }
            _ => {
                let memo = (self.dice.below(4) == 0).then(|| "thank you".to_owned());
                let transfer = Command::Transfer { from: account, to: self.payee(who), amount: self.amount(), memo };
                (self.town.teller(who)?, What::Post(transfer))
            }
        };
        Ok(self.send(KRW, &teller, &what).await)
    }

    /// Something with an account in a foreign currency.
    async fn abroad(&mut self, service: &Teller) -> Result<bool, String> {
        let pick = |hand: &Hand| hand.town.abroad[hand.below(hand.town.abroad.len())];
        let (Pocket { who, account, .. }, Pocket { account: other, .. }) = (pick(self), pick(self));
        let (amount, memo, bank) = (self.amount(), None, "exchange".to_owned());
        let owner = self.town.teller(who)?;
        let (teller, what) = match self.dice.below(6) {
            0 => (service.clone(), What::Post(Command::Credit { account, amount, source: bank, memo })),
            1 => (service.clone(), What::Post(Command::Debit { account, amount, target: bank, memo })),
            2 => (owner, What::Claim(account)),
            3 => {
                let key = self.town.keys.next();
                return Ok(matches!(owner.claim_by_channel(FX, &key, account).await.said, Said::Reply(_)));
            }
            4 => return Ok(owner.screen(account).await),
            _ if other == account => return Ok(true),
            _ => (owner, What::Post(Command::Transfer { from: account, to: other, amount, memo })),
        };
        Ok(self.send(FX, &teller, &what).await)
    }

    /// More than there is; often all that is on the books, of which a hold keeps a part.
    fn too_much(&self, account: AccountId) -> Amount {
        let auditor = self.town.service.auditor.as_ref().filter(|_| self.dice.below(2) == 0);
        let ledger = auditor.and_then(|a| a.look(|m| m.accounts.get(&account).map(crate::model::Account::ledger)));
        let all = ledger.and_then(|all| Amount::new(all).ok());
        all.unwrap_or_else(|| Amount::new(1_000_000_000_000).expect("an amount"))
    }

    fn salary(&self, who: usize) -> Command {
        let person = &self.town.people[who];
        let amount = Amount::new(person.salary).expect("a salary is an amount");
        let memo = Some("salary".to_owned());
        Command::Credit { account: person.account, amount, source: "nostro".to_owned(), memo }
    }

    fn until(&self) -> Option<Timestamp> {
        let minutes = i64::try_from(1 + self.dice.below(HOLD_MINUTES_MAX)).unwrap_or(1);
        self.lapsing_from.filter(|_| self.dice.below(2) == 0).map(|now| now.plus_micros(minutes * 60_000_000))
    }

    fn settle(&mut self) -> Command {
        let at = self.below(self.holds.len());
        // Some are settled twice.
        let hold = if self.dice.below(8) == 0 { self.holds[at] } else { self.holds.swap_remove(at) };
        match self.dice.below(4) {
            0 => Command::Release { hold },
            1 => {
                // Whoever took a part may try to take the rest.
                self.holds.push(hold);
                Command::Capture { hold, amount: Some(self.amount()), target: "nostro".to_owned() }
            }
            _ => Command::Capture { hold, amount: None, target: "nostro".to_owned() },
        }
    }

    async fn batch(&mut self, service: &Teller) -> bool {
        let count = 1 + self.dice.below(BATCH_MAX);
        let mut commands = Vec::new();
        for _ in 0..count {
            let who = self.below(self.town.people.len());
            let (from, amount) = (self.town.people[who].account, self.amount());
            let command = match self.dice.below(4) {
                0 => self.salary(who),
                1 => Command::Debit { account: from, amount, target: "cash".to_owned(), memo: None },
                _ => Command::Transfer { from, to: self.payee(who), amount, memo: None },
            };
            commands.push((self.town.keys.next(), command));
        }
        if self.now_and_then(self.habits.double_tap_per_mille) {
            let (one, other) = tokio::join!(service.batch(KRW, &commands), service.batch(KRW, &commands));
            return one.is_ok() && other.is_ok();
        }
        service.batch(KRW, &commands).await.is_ok()
    }

    fn now_and_then(&self, per_mille: u64) -> bool {
        self.dice.below(1_000) < per_mille
    }

    async fn send(&mut self, instance: &str, teller: &Teller, what: &What) -> bool {
        let key = self.town.keys.next();
        if self.now_and_then(self.habits.give_up_per_mille) {
            let hasty = teller.with_patience(Duration::from_micros(200 + self.dice.below(3_000)));
            return hasty.send(instance, &key, what).await;
        }
        if self.now_and_then(self.habits.double_tap_per_mille) {
            let (one, two) = tokio::join!(teller.send(instance, &key, what), teller.send(instance, &key, what));
            return one && two;
        }
        let (answered, decided) = self.send_once(instance, teller, &key, what).await;
        if answered && self.now_and_then(self.habits.again_per_mille) {
            return self.send_once(instance, teller, &key, what).await.0;
        }
        if decided && self.now_and_then(self.habits.altered_per_mille) {
            let other = self.altered(what);
            return teller.send(instance, &key, &other).await;
        }
        answered
    }

    /// Whether it was answered, and whether it was decided.
    async fn send_once(&mut self, instance: &str, teller: &Teller, key: &str, what: &What) -> (bool, bool) {
        match what {
            What::Claim(account) => match teller.claim(instance, key, *account).await.said {
                Said::Reply(_) => (true, true),
                Said::Problem(problem) => (true, problem.status == 422),
                Said::Unknown(_) => (false, false),
            },
            What::Post(command) => match self.post(instance, teller, key, command).await.said {
                Said::Reply(posting) => {
                    if instance == KRW {
                        self.remember(&posting);
                    }
                    (true, true)
                }
                Said::Problem(problem) => (true, problem.status == 422),
                Said::Unknown(_) => (false, false),
            },
        }
    }

    fn remember(&mut self, posting: &Posting) {
        let keep = self.below(REMEMBERED_MAX);
        if posting.kind == "hold" {
            self.holds.extend(posting.hold);
            self.holds.swap_remove_if_full(keep);
        } else {
            self.postings.push(posting.id);
            self.postings.swap_remove_if_full(keep);
        }
    }

    fn altered(&self, what: &What) -> What {
        let more = |amount: Amount| Amount::new(amount.get() + 1).expect("an amount");
        match what {
            What::Post(Command::Transfer { from, to, amount, memo }) => {
                What::Post(Command::Transfer { from: *from, to: *to, amount: more(*amount), memo: memo.clone() })
            }
            What::Post(Command::Hold { account, amount, until }) => {
                What::Post(Command::Hold { account: *account, amount: more(*amount), until: *until })
            }
            What::Post(Command::Reversal { posting, .. }) => {
                What::Post(Command::Reversal { posting: *posting, reason: "another reason".to_owned() })
            }
            What::Post(Command::Debit { account, .. } | Command::Credit { account, .. }) | What::Claim(account) => {
                let other = self.payee(usize::MAX);
                let to = if other == *account { self.town.people[0].account } else { other };
                let amount = self.amount();
                What::Post(Command::Transfer { from: *account, to, amount, memo: Some("altered".to_owned()) })
            }
            What::Post(Command::Capture { hold, .. }) => What::Post(Command::Release { hold: *hold }),
            What::Post(Command::Release { hold }) => {
                What::Post(Command::Capture { hold: *hold, amount: None, target: "fees".to_owned() })
            }
        }
    }
}

/// Two ask for the same interest at once, each under a key of his own: one of them is paid at most.
pub async fn race(teller: &Teller, keys: [String; 2], account: AccountId) -> bool {
    let [one, other] = &keys;
    let (one, other) = tokio::join!(teller.claim(KRW, one, account), teller.claim(KRW, other, account));
    let paid = |answer: &Answer<InterestPayment>| matches!(answer.said, Said::Reply(_));
    if paid(&one) != paid(&other) {
        probe::reached("claim-that-lost-to-another-at-once");
    }
    paid(&one) || paid(&other)
}

trait Bounded {
    fn swap_remove_if_full(&mut self, at: usize);
}

impl<T> Bounded for Vec<T> {
    /// Forgets one when there are more than are remembered.
    fn swap_remove_if_full(&mut self, at: usize) {
        if self.len() > REMEMBERED_MAX {
            self.swap_remove(at);
        }
    }
}
