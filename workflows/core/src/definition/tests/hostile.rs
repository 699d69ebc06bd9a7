//! Texts that want to hang or kill the reader: each is refused, at once.

use super::diagnostics;
use crate::definition::{Definition, limits};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Well under a second as built_in; the interpreter of conditions is ten times slower unoptimised.
const MOST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Refused with that rule, on a stack as small as a worker thread's, in time.
fn refused(name: &str, rule: &str, text: String) {
    assert!(
        text.len() > limits::MAX_FILE_BYTES || rule != "too-large",
        "{name}"
    );
    let begin = Instant::now();
    let lines = diagnostics(&text);
    let took = begin.elapsed();
    assert!(
        lines[0].contains(&format!(": {rule}: ")),
        "{name}: {}",
        lines[0]
    );
    assert!(took < MOST, "{name} took {took:?}");
    assert!(
        lines.iter().map(String::len).sum::<usize>() < 100_000,
        "{name}"
    );
}

fn nested_aliases(levels: usize, width: usize) -> String {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    text
}

#[test]
fn oversized_file_is_rejected_at_once() {
    refused("ten megabytes", "too-large", "a".repeat(10 * 1024 * 1024));
    refused("a billion laughs", "too-complex", nested_aliases(9, 10));
    refused(
        "aliases a thousandfold",
        "too-complex",
        nested_aliases(1000, 2),
    );
    refused(
        "many aliases",
        "too-complex",
        format!("a: &a 1\nb: [{}]", vec!["*a"; 2000].join(", ")),
    );
    refused("block depth 500", "too-complex", "- ".repeat(500) + "x");
    refused(
        "map depth 500",
        "too-complex",
        (0..500).map(|n| " ".repeat(n) + "a:\n").collect(),
    );
    refused(
        "flow depth 500",
        "syntax",
        "[".repeat(500) + &"]".repeat(500),
    );
    refused(
        "json depth 100",
        "too-complex",
        "[".repeat(100) + &"]".repeat(100),
    );
    refused(
        "an open bracket a thousandfold",
        "syntax",
        "[".repeat(limits::MAX_FILE_BYTES),
    );
    refused(
        "an open map a thousandfold",
        "syntax",
        "{a: ".repeat(limits::MAX_FILE_BYTES / 4),
    );
    refused("keys of keys", "too-complex", "? ".repeat(1000) + "x");
    refused("an alias of itself", "syntax", "a: &a [*a]\n".to_owned());
    refused("a merge of itself", "syntax", "a: &a {<<: *a}\n".to_owned());
    refused(
        "many values",
        "too-complex",
        format!("[{}]", "1,".repeat(limits::MAX_FILE_BYTES / 2 - 10)),
    );
    refused("two documents", "syntax", "a: 1\n---\nb: 2\n".to_owned());
    refused("a NUL", "syntax", "a: \0\n".to_owned());
}

#[test]
fn many_mistakes_are_found_at_once() {
    let steps: String = (0..1000)
        .map(|n| format!("  - {{name: s{n}, when: '1 +'}}\n"))
        .collect();
    refused(
        "a thousand steps",
        "too-many-steps",
        format!("workflow: w\nversion: 1\nsteps:\n{steps}"),
    );
    let wide = format!("input{}", "[0]".repeat(100));
    let steps: String = (0..100)
        .map(|n| format!("  - {{name: s{n}, when: '{wide}'}}\n"))
        .collect();
    refused(
        "a hundred conditions",
        "expression-too-large",
        format!("workflow: w\nversion: 1\nsteps:\n{steps}"),
    );
    let bomb = format!("{}input.a", "!".repeat(900));
    refused(
        "a CEL bomb",
        "expression-too-large",
        format!("workflow: w\nversion: 1\nsteps: [{{name: a, when: '{bomb}'}}]"),
    );
    let bomb = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    refused(
        "CEL depth 500",
        "expression-too-large",
        format!("workflow: w\nversion: 1\nsteps: [{{name: a, when: '{bomb}'}}]"),
    );
    let schema = format!(
        "{}{{type: object}}{}",
        "{not: ".repeat(500),
        "}".repeat(500)
    );
    refused(
        "a schema of depth 500",
        "too-complex",
        format!("workflow: w\nversion: 1\ninput_schema: {schema}\n"),
    );
    let schema: String = (0..500)
        .map(|n| format!("{}not:\n", " ".repeat(n + 1)))
        .collect();
    refused(
        "a schema of block depth 500",
        "too-complex",
        format!("workflow: w\nversion: 1\ninput_schema:\n{schema}"),
    );
    let wide = (0..99)
        .map(|n| format!("  - {{name: s{n}, output_schema: {{pattern: '(a{{100}}){{100}}'}}}}\n"));
    let wide = format!(
        "workflow: w\nversion: 1\nsteps:\n{}",
        wide.collect::<String>()
    );
    refused("a hundred large patterns", "schema", wide);
    let keys: String = (0..10_000).map(|n| format!("k{n}: 1\n")).collect();
    refused("ten thousand keys", "unknown-key", keys);
    let same = "version: 1\n".repeat(10_000);
    refused("a key ten thousand times", "duplicate-key", same);
    let needs = vec!["s"; 20_000].join(",");
    let text = format!("workflow: w\nversion: 1\nsteps: [{{name: s, needs: [{needs}]}}]");
    refused("twenty thousand needs", "duplicate-need", text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_text_is_read_or_refused(text in "[a-z0-9:\\-\\[\\]{}*&!?|>'\"%@`#,. \t\n\\\\~<=]{0,200}") {
        let _ = Definition::parse("f", &text);
    }

    #[test]
    fn any_characters_are_read_or_refused(text in "\\PC{0,80}") {
        let _ = Definition::parse("f", &text);
    }

    #[test]
    fn random_pieces_of_definitions_are_read_or_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let _ = Definition::parse("f", &text);
    }

    #[test]
    fn mutilated_definition_never_panics(
        text in crate::testing::texts(),
        hole in any::<proptest::sample::Index>(),
        length in 0..20_usize,
        filling in "[a-z:{}\\[\\]\n \\-&*]{0,6}",
    ) {
        let start = hole.index(text.len());
        let end = (start + length).min(text.len());
        let _ = Definition::parse("f", &format!("{}{filling}{}", &text[..start], &text[end..]));
    }
}

const PIECES: [&str; 24] = [
    "workflow: w\n",
    "version: 1\n",
    "deadline: 1h\n",
    "steps:\n",
    "  - name: a\n",
    "  - name: b\n",
    "    needs: [a]\n",
    "    needs: []\n",
    "    pivot: true\n",
    "    compensation: false\n",
    "    compensation: {timeout: 1s}\n",
    "    retry: {attempts: 2}\n",
    "    retry: &r {first: 1s}\n",
    "    retry: *r\n",
    "    when: input.a == 1\n",
    "    when: |\n      input.a\n",
    "    <<: *r\n",
    "sensitive: [input.a]\n",
    "    timeout: 1s\n",
    "  -\n",
    "---\n",
    "...\n",
    "\t",
    "? ",
];
