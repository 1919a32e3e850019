//! Tells every story of `crates/sim/stories` to the real bank, each on a directory of its own.
//!
//! `STORY=name cargo test -p jangbu --test it stories` tells only those whose name contains it.

use std::path::{Path, PathBuf};

use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_sim::client::Client;
use jangbu_sim::story::{self, Place, World};

use crate::running::{Running, manual, up};

/// Stories told at a time.
const STORIES_AT_ONCE: usize = 4;

struct Bank {
    running: Running,
    dir: PathBuf,
}

fn open(dir: &Path, now: Timestamp) -> Result<Running, String> {
    let clock = manual(now);
    let args: Vec<&str> = clock.iter().map(String::as_str).chain(["--seed", "1"]).collect();
    Running::start(&mut up(dir, &args), dir)
}

impl Place for Bank {
    fn client(&self, role: Role, subject: &str) -> Result<Client, String> {
        self.running.client(role, subject)
    }

    fn restart(&mut self, now: Timestamp) -> Result<(), String> {
        self.running.kill();
        self.running = open(&self.dir, now)?;
        Ok(())
    }
}

async fn tell(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let now = story::starts_at(&text)?;
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let dir = home.path().join("bank");
    let bank = Bank { running: open(&dir, now)?, dir };
    let mut world = World::new(Box::new(bank), now).await?;
    story::tell(&text, &mut world).await
}

fn stories() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/stories");
    let wanted = std::env::var("STORY").unwrap_or_default();
    let entries = std::fs::read_dir(&dir).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "story") && p.to_string_lossy().contains(&wanted));
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_story_goes_as_it_is_told() {
    let mut coming = stories().into_iter();
    let mut under_way = tokio::task::JoinSet::new();
    let mut failures = Vec::new();
    let mut count = 0;
    loop {
        while under_way.len() < STORIES_AT_ONCE
            && let Some(path) = coming.next()
        {
            count += 1;
            under_way.spawn(async move {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                tell(&path).await.map_err(|why| format!("{name}, {why}"))
            });
        }
        let Some(told) = under_way.join_next().await else { break };
        failures.extend(told.unwrap().err());
    }
    assert!(count > 0, "there are no stories of that name");
    assert!(
        failures.is_empty(),
        "{} of {count} stories went another way:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
