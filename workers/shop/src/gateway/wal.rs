//! The write-ahead log of the gateway: a line of JSON per key, appended before the answer is sent.
//!
//! It survives the end of the process. It is not flushed to the disk, so a power failure may lose its
//! last lines.

use super::charges::{Charges, Entry};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(flatten)]
    entry: Entry,
}

/// The file, open for appending.
#[derive(Debug)]
pub struct Wal(File);

impl Wal {
    /// Opens the file and restores its entries. A partial last line is cut off.
    ///
    /// # Errors
    /// If the file cannot be read or written, or another line is invalid.
    pub fn open(path: &Path, charges: &mut Charges) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;

        let mut reader = BufReader::new(&file);
        let mut valid_bytes = 0;
        let mut text = String::new();
        while reader.read_line(&mut text)? > 0 {
            if !text.ends_with('\n') {
                break;
            }
            let Line { key, entry } = serde_json::from_str(&text)?;
            charges.restore(key, entry);
            valid_bytes += text.len() as u64;
            text.clear();
        }

        file.set_len(valid_bytes)?;
        file.flush()?;
        Ok(Self(file))
    }

    /// Appends the result of a key.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, key: &str, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            key: key.to_owned(),
            entry: entry.clone(),
        })?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::ChargeRequest;

    #[test]
    fn wal_restores_charges_and_drops_partial_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.jsonl");
        let request = ChargeRequest {
            amount: 5,
            currency: "EUR".to_owned(),
            token: "tok_visa".to_owned(),
        };
        let mut wal = Wal::open(&path, &mut Charges::default()).unwrap();
        wal.append("a", &Entry::Charged(request.clone())).unwrap();
        wal.0.write_all(b"{\"key\":\"b\",").unwrap();
        for _ in 0..2 {
            let mut charges = Charges::default();
            let mut wal = Wal::open(&path, &mut charges).unwrap();
            assert_eq!(charges.entry("a"), Some(&Entry::Charged(request.clone())));
            assert_eq!(charges.entry("b"), None);
            wal.append("c", &Entry::Voided).unwrap();
        }
    }
}
