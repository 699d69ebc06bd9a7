//! Runs the program `orchestrator`.

use std::process::{Command, Output, Stdio};

/// A command that runs the program in an empty environment, apart from `PATH`.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null());
    command
}

/// The exit code and the output of a finished process.
#[derive(Debug)]
pub struct ProgramOutput {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for ProgramOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output
                .status
                .code()
                .expect("the process was ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// Runs the program until it exits.
pub fn run(arguments: &[&str]) -> ProgramOutput {
    program(arguments)
        .output()
        .expect("failed to run the program")
        .into()
}
