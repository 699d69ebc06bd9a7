//! `check FILE…`.

use super::program::run;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder can be written");
    path.to_str().expect("its name is text").to_owned()
}

#[test]
fn the_shipped_workflow_obeys_every_rule() {
    let order = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/definitions/order.yaml");
    let ran = run(&["check", order]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("workflow order version 1, 4 steps, pivot deliver"), "{ran:?}");
}

#[test]
fn all_mistakes_of_all_files_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let bad =
        file(&folder, "bad.yaml", "workflow: x\nversion: 1\nsteps:\n  - name: a\n    needs: [nobody]\n    odd: 1\n");
    let good = file(&folder, "good.yaml", "workflow: x\nversion: 1\nsteps:\n  - name: a\n");
    let ran = run(&["check", &bad, &good]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("good.yaml: workflow x version 1"), "{ran:?}");
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    let place =
        |line: &str| line.strip_prefix(&format!("{bad}:")).and_then(|rest| rest.split(':').next()?.parse::<u32>().ok());
    assert!(lines.iter().all(|line| place(line).is_some_and(|line| line >= 5)), "FILE:LINE:COL: {ran:?}");
}

#[test]
fn a_file_that_is_not_there_is_usage() {
    let ran = run(&["check", "/nowhere.yaml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("/nowhere.yaml cannot be read"), "{ran:?}");
    assert_eq!(run(&["check"]).code, 2);
}
