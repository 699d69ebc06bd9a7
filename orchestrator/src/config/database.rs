//! PostgreSQL.

use super::{Environment, Secret};
use clap::{Args, ValueEnum};

/// Which PostgreSQL keeps the sagas.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// DATABASE_URL: where the sagas are kept, `postgres://USER:PASSWORD@HOST/DATABASE`. A secret: no flag.
    #[arg(skip)]
    pub url: Option<Secret>,

    /// VIEW_DATABASE_URL: where order statuses are kept; DATABASE_URL unless given. A secret: no flag.
    #[arg(skip)]
    pub view_url: Option<Secret>,

    /// Bring the schema up to date at start, or wait unconsumedy until someone has
    #[arg(long, env = "MIGRATE", value_name = "on|off", default_value = "on")]
    pub migrate: Migrate,
}

/// Who brings the schema up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Migrate {
    /// The server, at its start, under an advisory lock.
    On,
    /// `orchestrator migrate`; the server waits unconsumedy and says what is missing.
    Off,
}

impl Database {
    /// Reads the two addresses; mistakes are told in sentences.
    pub fn read_secrets(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>) {
        for (name, field) in [
            ("DATABASE_URL", &mut self.url),
            ("VIEW_DATABASE_URL", &mut self.view_url),
        ] {
            match Secret::read(name, environment) {
                Ok(secret) => *field = secret,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if self.url.is_none()
            && !mistakes
                .iter()
                .any(|mistake| mistake.starts_with("DATABASE_URL"))
        {
            mistakes.push(
                "DATABASE_URL is not set; postgres://USER:PASSWORD@HOST/DATABASE is wanted"
                    .to_owned(),
            );
        }
        for (name, field) in [
            ("DATABASE_URL", &self.url),
            ("VIEW_DATABASE_URL", &self.view_url),
        ] {
            if field.as_ref().is_some_and(|url| !is_postgres(url.expose())) {
                mistakes.push(format!(
                    "{name} does not begin with postgres:// or postgresql://"
                ));
            }
        }
    }
}

fn is_postgres(url: &str) -> bool {
    ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
}
