//! Settings of the programs `orchestrator` and `workers`.
//!
//! Each [`Setting`] is an environment variable and a flag; the flag wins. A setting that holds a secret has no flag,
//! because other users of the machine can see command lines, but a twin `NAME_FILE` that names a file. There is no
//! configuration file.
//!
//! A [`SettingsReader`] resolves and parses the settings of a command and collects every error, so that a process
//! reports all of them at once. The command line itself is parsed by the programs.

mod error;
pub mod parse;
mod reader;
mod secret;
mod setting;
mod table;

pub use error::{ConfigError, ConfigErrors, InvalidValue};
pub use reader::{Environment, SettingsGroup, SettingsReader, read};
pub use secret::Secret;
pub use setting::Setting;
pub use table::{SettingRow, SettingsTable};
