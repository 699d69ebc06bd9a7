//! `--auto=off`: the user completes the store step of the first order. The demo completes the delivery.

use crate::cli::client::Client;
use crate::cli::color::{BOLD, Color};
use crate::cli::exit::Failure;
use crate::cli::output::print;
use saga_core::saga::StepStatus;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// How long an order with a manual step may take: the timeout of the step, and the rollback if nobody completes it.
pub const MANUAL_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// The manual steps of an order.
pub struct ManualSteps {
    color: Color,
    /// How this program was called.
    program: String,
    url: String,
    is_prompted: bool,
    is_delivery_completed: bool,
}

impl ManualSteps {
    pub fn new(url: &str, color: Color) -> Self {
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "orchestrator".to_owned());
        Self {
            color,
            program,
            url: url.to_owned(),
            is_prompted: false,
            is_delivery_completed: false,
        }
    }

    /// Prompts the user once the store step waits, and completes the delivery once it waits.
    ///
    /// # Errors
    /// If the server rejects the completion.
    pub async fn advance(
        &mut self,
        client: &Client,
        saga: Uuid,
        store: Option<StepStatus>,
        deliver: Option<StepStatus>,
    ) -> Result<(), Failure> {
        if store == Some(StepStatus::Waiting) && !self.is_prompted {
            self.is_prompted = true;
            print(&self.prompt(saga))?;
        }

        if deliver == Some(StepStatus::Waiting) && !self.is_delivery_completed {
            self.is_delivery_completed = true;
            let path = format!("/sagas/{saga}/steps/deliver/complete");
            client
                .post(&path, &json!({"output": {"courier": "the demo"}}), &[])
                .await?;
        }
        Ok(())
    }

    /// Whether the user was asked to complete the store step.
    pub fn is_prompted(&self) -> bool {
        self.is_prompted
    }

    fn prompt(&self, saga: Uuid) -> String {
        let Self {
            color,
            program,
            url,
            ..
        } = self;
        let heading = color.paint(
            BOLD,
            "you complete the store step yourself; the order waits:",
        );
        let lines = [
            (
                "it is ready",
                format!("{program} complete {saga} store --server {url}"),
            ),
            (
                "it can't be",
                format!("{program} fail {saga} store --message 'out of buns' --server {url}"),
            ),
            ("or on the page", format!("{url}/ui/sagas/{saga}")),
        ];

        let mut prompt = format!("           {heading}\n");
        for (case, command) in lines {
            prompt += &format!("           {case:<16}{command}\n");
        }
        prompt
    }
}
