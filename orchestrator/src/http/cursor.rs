//! Cursors: where a page ended, as text that promises nothing but to be taken back.

use uuid::Uuid;

/// After that saga.
pub fn write_saga(id: Uuid) -> String {
    format!("s{}", id.simple())
}

/// What [`write_saga`] wrote.
pub fn read_saga(text: &str) -> Option<Uuid> {
    let hex = text.strip_prefix('s').filter(|hex| hex.len() == 32)?;
    Uuid::try_parse(hex).ok()
}

/// After that history entry.
pub fn write_entry((revision, n): (u64, u32)) -> String {
    format!("h{revision:x}.{n:x}")
}

/// What [`write_entry`] wrote.
pub fn read_entry(text: &str) -> Option<(u64, u32)> {
    let (revision, n) = text.strip_prefix('h')?.split_once('.')?;
    let position = (
        u64::from_str_radix(revision, 16).ok()?,
        u32::from_str_radix(n, 16).ok()?,
    );
    (write_entry(position) == text).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let id = Uuid::now_v7();
        assert_eq!(read_saga(&write_saga(id)), Some(id));
        assert_eq!(read_entry(&write_entry((300, 2))), Some((300, 2)));
        for other in [
            "",
            "s",
            "h",
            "h1",
            "h+1.0",
            "h1.",
            "sxyz",
            &id.to_string(),
            "s{}",
            "h01.0",
        ] {
            assert_eq!(read_saga(other), None, "{other}");
            assert_eq!(read_entry(other), None, "{other}");
        }
    }
}
