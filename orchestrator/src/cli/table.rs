//! Text in columns.

use super::color::{BOLD, Color};
use anstyle::Style;

/// A cell: its text and style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Option<Style>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text: escape_control(&text),
            style: None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A colored cell.
    pub fn styled(text: &str, style: Style) -> Self {
        Self {
            text: escape_control(text),
            style: Some(style),
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows under a heading, two spaces between columns, no trailing spaces.
pub fn table(heading: &[&str], rows: Vec<Vec<Cell>>, color: Color) -> String {
    let heading = heading
        .iter()
        .map(|text| Cell::styled(text, BOLD))
        .collect();
    let rows: Vec<Vec<Cell>> = std::iter::once(heading).chain(rows).collect();

    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(Cell::width);
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();

    rows.iter().map(|row| line(row, &widths, color)).collect()
}

fn line(row: &[Cell], widths: &[usize], color: Color) -> String {
    let last = row
        .iter()
        .rposition(|cell| !cell.text.is_empty())
        .unwrap_or(0);
    let mut line = String::new();

    for (index, cell) in row.iter().enumerate().take(last + 1) {
        match cell.style {
            Some(style) => line += &color.paint(style, &cell.text),
            None => line += &cell.text,
        }
        if index < last {
            line += &" ".repeat(widths[index] - cell.width() + 2);
        }
    }
    line.push('\n');
    line
}

/// The text with its control characters escaped, so that a value that a caller sent cannot control the terminal.
pub fn escape_control(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_escaped() {
        let rows = vec![
            vec!["a".into(), "✓ done".into(), "".into()],
            vec!["longer".into(), "x\u{1b}[2J".into(), "e".into()],
        ];
        assert_eq!(
            table(&["ID", "STATUS", "ERROR"], rows, Color::disabled()),
            "ID      STATUS      ERROR\na       ✓ done\nlonger  x\\u{1b}[2J  e\n"
        );
    }
}
