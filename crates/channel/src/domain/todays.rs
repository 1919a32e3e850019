//! Which figure of interest is today's.

use jangbu_kernel::date::BusinessDate;

/// Whether interest for the days `from` to `to` is what a claim would pay `today` on an account whose interest is paid
/// through `paid_through`.
///
/// It ends yesterday, so that it is no figure of another day; and it begins after the last paid day, so that no claim
/// has overtaken it. The account itself says so, whatever a cache says and wherever the claim was made.
pub fn is_todays((from, to): (BusinessDate, BusinessDate), today: BusinessDate, paid_through: BusinessDate) -> bool {
    to == today.add_days(-1) && from > paid_through
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figure from and to, today, paid through.
    fn check(text: &str, is: bool) {
        let days: Vec<BusinessDate> = text.split(' ').map(|day| format!("2026-01-{day}").parse().unwrap()).collect();
        assert_eq!(is_todays((days[0], days[1]), days[2], days[3]), is, "{text}");
    }

    #[test]
    fn a_figure_is_todays_until_midnight_or_a_claim() {
        check("02 09 10 01", true);
        check("02 09 11 01", false); // yesterday's figure
        check("02 09 09 01", false); // tomorrow's figure
        check("02 09 10 09", false); // claimed since
        check("02 09 10 02", false); // a day of it was paid since
        check("10 09 10 09", true); // nothing left to pay
        check("10 09 10 01", true); // worked out after a claim that the account did not show yet
    }
}
