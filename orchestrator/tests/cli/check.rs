//! `check FILE…`.

use super::program::run;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder can be written");
    path.to_str().expect("its name is text").to_owned()
}

#[test]
fn check_built_in_workflow_is_complete() {
    let order = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../workflows/definitions/order.yaml"
    );
    let ran = run(&["check", order]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout
            .contains("workflow order version 1, 4 steps, pivot deliver"),
        "{ran:?}"
    );
    let (states, line) = explored(&ran.stdout);
    assert!(states >= 10_000 && line.ends_with(" complete"), "{line}");
    assert!(
        ran.stdout.contains("\nbound: at most 2 attempts"),
        "{ran:?}"
    );
}

/// How many states were explored, and the whole line.
fn explored(stdout: &str) -> (u64, &str) {
    let line = stdout
        .lines()
        .find(|line| line.starts_with("states "))
        .expect("a line has the figures");
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(
        (words[0], words[2], words[4]),
        ("states", "depth", "moves"),
        "{line}"
    );
    (words[1].parse().expect("a number"), line)
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
    let wide = file(
        &folder,
        "wide.yaml",
        &format!("workflow: wide\nversion: 1\nsteps:\n{steps}"),
    );
    let ran = run(&["check", "--max-time", "1s", &wide]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(explored(&ran.stdout).1.ends_with(" bounded"), "{ran:?}");
    let order = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../workflows/definitions/order.yaml"
    );
    let ran = run(&["check", "--max-states", "1000", order]);
    let (states, line) = explored(&ran.stdout);
    assert!(
        (1000..2000).contains(&states) && line.ends_with(" bounded"),
        "{line}"
    );
    assert_eq!(run(&["check", "--max-time", "soon", order]).code, 2);
}

#[test]
fn check_reports_all_errors_with_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(
        &folder,
        "bad.yaml",
        "workflow: x\nversion: 1\nsteps:\n  - name: a\n    needs: [nobody]\n    odd: 1\n",
    );
    let good = file(
        &folder,
        "good.yaml",
        "workflow: x\nversion: 1\nsteps:\n  - name: a\n",
    );
    let ran = run(&["check", &bad, &good]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains("good.yaml: workflow x version 1"),
        "{ran:?}"
    );
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    let place = |line: &str| {
        line.strip_prefix(&format!("{bad}:"))
            .and_then(|rest| rest.split(':').next()?.parse::<u32>().ok())
    };
    assert!(
        lines
            .iter()
            .all(|line| place(line).is_some_and(|line| line >= 5)),
        "FILE:LINE:COL: {ran:?}"
    );
}

#[test]
fn check_missing_file_is_usage() {
    let ran = run(&["check", "/nowhere.yaml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("/nowhere.yaml cannot be read"),
        "{ran:?}"
    );
    assert_eq!(run(&["check"]).code, 2);
}
