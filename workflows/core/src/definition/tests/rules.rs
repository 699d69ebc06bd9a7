//! Each rule, with the exact place and sentence.

use super::diagnostics;
use crate::definition::{Definition, Rule, limits};

/// A workflow around these steps; they begin in line 4.
fn steps(steps: &str) -> String {
    format!("workflow: w\nversion: 1\nsteps:\n{steps}")
}

/// A rule, a file that breaks it, and what is said. Every line that is expected, and no other.
fn table() -> Vec<(Rule, String, &'static [&'static str])> {
    let many: String = (0..=limits::MAX_STEPS)
        .map(|n| format!("  - name: s{n}\n"))
        .collect();
    let mut table = file_rules();
    table.extend(step_rules());
    table.extend(time_rules());
    table.extend(payload_rules());
    table.extend(graph_rules());
    table.push((
        Rule::TooManySteps,
        steps(&many),
        &["f.yaml:4:3: too-many-steps: there are 101 steps; the limit is 100"],
    ));
    table
}

fn file_rules() -> Vec<(Rule, String, &'static [&'static str])> {
    vec![
        (
            Rule::TooLarge,
            format!("# {}\n", "x".repeat(limits::MAX_FILE_BYTES)),
            &["f.yaml:1:1: too-large: the file has 262147 bytes; the limit is 262144 (256 KiB)"],
        ),
        (
            Rule::TooComplex,
            format!("{}- x", "- ".repeat(40)),
            &[
                "f.yaml:1:65: too-complex: the file is nested too deeply, or has too many values or aliases; \
               the limits are 32 levels, 30000 values and 1000 aliases",
            ],
        ),
        (
            Rule::Syntax,
            "a: b\n c: d\n".to_owned(),
            &[
                "f.yaml:2:3: syntax: the file is not a single YAML document: mapping values are not allowed in this context",
            ],
        ),
        (
            Rule::WrongType,
            "- order\n".to_owned(),
            &["f.yaml:1:1: wrong-type: a workflow is a list; \
               expected a map with the keys workflow, version, deadline, input_schema, sensitive, steps"],
        ),
        (
            Rule::UnknownKey,
            "workflow: w\nversion: 1\ndeadlin: 3h\nowner: me\nsteps: [{name: a}]\n".to_owned(),
            &[
                "f.yaml:3:1: unknown-key: a workflow has no key \"deadlin\"; did you mean `deadline`?",
                "f.yaml:4:1: unknown-key: a workflow has no key \"owner\"; \
                 its keys are workflow, version, deadline, input_schema, sensitive, steps",
            ],
        ),
        (
            Rule::DuplicateKey,
            "workflow: w\nversion: 1\nversion: 2\nsteps: [{name: a}]\n".to_owned(),
            &["f.yaml:3:1: duplicate-key: `version` is already set in line 2; remove one of them"],
        ),
        (
            Rule::MissingKey,
            "deadline: 1h\n".to_owned(),
            &[
                "f.yaml:1:1: missing-key: the workflow has no `workflow`; write its name, such as `workflow: order`",
                "f.yaml:1:1: missing-key: the workflow has no `version`; write its version, such as `version: 1`",
                "f.yaml:1:1: missing-key: the workflow has no `steps`; \
                 write a list of steps, such as `steps: [{name: pay}]`",
            ],
        ),
        (
            Rule::Name,
            "workflow: Order\nversion: 1\nsteps:\n  - name: -a\n".to_owned(),
            &[
                "f.yaml:1:11: name: `workflow` is \"Order\"; \
                 a name has 1 to 63 characters of a-z, 0-9 and -, and does not start with -",
                "f.yaml:4:11: name: a step's `name` is \"-a\"; \
                 a name has 1 to 63 characters of a-z, 0-9 and -, and does not start with -",
            ],
        ),
    ]
}

