//! `jangbu up`: the whole bank in one process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::files::write_private;

use crate::bank::Bank;

/// How long the credentials that `up` lays into the directory are good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(30 * 86_400);

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// Where the bank lives.
    #[arg(long, default_value_os_t = crate::default_data())]
    data: PathBuf,
    /// Port on this machine.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Opens the bank and serves it until it is told to end.
///
/// # Errors
/// The port is taken, or the directory can't be used.
pub fn run(args: Args) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(serve(args))
}

fn lay_credentials(bank: &Bank, dir: &Path) -> Result<(), String> {
    for (role, name) in [(Role::Operator, "operator"), (Role::Service, "service")] {
        let token = bank.keys.issue(role, name, RealClock.now(), CREDENTIAL_TTL).map_err(|e| e.to_string())?;
        write_private(&dir.join(format!("{name}.token")), token.as_bytes()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

async fn serve(args: Args) -> Result<(), String> {
    let address = (std::net::Ipv4Addr::LOCALHOST, args.port);
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|e| format!("port {} can't be used ({e}); name another by --port", args.port))?;
    let bank = Bank::open(&args.data, Arc::new(RealClock), Dice::from_os()).await.map_err(|e| e.to_string())?;
    lay_credentials(&bank, &args.data)?;
    for service in crate::services::ALL {
        println!("{} is open at http://127.0.0.1:{}/{}/v1", service.name, args.port, service.name);
    }
    println!("the operator's credential lies in {}", args.data.join("operator.token").display());
    let served = axum::serve(listener, bank.router.clone()).with_graceful_shutdown(told_to_end());
    served.await.map_err(|e| e.to_string())?;
    bank.close().await;
    println!("closed");
    Ok(())
}

async fn told_to_end() {
    let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut term) = term else { return };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
