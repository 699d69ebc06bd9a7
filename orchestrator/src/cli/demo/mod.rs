//! `orchestrator demo`: four orders, four endings, told as they happen; and whether each ended as it should.

mod person;
mod plots;
mod story;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::flags::Flags;
use super::output::{print, span};
use super::paint::{Colour, Paint};
use super::serve::embedded_config;
use super::table::table;
use super::view::{self, EntryView, Page};
use crate::app::{App, PortTaken};
use crate::config::{EmbeddedSettings, StorageConfig};
use crate::telemetry;
use clap::Args;
use person::{Kitchen, PERSON_MOST};
use plots::{PLOTS, Plot};
use serde::Deserialize;
use std::time::Duration;
use story::Story;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use workers::handlers::Auto;

/// How long kitchen and courier take here: long enough to be cancelled in the midst of it.
const AUTO: Duration = Duration::from_millis(700);
/// The history is looked at so often.
const LOOK: Duration = Duration::from_millis(30);
/// An order that has not ended by then is stuck.
const ORDER_MOST: Duration = Duration::from_secs(20);
/// How long the server may take to come up, or to leave.
const SERVER_MOST: Duration = Duration::from_secs(10);

/// Four orders, four endings, told as they happen
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator demo
  orchestrator demo --auto off      the kitchen is you: it says what to type, and waits
  orchestrator demo --stay          keeps serving, to look around on the dashboard")]
pub struct Demo {
    /// Keep serving when the story is over
    #[arg(long)]
    stay: bool,

    /// No colours; NO_COLOR does the same
    #[arg(long)]
    no_color: bool,

    #[command(flatten)]
    flags: Flags<EmbeddedSettings>,
}

/// How an order ended.
struct Ended {
    id: String,
    status: String,
    steps: String,
    took: Duration,
    mistake: Option<String>,
}

#[derive(Deserialize)]
struct OrderView {
    id: String,
    status: String,
    saga: OrderSaga,
}

#[derive(Deserialize)]
struct OrderSaga {
    id: String,
    status: String,
    #[serde(default)]
    steps: serde_json::Value,
}