fn step_rules() -> Vec<(Rule, String, &'static [&'static str])> {
    vec![
        (
            Rule::SensitivePath,
            "workflow: w\nversion: 1\nsensitive: [input, steps.b.x, token, input..x, steps.a.x]\nsteps: [{name: a}]\n"
                .to_owned(),
            &[
                "f.yaml:3:13: sensitive-path: the path \"input\" is incomplete; \
                 expected a path such as `input.payment.token` or `steps.pay.receipt`",
                "f.yaml:3:20: sensitive-path: the path \"steps.b.x\" names the unknown step `b`",
                "f.yaml:3:31: sensitive-path: the path \"token\" starts with neither `input.` nor `steps.`; \
                 expected a path such as `input.payment.token` or `steps.pay.receipt`",
                "f.yaml:3:38: sensitive-path: the path \"input..x\" has an empty field, or a field with white space; \
                 expected a path such as `input.payment.token` or `steps.pay.receipt`",
            ],
        ),
        (
            Rule::Number,
            steps("  - {name: a, retry: {attempts: 1001, factor: 0.5, jitter: .nan}}\n"),
            &[
                "f.yaml:4:33: number: `attempts` is the number 1001; expected 1 to 1000",
                "f.yaml:4:47: number: `factor` is the number 0.5; expected 1 to 10",
                "f.yaml:4:60: number: `jitter` is the number NaN; expected 0 to 1",
            ],
        ),
        (
            Rule::Duration,
            steps("  - {name: a, timeout: 30, retry: {first: 10us, max: soon}}\n"),
            &[
                "f.yaml:4:24: duration: `timeout` is the number 30; \
                 expected a number with a unit, such as 200ms, 30s or 1h 30m",
                "f.yaml:4:43: duration: `first` is \"10us\"; expected 1ms to 365d",
                "f.yaml:4:54: duration: `max` is \"soon\"; \
                 expected a number with a unit, such as 200ms, 30s or 1h 30m",
            ],
        ),
        (
            Rule::ErrorCode,
            steps(&format!(
                "  - {{name: a, retry: {{not_retryable: [declined, \"\", {}]}}}}\n  \
                 - {{name: b, compensation: {{retry: {{not_retryable: [{}]}}}}}}\n",
                "x".repeat(101),
                (0..51).map(|n| format!("c{n},")).collect::<String>(),
            )),
            &[
                "f.yaml:4:49: error-code: the error code \"\" is invalid; expected 1 to 100 characters, without NUL",
                "f.yaml:4:53: error-code: the error code \
                 \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"… \
                 is invalid; expected 1 to 100 characters, without NUL",
                "f.yaml:5:53: error-code: there are 51 error codes; the limit is 50",
            ],
        ),
    ]
}

fn time_rules() -> Vec<(Rule, String, &'static [&'static str])> {
    vec![
        (
            Rule::TimeoutOverDeadline,
            "workflow: w\nversion: 1\ndeadline: 10s\nsteps:\n  - {name: a, timeout: 11s}\n"
                .to_owned(),
            &[
                "f.yaml:5:24: timeout-over-deadline: the timeout 11s exceeds the deadline 10s; \
               shorten it, or extend the deadline",
            ],
        ),
        (
            Rule::ReminderOverTimeout,
            steps(
                "  - {name: a, timeout: 5m, reminder: 10m}\n  - {name: b, reminder: 31s}\n  - {name: c, reminder: 1}\n",
            ),
            &[
                "f.yaml:4:38: reminder-over-timeout: the reminder 10m exceeds the step's timeout 5m; \
                 shorten it, or extend the timeout",
                "f.yaml:5:25: reminder-over-timeout: the reminder 31s exceeds the step's timeout 30s; \
                 shorten it, or extend the timeout",
                "f.yaml:6:25: duration: `reminder` is the number 1; \
                 expected a number with a unit, such as 200ms, 30s or 1h 30m",
            ],
        ),
    ]
}

