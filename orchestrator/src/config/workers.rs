//! What runs along in the process when it is embedded.

use super::values;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
pub use workers::handlers::Auto;

/// Where an embedded one keeps its files.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// Folder of the SQLite files, made if missing; ./data unless given, for the demo a temporary one
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

impl Data {
    /// The folder.
    pub fn folder(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("./data"))
    }
}

/// The workers in the process.
#[derive(Args, Clone, Debug)]
pub struct InProcess {
    /// After how long store and deliver answer by themselves, or off: people answer; 0s unless given, for the demo
    /// 700ms
    #[arg(long, env = "AUTO", value_name = "DURATION|off", value_parser = auto)]
    pub auto: Option<Auto>,

    /// Commands that a worker takes at once
    #[arg(long, env = "CONCURRENCY", value_name = "NUMBER", default_value = "1000",
          value_parser = values::number::<1, 10_000>)]
    pub concurrency: usize,

    /// Where payments go: http://…, or `inside` (approved in the worker); a simulator in the process unless given
    #[arg(long, env = "PAYMENT_GATEWAY_URL", value_name = "URL|inside", value_parser = gateway)]
    pub payment_gateway_url: Option<String>,
}

impl InProcess {
    /// Adds what is wrong.
    pub fn check(&self, mistakes: &mut Vec<String>) {
        if matches!(self.auto, Some(Auto::After(delay)) if delay > AUTO_MOST) {
            mistakes.push("AUTO is above 1h; off is wanted where people answer".to_owned());
        }
    }
}

/// Longer, and every order of the built_in workflow would be past its deadline.
const AUTO_MOST: Duration = Duration::from_secs(3600);

fn auto(text: &str) -> Result<Auto, String> {
    text.parse()
        .map_err(|_| "a duration such as 0s or 2s is wanted, or off".to_owned())
}

fn gateway(text: &str) -> Result<String, String> {
    if text == "inside" {
        return Ok(text.to_owned());
    }
    values::base_url(text)
        .map_err(|_| "an address such as http://127.0.0.1:9090 is wanted, or inside".to_owned())
}
