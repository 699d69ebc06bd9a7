//! `orchestrator demo`: four orders with four endings, and whether each ended as it must.

mod manual;
mod narrator;
mod scenarios;

use super::client::{Client, parse_response};
use super::color::{BOLD, Color, DIM, GREEN, RED};
use super::exit::{Exit, Failure};
use super::flags::Flags;
use super::output::print;
use super::serve::{embedded_config, ended_early, stop_signal};
use super::table::table;
use crate::api::{HistoryDto, OpenEnum, OrderDto, OrderStatus, StatusIcon, format_duration};
use crate::app::{App, PortTaken};
use crate::config::{EmbeddedSettings, StorageConfig};
use crate::telemetry;
use clap::Args;
use manual::{MANUAL_TIMEOUT, ManualSteps};
use narrator::Narrator;
use saga_core::saga::{Status, StepStatus};
use scenarios::{ITEMS, SCENARIOS, Scenario};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::handlers::Auto;

/// How long store and deliver take: long enough to cancel an order meanwhile.
const AUTO_DELAY: Duration = Duration::from_millis(700);
/// How often the history is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(30);
/// An order that has not ended within this time hangs.
const ORDER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the server may take to start, or to stop.
const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Run four orders with four endings, and describe them as they happen
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator demo
  orchestrator demo --auto off      you complete the store step yourself
  orchestrator demo --stay          keeps serving, to explore the dashboard")]
pub struct Demo {
    /// Keep serving after the last order
    #[arg(long)]
    stay: bool,

    /// Print without colors, as with NO_COLOR
    #[arg(long)]
    no_color: bool,

    #[command(flatten)]
    flags: Flags<EmbeddedSettings>,
}

/// How an order ended.
struct OrderResult {
    id: Uuid,
    status: OpenEnum<OrderStatus>,
    step_icons: String,
    took: Duration,
    /// What is wrong with the end.
    failure: Option<String>,
}

impl Demo {
    /// Runs the orders.
    ///
    /// # Errors
    /// If the server does not start, or an order does not end as it must.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut settings = self.flags.read()?;
        telemetry::init_logging(&settings.logs, "warn")?;
        let color = Color::for_stdout(self.no_color);

        let directory = temporary_directory(&mut settings.storage)?;
        let auto = *settings.workers.auto.get_or_insert(Auto::After(AUTO_DELAY));
        let metrics = telemetry::init_metrics().ok();
        let app = App::build(embedded_config(settings, metrics, PortTaken::BindFreePort))?;
        let url = app.url();

        let shutdown = CancellationToken::new();
        let mut server = tokio::spawn(app.run_until(shutdown.clone()));
        let result = tokio::select! {
            result = run_scenarios(&url, auto == Auto::Off, color) => result,
            ended = &mut server => return Err(ended_early(ended)),
        };

        if self.stay && result.is_ok() {
            print(&format!("\nStill serving on {url} until Ctrl-C.\n"))?;
            stop_signal().await;
        }
        shutdown.cancel();
        if tokio::time::timeout(SERVER_TIMEOUT, server).await.is_err() {
            eprintln!("orchestrator: the server did not stop in time");
        }

        // The server has stopped writing to it.
        drop(directory);
        result
    }
}

/// Uses a temporary directory unless one is given.
fn temporary_directory(storage: &mut StorageConfig) -> Result<Option<TempDir>, Failure> {
    if storage.data_dir.is_some() {
        return Ok(None);
    }
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::failed("failed to create a temporary directory", error))?;
    storage.data_dir = Some(directory.path().to_owned());
    Ok(Some(directory))
}

async fn run_scenarios(url: &str, is_manual: bool, color: Color) -> Result<Exit, Failure> {
    let client = Client::at(url, SERVER_TIMEOUT)?;
    client.wait_until_ready(SERVER_TIMEOUT).await?;
    let heading = color.paint(BOLD, "Four orders, four endings");
    print(&format!("{heading}   {}\n", color.paint(DIM, url)))?;

    let mut results = Vec::new();
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        // An order that is cancelled while the store step waits needs nobody to complete the step.
        let manual = (is_manual && scenario.cancel.is_none()).then(|| ManualSteps::new(url, color));
        results.push(run_order(&client, index + 1, scenario, manual, color).await?);
    }

    print(&summary(&results, color))?;
    let failures: Vec<_> = results
        .into_iter()
        .filter_map(|result| result.failure)
        .collect();
    match failures.is_empty() {
        true => Ok(Exit::Ok),
        false => Err(Failure::new(Exit::Failed, failures.join("\n"))),
    }
}

