//! The one binary: the whole bank in one process, and the tools around it.

mod bank;
mod services;
mod token;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Done.
const DONE: u8 = 0;
/// The world failed.
const WORLD_FAILED: u8 = 3;

#[derive(Parser)]
#[command(name = "jangbu", version, about = "An open-source core-banking system")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole bank in one process on embedded engines.
    Up(up::Args),
    /// A credential, signed with the bank's key, alone on stdout.
    Token(token::Args),
    /// Who asks and tells whom.
    Services,
}

/// Where `up` keeps the bank unless told otherwise.
fn default_data() -> PathBuf {
    PathBuf::from("jangbu-data")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .init();
    let done = match cli.command {
        Command::Up(args) => up::run(args),
        Command::Token(args) => token::run(args),
        Command::Services => {
            print!("{}", services::drawing());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::from(DONE),
        Err(why) => {
            eprintln!("jangbu: {why}");
            ExitCode::from(WORLD_FAILED)
        }
    }
}
