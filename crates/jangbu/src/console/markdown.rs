//! The little of Markdown that the pages in `docs/codes` use, as HTML. Everything that is not markup is escaped.
//!
//! Headings, paragraphs, lists of one level, fenced code; in a line: code, strong, emphasis and links to this site.

use std::fmt::Write as _;

use super::text::Escaped;

/// What the lines before belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Paragraph,
    List,
    Code,
}

impl Open {
    fn end(self) -> &'static str {
        match self {
            Open::Nothing => "",
            Open::Paragraph => "</p>\n",
            Open::List => "</li></ul>\n",
            Open::Code => "</code></pre>\n",
        }
    }
}

/// A text as HTML.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut open = Open::Nothing;
    let mut begin = |out: &mut String, next: Open, start: &str| {
        out.push_str(open.end());
        out.push_str(start);
        open = next;
    };
    let mut state = Open::Nothing;
    for line in text.lines() {
        let next = if let Some(fence) = line.strip_prefix("```") {
            let _language = fence;
            let (next, start) = if state == Open::Code { (Open::Nothing, "") } else { (Open::Code, "<pre><code>") };
            begin(&mut out, next, start);
            next
        } else if state == Open::Code {
            let _ = writeln!(out, "{}", Escaped(line));
            state
        } else if line.trim().is_empty() {
            begin(&mut out, Open::Nothing, "");
            Open::Nothing
        } else if let Some((level, heading)) = heading(line) {
            begin(&mut out, Open::Nothing, "");
            let _ = writeln!(out, "<h{level}>{}</h{level}>", spans(heading));
            Open::Nothing
        } else if let Some(item) = line.strip_prefix("- ") {
            if state == Open::List {
                out.push_str("</li>\n<li>");
            } else {
                begin(&mut out, Open::List, "<ul>\n<li>");
            }
            out.push_str(&spans(item));
            Open::List
        } else {
            if state == Open::Nothing {
                begin(&mut out, Open::Paragraph, "<p>");
            } else {
                out.push(' ');
            }
            out.push_str(&spans(line.trim()));
            if state == Open::List { Open::List } else { Open::Paragraph }
        };
        state = next;
    }
    begin(&mut out, Open::Nothing, "");
    out
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let text = line.get(level..)?.strip_prefix(' ')?;
    (1..=3).contains(&level).then_some((level, text))
}

/// Markup within a line.
fn spans(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let _ = write!(out, "{}", Escaped(&rest[..at]));
        rest = &rest[at..];
        let taken = span(rest);
        match taken {
            Some((html, after)) => {
                out.push_str(&html);
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    let _ = write!(out, "{}", Escaped(rest));
    out
}

/// The span at the beginning of a text, and what follows it.
fn span(text: &str) -> Option<(String, &str)> {
    for (mark, tag) in [("`", "code"), ("**", "strong"), ("*", "em")] {
        if let Some((inner, after)) = text.strip_prefix(mark).and_then(|rest| rest.split_once(mark))
            && !inner.is_empty()
        {
            return Some((format!("<{tag}>{}</{tag}>", Escaped(inner)), after));
        }
    }
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    let (to, after) = after.split_once(')')?;
    // Pages link to each other as files of a folder; nothing links elsewhere.
    let to = to.strip_suffix(".md").filter(|to| to.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))?;
    Some((format!("<a href=\"{to}\">{}</a>", Escaped(label)), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_little_that_is_used_becomes_html() {
        let text = "# A_B\n\nOne *two*\n**three** `<x>`.\n\n## C\n\n- a\n- b\n  and b\n\n```json\n{\"a\": <b>}\n```\nSee [it](A_B.md).\n";
        let want = "<h1>A_B</h1>\n<p>One <em>two</em> <strong>three</strong> <code>&lt;x&gt;</code>.</p>\n<h2>C</h2>\n\
                    <ul>\n<li>a</li>\n<li>b and b</li></ul>\n<pre><code>{&quot;a&quot;: &lt;b&gt;}\n</code></pre>\n\
                    <p>See <a href=\"A_B\">it</a>.</p>\n";
        assert_eq!(html(text), want);
    }

    #[test]
    fn nothing_slips_through() {
        for (text, want) in [
            ("<script>a</script>", "<p>&lt;script&gt;a&lt;/script&gt;</p>\n"),
            ("[x](javascript:a)", "<p>[x](javascript:a)</p>\n"),
            ("[<b>](A.md)", "<p><a href=\"A\">&lt;b&gt;</a></p>\n"),
            ("2 * 3 `", "<p>2 * 3 `</p>\n"),
            ("**\"**", "<p><strong>&quot;</strong></p>\n"),
        ] {
            assert_eq!(html(text), want, "{text}");
        }
    }
}
