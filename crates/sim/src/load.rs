//! A closed loop of callers over HTTP that costs little: it shares the machine with the bank that it measures.
//!
//! Each caller is one kept connection with one request under way: written by hand into one buffer, answered into
//! another, of which only status and length are looked at. So a request costs the generator two system calls and no
//! allocation.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Batch, Command, KeyedCommand, OpenAccount};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::money::Amount;
use jangbu_platform::clock::ticks;
use jangbu_platform::dice::Dice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Client, Keys};
use crate::histogram::Histogram;

/// How long callers run before anything is counted, in milliseconds: connections, caches and tables get warm.
const WARM_UP_MS: u64 = 300;
/// Accounts opened at a time while preparing.
const OPENINGS_UNDER_WAY_MAX: usize = 64;
/// Commands of one batch while preparing.
const FIRST_MONEY_BATCH: usize = 4_096;
/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 * 1_024;
/// What every account begins with, minor units: more than it can ever pay here.
const FIRST_MONEY: i64 = 1_000_000_000_000;

/// What is to be run.
#[derive(Clone)]
pub struct LoadPlan {
    /// Where the bank listens.
    pub address: SocketAddr,
    /// A service's credential.
    pub token: String,
    /// The deposit instance, like `deposit-krw`.
    pub instance: String,
    /// Accounts that pay each other, at least two.
    pub accounts: Vec<AccountId>,
    /// Connections, each with one request under way.
    pub callers: usize,
    /// Commands per request; one means single commands.
    pub batch: usize,
    /// Whether every command touches the first account.
    pub hot: bool,
    /// How long it is measured.
    pub run_for: Duration,
    /// Where chance begins.
    pub seed: u64,
    /// Where keys come from; greater than all that the bank has seen.
    pub keys: Arc<Keys>,
}

/// What was measured. Latencies are those of requests, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// How long it was measured.
    pub elapsed: Duration,
    /// Commands that were posted.
    pub committed: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Commands that were posted, also before anything was measured.
    pub posted_in_all: u64,
    /// Commands posted per second.
    pub per_second: u64,
    /// Requests answered.
    pub requests: u64,
    /// Mean latency.
    pub mean_us: u64,
    /// Half of the requests were quicker.
    pub p50_us: u64,
    /// All but one in a hundred were quicker.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

#[derive(Default)]
struct Counted {
    posted_in_all: u64,
    committed: u64,
    refused: u64,
    latency: Histogram,
}

/// Opens accounts for a load and gives each its first money.
///
/// # Errors
/// What the bank said instead, for people.
pub async fn prepare(client: &Client, instance: &str, accounts: usize, keys: &Keys) -> Result<Vec<AccountId>, String> {
    let born = BusinessDate::from_days(7_305);
    let who = Register { name: "Load".to_owned(), birth_date: born, kind: Kind::Person };
    let owner = client.register(&keys.next(), &who).await.reply()?.id;
    let opening = OpenAccount { customer: owner, product: "toss-demand".to_owned(), currency: None };
    let mut ids = vec![first_account(client, instance, &opening, keys).await?];
    let mut under_way = JoinSet::new();
    let mut left = accounts.saturating_sub(1);
    while left > 0 || !under_way.is_empty() {
        if left > 0 && under_way.len() < OPENINGS_UNDER_WAY_MAX {
            left -= 1;
            let (client, instance, opening, key) = (client.clone(), instance.to_owned(), opening.clone(), keys.next());
            under_way.spawn(async move { client.deposit(&instance).open(&key, &opening).await.reply() });
        } else if let Some(opened) = under_way.join_next().await {
            ids.push(opened.map_err(|e| e.to_string())??.id);
        }
    }
    let amount = Amount::new(FIRST_MONEY).map_err(|e| e.to_string())?;
    for some in ids.chunks(FIRST_MONEY_BATCH) {
        let credit = |account: &AccountId| {
            let command = Command::Credit { account: *account, amount, source: "cash".to_owned(), memo: None };
            let command = serde_json::to_value(command).expect("wire types are written as JSON");
            KeyedCommand { key: keys.next(), command }
        };
        let done = client.deposit(instance).batch(&Batch { commands: some.iter().map(credit).collect() }).await;
        if let Some(bad) = done.reply()?.outcomes.iter().find(|o| o.status != 201) {
            return Err(format!("first money was refused: {:?}", bad.code));
        }
    }
    Ok(ids)
}

