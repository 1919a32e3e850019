//! Stories: text tables in the bank's words, told to a real bank with a clock that is moved by hand.
//!
//! ```text
//! clock 2026-01-01T09:00:00+09:00
//! account alice KRW 100_000
//! account bob   KRW 0
//! hold alice 30_000
//! pay  alice bob 80_000   -> refused INSUFFICIENT_AVAILABLE available 70_000
//! pay  alice bob 70_000   -> posted
//! balance alice           -> 30_000 held 30_000
//! ```
//!
//! A line is a verb, its words and, after an arrow, what must come of it; without an arrow it must succeed. The auditor
//! hears of every line as well, and when a story ends the books are compared. [`verbs`] has the words.

mod matching;
mod text;
pub mod verbs;
mod world;

use jangbu_kernel::time::Timestamp;

pub use text::{Line, lines};
pub use world::{Place, World};

/// When a story's clock begins: its first line says so.
///
/// # Errors
/// It doesn't.
pub fn starts_at(story: &str) -> Result<Timestamp, String> {
    let first = lines(story)?.into_iter().next().ok_or("a story without a line")?;
    match first.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["clock", at] => at.parse().map_err(|e| format!("line {}: {e}", first.number)),
        _ => Err("a story begins with its clock".to_owned()),
    }
}

/// Tells a story to its end, and compares the books.
///
/// # Errors
/// The line that went another way, with what was expected and what came.
pub async fn tell(story: &str, world: &mut World) -> Result<(), String> {
    for line in lines(story)?.into_iter().skip(1) {
        let failed = |why: String| format!("line {}: {}\n{why}", line.number, line.text);
        let shown = verbs::line(world, &line).await.map_err(failed)?;
        matching::check(&line, &shown).map_err(failed)?;
        world.judge().map_err(failed)?;
    }
    world.books().await
}
