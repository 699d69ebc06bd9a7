//! An outbox row's messages as they are stored: compressed by LZ4 from a size on. Those of a batch are much alike, and
//! uncompressed the largest value of a write: logged in full when it comes, deleted piece by piece when it goes.

use super::DbError;
use std::borrow::Cow;

/// Below it there is nothing to gain.
const WORTH_IT: usize = 512;
/// The first byte of a compressed value; JSON never begins with it.
const LZ4: u8 = 4;

/// For the table.
pub(super) fn pack(messages: &[u8]) -> Cow<'_, [u8]> {
    if messages.len() < WORTH_IT {
        return Cow::Borrowed(messages);
    }
    let mut packed = vec![LZ4];
    packed.append(&mut lz4_flex::compress_prepend_size(messages));
    Cow::Owned(packed)
}

/// From the table.
pub(super) fn unpack(stored: Vec<u8>) -> Result<Vec<u8>, DbError> {
    match stored.split_first() {
        Some((&LZ4, packed)) => lz4_flex::decompress_size_prepended(packed).map_err(|error| {
            DbError::Corrupt(format!("an outbox row cannot be decompressed: {error}"))
        }),
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(text in "\\[[a-z\"{},:]{0,2000}\\]", times in 1..20_usize) {
            let messages = text.repeat(times).into_bytes();
            let packed = pack(&messages).into_owned();
            prop_assert!(packed.len() >= 2, "the table wants two bytes at least");
            prop_assert_eq!(unpack(packed).expect("it was packed here"), messages);
        }
    }

    #[test]
    fn like_messages_shrink_to_a_fraction() {
        let messages =
            r#"{"topic":"saga.commands.pay","key":"01a204d6","type":"saga.command"},"#.repeat(50);
        assert!(pack(messages.as_bytes()).len() < messages.len() / 10);
    }

    #[test]
    fn what_is_torn_is_corrupt() {
        let mut packed = pack(&[b'['; 4_000]).into_owned();
        packed.truncate(packed.len() / 2);
        assert!(matches!(unpack(packed), Err(DbError::Corrupt(_))));
    }
}