/// Proves the books after a load by what the bank shows: no money was made or lost, and there are as many entries as
/// commands were said to be posted. What is wrong, when something is.
///
/// # Errors
/// The bank doesn't show it.
pub async fn prove(
    client: &Client,
    instance: &str,
    accounts: &[AccountId],
    posted: u64,
) -> Result<Option<String>, String> {
    let (mut balances, mut entries) = (0i128, 0u64);
    let mut coming = accounts.iter().copied();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < OPENINGS_UNDER_WAY_MAX
            && let Some(id) = coming.next()
        {
            let (client, instance) = (client.clone(), instance.to_owned());
            under_way.spawn(async move { client.deposit(&instance).account(id).await.reply() });
        }
        let Some(shown) = under_way.join_next().await else { break };
        let shown = shown.map_err(|e| e.to_string())??;
        balances += i128::from(shown.ledger_balance);
        entries += shown.last_serial;
    }
    let count = accounts.len() as u64;
    let (money, legs) = (i128::from(FIRST_MONEY) * i128::from(count), count + 2 * posted);
    let why = format!("customers have {balances}, should have {money}; {entries} entries, should be {legs}");
    Ok((balances != money || entries != legs).then_some(why))
}

/// The instance hears of a customer by event: until it has, opening is refused, and a refusal is for ever under its key.
async fn first_account(
    client: &Client,
    instance: &str,
    opening: &OpenAccount,
    keys: &Keys,
) -> Result<AccountId, String> {
    for _ in 0..500 {
        let answer = client.deposit(instance).open(&keys.next(), opening).await;
        if answer.code() != Some("CUSTOMER_NOT_FOUND") {
            return Ok(answer.reply()?.id);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("the deposit instance never heard of the customer".to_owned())
}

/// Runs the load.
///
/// # Errors
/// A connection failed, or an answer was not one.
pub async fn run(plan: &LoadPlan) -> io::Result<LoadReport> {
    let names: Arc<[String]> = plan.accounts.iter().map(ToString::to_string).collect();
    if names.len() < 2 || plan.callers == 0 || plan.batch == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a load needs two accounts, a caller and a command"));
    }
    let begin = ticks() + Duration::from_millis(WARM_UP_MS);
    let end = begin + plan.run_for;
    let mut callers = JoinSet::new();
    for n in 0..plan.callers {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        let dice = Dice::seeded(plan.seed.wrapping_add(n as u64));
        let caller = Caller { plan: plan.clone(), names: Arc::clone(&names), dice, stream, out: Vec::new() };
        callers.spawn(caller.run(begin, end));
    }
    let mut all = Counted::default();
    while let Some(counted) = callers.join_next().await {
        let counted = counted.map_err(io::Error::other)??;
        all.posted_in_all += counted.posted_in_all;
        all.committed += counted.committed;
        all.refused += counted.refused;
        all.latency.merge(&counted.latency);
    }
    let elapsed = ticks() - begin;
    let micros = elapsed.as_micros().max(1);
    Ok(LoadReport {
        elapsed,
        committed: all.committed,
        refused: all.refused,
        posted_in_all: all.posted_in_all,
        per_second: u64::try_from(u128::from(all.committed) * 1_000_000 / micros).unwrap_or(u64::MAX),
        requests: all.latency.count(),
        mean_us: all.latency.mean(),
        p50_us: all.latency.at_per_mille(500),
        p99_us: all.latency.at_per_mille(990),
        max_us: all.latency.max(),
    })
}

struct Caller {
    plan: LoadPlan,
    names: Arc<[String]>,
    dice: Dice,
    stream: TcpStream,
    out: Vec<u8>,
}

impl Caller {
    async fn run(mut self, begin: Instant, end: Instant) -> io::Result<Counted> {
        let mut counted = Counted::default();
        let (mut answer, mut body) = (Vec::new(), Vec::new());
        loop {
            self.write_request(&mut body);
            let sent = ticks();
            if sent >= end {
                return Ok(counted);
            }
            self.stream.write_all(&self.out).await?;
            let (status, body_at) = read_answer(&mut self.stream, &mut answer).await?;
            let took = ticks() - sent;
            let posted = match (self.plan.batch, status) {
                (1, 201) => 1,
                (1, 422) => 0,
                (_, 200) => occurrences(&answer[body_at..], b"\"status\":201"),
                _ => {
                    let text = String::from_utf8_lossy(&answer[body_at..]);
                    return Err(io::Error::other(format!("the bank answered {status}: {text}")));
                }
            };
            counted.posted_in_all += posted;
            if sent < begin {
                continue;
            }
            counted.latency.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            counted.committed += posted;
            counted.refused += (self.plan.batch as u64).saturating_sub(posted);
        }
    }

    fn write_request(&mut self, body: &mut Vec<u8>) {
        use std::io::Write as _;
        body.clear();
        let single = self.plan.batch == 1;
        if single {
            self.write_transfer(body, None);
        } else {
            body.extend_from_slice(b"{\"commands\":[");
            for i in 0..self.plan.batch {
                if i > 0 {
                    body.push(b',');
                }
                let key = self.plan.keys.next();
                self.write_transfer(body, Some(&key));
            }
            body.extend_from_slice(b"]}");
        }
        self.out.clear();
        let (instance, token) = (&self.plan.instance, &self.plan.token);
        let path = if single { "postings" } else { "postings/batch" };
        // Writing to memory can't fail.
        let _ = write!(
            self.out,
            "POST /{instance}/v1/{path} HTTP/1.1\r\nhost: bank\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        if single {
            let _ = write!(self.out, "idempotency-key: {}\r\n", self.plan.keys.next());
        }
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
    }

    fn write_transfer(&self, body: &mut Vec<u8>, key: Option<&str>) {
        let n = self.names.len() as u64;
        let chance = self.dice.u64();
        let from = if self.plan.hot { 0 } else { chance % n };
        let to = (from + 1 + (chance >> 32) % (n - 1)) % n;
        // The hot account receives: what it has to give would come to an end.
        let (from, to) = if self.plan.hot { (to, from) } else { (from, to) };
        let name = |i: u64| self.names[usize::try_from(i).unwrap_or(0)].as_bytes();
        body.push(b'{');
        if let Some(key) = key {
            body.extend_from_slice(b"\"key\":\"");
            body.extend_from_slice(key.as_bytes());
            body.extend_from_slice(b"\",");
        }
        body.extend_from_slice(b"\"kind\":\"transfer\",\"from\":\"");
        body.extend_from_slice(name(from));
        body.extend_from_slice(b"\",\"to\":\"");
        body.extend_from_slice(name(to));
        body.extend_from_slice(b"\",\"amount\":");
        body.push(b'1' + u8::try_from((chance >> 24) % 9).unwrap_or(0));
        body.push(b'}');
    }
}

/// Reads one answer to its end; its status, and where its body begins.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<(u16, usize)> {
    let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    answer.clear();
    let (mut end, mut head) = (None, None);
    loop {
        if head.is_none()
            && let Some(at) = find(answer, b"\r\n\r\n")
        {
            let (status, length) = read_head(&answer[..at]).ok_or_else(|| broken("an answer without its length"))?;
            (head, end) = (Some((status, at + 4)), Some(at + 4 + length));
        }
        match (head, end) {
            (Some(head), Some(end)) if answer.len() == end => return Ok(head),
            (Some(_), Some(end)) if answer.len() > end => return Err(broken("more than one answer")),
            _ => {}
        }
        answer.reserve(end.map_or(READ_BYTES, |end| (end - answer.len()).max(1)));
        if stream.read_buf(answer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bank closed the connection"));
        }
    }
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((status, length?))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|w| w == wanted)
}

fn occurrences(text: &[u8], wanted: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 0);
    while let Some(next) = find(&text[at..], wanted) {
        count += 1;
        at += next + wanted.len();
    }
    count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nContent-Length: 17";
        assert_eq!(read_head(head), Some((201, 17)));
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"), None);
        assert_eq!(occurrences(b"{\"status\":201},{\"status\":422},{\"status\":201}", b"\"status\":201"), 2);
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        let pieces = tokio::spawn(async move {
            for piece in ["HTTP/1.1 201 Cre", "ated\r\ncontent-length: 4\r\n\r", "\nab", "cd"] {
                other.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let mut answer = Vec::new();
        let (status, at) = read_answer(&mut stream, &mut answer).await.unwrap();
        assert_eq!((status, &answer[at..]), (201, &b"abcd"[..]));
        pieces.await.unwrap();
        assert!(read_answer(&mut stream, &mut answer).await.is_err(), "closed");
    }
}
