//! Commands, and asking for them again.

use jangbu_contracts::deposit::{Command, InterestPayment, Posting};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{AccountId, HoldId, PostingId};
use jangbu_kernel::money::{Amount, Currency};

use super::{Options, Shown, Words, instant};
use crate::client::{Answer, FX, KRW, Said};
use crate::model::rules::What;
use crate::story::matching;
use crate::story::text::{Line, amount, shown};
use crate::story::world::{Sent, World};

/// A refusal as stories tell it.
pub(super) fn refusal(problem: &Problem, currency: Currency, replay: bool) -> Shown {
    let mut main = vec!["refused".to_owned()];
    let mut codes: Vec<&String> = problem.failures.iter().map(|f| &f.code).collect();
    codes.dedup();
    if codes.is_empty() {
        codes.push(&problem.code);
    }
    main.extend(codes.into_iter().cloned());
    main.extend(replay.then(|| "again".to_owned()));
    let details = problem.failures.iter().map(|f| &f.detail).chain([&problem.detail]);
    let available = details.filter_map(|d| d.strip_prefix("available ")).find_map(|n| n.parse().ok());
    let more = available.map(|n| ("available".to_owned(), shown(n, currency)));
    Shown { main, more: more.into_iter().collect() }
}

fn posted(posting: &Posting, replay: bool) -> Shown {
    let main = if replay { "posted again" } else { "posted" };
    let serial = posting.entries.iter().find_map(|e| e.serial).unwrap_or(0);
    Shown::new(main)
        .with("on", posting.business_date)
        .with("amount", shown(posting.amount, posting.currency))
        .with("serial", serial)
}

fn paid(p: &InterestPayment, currency: Currency, replay: bool) -> Shown {
    let money = |minor| shown(minor, currency);
    Shown::new(if replay { "paid again" } else { "paid" })
        .with("gross", money(p.gross))
        .with("tax", money(p.income_tax + p.local_tax + p.other_tax))
        .with("income", money(p.income_tax))
        .with("local", money(p.local_tax))
        .with("net", money(p.net))
        .with("from", p.from)
        .with("to", p.to)
}

/// A command as a story tells it, not sent yet.
struct Told<'a> {
    what: What,
    instance: &'static str,
    currency: Currency,
    /// Who sends it unless told otherwise.
    usual: String,
    /// The name that a hold gets unless told otherwise.
    holds: Option<String>,
    options: Options<'a>,
}

/// An id that the bank never gave, for stories about what is not there.
fn nowhere<T>(make: impl Fn(u64, u128) -> T) -> T {
    make(1, (1 << 64) | 999_999)
}

fn read<'a>(world: &World, verb: &str, mut words: Words<'a>) -> Result<Told<'a>, String> {
    let known = ["by", "key", "as", "memo", "from", "to", "until", "because", "through"];
    let account = |name: &str| -> Result<(AccountId, &'static str, Currency, String), String> {
        if name == "nobody" {
            return Ok((nowhere(AccountId::from_parts), KRW, Currency::KRW, "service".to_owned()));
        }
        let a = world.account(name)?;
        Ok((a.id, a.instance, a.currency, a.owner))
    };
    let money = |text: &str, currency| Amount::new(amount(text, currency)?).map_err(|e| format!("{e}"));
    let service = || "service".to_owned();
    let memo = |o: &Options<'_>| o.get("memo").map(str::to_owned);
    Ok(match verb {
        "credit" | "debit" => {
            let name = words.word("an account")?;
            let (account, instance, currency, _) = account(name)?;
            let amount = money(words.word("an amount")?, currency)?;
            let options = words.options(&known)?;
            let command = if verb == "credit" {
                let source = options.get("from").unwrap_or("cash").to_owned();
                Command::Credit { account, amount, source, memo: memo(&options) }
            } else {
                let target = options.get("to").unwrap_or("cash").to_owned();
                Command::Debit { account, amount, target, memo: memo(&options) }
            };
            Told { what: What::Post(command), instance, currency, usual: service(), holds: None, options }
        }
        "pay" => {
            let (from, instance, currency, usual) = account(words.word("who pays")?)?;
            let (to, ..) = account(words.word("who is paid")?)?;
            let amount = money(words.word("an amount")?, currency)?;
            let options = words.options(&known)?;
            let command = Command::Transfer { from, to, amount, memo: memo(&options) };
            Told { what: What::Post(command), instance, currency, usual, holds: None, options }
        }
        "hold" => {
            let name = words.word("an account")?;
            let (account, instance, currency, _) = account(name)?;
            let amount = money(words.word("an amount")?, currency)?;
            let options = words.options(&known)?;
            let until = options.get("until").map(|text| instant(world, text)).transpose()?;
            let what = What::Post(Command::Hold { account, amount, until });
            let holds = Some(options.get("as").unwrap_or(name).to_owned());
            Told { what, instance, currency, usual: service(), holds, options }
        }
        "claim" => {
            let (account, instance, currency, usual) = account(words.word("an account")?)?;
            let options = words.options(&known)?;
            Told { what: What::Claim(account), instance, currency, usual, holds: None, options }
        }
        _ => return read_reference(world, verb, words),
    })
}

