//! Runs the program `orchestrator` as a process and checks its exit code, stdout and stderr.

mod bench;
mod check;
mod client;
mod demo;
mod program;
mod replay;
mod serving;
mod settings;
mod stub_server;
