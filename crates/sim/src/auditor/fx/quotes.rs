//! Boards and quotes.

use std::collections::BTreeMap;

use jangbu_contracts::exchange::{AmountIn, AskQuote, BoardRate, Quote, Rates, Side};
use jangbu_kernel::id::CustomerId;
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::probe;

use super::{Auditor, Fx, Sent, Span};
use crate::client::{Answer, Said};
use crate::model::fx::{self, Line};

/// A board that was published, or is about to be.
#[derive(Debug)]
pub(super) struct Board {
    lines: BTreeMap<Currency, Line>,
    /// From the first sending to the answer; without end while nobody knows.
    begun: u64,
    ended: u64,
    /// When it was published, at least and at most.
    as_of: [Timestamp; 2],
}

/// A discount and when it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discount {
    bp: i64,
    from: Timestamp,
    until: Timestamp,
}

/// What a quote comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Won for a unit, hundredths.
    pub(super) price: i64,
    /// The base price, hundredths.
    pub(super) mid: i64,
    /// How many units the price is for.
    pub(super) unit: i64,
    bp: i64,
    /// Minor units.
    pub(super) foreign: i64,
    /// Won.
    pub(super) won: i64,
}

/// A quote that was given.
#[derive(Clone, Debug)]
pub(super) struct Quoted {
    pub(super) customer: CustomerId,
    pub(super) side: Side,
    pub(super) currency: Currency,
    pub(super) terms: Terms,
    pub(super) expires_at: Timestamp,
    /// Which board it is of, as far as can be told.
    pub(super) board: usize,
}

fn line(rate: &BoardRate) -> Option<(Currency, Line)> {
    let [mid, tts, ttb] = [rate.mid, rate.tts, rate.ttb].map(fx::hundredths);
    Some((rate.currency, Line { unit: rate.unit, mid: mid?, tts: tts?, ttb: ttb? }))
}

fn lines(rates: &[BoardRate]) -> BTreeMap<Currency, Line> {
    rates.iter().filter_map(line).collect()
}

impl Auditor {
    /// Whether a second person has to look at a board before it follows the present one.
    #[must_use]
    pub fn board_is_doubtful(&self, rates: &[BoardRate]) -> bool {
        let (state, new) = (self.state(), lines(rates));
        let Some(last) = state.fx.boards.last() else { return false };
        last.lines.iter().any(|(currency, before)| new.get(currency).is_none_or(|line| line.jumps_from(before)))
    }

    /// A board is about to be published: no earlier one is under way.
    pub fn board_sent(&self, rates: &[BoardRate]) {
        let sent = self.sent();
        let board = Board { lines: lines(rates), begun: sent.event, ended: u64::MAX, as_of: [sent.at; 2] };
        self.state().fx.boards.push(board);
    }

    /// It was published.
    pub fn board_published(&self) {
        let mut state = self.state();
        state.events += 1;
        let (ended, at) = (state.events, self.ahead.now());
        if let Some(board) = state.fx.boards.last_mut() {
            (board.ended, board.as_of[1]) = (ended, at);
        }
    }

