//! The port.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// What to do if the port is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortTaken {
    /// Say so and end.
    #[default]
    Fail,
    /// Take any free one.
    TakeAnother,
}

/// Takes the port, ready for tokio.
pub(super) fn take(address: SocketAddr, taken: PortTaken) -> io::Result<TcpListener> {
    let listener = match TcpListener::bind(address) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && taken == PortTaken::TakeAnother =>
        {
            TcpListener::bind(SocketAddr::new(address.ip(), 0))?
        }
        bound => bound?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What to do about it.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has this port: end it, or choose one with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose another with --listen"
        }
        _ => "",
    }
}

/// Where a browser on this machine finds what listens there: `HOST:PORT`.
pub(super) fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{}", address.port()),
        _ => address.to_string(),
    }
}
