//! Error codes and their pages: every code has `docs/codes/CODE.md`, and every page is of a code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::rules::Offence;

/// Where the codes are listed.
const LIST: &str = "crates/contracts/src/codes.rs";
/// Where their pages stand.
const PAGES: &str = "docs/codes";
/// What a page says, in this order.
const HEADINGS: [&str; 3] = ["## What it means", "## When it happens", "## What to do"];

/// A row of the list.
#[derive(Debug, PartialEq, Eq)]
struct Code {
    text: String,
    status: u16,
    title: String,
    /// The variant's docstring.
    doc: String,
}

/// Compares the list with the pages.
///
/// # Errors
/// If the list or the pages can't be read, or no code is found in the list.
pub fn check(root: &Path) -> Result<Vec<Offence>, String> {
    let codes = read_list(root)?;
    let pages = read_pages(root)?;
    let mut found = Vec::new();
    let mut add = |code: &str, why: String| {
        found.push(Offence { rule: "code-pages", file: format!("{PAGES}/{code}.md"), line: 0, why });
    };
    for code in &codes {
        match pages.get(&code.text) {
            None => add(&code.text, "is missing; `cargo xtask code-pages` begins it".into()),
            Some(page) => flaws(code, page).into_iter().for_each(|flaw| add(&code.text, flaw)),
        }
    }
    for page in pages.keys().filter(|p| codes.iter().all(|c| c.text != **p)) {
        add(page, format!("is of no code in {LIST}"));
    }
    Ok(found)
}

/// Writes the missing pages from the list and tells their names.
///
/// # Errors
/// If the list can't be read or a page can't be written.
pub fn write_pages(root: &Path) -> Result<(), String> {
    let pages = read_pages(root)?;
    for code in read_list(root)?.iter().filter(|c| !pages.contains_key(&c.text)) {
        let path = root.join(PAGES).join(format!("{}.md", code.text));
        fs::write(&path, page(code)).map_err(|e| format!("writing {}: {e}", path.display()))?;
        println!("{PAGES}/{}.md", code.text);
    }
    Ok(())
}

fn head(code: &Code) -> String {
    format!("# {}\n\nHTTP {}. {}.\n", code.text, code.status, code.title)
}

fn page(code: &Code) -> String {
    let mut page = head(code);
    let todo = if code.status == 429 || code.status >= 503 {
        "Send the same request with the same `Idempotency-Key` again, after the time in `Retry-After`."
    } else {
        "Correct the request and send it with a new `Idempotency-Key`."
    };
    for (heading, text) in HEADINGS.iter().zip([code.title.as_str(), code.doc.as_str(), todo]) {
        let text = text.trim_end_matches('.');
        write!(page, "\n{heading}\n\n{text}.\n").expect("a string takes all");
    }
    page
}

/// What a page gets wrong about its code.
fn flaws(code: &Code, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !page.starts_with(&head(code)) {
        found.push(format!("begins otherwise than {:?}", head(code)));
    }
    let places: Vec<_> = HEADINGS.iter().map(|h| page.find(&format!("\n{h}\n"))).collect();
    if places.contains(&None) || !places.is_sorted() {
        found.push(format!("lacks a heading, or has them in another order than {HEADINGS:?}"));
    }
    found
}

fn read_list(root: &Path) -> Result<Vec<Code>, String> {
    let text = fs::read_to_string(root.join(LIST)).map_err(|e| format!("reading {LIST}: {e}"))?;
    let codes = parse(&text);
    if codes.is_empty() { Err(format!("no codes found in {LIST}: has its table another form?")) } else { Ok(codes) }
}

fn read_pages(root: &Path) -> Result<BTreeMap<String, String>, String> {
    let entries = fs::read_dir(root.join(PAGES)).map_err(|e| format!("reading {PAGES}: {e}"))?;
    let mut pages = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("reading {PAGES}: {e}"))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".md")) else { continue };
        let text = fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
        pages.insert(name.to_owned(), text);
    }
    Ok(pages)
}

/// Rows look like `(Code::Name, "NAME", 422, "Title")`, on one line or several.
fn parse(text: &str) -> Vec<Code> {
    let docs = docs(text);
    text.split("(Code::").skip(1).filter_map(|row| parse_row(row, &docs)).collect()
}

fn parse_row(row: &str, docs: &BTreeMap<String, String>) -> Option<Code> {
    let (variant, rest) = row.split_once(',')?;
    let mut parts = rest.trim_start().strip_prefix('"')?.splitn(4, '"');
    let text = parts.next()?.to_owned();
    let status = parts.next()?.trim_matches([',', ' ', '\n']).parse().ok()?;
    let title = parts.next()?.to_owned();
    let doc = docs.get(variant.trim()).cloned().unwrap_or_default();
    Some(Code { text, status, title, doc })
}

/// The docstring of each variant of the enum.
fn docs(text: &str) -> BTreeMap<String, String> {
    let body = text.split_once("pub enum Code {").map_or("", |(_, rest)| rest.split("\n}").next().unwrap_or(""));
    let mut found = BTreeMap::new();
    let mut doc = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            doc = format!("{doc} {}", words.trim()).trim().to_owned();
        } else if let Some(variant) = line.strip_suffix(',') {
            found.insert(variant.to_owned(), std::mem::take(&mut doc));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pub enum Code {\n    /// The one.\n    /// It goes on.\n    One,\n    Two,\n}\nconst TABLE: X = [\n    \
        (Code::One, \"ONE\", 422, \"First (of two)\"),\n    (\n        Code::Skip,\n    ),\n    \
        (Code::Two,\n     \"TWO\",\n     503,\n     \"Second\"),\n];\n";

    #[test]
    fn the_list_is_read_with_its_docstrings() {
        let codes = parse(TEXT);
        let want = |text: &str, status, title: &str, doc: &str| Code {
            text: text.into(),
            status,
            title: title.into(),
            doc: doc.into(),
        };
        assert_eq!(codes, [want("ONE", 422, "First (of two)", "The one. It goes on."), want("TWO", 503, "Second", "")]);
    }

    #[test]
    fn a_page_begun_here_has_no_flaws_and_others_do() {
        let code = &parse(TEXT)[0];
        assert_eq!(flaws(code, &page(code)), Vec::<String>::new());
        assert_eq!(flaws(code, "# TWO\n").len(), 2);
        assert_eq!(flaws(code, &page(code).replace("422", "400")).len(), 1);
    }
}
