//! What came of a line against what its arrow says.

use super::text::Line;
use super::verbs::Shown;

/// Compares: the main words must be there as they came; of the figures around them only those that are named.
///
/// # Errors
/// What was expected and what came.
pub fn check(line: &Line, shown: &Shown) -> Result<(), String> {
    let Some(expected) = &line.expected else {
        let fine = shown.main.first().is_none_or(|word| word != "refused");
        return if fine { Ok(()) } else { Err(told("success", shown)) };
    };
    let plain = |word: &str| word.replace('_', "");
    let same = |a: &str, b: &str| a == b || plain(a) == plain(b);
    // A line may begin with one of the figures where the main word says nothing more than that it was done.
    let figure = |word: &String| shown.more.iter().find(|(name, _)| name == word);
    let main = if expected.first().is_some_and(|w| figure(w).is_some()) { 0 } else { shown.main.len() };
    let fits = expected.len() >= main && expected.iter().zip(&shown.main[..main]).all(|(a, b)| same(a, b));
    let pairs = fits.then(|| expected[main..].chunks(2));
    let named = |pair: &[String]| match pair {
        [name, value] => figure(name).is_some_and(|(_, came)| same(came, value)),
        _ => false,
    };
    if pairs.is_some_and(|mut pairs| pairs.all(named)) { Ok(()) } else { Err(told(&expected.join(" "), shown)) }
}

fn told(expected: &str, shown: &Shown) -> String {
    let more: Vec<String> = shown.more.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("  expected: {expected}\n  got:      {} {}", shown.main.join(" "), more.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::text::lines;
    use super::*;

    fn fits(expected: &str, main: &str, more: &[(&str, &str)]) -> bool {
        let line = lines(&format!("verb {expected}")).unwrap().remove(0);
        let main = main.split_whitespace().map(str::to_owned).collect();
        let more = more.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        check(&line, &Shown { main, more }).is_ok()
    }

    #[test]
    fn what_is_named_must_fit() {
        assert!(fits("-> 30_000 held 30000", "30_000", &[("held", "30_000"), ("serial", "3")]));
        assert!(!fits("-> 30_000 held 1", "30_000", &[("held", "30_000")]));
        assert!(!fits("-> 30_000 hold 1", "30_000", &[("held", "30_000")]));
        assert!(fits("-> net 99", "paid", &[("gross", "109"), ("net", "99")]));
        assert!(!fits("-> net 99", "refused A", &[]));
        assert!(!fits("-> refused A", "refused A B", &[]) && !fits("-> refused A B", "refused A", &[]));
        assert!(fits("", "posted", &[]) && !fits("", "refused A", &[]));
    }
}
