//! Error codes: stable, documented, in one list that only grows.

/// A documented error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The body could not be read as JSON (or not as UTF-8). Nothing was changed. Send one JSON value as UTF-8.
    MalformedJson,
    /// The body has a field that this call doesn't have. Nothing was changed. Compare with the OpenAPI document.
    UnknownField,
    /// The body lacks a field that this call needs. Nothing was changed.
    MissingField,
    /// A field has the wrong type or a value it can't have. Nothing was changed.
    InvalidField,
    /// An amount is an integer of minor units, greater than 0 and at most 10^15. Nothing was changed.
    InvalidAmount,
    /// Ids are a prefix, an underscore and 26 characters. Nothing was changed.
    InvalidId,
    /// Use the cursor of the list's last answer, unchanged.
    InvalidCursor,
    /// Calls that change money or a contract need an Idempotency-Key header. Nothing was changed.
    KeyMissing,
    /// A key is 1 to 64 printable ASCII characters. Nothing was changed.
    KeyInvalid,
    /// Send a bearer token in the Authorization header.
    NoCredential,
    /// Ask for a new token.
    CredentialExpired,
    /// The token is not one that this bank signed.
    CredentialInvalid,
    /// The credential is good, but not for this call.
    Forbidden,
    /// Who asked for it can't also approve it.
    SamePerson,
    /// There is no such thing, or it is not yours to see.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// A request with this key is still running. Ask again shortly with the same key.
    KeyInUse,
    /// Somebody agreed or declined before; what was decided stays.
    ApprovalDecided,
    /// Nobody decided in time. Ask again for what you wanted.
    ApprovalExpired,
    /// The event was driven again or dropped before.
    LetterSettled,
    /// Another exchange of the customer's is under way.
    ExchangeInProgress,
    /// The exchange succeeded or failed before; that stays.
    ExchangeDecided,
    /// The exchange is being carried on, or will be in a moment.
    ExchangeNotStuck,
    /// Bodies may have 1 MiB, batches 4 MiB.
    BodyTooLarge,
    /// Send Content-Type: application/json.
    UnsupportedMediaType,
    /// The same key came with another body before. Nothing was changed. Use a new key for a new request.
    KeyReused,
    /// The account is not one of this instance.
    AccountNotFound,
    /// Nothing is credited to or debited from a closed account.
    AccountClosed,
    /// A dormant account may only be closed.
    AccountDormant,
    /// The account was not used for long; it can be revived with identification.
    AccountSuspended,
    /// Credits to this account are stopped.
    DepositBlocked,
    /// Debits from this account are stopped.
    WithdrawalBlocked,
    /// Passbook, card or medium is reported lost or stolen.
    LossReported,
    /// A court has attached the account.
    Attached,
    /// The account is collateral.
    Pledged,
    /// A victim of fraud reported a payment to this account.
    FraudFrozen,
    /// A limited account may pay a small amount a day.
    LimitedAccount,
    /// Debits and interest stop.
    OwnerDeceased,
    /// Nothing moves on accounts of a customer whose identity was stolen.
    OwnerIdentityTheft,
    /// A legal representative has to consent.
    OwnerMinorRestricted,
    /// This is for natural persons.
    CorporateRestricted,
    /// Debits stop until the customer has been verified again.
    KycExpired,
    /// Nothing moves on accounts of a sanctioned customer.
    Sanctioned,
    /// A limit per transaction, day or month would be passed, or the bound of their sums; the detail says which.
    LimitExceeded,
    /// The available balance (ledger balance less holds) is smaller than the amount.
    InsufficientAvailable,
    /// The terms say who may have the product.
    ProductNotEligible,
    /// Both accounts must carry the currency of the amount.
    CurrencyMismatch,
    /// A transfer needs two accounts.
    SameAccount,
    /// The hold is not one of this instance.
    HoldNotFound,
    /// Its time has passed.
    HoldExpired,
    /// It was captured or released before.
    HoldSettled,
    /// A capture takes at most what the hold keeps.
    CaptureExceedsHold,
    /// The posting is not one of this instance.
    PostingNotFound,
    /// Only credits, debits, transfers and captures are undone.
    NotReversible,
    /// A posting is undone at most once.
    AlreadyReversed,
    /// Less than one minor unit has accrued.
    NothingToPay,
    /// Interest is paid once a day, up to yesterday.
    AlreadyClaimed,
    /// Balance and holds must be zero before it is closed.
    AccountNotEmpty,
    /// The product has no terms on this day.
    ProductNotFound,
    /// The customer is not registered.
    CustomerNotFound,
    /// Source and target are names of the bank's own accounts, like cash and nostro.
    UnknownBankAccount,
    /// Product terms contradict themselves or a version that stands.
    TermsInvalid,
    /// An account holds at most 10^16 minor units.
    BalanceOverflow,
    /// Interest of this kind of product is not worked out here.
    SimulationUnsupported,
    /// The service still can't take the event; the detail says why. It stays parked.
    RedriveRejected,
    /// A manual clock moves to a later instant.
    ClockBackwards,
    /// There is no such quote, or it is another customer's.
    QuoteNotFound,
    /// A quote can be used for a minute.
    QuoteExpired,
    /// A quote is good for one exchange.
    QuoteUsed,
    /// The last board is older than a day, or there was none: nothing is quoted.
    BoardStale,
    /// The currency is not on the board.
    CurrencyNotQuoted,
    /// The amount comes to less than the smallest unit of the other currency.
    AmountTooSmall,
    /// There is no campaign of that name at this time.
    CampaignNotRunning,
    /// An exchange is forced only to what the books say of both its movements.
    ExchangeContradicted,
    /// Too much is under way. Nothing was changed; try again with the same key after Retry-After.
    Busy,
    /// Something failed that should not. Ask by your key whether it took effect.
    Internal,
    /// A part of the bank is down. Ask again with the same key after Retry-After.
    Unavailable,
    /// It took longer than the caller's deadline. Ask by your key whether it took effect.
    Deadline,
}