fn payload_rules() -> Vec<(Rule, String, &'static [&'static str])> {
    vec![
        (
            Rule::Schema,
            "workflow: w\nversion: 1\ninput_schema:\n  properties:\n    a: { type: text }\nsteps: [{name: a}]\n"
                .to_owned(),
            &[
                "f.yaml:5:16: schema: `input_schema` is not a JSON Schema (2020-12): \"text\" is not valid under any of the \
                 schemas listed in the 'anyOf' keyword",
            ],
        ),
        (
            Rule::SchemaReference,
            steps("  - name: a\n    output_schema:\n      properties:\n        b: { $ref: money.json }\n"),
            &[
                "f.yaml:7:20: schema-reference: `output_schema` refers to \"money.json\"; a reference stays in the \
                 same schema, such as `#/$defs/money`; files and URLs are not supported",
            ],
        ),
        (
            Rule::SchemaTooLarge,
            steps(&format!(
                "  - name: a\n    output_schema: {{ description: {} }}\n",
                "x".repeat(limits::MAX_SCHEMA_BYTES)
            )),
            &["f.yaml:5:20: schema-too-large: `output_schema` has 32786 bytes; the limit is 32768"],
        ),
        (
            Rule::Expression,
            steps("  - name: a\n    when: order.total > 5\n"),
            &["f.yaml:5:11: expression: there is no \"order\"; the variables are `input` and `steps`"],
        ),
        (
            Rule::ExpressionTooLarge,
            steps(&format!("  - name: a\n    when: 1{} > 0\n", "+1".repeat(50))),
            &["f.yaml:5:11: expression-too-large: the expression has 103 values, fields and operators; the limit is 100"],
        ),
        (
            Rule::ExpressionFunction,
            steps(
                "  - name: a\n    when: input.items.all(item, item > 1)\n\
                 \x20 - {name: b, when: \"matches(input.a, 'x')\"}\n",
            ),
            &[
                "f.yaml:5:11: expression-function: the macro `all` is not available: \
                 conditions have no loops; the only macro is `has`",
                "f.yaml:6:21: expression-function: `matches` is not available: its cost is not bounded; \
                 use ==, contains, startsWith or endsWith",
            ],
        ),
    ]
}

fn graph_rules() -> Vec<(Rule, String, &'static [&'static str])> {
    vec![
        (
            Rule::NoSteps,
            "workflow: w\nversion: 1\nsteps: []\n".to_owned(),
            &["f.yaml:3:8: no-steps: a workflow needs at least one step, such as `- name: pay`"],
        ),
        (
            Rule::DuplicateStep,
            steps("  - name: a\n  - name: a\n"),
            &[
                "f.yaml:5:11: duplicate-step: the name \"a\" is already used in line 4; step names are unique",
            ],
        ),
        (
            Rule::MissingStep,
            steps("  - name: store\n  - {name: b, needs: [stor, kitchen]}\n"),
            &[
                "f.yaml:5:23: missing-step: there is no step \"stor\"; did you mean `store`?",
                "f.yaml:5:29: missing-step: there is no step \"kitchen\"; add it, or need another step",
            ],
        ),
        (
            Rule::DuplicateNeed,
            steps("  - name: a\n  - {name: b, needs: [a, a]}\n"),
            &["f.yaml:5:26: duplicate-need: `a` is listed twice; list it once"],
        ),
        (
            Rule::Cycle,
            steps(
                "  - {name: a, needs: [c]}\n  - name: b\n  - name: c\n  - {name: d, needs: [d]}\n",
            ),
            &[
                "f.yaml:5:11: cycle: the needs form a cycle: `a` needs `c` needs `b` needs `a`; \
                 remove one of them",
                "f.yaml:7:23: cycle: the needs form a cycle: `d` needs `d`; remove one of them",
            ],
        ),
        (
            Rule::TwoPivots,
            steps("  - {name: a, pivot: true}\n  - {name: b, pivot: true}\n"),
            &[
                "f.yaml:5:22: two-pivots: `a` in line 4 is already the pivot; a workflow has at most one",
            ],
        ),
        (
            Rule::BesidePivot,
            steps("  - {name: a}\n  - {name: p, pivot: true}\n  - {name: b, needs: [a]}\n"),
            &[
                "f.yaml:6:12: beside-pivot: `b` is neither before nor behind the pivot `p`: \
               make one need the other, directly or indirectly",
            ],
        ),
        (
            Rule::CompensationBehindPivot,
            steps("  - {name: p, pivot: true}\n  - {name: b, compensation: {timeout: 5s}}\n"),
            &[
                "f.yaml:5:29: compensation-behind-pivot: `b` is behind the pivot `p`, where steps are not compensated; \
               write `false`, or remove this",
            ],
        ),
        (
            Rule::AttemptsBehindPivot,
            steps("  - {name: p, pivot: true}\n  - {name: b, retry: {first: 1s, attempts: 5}}\n"),
            &[
                "f.yaml:5:44: attempts-behind-pivot: `b` is behind the pivot `p`, \
               where a step is retried until it completes; remove this",
            ],
        ),
    ]
}

