//! What a caller asks of the exchange service.

use jangbu_contracts::exchange::{AskExchange, AskQuote, Exchange, Quote};
use jangbu_kernel::id::ExchangeId;

use super::Teller;
use crate::client::{Answer, Said};

impl Teller {
    /// Asks for a quote; none when it was refused or nobody answered.
    pub async fn quote(&self, ask: &AskQuote) -> Option<Quote> {
        let sent = self.auditor.as_ref().map(|auditor| auditor.sent());
        let answer = self.client.quote(ask).await;
        if let (Some(auditor), Some(sent)) = (&self.auditor, sent) {
            auditor.quote_answered(sent, &self.name, ask, &answer);
        }
        if let Said::Reply(quote) = answer.said { Some(quote) } else { None }
    }

    /// Exchanges by a quote.
    pub async fn exchange(&self, key: &str, ask: &AskExchange) -> Answer<Exchange> {
        let ticket = self.auditor.as_ref().map(|auditor| auditor.exchange_asked(&self.name, key, ask));
        let answer = self.client.exchange(key, ask).await;
        if let (Some(auditor), Some(ticket)) = (&self.auditor, ticket) {
            auditor.exchange_answered(&ticket, &answer);
        }
        answer
    }

    /// Looks at an exchange; none when it was not shown.
    pub async fn exchange_shown(&self, id: ExchangeId) -> Option<Exchange> {
        let sent = self.auditor.as_ref().map(|auditor| auditor.sent());
        let shown = self.client.exchange_shown(id).await.reply().ok()?;
        if let (Some(auditor), Some(sent)) = (&self.auditor, sent) {
            auditor.exchange_shown(sent, &shown);
        }
        Some(shown)
    }
}
