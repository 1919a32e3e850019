//! The promises of the log, on the embedded one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::promises::hold;
use jangbu_platform::promises::log::{ALL, TABLE, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        let home = tempfile::tempdir_in(dir.path()).unwrap().keep();
        let db = Db::open_embedded(&home.join("t.db"), Arc::new(RealClock), Dice::from_os())?;
        migrate::apply(&db, TABLE).await?;
        let log = Log::open_embedded(&home.join("log.db"), Arc::new(RealClock), Dice::from_os()).await?;
        // A group has its members in one process.
        Ok(World { other: log.clone(), log, topic: "things".into(), db })
    };
    hold(ALL, open).await.unwrap();
}
