//! Rust text as far as a style check needs it: without what stands in comments and literals, and by its items.

/// Code with the insides of comments and literals blanked, line for line; and the string literals, each with its line.
pub struct Scrubbed {
    /// The code.
    pub code: String,
    /// String literals: line from 1, text as written.
    pub strings: Vec<(usize, String)>,
}

/// Where a function stands.
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// From `fn` to its closing brace.
    pub lines: usize,
}

/// What a scanner stands in.
enum Inside {
    Code,
    Line,
    Block(usize),
    Text {
        hashes: Option<usize>,
        line: usize,
        text: String,
    },
}

/// Blanks comments and literals.
pub fn scrub(source: &str) -> Scrubbed {
    let chars: Vec<char> = source.chars().collect();
    let (mut code, mut strings, mut inside) = (String::new(), Vec::new(), Inside::Code);
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let (taken, next) = step(&chars[at..], &code, inside, line, &mut strings);
        for c in &chars[at..at + taken.0] {
            line += usize::from(*c == '\n');
            code.push(if taken.1 || *c == '\n' { *c } else { ' ' });
        }
        at += taken.0;
        inside = next;
    }
    Scrubbed { code, strings }
}

/// How many characters belong together, whether they are code, and where the scanner stands behind them.
fn step(
    rest: &[char],
    before: &str,
    inside: Inside,
    line: usize,
    strings: &mut Vec<(usize, String)>,
) -> ((usize, bool), Inside) {
    let next = rest.get(1).copied().unwrap_or(' ');
    match (inside, rest[0]) {
        (Inside::Code, '/') if next == '/' => ((2, false), Inside::Line),
        (Inside::Code, '/') if next == '*' => ((2, false), Inside::Block(1)),
        (Inside::Code, '"') => (
            (1, true),
            Inside::Text {
                hashes: None,
                line,
                text: String::new(),
            },
        ),
        (Inside::Code, 'r') if !before.ends_with(word) || before.ends_with(" b") => match raw(rest)
        {
            Some(hashes) => (
                (hashes + 2, true),
                Inside::Text {
                    hashes: Some(hashes),
                    line,
                    text: String::new(),
                },
            ),
            None => ((1, true), Inside::Code),
        },
        (Inside::Code, '\'') => (literal(rest), Inside::Code),
        (Inside::Code, _) => ((1, true), Inside::Code),
        (Inside::Line, '\n') => ((1, true), Inside::Code),
        (Inside::Line, _) => ((1, false), Inside::Line),
        (Inside::Block(depth), '/') if next == '*' => ((2, false), Inside::Block(depth + 1)),
        (Inside::Block(1), '*') if next == '/' => ((2, false), Inside::Code),
        (Inside::Block(depth), '*') if next == '/' => ((2, false), Inside::Block(depth - 1)),
        (Inside::Block(depth), _) => ((1, false), Inside::Block(depth)),
        (
            Inside::Text {
                hashes: None,
                line,
                mut text,
            },
            '\\',
        ) => {
            text.extend(['\\', next]);
            (
                (rest.len().min(2), false),
                Inside::Text {
                    hashes: None,
                    line,
                    text,
                },
            )
        }
        (Inside::Text { hashes, line, text }, '"') if closes(rest, hashes) => {
            strings.push((line, text));
            ((1 + hashes.unwrap_or(0), true), Inside::Code)
        }
        (
            Inside::Text {
                hashes,
                line,
                mut text,
            },
            c,
        ) => {
            text.push(c);
            ((1, false), Inside::Text { hashes, line, text })
        }
    }
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The number of hashes of a raw string that begins here.
fn raw(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

fn closes(rest: &[char], hashes: Option<usize>) -> bool {
    rest[1..].iter().take_while(|c| **c == '#').count() >= hashes.unwrap_or(0)
}

/// A character, or the quote of a lifetime.
fn literal(rest: &[char]) -> (usize, bool) {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => {
            let end = rest
                .iter()
                .skip(3)
                .position(|c| *c == '\'')
                .map_or(rest.len(), |at| at + 4);
            (end, false)
        }
        (Some(_), Some('\'')) => (3, false),
        _ => (1, true),
    }
}

/// Byte offset right behind the brace that closes the first one at or after `from`.
fn closing(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Where an item begins its body or ends without one: the first `{` or `;` outside of brackets.
fn body(code: &str, from: usize) -> Option<(usize, char)> {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' | ';' if depth == 0 => return Some((from + at, c)),
            _ => {}
        }
    }
    None
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// All functions with a body.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(word) {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| word(*c)).collect();
        if let (false, Some((open, '{'))) = (name.is_empty(), body(code, at)) {
            let (line, last) = (line_of(code, at), line_of(code, closing(code, open) - 1));
            found.push(Function {
                name,
                line,
                lines: last - line + 1,
            });
        }
    }
    found
}

/// What is compiled for tests only: the lines of such items (first and last, from 1), and the modules that stand in
/// files of their own.
pub fn tests_of(code: &str) -> (Vec<(usize, usize)>, Vec<String>) {
    let (mut lines, mut modules) = (Vec::new(), Vec::new());
    for attribute in ["#[cfg(test)]", "#[cfg(any(test"] {
        for (at, _) in code.match_indices(attribute) {
            let Some((open, kind)) = body(code, at + attribute.len()) else {
                continue;
            };
            let end = if kind == '{' {
                closing(code, open)
            } else {
                open + 1
            };
            lines.push((line_of(code, at), line_of(code, end - 1)));
            if let (';', Some((_, name))) = (kind, code[at..open].rsplit_once("mod ")) {
                modules.push(name.trim().to_owned());
            }
        }
    }
    (lines, modules)
}

#[test]
fn comments_literals_and_lifetimes_are_told_apart() {
    let source = "fn a<'x>(s: &'x str) -> char { /* { /* } */ */ '{' } // }\nlet t = r#\"a \"{\" b\"#; let u = \"\\\"}\"; '\\''";
    let Scrubbed { code, strings } = scrub(source);
    assert_eq!(code.chars().count(), source.chars().count());
    assert_eq!(code.matches('{').count(), 1);
    assert_eq!(code.matches('}').count(), 1);
    assert!(code.contains("fn a<'x>(s: &'x str)"));
    let texts: Vec<&str> = strings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["a \"{\" b", "\\\"}"]);
    assert_eq!(strings[0].0, 2);
}

#[test]
fn functions_and_tests_are_found() {
    let code = "fn a() -> [u8; 2] {\n  b()\n}\n#[cfg(test)]\nmod far;\n#[cfg(test)]\nmod near {\n  fn c() {}\n}\ntype F = fn(u8);";
    let found: Vec<_> = functions(code)
        .into_iter()
        .map(|f| (f.name, f.line, f.lines))
        .collect();
    assert_eq!(found, [("a".to_owned(), 1, 3), ("c".to_owned(), 8, 1)]);
    assert_eq!(
        tests_of(code),
        (vec![(4, 5), (6, 9)], vec!["far".to_owned()])
    );
}