/// Commands that refer to what was done before.
fn read_reference<'a>(world: &World, verb: &str, mut words: Words<'a>) -> Result<Told<'a>, String> {
    let known = ["by", "key", "as", "to", "because"];
    let usual = "service".to_owned();
    match verb {
        "capture" | "release" => {
            let name = words.word("a hold")?;
            let none = (nowhere(HoldId::from_parts), KRW, Currency::KRW);
            let known_hold = world.holds.get(name).copied().or((name == "nothing").then_some(none));
            let (hold, instance, currency) = known_hold.ok_or_else(|| format!("there is no hold {name}"))?;
            let amount = words.number().map(|text| amount(text, currency)).transpose()?;
            let amount = amount.map(Amount::new).transpose().map_err(|e| format!("{e}"))?;
            let options = words.options(&known)?;
            let target = options.get("to").unwrap_or("nostro").to_owned();
            let command =
                if verb == "capture" { Command::Capture { hold, amount, target } } else { Command::Release { hold } };
            Ok(Told { what: What::Post(command), instance, currency, usual, holds: None, options })
        }
        "reverse" => {
            let named = words.words.first().filter(|w| !known.contains(&w.as_str()));
            let name = if named.is_some() { words.word("a posting")? } else { "last" };
            let none = (nowhere(PostingId::from_parts), KRW, Currency::KRW);
            let known_posting = world.postings.get(name).copied().or((name == "nothing").then_some(none));
            let (posting, instance, currency) = known_posting.ok_or_else(|| format!("there is no posting {name}"))?;
            let options = words.options(&known)?;
            let reason = options.get("because").unwrap_or("a mistake").to_owned();
            let what = What::Post(Command::Reversal { posting, reason });
            Ok(Told { what, instance, currency, usual, holds: None, options })
        }
        _ => Err(format!("{verb} is no verb of stories")),
    }
}

/// Sends one command.
pub(super) async fn command(world: &mut World, verb: &str, words: Words<'_>) -> Result<Shown, String> {
    let told = read(world, verb, words)?;
    let teller = world.caller(told.options.get("by").unwrap_or(&told.usual))?;
    let key = told.options.get("key").map_or_else(|| world.keys.next(), str::to_owned);
    let through_channel = told.options.get("through") == Some("channel");
    let sent = Sent { teller, instance: told.instance, key, what: told.what, currency: told.currency, through_channel };
    let shown = send(world, &sent, &told.options, told.holds.as_deref()).await;
    world.last = Some(sent);
    shown
}

