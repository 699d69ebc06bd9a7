//! The command line. stdout is data, stderr is words; exit codes are written down in [`Exit`].

mod act;
mod bench;
mod check;
mod client;
mod demo;
mod embedded_process;
mod exit;
mod flags;
mod look;
mod output;
mod paint;
mod replay;
mod serve;
mod settings;
mod start;
mod table;
mod view;

pub use exit::{EXIT_CODES, Exit, Failure};
pub use settings::settings_markdown;

use clap::{Parser, Subcommand};

/// Examples first: most readers of a help page look for a line to copy.
const HELP: &str = "\
{about}

{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Carries business transactions across services to one of two ends: all done, or all undone
#[derive(Parser, Clone, Debug)]
#[command(name = "orchestrator", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES,
          help_template = HELP, before_help = "Examples:
  orchestrator                 everything in one process, on http://127.0.0.1:8080
  orchestrator demo            four orders, four endings, told as they happen
  orchestrator start --workflow order --input @order.json --wait
  orchestrator list --status parked")]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    embedded: serve::Embedded,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Four orders, four endings, told as they happen
    Demo(demo::Demo),
    /// Serve with PostgreSQL and Kafka, workers elsewhere
    Serve(serve::Serve),
    /// Bring the database up to date, and end
    Migrate(serve::MigrateCommand),
    /// Start a saga
    Start(start::Start),
    /// CompensationState a saga, whatever step it is at
    Cancel(act::Act),
    /// Try now what waits for its next attempt, or is parked
    Retry(act::Act),
    /// Withhold a saga's forward steps
    Pause(act::Act),
    /// Withhold them no longer
    Resume(act::Act),
    /// Finish a waiting step with an output
    Complete(act::Complete),
    /// Fail a waiting step for good
    Fail(act::Fail),
    /// Settle a parked compensation that was done by hand
    Resolve(act::Resolve),
    /// List sagas, newest first
    List(look::List),
    /// Show one saga and its steps
    Show(look::Show),
    /// Show every input of a saga, oldest first, and what it did
    History(look::History),
    /// Measure throughput, latency and cost of a running server
    Bench(bench::Bench),
    /// Check workflow definitions and every run of them, offline
    Check(check::CheckFiles),
    /// Apply a saga's history again, and say where it differs
    Replay(replay::Replay),
    /// Print all settings
    Settings(settings::Settings),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// [`Failure`] says what, and with which code the process ends.
    pub async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            None => self.embedded.run().await,
            Some(Command::Demo(demo)) => demo.run().await,
            Some(Command::Serve(serve)) => serve.run().await,
            Some(Command::Migrate(migrate)) => migrate.run().await,
            Some(Command::Start(start)) => start.run().await,
            Some(Command::Cancel(act)) => act.run("cancel").await,
            Some(Command::Retry(act)) => act.run("retry").await,
            Some(Command::Pause(act)) => act.run("pause").await,
            Some(Command::Resume(act)) => act.run("resume").await,
            Some(Command::Complete(complete)) => complete.run().await,
            Some(Command::Fail(fail)) => fail.run().await,
            Some(Command::Resolve(resolve)) => resolve.run().await,
            Some(Command::List(list)) => list.run().await,
            Some(Command::Show(show)) => show.run().await,
            Some(Command::History(history)) => history.run().await,
            Some(Command::Bench(bench)) => bench.run().await,
            Some(Command::Check(check)) => check.run(),
            Some(Command::Replay(replay)) => replay.run(),
            Some(Command::Settings(settings)) => settings.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const ID: &str = "0193a5c2-0000-7000-8000-000000000000";

    /// Words as a shell makes them, quotes and escapes gone; `None`: something that ends a command.
    fn words(line: &str) -> Vec<Option<String>> {
        let mut words = Vec::new();
        let mut quoted = line.split('\'');
        while let Some(plain) = quoted.next() {
            let of_shell = |word: &str| matches!(word, "|" | ">" | "&&");
            words.extend(
                plain
                    .split_whitespace()
                    .map(|word| (!of_shell(word)).then(|| word.to_owned())),
            );
            words.extend(quoted.next().map(|text| Some(text.to_owned())));
        }
        words
    }

    #[test]
    fn every_example_is_a_command_that_is_understood() {
        let mut seen = 0;
        let top = Cli::command();
        for command in std::iter::once(&top).chain(top.get_subcommands()) {
            let help = command
                .get_before_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help.lines().skip(1) {
                // Behind the command some say what it does.
                let example = line.trim().split("   ").next().unwrap_or_default();
                // Of the processes only one is sure to be there.
                let own = format!("={}", std::process::id());
                let example = ["=41", "=42", "=43"]
                    .iter()
                    .fold(example.to_owned(), |text, pid| text.replace(pid, &own));
                let example = example.replace("0193a5c2-…", ID);
                for command in words(&example).split(Option::is_none) {
                    let piped = command
                        .iter()
                        .flatten()
                        .any(|word| word == "xargs")
                        .then(|| ID.to_owned());
                    let ours = command
                        .iter()
                        .flatten()
                        .skip_while(|word| *word != "orchestrator");
                    let arguments: Vec<_> = ours.chain(&piped).collect();
                    if arguments.is_empty() {
                        continue;
                    }
                    if let Err(error) = Cli::try_parse_from(arguments) {
                        panic!("{example}: {error}");
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen >= 25, "only {seen} examples");
    }
}