/// Code, its text, HTTP status, title.
const TABLE: &[(Code, &str, u16, &str)] = &[
    (Code::MalformedJson, "MALFORMED_JSON", 400, "The body is not JSON"),
    (Code::UnknownField, "UNKNOWN_FIELD", 400, "A field is not known"),
    (Code::MissingField, "MISSING_FIELD", 400, "A field is missing"),
    (Code::InvalidField, "INVALID_FIELD", 400, "A field is not valid"),
    (Code::InvalidAmount, "INVALID_AMOUNT", 400, "The amount is not valid"),
    (Code::InvalidId, "INVALID_ID", 400, "The id is not well formed"),
    (Code::InvalidCursor, "INVALID_CURSOR", 400, "The cursor is not valid"),
    (Code::KeyMissing, "KEY_MISSING", 400, "The Idempotency-Key is missing"),
    (Code::KeyInvalid, "KEY_INVALID", 400, "The Idempotency-Key is not valid"),
    (Code::NoCredential, "NO_CREDENTIAL", 401, "No credential was sent"),
    (Code::CredentialExpired, "CREDENTIAL_EXPIRED", 401, "The credential has expired"),
    (Code::CredentialInvalid, "CREDENTIAL_INVALID", 401, "The credential is not valid"),
    (Code::Forbidden, "FORBIDDEN", 403, "Not allowed"),
    (Code::SamePerson, "SAME_PERSON", 403, "A second person is needed"),
    (Code::NotFound, "NOT_FOUND", 404, "Not found"),
    (Code::MethodNotAllowed, "METHOD_NOT_ALLOWED", 405, "The method is not allowed here"),
    (Code::KeyInUse, "KEY_IN_USE", 409, "The key is in use"),
    (Code::ApprovalDecided, "APPROVAL_DECIDED", 409, "It was decided before"),
    (Code::ApprovalExpired, "APPROVAL_EXPIRED", 409, "Its time has passed"),
    (Code::LetterSettled, "LETTER_SETTLED", 409, "The dead letter is settled"),
    (Code::ExchangeInProgress, "EXCHANGE_IN_PROGRESS", 409, "An exchange is under way"),
    (Code::ExchangeDecided, "EXCHANGE_DECIDED", 409, "The exchange is decided"),
    (Code::ExchangeNotStuck, "EXCHANGE_NOT_STUCK", 409, "The exchange goes on by itself"),
    (Code::BodyTooLarge, "BODY_TOO_LARGE", 413, "The body is too large"),
    (Code::UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", 415, "The content type is not JSON"),
    (Code::KeyReused, "KEY_REUSED", 422, "The key was used for another request"),
    (Code::AccountNotFound, "ACCOUNT_NOT_FOUND", 422, "No such account"),
    (Code::AccountClosed, "ACCOUNT_CLOSED", 422, "The account is closed"),
    (Code::AccountDormant, "ACCOUNT_DORMANT", 422, "The account is dormant"),
    (Code::AccountSuspended, "ACCOUNT_SUSPENDED", 422, "The account is suspended"),
    (Code::DepositBlocked, "DEPOSIT_BLOCKED", 422, "Deposits are stopped"),
    (Code::WithdrawalBlocked, "WITHDRAWAL_BLOCKED", 422, "Withdrawals are stopped"),
    (Code::LossReported, "LOSS_REPORTED", 422, "A loss is reported"),
    (Code::Attached, "ATTACHED", 422, "The account is attached"),
    (Code::Pledged, "PLEDGED", 422, "The account is pledged"),
    (Code::FraudFrozen, "FRAUD_FROZEN", 422, "The account is frozen"),
    (Code::LimitedAccount, "LIMITED_ACCOUNT", 422, "The account is limited"),
    (Code::OwnerDeceased, "OWNER_DECEASED", 422, "The owner is deceased"),
    (Code::OwnerIdentityTheft, "OWNER_IDENTITY_THEFT", 422, "The owner's identity was stolen"),
    (Code::OwnerMinorRestricted, "OWNER_MINOR_RESTRICTED", 422, "The owner is a minor"),
    (Code::CorporateRestricted, "CORPORATE_RESTRICTED", 422, "Not for corporations"),
    (Code::KycExpired, "KYC_EXPIRED", 422, "The owner must be verified again"),
    (Code::Sanctioned, "SANCTIONED", 422, "The owner is sanctioned"),
    (Code::LimitExceeded, "LIMIT_EXCEEDED", 422, "A limit is exceeded"),
    (Code::InsufficientAvailable, "INSUFFICIENT_AVAILABLE", 422, "Not enough available"),
    (Code::ProductNotEligible, "PRODUCT_NOT_ELIGIBLE", 422, "The product is not for this customer"),
    (Code::CurrencyMismatch, "CURRENCY_MISMATCH", 422, "The currencies differ"),
    (Code::SameAccount, "SAME_ACCOUNT", 422, "Both accounts are the same"),
    (Code::HoldNotFound, "HOLD_NOT_FOUND", 422, "No such hold"),
    (Code::HoldExpired, "HOLD_EXPIRED", 422, "The hold has lapsed"),
    (Code::HoldSettled, "HOLD_SETTLED", 422, "The hold is settled"),
    (Code::CaptureExceedsHold, "CAPTURE_EXCEEDS_HOLD", 422, "More than is held"),
    (Code::PostingNotFound, "POSTING_NOT_FOUND", 422, "No such posting"),
    (Code::NotReversible, "NOT_REVERSIBLE", 422, "This posting stays"),
    (Code::AlreadyReversed, "ALREADY_REVERSED", 422, "It was undone before"),
    (Code::NothingToPay, "NOTHING_TO_PAY", 422, "There is no interest to pay"),
    (Code::AlreadyClaimed, "ALREADY_CLAIMED", 422, "Interest was paid today"),
    (Code::AccountNotEmpty, "ACCOUNT_NOT_EMPTY", 422, "The account is not empty"),
    (Code::ProductNotFound, "PRODUCT_NOT_FOUND", 422, "No such product"),
    (Code::CustomerNotFound, "CUSTOMER_NOT_FOUND", 422, "No such customer"),
    (Code::UnknownBankAccount, "UNKNOWN_BANK_ACCOUNT", 422, "No such account of the bank"),
    (Code::TermsInvalid, "TERMS_INVALID", 422, "The terms are not valid"),
    (Code::BalanceOverflow, "BALANCE_OVERFLOW", 422, "The balance would be too large"),
    (Code::SimulationUnsupported, "SIMULATION_UNSUPPORTED", 422, "These terms can't be simulated"),
    (Code::RedriveRejected, "REDRIVE_REJECTED", 422, "The event was rejected again"),
    (Code::ClockBackwards, "CLOCK_BACKWARDS", 422, "The clock goes forward only"),
    (Code::QuoteNotFound, "QUOTE_NOT_FOUND", 422, "No such quote"),
    (Code::QuoteExpired, "QUOTE_EXPIRED", 422, "The quote has expired"),
    (Code::QuoteUsed, "QUOTE_USED", 422, "The quote was used"),
    (Code::BoardStale, "BOARD_STALE", 422, "There is no board of today"),
    (Code::CurrencyNotQuoted, "CURRENCY_NOT_QUOTED", 422, "The currency is not quoted"),
    (Code::AmountTooSmall, "AMOUNT_TOO_SMALL", 422, "The amount is too small"),
    (Code::CampaignNotRunning, "CAMPAIGN_NOT_RUNNING", 422, "The campaign does not run"),
    (Code::ExchangeContradicted, "EXCHANGE_CONTRADICTED", 422, "The books say otherwise"),
    (Code::Busy, "BUSY", 429, "Busy, try again"),
    (Code::Internal, "INTERNAL", 500, "An error of the bank"),
    (Code::Unavailable, "UNAVAILABLE", 503, "Not available"),
    (Code::Deadline, "DEADLINE", 504, "Too late"),
];

impl Code {
    fn row(self) -> &'static (Code, &'static str, u16, &'static str) {
        // The table is in the order of the variants; a test holds it to that.
        &TABLE[self as usize]
    }
    /// The stable text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }
    /// The HTTP status it comes with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().2
    }
    /// What it means, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().3
    }
    /// The code of that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Code> {
        TABLE.iter().find(|row| row.1 == text).map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_without_repeats() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, i, "{}", row.1);
            assert_eq!(Code::parse(row.1), Some(row.0));
        }
    }
}
