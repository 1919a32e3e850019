#![allow(clippy::unwrap_used)]

use super::*;

/// Reads `7 KRW 100 15`: place, currency, what customers got, tax.
fn moved(line: &str) -> Moved {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse().unwrap());
    Moved { seq: words[0].parse().unwrap(), currency: words[1].parse().unwrap(), customers: number(2), tax: number(3) }
}

/// Holds books against each other; what is told, and what is on its way.
fn check(postings: &[Moved], journals: &[Moved], way: &[u64]) -> (Vec<String>, OnTheWay) {
    let mut sums = Journals::default();
    for journal in journals.iter().rev() {
        sums.add(journal); // in any order
    }
    let mut beside = Postings::beside(sums);
    postings.iter().for_each(|posting| beside.see(*posting));
    let suspects = beside.end();
    let again = journals.iter().filter(|journal| suspects.holds(journal.seq)).copied().collect();
    let mut breaks = Breaks::default();
    let way = suspects.compare(again, &way.iter().copied().collect(), "krw", &mut breaks);
    let told = breaks.told.iter().map(|told| format!("{:?} {}", told.class, told.subject)).collect();
    (told, way)
}

#[test]
fn what_lacks_its_journal_is_on_its_way_or_a_break() {
    let books = ["1 KRW 100", "2 KRW -30", "3 USD 5", "4 KRW 80 15", "9000 KRW 7", "9001 KRW -7"].map(moved);
    let without = |seqs: &[u64]| books.iter().filter(|m| !seqs.contains(&m.seq)).copied().collect::<Vec<_>>();
    let with = |line: &str| books.iter().copied().chain([moved(line)]).collect::<Vec<_>>();
    let instead = |seq: u64, line: &str| without(&[seq]).into_iter().chain([moved(line)]).collect::<Vec<_>>();
    for (name, journals, way, wanted) in [
        ("the same", books.to_vec(), &[][..], ""),
        ("on its way", without(&[9000, 9001]), &[9000, 9001], ""),
        ("lost", without(&[9000]), &[], "MissingRight krw 9000"),
        ("lost beside one on its way", without(&[2, 9001]), &[9001], "MissingRight krw 2"),
        ("lost, and the sums agree", without(&[9000, 9001]), &[], "MissingRight krw 9000, MissingRight krw 9001"),
        ("another amount", instead(2, "2 KRW -31"), &[], "Amount krw 2"),
        ("another currency", instead(2, "2 USD -30"), &[], "Amount krw 2"),
        ("another tax", instead(4, "4 KRW 80 14"), &[], "Amount krw 4"),
        ("twice", with("3 USD 5"), &[], "Duplicate krw 3"),
        ("of no posting", with("5 KRW 1"), &[], "MissingLeft krw 5"),
        ("of no posting, in a block of its own", with("90000 KRW 1"), &[90_000], "MissingLeft krw 90000"),
        ("on its way, but otherwise", instead(9000, "9000 KRW 8"), &[9000], "Amount krw 9000"),
    ] {
        let (told, waiting) = check(&books, &journals, way);
        assert_eq!(told.join(", "), wanted, "{name}");
        assert_eq!(waiting.count > 0, name.ends_with("on its way"), "{name}: {waiting:?}");
    }
    let (_, waiting) = check(&books, &without(&[3, 4, 9000]), &[3, 4, 9000]);
    let krw = moved("1 KRW").currency;
    assert_eq!((waiting.count, waiting.customers[&krw]), (3, 87));
}

#[test]
fn only_blocks_that_differ_are_looked_at_again() {
    let books: Vec<Moved> = (1..=40_000).map(|seq| Moved { seq, ..moved("1 KRW 1") }).collect();
    let mut sums = Journals::default();
    books.iter().filter(|m| m.seq != 20_000).for_each(|m| sums.add(m));
    let mut beside = Postings::beside(sums);
    books.iter().for_each(|m| beside.see(*m));
    let suspects = beside.end();
    assert_eq!((suspects.blocks.len(), suspects.postings.len() as u64), (1, BLOCK));
    assert!(suspects.holds(20_000) && !suspects.holds(1));
}
