//! Accounts in memory, found by their number without hashing: numbers are given out densely.

use super::book::Account;

/// Accounts of one page. Pages are made when their first account is met.
const PAGE: usize = 256;

/// Accounts by number.
#[derive(Debug, Default)]
pub struct Accounts {
    pages: Vec<Vec<Option<Account>>>,
    count: usize,
}

fn place(no: u64) -> (usize, usize) {
    let no = usize::try_from(no).unwrap_or(usize::MAX);
    (no / PAGE, no % PAGE)
}

impl Accounts {
    /// The account of that number.
    #[must_use]
    pub fn get(&self, no: u64) -> Option<&Account> {
        let (page, at) = place(no);
        self.pages.get(page)?.get(at)?.as_ref()
    }

    /// Has what is read of an account on its way from memory. Called for some accounts before they are decided about, so
    /// that the waits for them overlap instead of coming one after the other. Whether it is there.
    pub fn fetch(&self, no: u64) -> bool {
        let Some(account) = self.get(no) else { return false };
        let read = account.serial ^ account.changed ^ account.path.last();
        std::hint::black_box(read ^ account.used.day_sum.cast_unsigned() ^ account.day.opening.cast_unsigned());
        true
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, no: u64) -> Option<&mut Account> {
        let (page, at) = place(no);
        self.pages.get_mut(page)?.get_mut(at)?.as_mut()
    }

    /// Puts an account in its place.
    pub fn insert(&mut self, account: Account) {
        let (page, at) = place(account.no);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Vec::new);
        }
        let page = &mut self.pages[page];
        if page.is_empty() {
            page.resize_with(PAGE, || None);
        }
        self.count += usize::from(page[at].is_none());
        page[at] = Some(account);
    }

    /// Forgets an account.
    pub fn remove(&mut self, no: u64) {
        let (page, at) = place(no);
        let account = self.pages.get_mut(page).and_then(|page| page.get_mut(at));
        self.count -= usize::from(account.and_then(Option::take).is_some());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.pages.iter().flatten().flatten()
    }
}
