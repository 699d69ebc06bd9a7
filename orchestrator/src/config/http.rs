//! Where HTTP is served, and to whom.

use super::values;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;

/// Where HTTP is served, and to whom.
#[derive(Args, Clone, Debug)]
pub struct Http {
    /// Address and port that HTTP is served on; port 0 takes any free one
    #[arg(long, env = "LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::address)]
    pub listen: SocketAddr,

    /// Who may call: with none, anyone who reaches the port
    #[arg(long, env = "AUTH", value_name = "none|jwt", default_value = "none")]
    pub auth: Auth,

    /// Let PUT /actuator/down stop the engine loop's heartbeat; for trying out what a liveness probe does
    #[arg(long, env = "ALLOW_FAULTS", value_name = "on|off", default_value = "off", num_args = 0..=1,
          default_missing_value = "on", require_equals = true, action = clap::ArgAction::Set,
          value_parser = values::switch)]
    pub allow_faults: bool,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Anyone.
    None,
    /// Who brings a signed token.
    Jwt,
}

impl Http {
    /// Adds what is wrong with these taken together.
    pub fn check(&self, mistakes: &mut Vec<String>) {
        if self.auth == Auth::Jwt {
            mistakes
                .push("AUTH is jwt, which this release cannot do yet; none is wanted".to_owned());
            if self.allow_faults {
                mistakes
                    .push("ALLOW_FAULTS is on with AUTH=jwt; faults are for machines that nobody relies on".to_owned());
            }
        }
    }

    /// What is allowed, and yet worth a word.
    pub fn warning(&self) -> Option<String> {
        let open = self.auth == Auth::None && !self.listen.ip().is_loopback();
        open.then(|| {
            format!(
                "LISTEN is {} with AUTH=none: whoever reaches it can start and cancel sagas",
                self.listen
            )
        })
    }
}
