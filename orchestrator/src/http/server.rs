//! The server: accepts connections until shutdown, then finishes the requests in flight.

use axum::Router;
use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// More than proxies open; a connection costs tens of kilobytes. Further connections wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// A connection without traffic is closed after this time: longer than the longest `Prefer: wait`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The time for requests in flight at shutdown: longer than the longest `Prefer: wait`, shorter than a pod's grace period.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(32);

/// Serves until `shutdown` is cancelled and the requests in flight are finished, for at most `DRAIN_TIMEOUT`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = LimitedListener {
        listener,
        permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    };

    // Converted once: axum rebuilds a bare router for each connection, 18 KB of it.
    let service = router.into_make_service();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());

    let drain_expired = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };

    // A request that never finishes must not delay the shutdown forever.
    tokio::select! {
        result = async { server.await } => result,
        () = drain_expired => {
            tracing::warn!(
                timeout_s = DRAIN_TIMEOUT.as_secs(),
                "shutdown timed out, closing connections with requests in flight"
            );
            Ok(())
        }
    }
}

/// A listener with a limit on open connections.
struct LimitedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permits = Arc::clone(&self.permits);
        let permit = permits
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");

        let (stream, address) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }

        let connection = Connection {
            stream,
            idle: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)),
            _permit: permit,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that times out when idle, and releases its permit when it is closed.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Restarts the idle timer after I/O, else fails once it has expired.
    fn with_idle_timeout<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
            return result;
        }

        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.with_idle_timeout(cx, result)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.with_idle_timeout(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.with_idle_timeout(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: us\r\n\r\n";

    async fn bind() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn shutdown_waits_for_requests_in_flight() {
        let received = Arc::new(Notify::new());
        let released = Arc::new(Notify::new());
        let handler = {
            let received = Arc::clone(&received);
            let released = Arc::clone(&released);
            move || async move {
                received.notify_one();
                released.notified().await;
                "finished"
            }
        };
        let (listener, address) = bind().await;
        let shutdown = CancellationToken::new();
        let router = Router::new().route("/", get(handler));
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        received.notified().await;
        shutdown.cancel();
        released.notify_one();

        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(response.ends_with("finished"), "{response}");
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_times_out_with_a_stuck_request() {
        let received = Arc::new(Notify::new());
        let handler = {
            let received = Arc::clone(&received);
            move || async move {
                received.notify_one();
                std::future::pending::<()>().await;
            }
        };
        let (listener, address) = bind().await;
        let shutdown = CancellationToken::new();
        let router = Router::new().route("/", get(handler));
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        received.notified().await;
        let started = Instant::now();
        shutdown.cancel();

        server.await.unwrap().unwrap();
        assert!(started.elapsed() >= DRAIN_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_is_closed() {
        let (listener, address) = bind().await;
        tokio::spawn(serve(listener, Router::new(), CancellationToken::new()));

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let started = Instant::now();

        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(started.elapsed() <= IDLE_TIMEOUT * 2);
    }
}
