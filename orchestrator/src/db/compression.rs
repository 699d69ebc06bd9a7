//! Compression of an outbox row's messages by LZ4.
//!
//! The messages of a batch are much alike. Uncompressed they would be the largest value of a write, which the database logs
//! in full when it is inserted and deletes piece by piece.

use super::errors::DbError;
use std::borrow::Cow;

/// Shorter values do not shrink.
const MIN_BYTES: usize = 512;
/// The first byte of a compressed value. No JSON text begins with it.
const LZ4: u8 = 4;

/// Compresses messages for the table.
pub(super) fn compress(messages: &[u8]) -> Cow<'_, [u8]> {
    if messages.len() < MIN_BYTES {
        return Cow::Borrowed(messages);
    }
    let mut compressed = vec![LZ4];
    compressed.append(&mut lz4_flex::compress_prepend_size(messages));
    Cow::Owned(compressed)
}

/// Decompresses messages from the table.
pub(super) fn decompress(stored: Vec<u8>) -> Result<Vec<u8>, DbError> {
    match stored.split_first() {
        Some((&LZ4, compressed)) => {
            lz4_flex::decompress_size_prepended(compressed).map_err(|error| {
                DbError::Corrupt(format!("an outbox row cannot be decompressed: {error}"))
            })
        }
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compressed_messages_decompress_unchanged(text in "\\[[a-z\"{},:]{0,2000}\\]", times in 1..20_usize) {
            let messages = text.repeat(times).into_bytes();
            let compressed = compress(&messages).into_owned();
            prop_assert!(compressed.len() >= 2, "the table's CHECK requires two bytes");
            prop_assert_eq!(decompress(compressed).expect("it was compressed here"), messages);
        }
    }

    #[test]
    fn similar_messages_compress_to_a_tenth() {
        let messages =
            r#"{"topic":"saga.commands.pay","key":"01a204d6","type":"saga.command"},"#.repeat(50);
        assert!(compress(messages.as_bytes()).len() < messages.len() / 10);
    }

    #[test]
    fn truncated_messages_are_corrupt() {
        let mut compressed = compress(&[b'['; 4_000]).into_owned();
        compressed.truncate(compressed.len() / 2);
        assert!(matches!(decompress(compressed), Err(DbError::Corrupt(_))));
    }
}
