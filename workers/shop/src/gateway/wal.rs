//! The books on disk: one line of JSON for each key that got its answer, appended before the answer goes out. It
//! survives the process, however it ends; a power failure may cost its last lines.

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
    /// Reads what is there into the books. A last line that was cut off is cut away; any other that cannot be read is
    /// an error.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is no journal.
    pub fn open(path: &Path, books: &mut Charges) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut reader = BufReader::new(&file);
        let mut whole = 0;
        let mut text = String::new();
        while reader.read_line(&mut text)? > 0 {
            if !text.ends_with('\n') {
                break;
            }
            let Line { key, entry } = serde_json::from_str(&text)?;
            books.restore(key, entry);
            whole += text.len() as u64;
            text.clear();
        }
        file.set_len(whole)?;
        file.flush()?;
        Ok(Self(file))
    }

    /// Appends what became of a key.
    ///
    /// # Errors
    /// If the disk does not take it.
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
    fn the_books_are_found_again_and_half_a_line_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.jsonl");
        let request = ChargeRequest {
            amount: 5,
            currency: "EUR".to_owned(),
            token: "tok_visa".to_owned(),
        };
        let mut journal = Wal::open(&path, &mut Charges::default()).unwrap();
        journal
            .append("a", &Entry::Charged(request.clone()))
            .unwrap();
        journal.0.write_all(b"{\"key\":\"b\",").unwrap();
        for _ in 0..2 {
            let mut books = Charges::default();
            let mut journal = Wal::open(&path, &mut books).unwrap();
            assert_eq!(books.entry("a"), Some(&Entry::Charged(request.clone())));
            assert_eq!(books.entry("b"), None);
            journal.append("c", &Entry::Voided).unwrap();
        }
    }
}
