//! Text in columns.

use super::paint::{Colour, Paint};

/// A cell: its text, and the colour of it.
#[derive(Clone, Debug)]
pub struct Cell(String, Option<Colour>);

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text, None)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(text.to_owned(), None)
    }
}

impl Cell {
    /// A coloured cell.
    pub fn coloured(text: String, colour: Colour) -> Self {
        Self(text, Some(colour))
    }

    fn width(&self) -> usize {
        self.0.chars().count()
    }
}

/// Rows under a heading, two spaces between columns, nothing trailing. Control characters are shown escaped, so that
/// what a caller sent cannot steer the terminal.
pub fn table(heading: &[&str], rows: Vec<Vec<Cell>>, paint: Paint) -> String {
    let heading = heading
        .iter()
        .map(|text| Cell::coloured((*text).to_owned(), Colour::Bold))
        .collect();
    let rows: Vec<Vec<Cell>> = std::iter::once(heading)
        .chain(rows)
        .map(|row| row.into_iter().map(tame).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(Cell::width)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    rows.iter().map(|row| line(row, &widths, paint)).collect()
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let last = row.iter().rposition(|cell| !cell.0.is_empty()).unwrap_or(0);
    let mut line = String::new();
    for (at, cell) in row.iter().enumerate().take(last + 1) {
        line += &cell
            .1
            .map_or_else(|| cell.0.clone(), |colour| paint.paint(colour, &cell.0));
        if at < last {
            line += &" ".repeat(widths[at] - cell.width() + 2);
        }
    }
    line.push('\n');
    line
}

fn tame(cell: Cell) -> Cell {
    Cell(tamed(&cell.0), cell.1)
}

/// The text with control characters escaped.
pub fn tamed(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_escaped() {
        let rows = vec![
            vec!["a".into(), "✓ done".into(), "".into()],
            vec!["longer".into(), "x\u{1b}[2J".into(), "e".into()],
        ];
        assert_eq!(
            table(&["ID", "STATUS", "ERROR"], rows, Paint::plain()),
            "ID      STATUS      ERROR\na       ✓ done\nlonger  x\\u{1b}[2J  e\n"
        );
    }
}