async fn send(world: &mut World, sent: &Sent, options: &Options<'_>, holds: Option<&str>) -> Result<Shown, String> {
    let (place, currency) = (sent.instance, sent.currency);
    match &sent.what {
        What::Claim(account) => {
            let answer = if sent.through_channel {
                sent.teller.claim_by_channel(place, &sent.key, *account).await
            } else {
                sent.teller.claim(place, &sent.key, *account).await
            };
            match answer.said {
                Said::Reply(payment) => {
                    world.postings.insert("last".to_owned(), (payment.posting, place, currency));
                    Ok(paid(&payment, currency, answer.replay))
                }
                Said::Problem(problem) => Ok(refusal(&problem, currency, answer.replay)),
                Said::Unknown(why) => Err(why),
            }
        }
        What::Post(command) => match sent.teller.post(place, &sent.key, command).await {
            Answer { said: Said::Reply(posting), replay, .. } => {
                keep(world, &posting, place, options, holds);
                Ok(posted(&posting, replay))
            }
            Answer { said: Said::Problem(problem), replay, .. } => Ok(refusal(&problem, currency, replay)),
            Answer { said: Said::Unknown(why), .. } => Err(why),
        },
    }
}

fn keep(world: &mut World, posting: &Posting, instance: &'static str, options: &Options<'_>, holds: Option<&str>) {
    let known = (posting.id, instance, posting.currency);
    world.postings.insert("last".to_owned(), known);
    if let Some(name) = options.get("as") {
        world.postings.insert(name.to_owned(), known);
    }
    if let (Some(name), Some(hold)) = (holds, posting.hold) {
        world.holds.insert(name.to_owned(), (hold, instance, posting.currency));
    }
}

/// The last request once more, as it was.
pub(super) async fn again(world: &mut World) -> Result<Shown, String> {
    let sent = world.last.clone().ok_or("nothing was sent yet")?;
    send(world, &sent, &Options(Vec::new()), None).await
}

/// Another request under the last key.
pub(super) async fn altered(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let last = world.last.clone().ok_or("nothing was sent yet")?;
    let verb = words.word("a verb")?;
    let told = read(world, verb, words)?;
    let sent = Sent { what: told.what, ..last };
    send(world, &sent, &told.options, None).await
}

/// Commands at once.
pub(super) async fn batch(world: &mut World, line: &Line) -> Result<Shown, String> {
    let mut told = Vec::new();
    for inside in &line.inside {
        let mut words = Words { words: &inside.words };
        let verb = words.word("a verb")?;
        told.push(read(world, verb, words)?);
    }
    let instance = told.first().map_or(KRW, |t| t.instance);
    let mut commands = Vec::new();
    for t in &told {
        let What::Post(command) = &t.what else { return Err("interest is claimed alone".to_owned()) };
        let key = t.options.get("key").map_or_else(|| world.keys.next(), str::to_owned);
        commands.push((key, command.clone()));
    }
    let outcomes = world.caller("service")?.batch(instance, &commands).await?;
    if outcomes.len() != told.len() {
        return Err(format!("{} outcomes of {} commands", outcomes.len(), told.len()));
    }
    for ((inside, told), outcome) in line.inside.iter().zip(&told).zip(outcomes) {
        let shown = match outcome.posting {
            Some(posting) => {
                keep(world, &posting, instance, &told.options, told.holds.as_deref());
                posted(&posting, false)
            }
            None => Shown::new(&format!("refused {}", outcome.code.unwrap_or_default())),
        };
        matching::check(inside, &shown).map_err(|why| format!("{}\n{why}", inside.text))?;
    }
    Ok(Shown::default())
}

/// What became of a key: the last one, or one that is named.
pub(super) async fn ask(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let named = words.words.first().filter(|w| *w != "by" && *w != "of");
    let named = if named.is_some() { Some(words.word("a key")?) } else { None };
    let options = words.options(&["by", "of"])?;
    let last = world.last.clone();
    let key = named.map(str::to_owned).or_else(|| last.as_ref().map(|l| l.key.clone())).ok_or("which key?")?;
    let teller = match (options.get("by"), &last) {
        (Some(name), _) => world.caller(name)?,
        (None, Some(last)) => last.teller.clone(),
        (None, None) => world.caller("service")?,
    };
    let usual = last.as_ref().map_or(KRW, |l| l.instance);
    let instance = if options.get("of") == Some("fx") { FX } else { usual };
    let currency = last.map_or(Currency::KRW, |l| l.currency);
    Ok(match teller.ask(instance, &key).await? {
        None => Shown::new("absent"),
        Some(Ok(posting)) => posted(&posting, false),
        Some(Err(problem)) => refusal(&problem, currency, false),
    })
}
