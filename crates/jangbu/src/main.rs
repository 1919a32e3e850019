//! The one binary: the whole bank in one process, any service alone, and the tools around them.

#![warn(clippy::print_stdout)] // it panics when nobody reads: see [`say`]

mod bank;
mod bench;
mod check;
mod clock;
mod config;
mod console;
mod customers;
mod feed;
mod keys;
mod migrate;
#[cfg(test)]
mod seeds;
mod serve;
mod services;
mod shared;
mod sim;
mod store;
mod token;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jangbu_platform::telemetry::logging::{self, LogFormat};

use crate::config::Telemetry;

/// Postings and requests are many small pieces of memory, made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a command could not do what it was told.
#[derive(Debug)]
pub enum Failure {
    /// It was told nonsense.
    Use(String),
    /// The world failed.
    World(String),
}

impl From<jangbu_platform::db::Fault> for Failure {
    fn from(fault: jangbu_platform::db::Fault) -> Self {
        Failure::World(fault.to_string())
    }
}

/// What a command answers; a `No` is an answer too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Done,
    /// The answer is no.
    No,
}

/// How every command ends.
pub type Ended = Result<Verdict, Failure>;

#[derive(Parser)]
#[command(name = "jangbu", version, about = "An open-source core-banking system")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Lines of the log: human or json; human unless told here or in a configuration.
    #[arg(long, global = true, value_parser = ["human", "json"])]
    log_format: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// The whole bank in one process on embedded engines.
    Up(up::Args),
    /// One service alone.
    Serve(serve::Args),
    /// Brings the schemas to what this program needs.
    Migrate(migrate::Args),
    /// Reads everything and proves the books; 1 when anything breaks.
    Check(check::Args),
    /// Measures; makes its own data, proves the books, cleans up.
    Bench(bench::Args),
    /// A credential, signed with the bank's key, alone on stdout.
    Token(token::Args),
    /// The keys that sign credentials: shows them, makes a new one, takes one away.
    Keys(keys::Args),
    /// The whole bank in one deterministic simulation; 1 when a seed fails.
    Sim(sim::Args),
    /// Publishes euro reference rates of past days as boards, one after the other.
    Feed(feed::Args),
    /// Who asks and tells whom.
    Services,
}

impl Command {
    /// What the log tells unless `JANGBU_LOG` says otherwise: a bank on a terminal is not drowned in its own calls.
    fn telemetry(&self) -> Telemetry {
        let filter = match self {
            Command::Up(_) => "info,access=warn,audit=warn",
            Command::Serve(args) => return args.telemetry().unwrap_or_default(),
            Command::Sim(_) => "off",
            Command::Bench(_)
            | Command::Migrate(_)
            | Command::Check(_)
            | Command::Token(_)
            | Command::Keys(_)
            | Command::Feed(_)
            | Command::Services => "warn",
        };
        Telemetry { filter: filter.to_owned(), ..Telemetry::default() }
    }
}

/// Says a line on stdout. Nobody need be listening: a bank does not end because its terminal did.
pub fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Where `up` keeps the bank unless told otherwise.
fn default_data() -> PathBuf {
    PathBuf::from("jangbu-data")
}

/// Where asynchronous work runs: a thread per core.
///
/// # Errors
/// The threads can't be had.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Failure::World(format!("could not start the runtime: {e}")))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Telemetry { format, filter } = cli.command.telemetry();
    let filter = std::env::var("JANGBU_LOG").unwrap_or(filter);
    let format = match cli.log_format.as_deref() {
        Some("json") => LogFormat::Json,
        Some(_) => LogFormat::Human,
        None => format,
    };
    let log = logging::start(format, &filter).map_err(Failure::Use);
    let ended = log.and_then(|guard| {
        let ended = match cli.command {
            Command::Up(args) => up::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Migrate(args) => migrate::run(args),
            Command::Check(args) => check::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Token(args) => token::run(args),
            Command::Keys(args) => keys::run(args),
            Command::Sim(args) => sim::run(args),
            Command::Feed(args) => feed::run(args),
            Command::Services => {
                say(services::drawing().trim_end());
                Ok(Verdict::Done)
            }
        };
        drop(guard); // lines that wait are written before the last word
        ended
    });
    match ended {
        Ok(Verdict::Done) => ExitCode::from(0),
        Ok(Verdict::No) => ExitCode::from(1),
        Err(Failure::Use(why)) => {
            eprintln!("jangbu: {why}");
            ExitCode::from(2)
        }
        Err(Failure::World(why)) => {
            eprintln!("jangbu: {why}");
            ExitCode::from(3)
        }
    }
}