#[test]
fn each_rule_has_its_place_and_its_sentence() {
    let table = table();
    for (rule, text, expected) in &table {
        assert_eq!(diagnostics(text), *expected, "{rule}\n{text:.500}");
        let mark = format!(": {rule}: ");
        assert!(expected.iter().any(|line| line.contains(&mark)), "{rule}");
    }
    for rule in Rule::ALL {
        assert!(
            table.iter().any(|(tested, ..)| *tested == rule),
            "{rule} has no test"
        );
    }
}

#[test]
fn all_diagnostics_are_reported_in_file_order() {
    let text = "\
verson: 1
version: 0
deadline: 400d
steps:
  - name: pay
    needs:
    timeout: 30
  - name: pay
    pivot: yes
    needs: [stor]
    compensation: 5
  - wrker: x
  - 5
  - name: 7
    1: 2
    [a]: b
workflow: 5
";
    let expected = [
        "f.yaml:1:1: unknown-key: a workflow has no key \"verson\"; did you mean `version`?",
        "f.yaml:2:10: number: `version` is the number 0; expected 1 to 2147483647",
        "f.yaml:3:11: duration: `deadline` is \"400d\"; expected 1ms to 365d",
        "f.yaml:6:10: wrong-type: `needs` is null; expected a list of steps, or `[]` to start at once",
        "f.yaml:7:14: duration: `timeout` is the number 30; \
         expected a number with a unit, such as 200ms, 30s or 1h 30m",
        "f.yaml:8:11: duplicate-step: the name \"pay\" is already used in line 5; step names are unique",
        "f.yaml:9:12: wrong-type: `pivot` is the string \"yes\"; expected `true` or `false`",
        "f.yaml:10:13: missing-step: there is no step \"stor\"; add it, or need another step",
        "f.yaml:11:19: wrong-type: `compensation` is the number 5; \
         expected `true`, `false`, or a map with the keys timeout, retry",
        "f.yaml:12:5: unknown-key: a step has no key \"wrker\"; did you mean `worker`?",
        "f.yaml:12:5: missing-key: a step has no `name`; write its name, such as `name: pay`",
        "f.yaml:13:5: wrong-type: a step is the number 5; \
         expected a map with the keys name, worker, needs, timeout, reminder, retry, when, pivot, compensation, output_schema",
        "f.yaml:14:11: wrong-type: a step's `name` is the number 7; expected a string; put it in quotes",
        "f.yaml:15:5: wrong-type: a key of a step is the number 1; \
         the keys of a step are name, worker, needs, timeout, reminder, retry, when, pivot, compensation, output_schema",
        "f.yaml:16:5: wrong-type: a key of a step is a list; \
         the keys of a step are name, worker, needs, timeout, reminder, retry, when, pivot, compensation, output_schema",
        "f.yaml:17:11: wrong-type: `workflow` is the number 5; expected a string; put it in quotes",
    ];
    assert_eq!(diagnostics(text), expected);
}

#[test]
fn aliased_value_is_reported_once() {
    let text = steps(
        "  - {name: a, retry: &r {attempts: 0}}\n  - {name: b, retry: *r}\n  - {name: c, retry: {<<: *r}}\n",
    );
    assert_eq!(
        diagnostics(&text),
        ["f.yaml:4:36: number: `attempts` is the number 0; expected 1 to 1000"]
    );
}

#[test]
fn more_than_a_hundred_mistakes_are_counted() {
    let text = steps("  - name: a\n") + &(0..150).map(|n| format!("k{n}: 1\n")).collect::<String>();
    let diagnostics = Definition::parse("f.yaml", &text).expect_err("it has 150 unknown keys");
    assert_eq!((diagnostics.list.len(), diagnostics.omitted), (100, 50));
    assert!(
        diagnostics.to_string().ends_with("\nf.yaml: and 50 more"),
        "{diagnostics}"
    );
}

#[test]
fn rule_names_are_unique_kebab_case() {
    let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    assert!(names.iter().all(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    }));
}
