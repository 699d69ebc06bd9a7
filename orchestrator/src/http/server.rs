//! Serving: takes connections until told to stop, then finishes what is in hand.

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

/// More than any proxy opens; each costs a few tens of kilobytes. Past it, connections wait in the kernel's queue.
const CONNECTIONS_MOST: usize = 10_000;
/// A connection on which nothing moves for so long is closed: more than the longest wait, and than a stream's silence.
const IDLE_MOST: Duration = Duration::from_secs(90);
/// For what is in hand once told to stop: the longest `Prefer: wait` and a little more, within a pod's grace period.
const DRAIN_MOST: Duration = Duration::from_secs(32);

/// ServedStep until `shutdown` is cancelled and what was in hand by then is answered, or 32 s have passed.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = Bounded {
        listener,
        permits: Arc::new(Semaphore::new(CONNECTIONS_MOST)),
    };
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_MOST).await;
    };
    // Made once: a bare router is built anew for each connection, 18 KB of it.
    let router = router.into_make_service();
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = async { serving.await } => served,
        () = drained => {
            tracing::warn!("requests still in hand after {} s are cut off", DRAIN_MOST.as_secs());
            Ok(())
        }
    }
}

/// A listener with a limit on open connections.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (stream, from) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
        (
            Connection {
                stream,
                idle: Box::pin(tokio::time::sleep(IDLE_MOST)),
                _permit: permit,
            },
            from,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back when it is closed, and is closed when nothing moves on it.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Something moved, or nothing has for too long.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_MOST);
            return polled;
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
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watched(cx, polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, polled)
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

    async fn bound() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn what_is_in_hand_is_answered_before_the_end() {
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&go_on));
        let handler = move || async move {
            tell.notify_one();
            wait.notified().await;
            "answered"
        };
        let (listener, address) = bound().await;
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(
            listener,
            Router::new().route("/", get(handler)),
            shutdown.clone(),
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: us\r\n\r\n")
            .await
            .unwrap();
        arrived.notified().await;
        shutdown.cancel();
        go_on.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("answered"),
            "{answer}"
        );
        served.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_does_not_hold_the_end_up() {
        let (listener, address) = bound().await;
        let shutdown = CancellationToken::new();
        let arrived = Arc::new(Notify::new());
        let tell = Arc::clone(&arrived);
        let handler = move || async move {
            tell.notify_one();
            std::future::pending::<()>().await;
        };
        let served = tokio::spawn(serve(
            listener,
            Router::new().route("/", get(handler)),
            shutdown.clone(),
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: us\r\n\r\n")
            .await
            .unwrap();
        arrived.notified().await;
        let began = Instant::now();
        shutdown.cancel();
        served.await.unwrap().unwrap();
        assert!(began.elapsed() >= DRAIN_MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let (listener, address) = bound().await;
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, Router::new(), shutdown));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let began = Instant::now();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(began.elapsed() <= IDLE_MOST * 2);
    }
}
