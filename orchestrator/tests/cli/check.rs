//! `check FILE…`: verdicts, errors and exit codes.

use super::program::run;

fn write_file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("failed to write the file");
    path.to_str().expect("the path is not UTF-8").to_owned()
}

#[test]
fn check_built_in_workflow_is_complete() {
    let order = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../workflows/definitions/order.yaml"
    );
    let output = run(&["check", order]);

    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(
        output
            .stdout
            .contains("workflow order version 1, 4 steps, pivot deliver"),
        "{output:?}"
    );

    let (states, line) = exploration(&output.stdout);
    assert!(states >= 10_000 && line.ends_with(" complete"), "{line}");
    assert!(
        output.stdout.contains("\nbound: at most 2 attempts"),
        "{output:?}"
    );
}

/// The number of explored states, and the line that reports it.
fn exploration(stdout: &str) -> (u64, &str) {
    let line = stdout
        .lines()
        .find(|line| line.starts_with("states "))
        .expect("no line starts with `states`");
    let fields: Vec<_> = line.split(' ').collect();

    assert_eq!(
        (fields[0], fields[2], fields[4]),
        ("states", "depth", "moves"),
        "{line}"
    );
    (fields[1].parse().expect("not a number"), line)
}

#[test]
fn check_large_workflow_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let steps: String = (0..40)
        .map(|step| {
            format!(
                "  - name: s{step}\n    needs: []\n    timeout: {}s\n",
                step + 1
            )
        })
        .collect();
    let wide = write_file(
        &folder,
        "wide.yaml",
        &format!("workflow: wide\nversion: 1\nsteps:\n{steps}"),
    );
    let output = run(&["check", "--max-time", "1s", &wide]);

    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        exploration(&output.stdout).1.ends_with(" bounded"),
        "{output:?}"
    );

    let order = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../workflows/definitions/order.yaml"
    );
    let output = run(&["check", "--max-states", "1000", order]);
    let (states, line) = exploration(&output.stdout);

    assert!(
        (1000..2000).contains(&states) && line.ends_with(" bounded"),
        "{line}"
    );
    assert_eq!(run(&["check", "--max-time", "soon", order]).code, 2);
}

#[test]
fn check_reports_all_errors_with_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    let bad = write_file(
        &folder,
        "bad.yaml",
        "workflow: x\nversion: 1\nsteps:\n  - name: a\n    needs: [missing]\n    odd: 1\n",
    );
    let good = write_file(
        &folder,
        "good.yaml",
        "workflow: x\nversion: 1\nsteps:\n  - name: a\n",
    );
    let output = run(&["check", &bad, &good]);

    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stdout.contains("good.yaml: workflow x version 1"),
        "{output:?}"
    );

    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");

    let line_number = |line: &str| {
        line.strip_prefix(&format!("{bad}:"))
            .and_then(|rest| rest.split(':').next()?.parse::<u32>().ok())
    };
    assert!(
        lines
            .iter()
            .all(|line| line_number(line).is_some_and(|number| number >= 5)),
        "expected FILE:LINE:COL: {output:?}"
    );
}

#[test]
fn check_missing_file_is_a_usage_error() {
    let output = run(&["check", "/nowhere.yaml"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("/nowhere.yaml cannot be read"),
        "{output:?}"
    );
    assert_eq!(run(&["check"]).code, 2);
}
