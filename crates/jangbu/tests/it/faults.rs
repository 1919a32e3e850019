//! What the world does to a bank: a clear message, the right exit code, and nothing lost afterwards.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 the world failed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jangbu_platform::auth::Keyring;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;

use crate::running::{Running, log_of, manual, up};
use crate::world::{World, rest};

/// Runs the program to its end.
fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs `up` on a directory to its end, which must come by itself.
fn up_ends(dir: &Path) -> Output {
    let mut child = up(dir, &["--clock", "manual"]).stderr(Stdio::piped()).spawn().unwrap();
    crate::running::wait(&mut child).unwrap_or_else(|why| panic!("{why}: {}", log_of(dir)));
    child.wait_with_output().unwrap()
}

/// It ended with this code, and its last line says these words.
fn ended(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let last = said.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{word:?} is not in: {said}");
    }
}

/// A town that has lived for a moment, at rest.
async fn lived(dir: &Path) -> World {
    let world = World::new(dir, 11).await;
    let (town, stop) = (Arc::new(world.town()), Stop::default());
    let hands = world.load(&town, &stop);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.stop();
    rest(hands).await;
    world.account_for_all().await;
    world
}

#[test]
fn wrong_use_is_told_apart_from_a_world_that_fails() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank").to_string_lossy().into_owned();
    for wrong in [
        &["up", "--clock", "sideways"][..],
        &["up", "--at", "2026-01-01T00:00:00+09:00", "--data", &dir],
        &["up", "--customers", "many"],
        &["token", "--role", "king"],
        &["nonsense"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    ended(&run(&["token", "--role", "service", "--data", &dir]), 3, &["there is no bank", &dir]);
    assert!(!Path::new(&dir).exists(), "nothing was made");
}

/// `jangbu … | head` may end before all is said; that is no fault.
#[test]
fn nobody_need_read_what_is_said() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let dir = dir.to_str().unwrap();
    let unheard = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = Command::new(env!("CARGO_BIN_EXE_jangbu")).args(args).stdout(writer).output().unwrap();
        ended.status.code()
    };
    Keyring::load_or_create(&Path::new(dir).join("keys"), RealClock.now()).unwrap();
    for (args, code) in [
        (&["migrate", "--check", "--data", dir][..], 1),
        (&["migrate", "--data", dir], 0),
        (&["token", "--role", "operator", "--data", dir], 0),
        (&["check", "--data", dir], 0),
        (&["keys", "rotate", "--data", dir], 0),
        (&["services"], 0),
        (&["serve", "--print-config"], 0),
    ] {
        assert_eq!(unheard(args), Some(code), "{args:?}");
    }
}

/// Whoever looks before an upgrade is told of everything at once.
#[tokio::test]
async fn every_schema_is_compared_though_one_is_not_ours() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank").to_string_lossy().into_owned();
    assert!(run(&["migrate", "--data", &dir]).status.success());
    let change = async |name: &str, sql: &str| {
        let path = Path::new(&dir).join(name);
        let db = Db::open_embedded(&path, Arc::new(RealClock), Dice::seeded(1)).unwrap();
        let mut tx = db.begin("meddle").await.unwrap();
        tx.execute(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
    };
    change("customer.db", "UPDATE schema_version SET hash = 1 WHERE version = 1").await;
    change("channel.db", "DELETE FROM schema_version").await;
    let compared = |args: &[&str], code: i32, wanted: &[&str]| {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for line in wanted {
            assert!(said.lines().any(|told| told.contains(line)), "{line:?} is not in: {said}");
        }
    };
    let migrate = ["migrate", "--check", "--data", &dir];
    compared(&migrate, 1, &["customer     foreign", "channel      behind", "log          current"]);
    // A file of another program, and one that is no database at all, are foreign too.
    change("deposit-krw.db", "DROP TABLE schema_version").await;
    fs::write(Path::new(&dir).join("accounting.db"), vec![7; 100_000]).unwrap();
    let wanted = ["customer     foreign", "deposit-krw  unreadable", "accounting   unreadable", "log          current"];
    compared(&migrate, 3, &wanted);
    let wanted = ["Schema Damaged customer:", "Schema Damaged deposit-krw:", "Schema Damaged accounting:"];
    compared(&["check", "--data", &dir], 1, &wanted);
}

