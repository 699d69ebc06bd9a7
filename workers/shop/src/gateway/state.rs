//! The gateway's state and its lock.

use super::charges::{ChargeReport, Charges};
use super::wal::Wal;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// A simulated payment gateway.
#[derive(Debug, Default)]
pub struct Gateway {
    charges: Charges,
    wal: Option<Wal>,
}

impl Gateway {
    /// A gateway whose charges are lost when the process ends.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// A gateway whose charges are kept in a file.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has other content.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut charges = Charges::default();
        let wal = Some(Wal::open(path, &mut charges)?);
        Ok(Self { charges, wal })
    }
}

/// The gateway that the requests share.
#[derive(Debug)]
pub struct SharedGateway(Mutex<Gateway>);

impl SharedGateway {
    pub fn new(gateway: Gateway) -> Self {
        Self(Mutex::new(gateway))
    }

    fn lock(&self) -> MutexGuard<'_, Gateway> {
        self.0.lock().expect("lock poisoned")
    }

    pub fn heal(&self) {
        self.lock().charges.heal();
    }

    pub fn report(&self) -> ChargeReport {
        self.lock().charges.report()
    }

    /// Applies a change for a key. If the key got its result by it, the result is logged before the
    /// lock is released, so that no answer precedes its log entry.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn update<T>(&self, key: &str, change: impl FnOnce(&mut Charges) -> T) -> io::Result<T> {
        let mut gateway = self.lock();
        let Gateway { charges, wal } = &mut *gateway;

        let was_known = charges.entry(key).is_some();
        let result = change(charges);
        if let (false, Some(entry), Some(wal)) = (was_known, charges.entry(key), wal) {
            wal.append(key, entry)?;
        }
        Ok(result)
    }
}