impl Demo {
    /// Tells it.
    ///
    /// # Errors
    /// If the server does not come up, or an order ended otherwise than it should.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut settings = self.flags.read()?;
        telemetry::init_logging(&settings.logs, "warn")?;
        let paint = Paint::for_stdout(self.no_color);
        let folder = temporary_directory(&mut settings.storage)?;
        let person = *settings.workers.auto.get_or_insert(Auto::After(AUTO)) == Auto::Off;
        let metrics = telemetry::init_metrics().ok();
        let app = App::build(embedded_config(settings, metrics, PortTaken::BindFreePort))?;
        let url = app.url();
        let stop = CancellationToken::new();
        let mut running = tokio::spawn(app.run_until(stop.clone()));
        let told = tokio::select! {
            told = tell(&url, person, paint) => told,
            ended = &mut running => Err(super::serve::ended_early(ended)),
        };
        if self.stay && told.is_ok() {
            print(&format!("\nStill serving on {url} until Ctrl-C.\n"))?;
            super::serve::stop_signal().await;
        }
        stop.cancel();
        if tokio::time::timeout(SERVER_MOST, running).await.is_err() {
            eprintln!("orchestrator: the server takes too long to leave");
        }
        drop(folder);
        told
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

async fn tell(url: &str, person: bool, paint: Paint) -> Result<Exit, Failure> {
    let client = Client::at(url, SERVER_MOST)?;
    client.wait_until_ready(SERVER_MOST).await?;
    let heading = paint.paint(Colour::Bold, "Four orders, four endings");
    print(&format!("{heading}   {}\n", paint.paint(Colour::Dim, url)))?;
    let mut all = Vec::new();
    for (number, plot) in PLOTS.iter().enumerate() {
        // Who changes her mind does so while the kitchen is at it, so that nobody need answer.
        let kitchen = (person && plot.cancel.is_none()).then(|| Kitchen::new(url, paint));
        all.push((
            plot,
            order(&client, number + 1, plot, kitchen, paint).await?,
        ));
    }
    summary(&all, paint)?;
    let mistakes: Vec<_> = all
        .iter()
        .filter_map(|(_, ended)| ended.mistake.clone())
        .collect();
    if mistakes.is_empty() {
        Ok(Exit::Ok)
    } else {
        Err(Failure::new(Exit::Failed, mistakes.join("\n")))
    }
}

/// Places an order, and tells what becomes of it.
async fn order(
    client: &Client,
    number: usize,
    plot: &Plot,
    mut kitchen: Option<Kitchen>,
    paint: Paint,
) -> Result<Ended, Failure> {
    let began = Instant::now();
    let heading = paint.paint(
        Colour::Bold,
        &format!("{number}  {} orders: {}", plot.customer, plot.title),
    );
    let placed: OrderView = view::read(&client.post("/orders", &plot.body(), &[]).await?)?;
    let place = paint.paint(
        Colour::Dim,
        &format!("POST /orders  {}  →  order {}", plot.order(), placed.id),
    );
    print(&format!("\n{heading}\n   {place}\n"))?;

    let mut story = Story::new(paint);
    let mut told = 0;
    let mut cancel = plot.cancel;
    loop {
        let order: OrderView =
            view::read(&client.get(&format!("/orders/{}", placed.id), &[]).await?)?;
        told += tell_further(client, &order.saga.id, told, &mut story).await?;
        if let Some((step, reason)) = cancel
            && step_status(&order.saga.steps, step) == Some("waiting")
        {
            cancel = None;
            sleep(AUTO / 3).await;
            let path = format!("/orders/{}/cancel", placed.id);
            client
                .post(&path, &serde_json::json!({"reason": reason}), &[])
                .await?;
        }
        if let Some(kitchen) = &mut kitchen {
            let [store, deliver] = ["store", "deliver"]
                .map(|step| step_status(&order.saga.steps, step).unwrap_or_default());
            kitchen
                .attend(client, &order.saga.id, store, deliver)
                .await?;
        }
        let most = if kitchen.as_ref().is_some_and(Kitchen::wanted) {
            PERSON_MOST
        } else {
            ORDER_MOST
        };
        let at_rest = matches!(
            order.saga.status.as_str(),
            "completed" | "compensated" | "parked"
        );
        if at_rest || began.elapsed() > most {
            let mut ended = ended(plot, number, order, began.elapsed(), &story);
            if at_rest && kitchen.is_some_and(|kitchen| kitchen.wanted()) {
                // However a person lets it end is how it should.
                ended.mistake = None;
            }
            end_line(&ended, paint)?;
            return Ok(ended);
        }
        sleep(LOOK).await;
    }
}

/// Tells the entries of a history that were not told yet; how many.
async fn tell_further(
    client: &Client,
    saga: &str,
    told: usize,
    story: &mut Story,
) -> Result<usize, Failure> {
    let query = [("limit", "500".to_owned())];
    let page: Page = view::read(
        &client
            .get(&format!("/sagas/{saga}/history"), &query)
            .await?,
    )?;
    let mut further = 0;
    for entry in page.history.iter().skip(told) {
        let entry: EntryView = view::read(entry.get())?;
        for line in story.tell(&entry) {
            print(&(line + "\n"))?;
        }
        further += 1;
    }
    Ok(further)
}

/// The status of a step, whether the steps come as a map or as a list.
fn step_status<'s>(steps: &'s serde_json::Value, name: &str) -> Option<&'s str> {
    match steps {
        serde_json::Value::Array(steps) => steps
            .iter()
            .find(|step| step["name"].as_str() == Some(name))?["status"]
            .as_str(),
        steps => steps[name].as_str(),
    }
}

fn ended(plot: &Plot, number: usize, order: OrderView, took: Duration, story: &Story) -> Ended {
    let steps = ["order", "pay", "store", "deliver"].map(|name| {
        let status = step_status(&order.saga.steps, name).and_then(|status| status.parse().ok());
        status.map_or("?", |status| super::paint::of_step(status).0)
    });
    let mistake = if order.status != plot.ends {
        Some(format!(
            "order {number} ended as {}, and should have as {}",
            order.status, plot.ends
        ))
    } else if plot.refund_retried && story.failed_undos() == 0 {
        Some(format!(
            "the refund of order {number} should have failed at first"
        ))
    } else {
        None
    };
    Ended {
        id: order.id,
        status: order.status,
        steps: steps.join(" "),
        took,
        mistake,
    }
}

fn end_line(ended: &Ended, paint: Paint) -> Result<(), Failure> {
    let colour = if ended.mistake.is_some() {
        Colour::Red
    } else {
        Colour::Green
    };
    print(&format!(
        "           {}\n",
        paint.paint(
            colour,
            &format!("═ {} after {}", ended.status, span(ended.took))
        )
    ))
}

fn summary(all: &[(&Plot, Ended)], paint: Paint) -> Result<(), Failure> {
    let row = |(number, (plot, ended)): (usize, &(&Plot, Ended))| {
        let good = if ended.mistake.is_none() {
            "as it should"
        } else {
            "NOT as it should"
        };
        let cells = [
            (number + 1).to_string(),
            plot.title.to_owned(),
            ended.status.clone(),
            ended.steps.clone(),
        ];
        let rest = [span(ended.took), good.to_owned(), ended.id.clone()];
        cells.into_iter().chain(rest).map(Into::into).collect()
    };
    let heading = ["#", "STORY", "ENDED", "STEPS", "TOOK", "", "ORDER"];
    print(&format!(
        "\n{}",
        table(&heading, all.iter().enumerate().map(row).collect(), paint)
    ))
}
