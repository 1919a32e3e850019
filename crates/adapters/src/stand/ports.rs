//! Ports for servers that are started, killed and started again where they were.

use std::fs;
use std::io::Result;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that are looked at: above those that services are known by, below those that systems give to whoever asks for
/// any, by default (Linux from 32768, BSD and macOS from 49152).
const FIRST: u16 = 10_000;
const PAST: u16 = 32_768;

/// A port that is free now, and stays so while its server is away: nobody is given it for a connection of his own, as
/// happens to a port that the system chose, and this process is given it once. Where the system gives away all ports, or
/// none of the others is free, it is one of the system's all the same.
///
/// # Errors
/// No port is free at all.
pub fn free_port() -> Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let past = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().and_then(|range| first_given(&range));
    let span = past.unwrap_or(PAST).min(PAST).saturating_sub(FIRST);
    for _ in 0..span {
        // Processes side by side begin far from each other.
        let begin = std::process::id().wrapping_mul(7_919);
        let step = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(begin.wrapping_add(step) % u32::from(span)).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn first_given(range: &str) -> Option<u16> {
    range.split_whitespace().next()?.parse().ok()
}
