//! The command line from outside: the program is run, and its exit code, stdout and stderr are looked at.

mod check;
mod client;
mod fake;
mod program;
