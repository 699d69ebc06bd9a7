//! `--auto=off`: the kitchen of the first order is a person, who is told what to type. The demo plays the courier.

use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::output::print;
use crate::cli::paint::{Colour, Paint};
use serde_json::json;
use std::time::Duration;

/// How long an order with a person in it may take: its kitchen's timeout, and what follows if nobody answers.
pub const PERSON_MOST: Duration = Duration::from_secs(20 * 60);

/// The kitchen, and whether it was told that it is wanted.
pub struct Kitchen {
    paint: Paint,
    /// How the program was called.
    program: String,
    url: String,
    told: bool,
    courier_sent: bool,
}

impl Kitchen {
    /// Nobody is wanted yet.
    pub fn new(url: &str, paint: Paint) -> Self {
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "orchestrator".to_owned());
        Self {
            paint,
            program,
            url: url.to_owned(),
            told: false,
            courier_sent: false,
        }
    }

    /// Tells the person what to do once the kitchen waits, and sends the courier once it was answered.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn attend(
        &mut self,
        client: &Client,
        saga: &str,
        store: &str,
        deliver: &str,
    ) -> Result<(), Failure> {
        if store == "waiting" && !std::mem::replace(&mut self.told, true) {
            print(&self.words(saga))?;
        }
        if deliver == "waiting" && !std::mem::replace(&mut self.courier_sent, true) {
            let path = format!("/sagas/{saga}/steps/deliver/complete");
            client
                .post(&path, &json!({"output": {"courier": "the demo"}}), &[])
                .await?;
        }
        Ok(())
    }

    /// Whether somebody was asked.
    pub fn wanted(&self) -> bool {
        self.told
    }

    fn words(&self, saga: &str) -> String {
        let Self {
            paint,
            program,
            url,
            ..
        } = self;
        let heading = paint.paint(
            Colour::Bold,
            "the kitchen is you: the order waits until you answer",
        );
        let line = |what: &str, how: String| format!("           {what:<16}{how}\n");
        let mut text = format!("           {heading}\n");
        text += &line(
            "it is ready",
            format!("{program} complete {saga} store --server {url}"),
        );
        text += &line(
            "it can't be",
            format!("{program} fail {saga} store --message 'out of buns' --server {url}"),
        );
        text += &line("or on the page", format!("{url}/ui/sagas/{saga}"));
        text
    }
}