/// Places an order, and describes it until its end.
async fn run_order(
    client: &Client,
    number: usize,
    scenario: &Scenario,
    mut manual: Option<ManualSteps>,
    color: Color,
) -> Result<OrderResult, Failure> {
    let started_at = Instant::now();
    let placed: OrderDto = parse_response(&client.post("/orders", &scenario.body(), &[]).await?)?;
    print(&order_heading(number, scenario, placed.id, color))?;

    let mut narrator = Narrator::new(color);
    let mut described = 0;
    let mut cancel = scenario.cancel;

    loop {
        let order: OrderDto =
            parse_response(&client.get(&format!("/orders/{}", placed.id), &[]).await?)?;
        described += describe_new_entries(client, order.saga.id, described, &mut narrator).await?;

        if let Some((step, reason)) = cancel
            && step_status(&order, step) == Some(StepStatus::Waiting)
        {
            cancel = None;
            sleep(AUTO_DELAY / 3).await;
            let path = format!("/orders/{}/cancel", placed.id);
            client
                .post(&path, &serde_json::json!({"reason": reason}), &[])
                .await?;
        }
        if let Some(manual) = &mut manual {
            let store = step_status(&order, "store");
            let deliver = step_status(&order, "deliver");
            manual
                .advance(client, order.saga.id, store, deliver)
                .await?;
        }

        let is_prompted = manual.as_ref().is_some_and(ManualSteps::is_prompted);
        let timeout = if is_prompted {
            MANUAL_TIMEOUT
        } else {
            ORDER_TIMEOUT
        };
        let has_ended = matches!(
            order.saga.status,
            OpenEnum::Known(Status::Completed | Status::Compensated | Status::Parked)
        );
        if has_ended || started_at.elapsed() > timeout {
            let mut result =
                order_result(scenario, number, &order, started_at.elapsed(), &narrator);
            if has_ended && is_prompted {
                // The user decides how the order ends.
                result.failure = None;
            }
            print(&end_line(&result, color))?;
            return Ok(result);
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn order_heading(number: usize, scenario: &Scenario, id: Uuid, color: Color) -> String {
    let Scenario {
        customer, title, ..
    } = scenario;
    let heading = color.paint(BOLD, &format!("{number}  {customer} orders: {title}"));
    let request = color.paint(DIM, &format!("POST /orders  {ITEMS}  →  order {id}"));
    format!("\n{heading}\n   {request}\n")
}

/// Describes the history entries behind the first `described`. Returns their number.
async fn describe_new_entries(
    client: &Client,
    saga: Uuid,
    described: usize,
    narrator: &mut Narrator,
) -> Result<usize, Failure> {
    let query = [("limit", "500".to_owned())];
    let response = client
        .get(&format!("/sagas/{saga}/history"), &query)
        .await?;
    let HistoryDto { history, .. } = parse_response(&response)?;

    let new_entries = history.iter().skip(described);
    for line in new_entries.flat_map(|entry| narrator.describe(entry)) {
        print(&(line + "\n"))?;
    }
    Ok(history.len().saturating_sub(described))
}

fn step_status(order: &OrderDto, name: &str) -> Option<StepStatus> {
    let step = order.saga.steps.iter().find(|step| step.name == name)?;
    step.status.known().copied()
}

fn order_result(
    scenario: &Scenario,
    number: usize,
    order: &OrderDto,
    took: Duration,
    narrator: &Narrator,
) -> OrderResult {
    let step_icons = order.saga.steps.iter().map(|step| match step.status {
        OpenEnum::Known(status) => status.icon(),
        OpenEnum::Unknown(_) => "?",
    });

    let failure = if order.status != OpenEnum::Known(scenario.end) {
        Some(format!(
            "order {number} ended as {}; expected {}",
            order.status, scenario.end
        ))
    } else if scenario.refund_is_retried && narrator.failed_compensations() == 0 {
        Some(format!(
            "the refund of order {number} succeeded at once; expected a failed attempt"
        ))
    } else {
        None
    };
    OrderResult {
        id: order.id,
        status: order.status.clone(),
        step_icons: step_icons.collect::<Vec<_>>().join(" "),
        took,
        failure,
    }
}

fn end_line(result: &OrderResult, color: Color) -> String {
    let style = if result.failure.is_some() { RED } else { GREEN };
    let text = format!("═ {} after {}", result.status, format_duration(result.took));
    format!("           {}\n", color.paint(style, &text))
}

fn summary(results: &[OrderResult], color: Color) -> String {
    let row = |(index, result): (usize, &OrderResult)| {
        let verdict = if result.failure.is_none() {
            "as expected"
        } else {
            "NOT as expected"
        };
        let cells = [
            (index + 1).to_string(),
            SCENARIOS[index].title.to_owned(),
            result.status.to_string(),
            result.step_icons.clone(),
            format_duration(result.took),
            verdict.to_owned(),
            result.id.to_string(),
        ];
        cells.map(Into::into).to_vec()
    };
    let heading = ["#", "SCENARIO", "ENDED", "STEPS", "TOOK", "", "ORDER"];
    let rows = results.iter().enumerate().map(row).collect();
    format!("\n{}", table(&heading, rows, color))
}
