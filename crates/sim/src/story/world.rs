//! The world of a story: its bank, its people by name, and what they did.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jangbu_contracts::exchange::Quote;
use jangbu_kernel::id::{AccountId, ApprovalId, CustomerId, HoldId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, ManualClock};

use crate::auditor::Auditor;
use crate::client::{Client, FX, KRW, Keys};
use crate::model::rules::What;
use crate::teller::Teller;

/// The general ledger's accounts that exchanges move.
const EXCHANGING: [&str; 5] = ["exchange", "fx_counter_value", "fx_position", "fx_trading", "fx_revaluation"];

/// Where the bank of a story runs.
pub trait Place: Send {
    /// A way to the bank for a caller.
    ///
    /// # Errors
    /// There is none.
    fn client(&self, role: Role, subject: &str) -> Result<Client, String>;

    /// Kills the bank and opens it again with the clock at `now`.
    ///
    /// # Errors
    /// It doesn't open.
    fn restart(&mut self, now: Timestamp) -> Result<(), String>;
}

/// An account of a story.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its id.
    pub id: AccountId,
    /// Its instance.
    pub instance: &'static str,
    /// Its currency.
    pub currency: Currency,
    /// The name of its owner.
    pub owner: String,
}

/// A request that can be sent again.
#[derive(Clone)]
pub struct Sent {
    /// Who.
    pub teller: Teller,
    /// Where.
    pub instance: &'static str,
    /// Under which key.
    pub key: String,
    /// What.
    pub what: What,
    /// In which currency its amounts are shown.
    pub currency: Currency,
    /// Through the channel, and not to the core.
    pub through_channel: bool,
}

/// The world of a story.
pub struct World {
    place: Box<dyn Place>,
    /// Its clock, as the story moved it.
    pub clock: Arc<ManualClock>,
    /// Who hears of everything.
    pub auditor: Arc<Auditor>,
    /// Keys of requests whose story names none.
    pub keys: Keys,
    /// Customers by name.
    pub people: HashMap<String, CustomerId>,
    /// Accounts by name.
    pub accounts: HashMap<String, Named>,
    /// Holds by name, with instance and currency.
    pub holds: HashMap<String, (HoldId, &'static str, Currency)>,
    /// Postings by name, with instance and currency.
    pub postings: HashMap<String, (PostingId, &'static str, Currency)>,
    /// Quotes by name, with whose they are.
    pub quotes: HashMap<String, (Quote, String)>,
    /// What waits for a second person since last.
    pub approval: Option<ApprovalId>,
    /// Whether anything was exchanged.
    pub exchanged: bool,
    /// The last request.
    pub last: Option<Sent>,
    tellers: HashMap<(Role, String), Teller>,
}

impl World {
    /// A world whose clock stands at `now`. The bank's products become known.
    ///
    /// # Errors
    /// The bank doesn't answer.
    pub async fn new(place: Box<dyn Place>, now: Timestamp) -> Result<World, String> {
        let clock = Arc::new(ManualClock::new(now));
        let auditor = Arc::new(Auditor::new(Arc::clone(&clock) as _));
        let mut world = World {
            place,
            clock,
            auditor,
            keys: Keys::since(now),
            people: HashMap::new(),
            accounts: HashMap::new(),
            holds: HashMap::new(),
            postings: HashMap::new(),
            quotes: HashMap::new(),
            approval: None,
            exchanged: false,
            last: None,
            tellers: HashMap::new(),
        };
        let service = world.teller(Role::Service, "service")?;
        for instance in [KRW, FX] {
            for product in service.client.deposit(instance).products().await.reply()?.items {
                for terms in product["versions"].as_array().into_iter().flatten() {
                    world.auditor.product(instance, terms)?;
                }
            }
        }
        Ok(world)
    }

    /// A caller by role and subject.
    ///
    /// # Errors
    /// The credential can't be had.
    pub fn teller(&mut self, role: Role, subject: &str) -> Result<Teller, String> {
        let who = (role, subject.to_owned());
        if let Some(teller) = self.tellers.get(&who) {
            return Ok(teller.clone());
        }
        let client = self.place.client(role, subject)?;
        let teller = Teller { client, name: format!("{role}:{subject}"), auditor: Some(Arc::clone(&self.auditor)) };
        self.tellers.insert(who, teller.clone());
        Ok(teller)
    }

    /// A caller by the name that stories give: a customer's, `service` or `operator`.
    ///
    /// # Errors
    /// Nobody has that name.
    pub fn caller(&mut self, name: &str) -> Result<Teller, String> {
        match name {
            "service" => self.teller(Role::Service, "service"),
            "operator" => self.teller(Role::Operator, "operator"),
            customer => {
                let id = self.people.get(customer).ok_or_else(|| format!("nobody is called {customer}"))?;
                self.teller(Role::Customer, &id.to_string())
            }
        }
    }

    /// An account by name.
    ///
    /// # Errors
    /// None has that name.
    pub fn account(&self, name: &str) -> Result<Named, String> {
        self.accounts.get(name).cloned().ok_or_else(|| format!("there is no account {name}"))
    }

    /// Moves the clock; everything that was told has arrived when it returns, also when it doesn't move.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn move_to(&mut self, to: Timestamp) -> Result<(), String> {
        let now = self.caller("operator")?.client.move_clock(to).await.reply()?;
        self.clock.advance_to(now);
        if now == to { Ok(()) } else { Err(format!("the clock stands at {now}")) }
    }

    /// Waits until everything that was told has arrived.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn settle(&mut self) -> Result<(), String> {
        self.move_to(self.clock.now()).await
    }

