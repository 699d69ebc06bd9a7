//! The command line from outside: the program is run, and its exit code, stdout and stderr are looked at.

mod bench;
mod check;
mod client;
mod demo;
mod fake;
mod program;
mod replay;
mod serving;
mod settings;
