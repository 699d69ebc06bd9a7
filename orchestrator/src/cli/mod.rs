//! The command line. Data goes to stdout, diagnostics to stderr; [`Exit`] lists the exit codes.

mod actions;
mod bench;
mod check;
mod client;
mod color;
mod demo;
mod embedded_process;
mod exit;
mod flags;
mod output;
mod query;
mod replay;
mod serve;
mod settings;
mod start;
mod table;

pub use exit::{EXIT_CODES, Exit, Failure};
pub use settings::settings_markdown;

use clap::{Parser, Subcommand};

/// Examples first: most readers of a help page look for a line to copy.
const HELP: &str = "\
{about}

{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Runs business transactions across services: each completes as a whole or is compensated
#[derive(Parser, Clone, Debug)]
#[command(name = "orchestrator", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES,
          help_template = HELP, before_help = "Examples:
  orchestrator                 everything in one process, on http://127.0.0.1:8080
  orchestrator demo            four orders with four endings, described as they happen
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
    /// Run four orders with four endings, and describe them as they happen
    Demo(demo::Demo),
    /// Serve with PostgreSQL, Kafka, and workers in processes of their own
    Serve(serve::Serve),
    /// Migrate the database and exit
    Migrate(serve::MigrateCommand),
    /// Start a saga
    Start(start::Start),
    /// Cancel a saga: compensate its steps
    Cancel(actions::SagaAction),
    /// Retry a step that waits for its next attempt, or a parked saga
    Retry(actions::SagaAction),
    /// Pause a saga: dispatch no forward commands
    Pause(actions::SagaAction),
    /// Resume a paused saga
    Resume(actions::SagaAction),
    /// Complete a waiting step with an output
    Complete(actions::Complete),
    /// Fail a waiting step
    Fail(actions::Fail),
    /// Resolve a parked compensation that was done manually
    Resolve(actions::Resolve),
    /// List sagas, newest first
    List(query::List),
    /// Show a saga and its steps
    Show(query::Show),
    /// Show every input of a saga and its result, oldest first
    History(query::History),
    /// Measure throughput, latency and cost of a running server
    Bench(bench::Bench),
    /// Check workflow definitions and every run of them, offline
    Check(check::CheckFiles),
    /// Replay the history of a saga and report differences
    Replay(replay::Replay),
    /// Print all settings
    Settings(settings::Settings),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`] has the message and the exit code.
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

    /// The words of a shell's line, unquoted. `None` stands for an operator, which ends a command.
    fn shell_words(line: &str) -> Vec<Option<String>> {
        let mut words = Vec::new();
        let mut parts = line.split('\'');

        while let Some(unquoted) = parts.next() {
            for word in unquoted.split_whitespace() {
                let is_operator = matches!(word, "|" | ">" | "&&");
                words.push((!is_operator).then(|| word.to_owned()));
            }
            words.extend(parts.next().map(|quoted| Some(quoted.to_owned())));
        }
        words
    }

    /// The command lines of the examples of a help text, as arguments of this program.
    fn examples(help: &str) -> Vec<Vec<String>> {
        // The only process that is sure to exist is this one.
        let own_pid = format!("={}", std::process::id());
        let mut examples = Vec::new();

        for line in help.lines().skip(1) {
            // A description follows some commands, separated by spaces.
            let mut line = line
                .trim()
                .split("   ")
                .next()
                .unwrap_or_default()
                .to_owned();
            for pid in ["=41", "=42", "=43"] {
                line = line.replace(pid, &own_pid);
            }
            line = line.replace("0193a5c2-…", ID);

            for command in shell_words(&line).split(Option::is_none) {
                let words: Vec<_> = command.iter().flatten().cloned().collect();
                let is_piped = words.iter().any(|word| word == "xargs");
                let own = words.into_iter().skip_while(|word| word != "orchestrator");
                let arguments: Vec<_> = own.chain(is_piped.then(|| ID.to_owned())).collect();
                if arguments.first().is_some_and(|word| word == "orchestrator") {
                    examples.push(arguments);
                }
            }
        }
        examples
    }

    #[test]
    fn every_example_of_the_help_is_valid() {
        let program = Cli::command();
        let commands = std::iter::once(&program).chain(program.get_subcommands());
        let help = commands.filter_map(|command| command.get_before_help());
        let examples: Vec<_> = help.flat_map(|help| examples(&help.to_string())).collect();

        for example in &examples {
            if let Err(error) = Cli::try_parse_from(example) {
                panic!("{example:?}: {error}");
            }
        }
        assert!(examples.len() >= 25, "only {} examples", examples.len());
    }
}
