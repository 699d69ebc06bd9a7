//! What runs along in the process when it is embedded.

use super::values;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Where an embedded one keeps its files.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// Folder of the SQLite files; made if missing
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,
}

/// The workers in the process.
#[derive(Args, Clone, Debug)]
pub struct InProcess {
    /// After how long store and deliver answer by themselves; off waits for people
    #[arg(long, env = "AUTO", value_name = "DURATION|off", default_value = "0s", value_parser = auto)]
    pub auto: Auto,

    /// Commands that a worker takes at once
    #[arg(long, env = "CONCURRENCY", value_name = "NUMBER", default_value = "64",
          value_parser = values::number::<1, 10_000>)]
    pub concurrency: usize,

    /// Where payments go: http://…, or `inside` (approved in the worker); a simulator in the process unless given
    #[arg(long, env = "PAYMENT_GATEWAY_URL", value_name = "URL|inside", value_parser = gateway)]
    pub payment_gateway_url: Option<String>,
}

/// Whether store and deliver answer by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// After so long.
    After(Duration),
    /// A person answers.
    Off,
}

impl InProcess {
    /// Adds what is wrong.
    pub fn check(&self, mistakes: &mut Vec<String>) {
        if matches!(self.auto, Auto::After(delay) if delay > AUTO_MOST) {
            mistakes.push("AUTO is above 1h; off is wanted where people answer".to_owned());
        }
    }
}

/// Longer, and every order of the shipped workflow would be past its deadline.
const AUTO_MOST: Duration = Duration::from_secs(3600);

fn auto(text: &str) -> Result<Auto, String> {
    if text == "off" {
        return Ok(Auto::Off);
    }
    let wanted = |_| "a duration such as 0s or 2s is wanted, or off".to_owned();
    values::duration(text).map(Auto::After).map_err(wanted)
}

fn gateway(text: &str) -> Result<String, String> {
    if text == "inside" {
        return Ok(text.to_owned());
    }
    values::base_url(text).map_err(|_| "an address such as http://127.0.0.1:9090 is wanted, or inside".to_owned())
}
