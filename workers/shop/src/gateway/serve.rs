//! The gateway, running.

use super::charges::Charges;
use super::connection::{Cuttable, Cutter};
use super::routes::routes;
use super::wal::Wal;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A payment gateway to try against.
#[derive(Debug, Default)]
pub struct Gateway {
    books: Charges,
    journal: Option<Wal>,
}

/// What its requests share.
#[derive(Debug)]
pub struct Shared(Mutex<Gateway>);

impl Gateway {
    /// With books in memory alone.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// With books that are kept in that file.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is no journal.
    pub fn open(journal: &Path) -> io::Result<Self> {
        let mut books = Charges::default();
        let journal = Some(Wal::open(journal, &mut books)?);
        Ok(Self { books, journal })
    }

    /// ServedStep until the shutdown, then finishes the requests in hand.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let service = routes(Arc::new(Shared(Mutex::new(self))))
            .into_make_service_with_connect_info::<Cutter>();
        axum::serve(Cuttable(listener), service)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

/// The books under their lock.
pub struct Locked<'a>(MutexGuard<'a, Gateway>);

impl std::ops::Deref for Locked<'_> {
    type Target = Charges;

    fn deref(&self) -> &Charges {
        &self.0.books
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Charges {
        &mut self.0.books
    }
}

impl Shared {
    /// The books, for a moment: never across an await.
    pub fn books(&self) -> Locked<'_> {
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the books, and writes down what became of that key before anybody hears of it.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn change<T>(&self, key: &str, change: impl FnOnce(&mut Charges) -> T) -> io::Result<T> {
        let mut locked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Gateway { books, journal } = &mut *locked;
        let before = books.entry(key).is_some();
        let made = change(books);
        if let (false, Some(entry), Some(journal)) = (before, books.entry(key), journal) {
            journal.append(key, entry)?;
        }
        Ok(made)
    }
}