#[test]
fn a_taken_port_is_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = run(&["up", "--port", &port, "--data", &dir.to_string_lossy()]);
    ended(&refused, 3, &[&port, "--port"]);
    assert!(!dir.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_directory_is_turned_away() {
    let home = tempfile::tempdir().unwrap();
    let world = lived(&home.path().join("bank")).await;
    ended(&up_ends(&world.dir), 3, &["another jangbu process", &world.dir.to_string_lossy()]);
    world.account_for_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_program_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let mut world = lived(&home.path().join("bank")).await;
    world.running.kill();
    let db = Db::open_embedded(&world.dir.join("deposit-krw.db"), Arc::new(RealClock), Dice::seeded(1)).unwrap();
    let change = |sql: &'static str| {
        let db = db.clone();
        async move {
            let mut tx = db.begin("test").await.unwrap();
            tx.execute(sql, &[]).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    change("INSERT INTO schema_version (version, name, hash, applied_at) VALUES (99, 'of tomorrow', 1, 1)").await;
    ended(&up_ends(&world.dir), 3, &["99", "of tomorrow", "newer jangbu"]);
    change("DELETE FROM schema_version WHERE version = 99").await;
    drop(db);
    world.restart();
    world.account_for_all().await;
}

/// Copies the files of a directory.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_its_copy_opens_again() {
    let home = tempfile::tempdir().unwrap();
    let mut world = lived(&home.path().join("bank")).await;
    assert!(world.running.terminate().unwrap().success());
    let copy = home.path().join("copy");
    copy_files(&world.dir, &copy);
    for name in ["deposit-krw.db", "customer.db", "log.db", "data.key"] {
        for entry in fs::read_dir(&world.dir).unwrap().map(|e| e.unwrap().path()) {
            // With its journal, in which a part of the file may still stand.
            if entry.file_name().unwrap().to_string_lossy().starts_with(name) {
                let length = fs::metadata(&entry).unwrap().len() + 1;
                fs::write(&entry, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
            }
        }
        ended(&up_ends(&world.dir), 3, &[name]);
        copy_files(&copy, &world.dir);
    }
    world.restart();
    world.account_for_all().await;
}

/// A file system that can be made small or read-only, where the test may mount one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, size: &str) -> Option<Mounted> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|m| m.status.success()).then(|| Mounted(at.to_owned()))
    }

    fn again(&self, options: &str) {
        let again = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(again.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status(); // the process goes with it
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_can_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let mount = Mounted::new(&home.path().join("mount"), "200m");
    let dir = mount.as_ref().map_or(home.path().join("bank"), |m| m.0.clone());
    let mut world = lived(&dir).await;
    assert!(world.running.terminate().unwrap().success());
    let writable = |on: bool| match &mount {
        Some(mount) => mount.again(if on { "rw" } else { "ro" }),
        None => {
            for entry in fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).chain([dir.clone()]) {
                let bits = if entry.is_dir() { 0o500 } else { 0o400 };
                let bits = if on { bits | 0o200 } else { bits };
                fs::set_permissions(entry, fs::Permissions::from_mode(bits)).unwrap();
            }
        }
    };
    writable(false);
    let refused = Command::new(env!("CARGO_BIN_EXE_jangbu"))
        .args(["up", "--port", "0", "--clock", "manual", "--data"])
        .arg(&dir)
        .output();
    writable(true);
    ended(&refused.unwrap(), 3, &[&dir.to_string_lossy()]);
    world.restart();
    world.account_for_all().await;
    drop(world);
}

/// A process whose files may not grow beyond some megabytes: writes fail, as they do on a full disk.
fn limited(world: &World) -> Running {
    let clock = manual(world.clock.now()).join(" ");
    let (program, dir) = (env!("CARGO_BIN_EXE_jangbu"), world.dir.display());
    let command = format!("trap '' XFSZ; ulimit -f 4096; exec {program} up --port 0 --data {dir} {clock}");
    let mut shell = Command::new("sh");
    let log = fs::File::create(world.dir.with_extension("log")).unwrap();
    shell.args(["-c", &command]).stdout(Stdio::piped()).stderr(log);
    Running::start(&mut shell, &world.dir).unwrap()
}

/// Load until writes fail, and a moment longer.
async fn load_until_full(world: &World, fill: impl FnOnce()) {
    let (town, stop) = (Arc::new(world.town()), Stop::default());
    let hands = world.load(&town, &stop);
    tokio::time::sleep(Duration::from_millis(300)).await;
    fill();
    let full = async {
        while !log_of(&world.dir).contains("the store failed") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), full).await.expect("nothing ever failed");
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.stop();
    rest(hands).await;
    assert!(!world.auditor.open().is_empty(), "what failed was not answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_answered() {
    let home = tempfile::tempdir().unwrap();
    let Some(mount) = Mounted::new(&home.path().join("mount"), "24m") else {
        println!("no disk of its own can be had here; the test of the process's own limit has to do");
        return;
    };
    let mut world = World::new(&mount.0, 13).await;
    load_until_full(&world, || {
        let mut file = fs::File::create(mount.0.join("filler")).unwrap();
        while file.write_all(&[0; 65_536]).is_ok() {}
    })
    .await;
    // With room again it goes on by itself, and is the same after a restart.
    mount.again("size=200m");
    world.account_for_all().await;
    assert_eq!(world.running.terminate().unwrap().code(), Some(0));
    world.restart();
    world.account_for_all().await;
    world.prove_the_ledger().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_lose_nothing_that_was_answered() {
    let home = tempfile::tempdir().unwrap();
    let mut world = World::new(&home.path().join("bank"), 17).await;
    assert!(world.running.terminate().unwrap().success());
    world.running = limited(&world);
    load_until_full(&world, || {}).await;
    assert_eq!(world.running.terminate().unwrap().code(), Some(0));
    world.restart();
    world.account_for_all().await;
    world.prove_the_ledger().await;
}
