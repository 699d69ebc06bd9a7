//! Cursors: opaque texts that mark the end of a page.

use super::problem::Problem;
use super::query::Parameters;
use uuid::Uuid;

/// The cursor of the page after a saga.
pub fn encode_saga(id: Uuid) -> String {
    format!("s{}", id.simple())
}

/// The parameter `cursor` of a list of sagas.
///
/// # Errors
/// 400 for an invalid cursor.
pub fn saga_cursor(parameters: &Parameters) -> Result<Option<Uuid>, Problem> {
    parameters.parsed("cursor", INVALID, decode_saga)
}

/// The cursor of the page after a history entry.
pub fn encode_entry((revision, n): (u64, u32)) -> String {
    format!("h{revision:x}.{n:x}")
}

/// The parameter `cursor` of a history.
///
/// # Errors
/// 400 for an invalid cursor.
pub fn entry_cursor(parameters: &Parameters) -> Result<Option<(u64, u32)>, Problem> {
    parameters.parsed("cursor", INVALID, decode_entry)
}

const INVALID: &str = "must be a cursor from a previous response";

fn decode_saga(text: &str) -> Option<Uuid> {
    let hex = text.strip_prefix('s').filter(|hex| hex.len() == 32)?;
    Uuid::try_parse(hex).ok()
}

fn decode_entry(text: &str) -> Option<(u64, u32)> {
    let (revision, n) = text.strip_prefix('h')?.split_once('.')?;
    let revision = u64::from_str_radix(revision, 16).ok()?;
    let n = u32::from_str_radix(n, 16).ok()?;

    // The parser also accepts other spellings, such as leading zeros.
    (encode_entry((revision, n)) == text).then_some((revision, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encoded_cursors_are_decoded() {
        let id = Uuid::now_v7();
        assert_eq!(decode_saga(&encode_saga(id)), Some(id));
        assert_eq!(decode_entry(&encode_entry((300, 2))), Some((300, 2)));

        let id = id.to_string();
        for invalid in [
            "", "s", "h", "h1", "h+1.0", "h1.", "sxyz", &id, "s{}", "h01.0",
        ] {
            assert_eq!(decode_saga(invalid), None, "{invalid}");
            assert_eq!(decode_entry(invalid), None, "{invalid}");
        }
    }
}
