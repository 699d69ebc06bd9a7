//! The port of the HTTP server.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// What to do if the port is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortTaken {
    #[default]
    Fail,
    /// Bind any free port.
    BindFreePort,
}

/// Binds the port for tokio.
pub(super) fn bind(address: SocketAddr, port_taken: PortTaken) -> io::Result<TcpListener> {
    let listener = match TcpListener::bind(address) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && port_taken == PortTaken::BindFreePort =>
        {
            TcpListener::bind(SocketAddr::new(address.ip(), 0))?
        }
        result => result?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// How to solve the error, for its message.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has this port: stop it, or choose another port with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose another port with --listen"
        }
        _ => "",
    }
}

/// `HOST:PORT` for a browser on this machine.
pub(super) fn reachable_address(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{}", address.port()),
        _ => address.to_string(),
    }
}
