//! Marks that operators set: names of restrictions.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// No such mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMark;

macro_rules! marks {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $mark:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $type {
            $($(#[$of])* #[serde(rename = $name)] $mark,)*
        }
        impl $type {
            /// All, in the order in which they are shown.
            pub const ALL: &'static [$type] = &[$($type::$mark,)*];

            /// Its name in paths and lists.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($type::$mark => $name,)* }
            }
        }
        impl FromStr for $type {
            type Err = NoMark;
            fn from_str(text: &str) -> Result<Self, NoMark> {
                Self::ALL.iter().copied().find(|mark| mark.name() == text).ok_or(NoMark)
            }
        }
    };
}

marks! {
    /// A mark of a customer.
    CustomerMark {
        /// Died.
        Deceased = "deceased",
        /// Identity was stolen.
        IdentityTheft = "identity_theft",
        /// Must be verified again.
        KycExpired = "kyc_expired",
        /// On a sanctions list.
        Sanctioned = "sanctioned",
        /// May not debit without a legal representative's consent.
        MinorRestricted = "minor_restricted",
    }
}

marks! {
    /// A mark of an account.
    AccountMark {
        /// Credits are refused.
        DepositStop = "deposit_stop",
        /// Debits are refused.
        WithdrawalStop = "withdrawal_stop",
        /// Passbook, card or medium is lost.
        LossReport = "loss_report",
        /// Seized by a court.
        Attached = "attached",
        /// Collateral.
        Pledged = "pledged",
        /// Frozen after a fraud report.
        FraudFreeze = "fraud_freeze",
        /// Limited to a small amount a day.
        Limited = "limited",
        /// Five years without a transaction; may only be closed.
        Dormant = "dormant",
        /// Long unused; revivable.
        Suspended = "suspended",
    }
}
