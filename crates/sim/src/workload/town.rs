//! A town: its people, their accounts, and the way each of them has to the bank.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::ticks;
use jangbu_platform::dice::Dice;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::auditor::Auditor;
use crate::client::{Client, FX, KRW, Keys};
use crate::teller::Teller;

/// Calls under way while a town is founded.
const CALLS_UNDER_WAY_MAX: usize = 64;
/// Commands of one batch of first money.
const FIRST_MONEY_BATCH: usize = 1_000;
/// One in so many is a shop that many pay.
const SHOP_EVERY: u64 = 40;

const FAMILY: [&str; 12] = ["Kim", "Lee", "Park", "Choi", "Jung", "Kang", "Cho", "Yoon", "Jang", "Lim", "Han", "Oh"];
const GIVEN: [&str; 12] =
    ["Minjun", "Seoyeon", "Doyun", "Hayoon", "Jiho", "Soomin", "Yuna", "Hyunwoo", "Ara", "Taeho", "Nari", "Bora"];

/// One of the people of a town.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Name.
    pub name: String,
    /// Customer.
    pub customer: CustomerId,
    /// Account.
    pub account: AccountId,
    /// First day of the account.
    pub since: BusinessDate,
    /// Whether many pay this one.
    pub shop: bool,
    /// Day of the month on which the salary comes.
    pub salary_day: u32,
    /// The salary, won.
    pub salary: i64,
}

/// An account in a foreign currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pocket {
    /// The place of its owner among the people.
    pub who: usize,
    /// The account.
    pub account: AccountId,
    /// Its currency.
    pub currency: Currency,
}

/// Where credentials come from: the token of a role and subject.
pub type Tokens = Arc<dyn Fn(Role, &str) -> Result<String, String> + Send + Sync>;

/// A town.
pub struct Town {
    /// Its people.
    pub people: Vec<Person>,
    /// Accounts in foreign currencies.
    pub abroad: Vec<Pocket>,
    /// Keys of all their requests.
    pub keys: Arc<Keys>,
    /// The bank's own program.
    pub service: Teller,
    ways: Ways,
    /// Callers made lately, with when that was.
    tellers: Mutex<HashMap<usize, (Teller, Instant)>>,
}

/// How long a caller is used before a fresh credential is asked for.
const CREDENTIAL_USED: Duration = Duration::from_secs(6 * 3_600);

/// How a town is reached and watched.
#[derive(Clone)]
pub struct Ways {
    /// A way to the bank, whose credential doesn't matter.
    pub client: Client,
    /// Credentials.
    pub tokens: Tokens,
    /// Who hears of every request.
    pub auditor: Option<Arc<Auditor>>,
}

impl Ways {
    /// A caller.
    ///
    /// # Errors
    /// The credential can't be had.
    pub fn teller(&self, role: Role, subject: &str) -> Result<Teller, String> {
        let client = self.client.with_token(&(self.tokens)(role, subject)?)?;
        Ok(Teller { client, name: format!("{role}:{subject}"), auditor: self.auditor.clone() })
    }
}

impl Town {
    /// A town whose people are customers already.
    ///
    /// # Errors
    /// The service's credential can't be had.
    pub fn of(people: Vec<Person>, ways: &Ways, keys: Arc<Keys>) -> Result<Town, String> {
        let service = ways.teller(Role::Service, "town")?;
        Ok(Town { people, abroad: Vec::new(), keys, service, ways: ways.clone(), tellers: Mutex::default() })
    }

    /// The caller who is one of the people.
    ///
    /// # Errors
    /// The credential can't be had.
    pub fn teller(&self, of: usize) -> Result<Teller, String> {
        let mut tellers = self.tellers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((teller, _)) = tellers.get(&of).filter(|(_, made)| made.elapsed() < CREDENTIAL_USED) {
            return Ok(teller.clone());
        }
        let teller = self.ways.teller(Role::Customer, &self.people[of].customer.to_string())?;
        tellers.insert(of, (teller.clone(), ticks()));
        Ok(teller)
    }

    /// A caller by name: role, colon, subject.
    ///
    /// # Errors
    /// It is no such name, or the credential can't be had.
    pub fn named(&self, name: &str) -> Result<Teller, String> {
        let (role, subject) = name.split_once(':').ok_or_else(|| format!("{name} is no caller"))?;
        self.ways.teller(role.parse().map_err(|e| format!("{e}"))?, subject)
    }

