//! Reading Rust text without a compiler: what is code, what is a comment or a string, where functions end.
//!
//! House rules are about words in code. A comment that explains a banned word, or a string that carries it, is no
//! offence; so comments and strings are blanked first, with every line kept where it was.

/// A source text, taken apart.
#[derive(Debug)]
pub struct Source {
    /// The text with comments and the insides of strings and characters blanked. Lines are where they were.
    pub code: String,
    /// Strings, each with the line (from 1) where it begins.
    pub strings: Vec<(usize, String)>,
    /// Lines (from 1, first and last) of items that exist in tests only.
    tests: Vec<(usize, usize)>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line (from 1) of the word `fn`.
    pub line: usize,
    /// Lines from there to its closing brace, both counted.
    pub lines: usize,
}

impl Source {
    /// Takes a text apart.
    pub fn read(text: &str) -> Source {
        let mut blanker =
            Blanker { text: text.as_bytes(), at: 0, code: Vec::with_capacity(text.len()), strings: vec![] };
        blanker.run();
        let code = String::from_utf8_lossy(&blanker.code).into_owned();
        let strings = blanker.strings.into_iter().map(|(at, s)| (line_of(text.as_bytes(), at), s)).collect();
        let tests = test_items(&code);
        Source { code, strings, tests }
    }

    /// Is this line (from 1) part of an item that exists in tests only?
    pub fn in_test(&self, line: usize) -> bool {
        self.tests.iter().any(|&(first, last)| (first..=last).contains(&line))
    }

    /// Lines (from 1) of the code where `word` stands as a whole; it may be a path like `Instant::now`.
    pub fn word(&self, word: &str) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let (opens, closes) = (word.bytes().next().is_some_and(is_word), word.bytes().last().is_some_and(is_word));
        self.code
            .match_indices(word)
            .filter(|&(at, _)| !opens || at == 0 || !is_word(bytes[at - 1]))
            .filter(|&(at, _)| !closes || !bytes.get(at + word.len()).copied().is_some_and(is_word))
            .map(|(at, _)| line_of(bytes, at))
            .collect()
    }

    /// All functions that have a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        let code = self.code.as_bytes();
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            if at > 0 && is_word(code[at - 1]) {
                continue;
            }
            let name: String = self.code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue; // a function's type, like `impl Fn (u8)` written with a space
            }
            if let Some((_, end)) = body(code, at) {
                let line = line_of(code, at);
                found.push(Function { name, line, lines: line_of(code, end) - line + 1 });
            }
        }
        found
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_of(text: &[u8], at: usize) -> usize {
    text[..at].iter().fold(1, |line, b| line + usize::from(*b == b'\n'))
}

/// The braces of the item that begins at `from`: open and close. None if it ends with a semicolon before any brace.
fn body(code: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut inner = 0usize;
    let open = code.iter().enumerate().skip(from).find_map(|(at, byte)| {
        match byte {
            b'(' | b'[' => inner += 1,
            b')' | b']' => inner = inner.saturating_sub(1),
            b'{' | b';' if inner == 0 => return Some(at),
            _ => {}
        }
        None
    })?;
    if code[open] == b';' {
        return None;
    }
    let mut depth = 0usize;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((open, at));
        }
    }
    None
}

fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for mark in ["#[cfg(test)]", "#[cfg(any(test"] {
        for (at, _) in code.match_indices(mark) {
            let after = at + code[at..].find(']').unwrap_or(mark.len() - 1) + 1;
            let last = body(code.as_bytes(), after).map_or(at, |(_, end)| end);
            found.push((line_of(code.as_bytes(), at), line_of(code.as_bytes(), last)));
        }
    }
    found
}

struct Blanker<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    strings: Vec<(usize, String)>,
}