    /// Kills the bank and opens it again.
    ///
    /// # Errors
    /// It doesn't open, or its books are wrong.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.place.restart(self.clock.now())?;
        self.tellers.clear();
        if let Some(sent) = &mut self.last {
            // Its way led to the bank that is gone.
            let name = sent.teller.name.clone();
            let (role, subject) = name.split_once(':').ok_or("a caller without a role")?;
            let role = role.parse::<Role>().map_err(|e| e.to_string())?;
            sent.teller.client = self.place.client(role, subject)?;
        }
        self.books().await
    }

    /// What the auditor finds wrong so far.
    ///
    /// # Errors
    /// All that is.
    pub fn judge(&self) -> Result<(), String> {
        self.auditor.judge().map_err(|found| found.join("\n"))
    }

    /// Compares the books.
    ///
    /// # Errors
    /// All that differs.
    pub async fn books(&mut self) -> Result<(), String> {
        self.judge()?;
        let service = self.caller("service")?;
        self.settle().await?;
        let told = |found: Vec<String>| format!("the books differ:\n{}", found.join("\n"));
        self.auditor.compare(&service.client).await.map_err(told)?;
        let ledger = self.auditor.general_ledger(&service.client).await;
        if !self.exchanged {
            return ledger.map_err(told);
        }
        // What was exchanged has left clearing for positions and profit: these are looked at together.
        let mut found = ledger.err().unwrap_or_default();
        found.retain(|text| EXCHANGING.iter().all(|name| !text.starts_with(&format!("{name} in "))));
        found.extend(self.exchanged_sums(&service.client).await?);
        if found.is_empty() { Ok(()) } else { Err(told(found)) }
    }

    /// What the ledger's accounts of exchanges hold together against the bank's own account that they are made from.
    async fn exchanged_sums(&mut self, client: &Client) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let currencies: BTreeSet<Currency> = self.accounts.values().map(|account| account.currency).collect();
        for currency in currencies {
            let ledger = client.trial_balance(currency).await.reply()?;
            let of_exchanges = ledger.accounts.iter().filter(|row| EXCHANGING.contains(&row.account.as_str()));
            let there: i128 = of_exchanges.map(|row| row.credits - row.debits).sum();
            let here = self.auditor.look(|m| m.bank.get(&(currency, "exchange".to_owned())).copied().unwrap_or(0));
            if there != here {
                found.push(format!("exchanges in {currency} stand at {there}, should be at {here}"));
            }
        }
        Ok(found)
    }
}
