//! A wire that can be cut: connections to it go on to another port, until they don't.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it is with a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What is said is heard.
    Whole = 0,
    /// Nothing is heard any more, and nobody is told.
    Silent = 1,
    /// Connections break, and none can be made.
    Cut = 2,
}

/// How often a wire looks whether it is still whole.
const LOOK: Duration = Duration::from_millis(20);

/// A wire. Its threads end with the process.
pub struct Wire {
    /// Where it begins.
    pub port: u16,
    way: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    /// A wire to a port of this machine.
    pub fn to(there: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, open) = (Arc::<AtomicU8>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let wire = Wire { port, way: Arc::clone(&way), open: Arc::clone(&open) };
        std::thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                if way.load(SeqCst) == Way::Cut as u8 {
                    continue; // dropped, it is closed
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", there)) else { continue };
                open.lock().unwrap().extend([here.try_clone().unwrap(), there.try_clone().unwrap()]);
                let both = (here.try_clone().unwrap(), there.try_clone().unwrap());
                for (from, to) in [(here, there), (both.1, both.0)] {
                    let way = Arc::clone(&way);
                    std::thread::spawn(move || carry(from, to, &way));
                }
            }
        });
        wire
    }

    /// Makes it so from now on.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, SeqCst);
        let mut open = self.open.lock().unwrap();
        if way == Way::Cut {
            open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both))); // some ended by themselves
        }
        open.retain(|stream| stream.peer_addr().is_ok());
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: &AtomicU8) {
    let mut bytes = [0; 16_384];
    let _ = from.set_read_timeout(Some(LOOK));
    loop {
        // What was sent into the silence waits at the other end's door, as on a network that comes back.
        if way.load(SeqCst) == Way::Silent as u8 {
            std::thread::sleep(LOOK);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if to.write_all(&bytes[..count]).is_err() => break,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)); // the other direction ends too
}