    /// The board as shown at rest: it must be the one that was published last.
    pub fn board_shown(&self, shown: Option<&Rates>) {
        let mut state = self.state();
        let ours = state.fx.boards.last();
        let right = match (shown, ours) {
            (None, None) => true,
            (Some(shown), Some(ours)) => {
                let within = ours.as_of[0] <= shown.as_of && shown.as_of <= ours.as_of[1];
                within && shown.round >= 1 && shown.rates.len() == ours.lines.len() && lines(&shown.rates) == ours.lines
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        let why = (!right).then(|| format!("the board is {shown:?}, should be {ours:?}"));
        state.findings.extend(why);
    }

    /// A discount was set. Only at rest.
    pub fn discount_set(&self, kind: &str, subject: &str, bp: i64, (from, until): (Timestamp, Timestamp)) {
        let key = (kind.to_owned(), subject.to_owned());
        self.state().fx.discounts.insert(key, Discount { bp, from, until });
    }

    /// A quote was answered, or not.
    pub fn quote_answered(&self, sent: Sent, caller: &str, ask: &AskQuote, answer: &Answer<Quote>) {
        let mut state = self.state();
        let span = self.span(&mut state, sent);
        let stranger = caller.strip_prefix("customer:").is_some_and(|who| who != ask.customer.to_string());
        let verdicts = if stranger { vec![(0, Err("FORBIDDEN"))] } else { state.fx.verdicts(ask, span) };
        let right = match &answer.said {
            Said::Unknown(_) => return,
            Said::Problem(problem) if problem.code == "BUSY" => return,
            Said::Problem(problem) => {
                if problem.code == "BOARD_STALE" {
                    probe::reached("quote-refused-since-the-board-was-stale");
                }
                verdicts.iter().any(|(_, verdict)| *verdict == Err(problem.code.as_str()))
            }
            Said::Reply(quote) => match terms_of(quote) {
                Some(terms) => {
                    let board = verdicts.iter().find(|(_, verdict)| *verdict == Ok(terms)).map(|(board, _)| *board);
                    let good = |until: Timestamp| until.plus_micros(fx::QUOTE_US);
                    let minute = good(span.at[0]) <= quote.expires_at && quote.expires_at <= good(span.at[1]);
                    let same = (quote.customer, quote.side, quote.currency) == (ask.customer, ask.side, ask.currency);
                    if let Some(board) = board {
                        let (customer, side, currency) = (quote.customer, quote.side, quote.currency);
                        let quoted = Quoted { customer, side, currency, terms, expires_at: quote.expires_at, board };
                        state.fx.quotes.insert(quote.id, quoted);
                    }
                    board.is_some() && minute && same
                }
                None => false,
            },
        };
        if !right {
            let said = match &answer.said {
                Said::Reply(quote) => format!("{quote:?}"),
                Said::Problem(problem) => problem.code.clone(),
                Said::Unknown(why) => why.clone(),
            };
            state.findings.push(format!("{ask:?} was quoted as {said}, should be one of {verdicts:?}"));
        }
    }
}

fn terms_of(quote: &Quote) -> Option<Terms> {
    Some(Terms {
        price: fx::hundredths(quote.rate)?,
        mid: fx::hundredths(quote.mid)?,
        unit: quote.unit,
        bp: fx::basis_points(quote.discount)?,
        foreign: quote.foreign,
        won: quote.krw,
    })
}

impl Fx {
    /// The place of the board that had surely been published when something began.
    pub(super) fn newest_board(&self, begun: u64) -> usize {
        self.boards.partition_point(|board| board.ended < begun).saturating_sub(1)
    }

    /// All that may rightly be answered to who asks for a quote within a span, with the place of the board.
    fn verdicts(&self, ask: &AskQuote, span: Span) -> Vec<(usize, Result<Terms, &'static str>)> {
        let mut found = Vec::new();
        if self.boards.first().is_none_or(|first| first.ended >= span.begun) {
            found.push((0, Err("BOARD_STALE")));
        }
        for (place, board) in self.boards.iter().enumerate() {
            let replaced = self.boards.get(place + 1).is_some_and(|next| next.ended < span.begun);
            if replaced || board.begun > span.ended {
                continue;
            }
            for (at, as_of) in span.at.iter().zip(board.as_of) {
                found.push((place, self.verdict(ask, board, *at, as_of)));
                found.push((place, self.verdict(ask, board, *at, board.as_of[1])));
            }
        }
        found.dedup();
        found
    }

    fn verdict(&self, ask: &AskQuote, board: &Board, at: Timestamp, as_of: Timestamp) -> Result<Terms, &'static str> {
        if as_of.plus_micros(fx::BOARD_US) <= at {
            return Err("BOARD_STALE");
        }
        let line = board.lines.get(&ask.currency).ok_or("CURRENCY_NOT_QUOTED")?;
        let holds = |kind: &str, subject: &str| {
            let found = self.discounts.get(&(kind.to_owned(), subject.to_owned()));
            found.filter(|d| d.from <= at && at < d.until).map(|d| d.bp)
        };
        let own = holds("customer", &ask.customer.to_string()).unwrap_or(0);
        let campaign = match &ask.campaign {
            Some(name) => holds("campaign", name).ok_or("CAMPAIGN_NOT_RUNNING")?,
            None => 0,
        };
        let (bp, buys) = (own.max(campaign), ask.side == Side::Buy);
        let price = line.price(buys, bp);
        let rate = (ask.currency, line.unit, price);
        let (foreign, won) = fx::amounts(buys, ask.amount_in == AmountIn::Krw, ask.amount.get(), rate)?;
        Ok(Terms { price, mid: line.mid, unit: line.unit, bp, foreign, won })
    }
}
