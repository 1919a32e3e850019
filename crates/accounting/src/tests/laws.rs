//! Laws that hold for any posting.

use proptest::prelude::*;

use crate::domain::chart::{CHART, Side};
use crate::domain::journal::{Interest, LINES_MAX, Line, Lines, check, pack, unpack};

fn line() -> impl Strategy<Value = Line> {
    let side = prop_oneof![Just(Side::Debit), Just(Side::Credit)];
    (0..CHART.len(), side, 1..=i64::MAX).prop_map(|(at, side, amount)| Line { code: CHART[at].code, side, amount })
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(lines in prop::collection::vec(line(), 1..=LINES_MAX)) {
        let lines = Lines::from_vec(lines);
        let text = pack(&lines);
        prop_assert!(text.len() <= 512, "longer than its column: {}", text.len());
        prop_assert_eq!(unpack(&text), Some(lines));
    }

    #[test]
    fn nothing_else_is_unpacked(text in "[ 0-9CD-]{0,24}") {
        if let Some(lines) = unpack(&text) {
            // A number may be written in other ways; what it means is the same.
            prop_assert_eq!(unpack(&pack(&lines)), Some(lines), "{}", text);
        }
    }

    #[test]
    fn tax_leaves_suspense_whole(taxes in prop::array::uniform3(0..1_000_000_000i64), net in 0..i64::MAX / 2) {
        let [income_tax, local_tax, other_tax] = taxes;
        let gross = net + income_tax + local_tax + other_tax;
        match (Interest { gross, income_tax, local_tax, other_tax, net }).tax_lines() {
            None => prop_assert_eq!(taxes, [0; 3]),
            Some(lines) => {
                prop_assert_eq!(check(&lines), Ok(()));
                prop_assert_eq!(lines[0].amount, gross - net);
            }
        }
    }
}