impl Blanker<'_> {
    fn run(&mut self) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if rest.starts_with(b"//") {
                let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                self.blank(end);
            } else if rest.starts_with(b"/*") {
                self.blank(block_comment(rest));
            } else if let Some(hashes) = self.raw_string(rest) {
                self.raw(hashes);
            } else if rest[0] == b'"' {
                self.quoted();
            } else if rest[0] == b'\'' {
                self.character(rest);
            } else {
                self.keep(1);
            }
        }
    }

    fn keep(&mut self, count: usize) {
        self.code.extend_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
    }

    fn blank(&mut self, count: usize) {
        let blanks = self.text[self.at..self.at + count].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' });
        self.code.extend(blanks);
        self.at += count;
    }

    fn string(&mut self, count: usize) {
        let inside = String::from_utf8_lossy(&self.text[self.at..self.at + count]).into_owned();
        self.strings.push((self.at, inside));
        self.blank(count);
    }

    /// The hashes of a raw string that begins here (`r"`, `br#"`, `cr##"`), if one does.
    fn raw_string(&self, rest: &[u8]) -> Option<usize> {
        if self.at > 0 && is_word(self.text[self.at - 1]) {
            return None;
        }
        let after = [&b"br"[..], b"cr", b"r"].into_iter().find_map(|p| rest.strip_prefix(p))?;
        let hashes = after.iter().take_while(|b| **b == b'#').count();
        (after.get(hashes) == Some(&b'"')).then_some(hashes)
    }

    fn raw(&mut self, hashes: usize) {
        let open = self.text[self.at..].iter().position(|b| *b == b'"').map_or(1, |n| n + 1);
        self.keep(open);
        let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
        let rest = &self.text[self.at..];
        let inside = rest.windows(close.len()).position(|w| w == close).unwrap_or(rest.len());
        self.string(inside);
        self.keep(close.len().min(self.text.len() - self.at));
    }

    fn quoted(&mut self) {
        self.keep(1);
        let rest = &self.text[self.at..];
        let mut inside = 0;
        while inside < rest.len() && rest[inside] != b'"' {
            inside += if rest[inside] == b'\\' { 2 } else { 1 };
        }
        self.string(inside.min(rest.len()));
        self.keep(1.min(self.text.len() - self.at));
    }

    /// A character is closed by a quote, a lifetime is not.
    fn character(&mut self, rest: &[u8]) {
        let inside = if rest.get(1) == Some(&b'\\') {
            rest.iter().skip(3).position(|b| *b == b'\'').map(|n| n + 2)
        } else {
            // One character is at most four bytes of UTF-8.
            let first = rest.get(1).map_or(0, |b| if *b < 0x80 { 1 } else { b.leading_ones() as usize });
            (rest.get(1 + first) == Some(&b'\'')).then_some(first)
        };
        self.keep(1);
        if let Some(count) = inside {
            self.blank(count);
            self.keep(1);
        }
    }
}

/// Bytes of the block comment that begins here; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "let a = \"x { y\"; // b {\n/* c /* d */ { */ let e = 1;\nlet f = '{';\n";
        let source = Source::read(text);
        assert_eq!(source.code.lines().count(), 3);
        assert!(!source.code.contains('{'), "{}", source.code);
        assert!(source.code.contains("let e = 1;"));
        assert_eq!(source.strings, [(1, "x { y".to_owned())]);
    }

    #[test]
    fn escapes_raw_strings_and_lifetimes() {
        let text = r###"fn a<'x>(s: &'x str) { t("q\"}"); u(r#"v"}"#); w(b'\''); c('\u{7d}'); d('장'); }"###;
        let source = Source::read(text);
        assert_eq!(source.strings.iter().map(|s| s.1.as_str()).collect::<Vec<_>>(), ["q\\\"}", "v\"}"]);
        assert_eq!(source.code.matches('}').count(), 1, "{}", source.code);
        assert!(source.code.contains("&'x str"));
    }

    #[test]
    fn functions_are_measured_with_their_nested_ones() {
        let text = "trait T {\n    fn no_body(&self, b: [u8; 2]);\n}\nfn outer()\nwhere\n    u8: Copy,\n{\n    fn inner() {}\n}\n";
        let found = Source::read(text).functions();
        assert_eq!(
            found,
            [
                Function { name: "outer".into(), line: 4, lines: 6 },
                Function { name: "inner".into(), line: 8, lines: 1 }
            ]
        );
    }

    #[test]
    fn words_are_whole() {
        let source = Source::read("use x::Tx;\nlet TxId = 1;\n// Tx\nlet t: Tx = 2;\nstd::time::Instant::now();\n");
        assert_eq!(source.word("Tx"), [1, 4]);
        assert_eq!(source.word("Instant::now"), [5]);
        assert_eq!(source.word("time::"), [5]);
        assert!(source.word("ime::").is_empty());
    }

    #[test]
    fn items_of_tests_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod other;\n";
        let source = Source::read(text);
        let inside: Vec<usize> = (1..=8).filter(|l| source.in_test(*l)).collect();
        assert_eq!(inside, [2, 3, 4, 5, 7]);
    }
}
