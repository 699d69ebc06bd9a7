//! Connections that a request handler can drop, to simulate a lost answer.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Drops a connection: writing to it fails from then on.
#[derive(Clone, Debug, Default)]
pub struct Dropper(Arc<AtomicBool>);

impl Dropper {
    /// Drops the connection.
    pub fn drop_connection(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Accepts connections that can be dropped.
pub struct DroppableListener(pub TcpListener);

/// A connection that can be dropped.
pub struct DroppableStream {
    stream: TcpStream,
    dropper: Dropper,
}

impl Listener for DroppableListener {
    type Io = DroppableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DroppableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // An answer is one small packet: without TCP_NODELAY it would wait for more.
        let _ = stream.set_nodelay(true);
        (
            DroppableStream {
                stream,
                dropper: Dropper::default(),
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, DroppableListener>> for Dropper {
    fn connect_info(stream: IncomingStream<'_, DroppableListener>) -> Self {
        stream.io().dropper.clone()
    }
}

impl AsyncRead for DroppableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for DroppableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.dropper.0.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