    /// Registers `count` more people, opens their accounts (of each product in turn) and gives them their first money;
    /// `told` hears how many are there.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn grow(
        &mut self,
        count: usize,
        products: &[&str],
        dice: &Dice,
        told: impl Fn(usize),
    ) -> Result<(), String> {
        let mut under_way = JoinSet::new();
        let (mut fresh, mut begun) = (Vec::with_capacity(count), 0);
        while fresh.len() < count {
            while begun < count && under_way.len() < CALLS_UNDER_WAY_MAX {
                let plan = Plan::throw(dice, self.people.len() + begun, products);
                let (client, keys, auditor) =
                    (self.service.client.clone(), [self.keys.next(), self.keys.next()], self.ways.auditor.clone());
                under_way.spawn(async move { plan.move_in(&client, &keys, auditor.as_deref()).await });
                begun += 1;
            }
            let Some(arrived) = under_way.join_next().await else { break };
            fresh.push(arrived.map_err(|e| e.to_string())??);
            told(fresh.len());
        }
        fresh.sort_by_key(|person| person.account);
        for some in fresh.chunks(FIRST_MONEY_BATCH) {
            let credit = |person: &Person| {
                let amount = Amount::new(person.salary).expect("a salary is an amount");
                let memo = Some("first money".to_owned());
                let source = "nostro".to_owned();
                (self.keys.next(), Command::Credit { account: person.account, amount, source, memo })
            };
            let commands: Vec<_> = some.iter().map(credit).collect();
            let outcomes = self.service.batch(KRW, &commands).await?;
            if let Some(refused) = outcomes.iter().find(|o| o.status != 201) {
                return Err(format!("first money was refused: {:?}", refused.code));
            }
        }
        self.people.extend(fresh);
        Ok(())
    }

    /// Opens an account of a foreign product, of each in turn, for one of `every` people, with some money on it.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn go_abroad(&mut self, every: usize, products: &[&str]) -> Result<(), String> {
        let mut first = Vec::new();
        for (n, who) in (0..self.people.len()).step_by(every.max(1)).enumerate() {
            let product = products.get(n % products.len().max(1)).copied().unwrap_or_default();
            let pocket = self.pocket(who, product, &self.keys.next()).await?;
            self.abroad.push(pocket);
            let amount = Amount::new(self.people[who].salary).expect("a salary is an amount");
            let (source, memo) = ("exchange".to_owned(), None);
            first.push((self.keys.next(), Command::Credit { account: pocket.account, amount, source, memo }));
        }
        for some in first.chunks(FIRST_MONEY_BATCH) {
            self.service.batch(FX, some).await?;
        }
        Ok(())
    }

    /// One try to open an account of a foreign product for one of the people.
    ///
    /// # Errors
    /// It is not known whether it was opened.
    pub async fn pocket(&self, who: usize, product: &str, key: &str) -> Result<Pocket, String> {
        let opening = OpenAccount { customer: self.people[who].customer, product: product.to_owned(), currency: None };
        let account = self.service.client.deposit(FX).open(key, &opening).await.reply()?;
        if let Some(auditor) = &self.ways.auditor {
            auditor.opened(FX, &account);
        }
        Ok(Pocket { who, account: account.id, currency: account.currency })
    }

    /// Somebody who may move in: what the dice say of him as the one after `before` others.
    #[must_use]
    pub fn newcomer(&self, dice: &Dice, before: usize, product: &str) -> Newcomer {
        let plan = Plan::throw(dice, before, &[product]);
        let keys = [self.keys.next(), self.keys.next()];
        Newcomer { plan, keys, client: self.service.client.clone(), auditor: self.ways.auditor.clone() }
    }
}

/// Somebody who asks to be registered and to have an account, under the same keys until he is heard.
pub struct Newcomer {
    plan: Plan,
    keys: [String; 2],
    client: Client,
    auditor: Option<Arc<Auditor>>,
}

impl Newcomer {
    /// One try to move in.
    ///
    /// # Errors
    /// It is not known whether he did.
    pub async fn knock(&self) -> Result<Person, String> {
        self.plan.move_in(&self.client, &self.keys, self.auditor.as_deref()).await
    }
}

/// Somebody who is about to come.
struct Plan {
    register: Register,
    product: String,
    shop: bool,
    salary_day: u32,
    salary: i64,
}

impl Plan {
    fn throw(dice: &Dice, number: usize, products: &[&str]) -> Plan {
        let pick = |names: &[&'static str]| names[usize::try_from(dice.below(names.len() as u64)).unwrap_or(0)];
        let name = format!("{} {} {}", pick(&FAMILY), pick(&GIVEN), number + 1);
        let born = i32::try_from(dice.below(15_000)).unwrap_or(0);
        Plan {
            register: Register { name, birth_date: BusinessDate::from_days(born - 3_650), kind: Kind::Person },
            product: products.get(number % products.len().max(1)).unwrap_or(&"toss-demand").to_string(),
            shop: (number as u64).is_multiple_of(SHOP_EVERY),
            salary_day: u32::try_from(1 + dice.below(28)).unwrap_or(1),
            salary: i64::try_from(1_500 + dice.below(4_000)).unwrap_or(2_000) * 1_000,
        }
    }

    async fn move_in(&self, client: &Client, keys: &[String; 2], auditor: Option<&Auditor>) -> Result<Person, String> {
        let customer = client.register(&keys[0], &self.register).await.reply()?;
        let opening = OpenAccount { customer: customer.id, product: self.product.clone(), currency: None };
        let account = client.deposit(KRW).open(&keys[1], &opening).await.reply()?;
        if let Some(auditor) = auditor {
            auditor.registered(&customer);
            auditor.opened(KRW, &account);
        }
        Ok(Person {
            name: customer.name,
            customer: customer.id,
            account: account.id,
            since: account.opened_on,
            shop: self.shop,
            salary_day: self.salary_day,
            salary: self.salary,
        })
    }
}
