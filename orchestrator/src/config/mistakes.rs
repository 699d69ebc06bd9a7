//! Reads a command line so that every mistake in the settings is told at once, not one a try.
//!
//! Three passes: a lenient one finds what each setting was given (flag over variable over default), each value is then
//! tried alone, and a strict one builds the typed structs from those that are good, so that they are checked together.

use super::Environment;
use clap::builder::{OsStringValueParser, Resettable};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser};
use std::error::Error;
use std::ffi::{OsStr, OsString};

/// A command line that knows what is wrong with it as a whole.
pub trait Check {
    /// Reads the secrets that the command needs, and adds all that is wrong to `mistakes`, in sentences.
    fn check(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>);
}

/// A command line that was not taken.
#[derive(Debug)]
pub enum ParseError {
    /// Not to be understood; or help or the version was asked for.
    Usage(Box<clap::Error>),
    /// Everything that is wrong with the settings, a sentence each.
    Mistakes(Vec<String>),
}

/// Reads the command line and the environment into a `C`, all mistakes at once.
///
/// A subcommand with settings must be the first word of the line: `C` is to have `args_conflicts_with_subcommands`.
///
/// # Errors
/// [`ParseError`] says which.
pub fn parse<C: Parser + Check>(
    line: &[OsString],
    environment: Environment<'_>,
) -> Result<C, ParseError> {
    let usage = |error: clap::Error| ParseError::Usage(Box::new(error));
    let lenient = every_setting(C::command(), &|arg| {
        arg.value_parser(OsStringValueParser::new())
    });
    let loose = lenient.try_get_matches_from(line).map_err(usage)?;
    let command = C::command();
    let given = given(&command, &loose, environment);
    let mut mistakes: Vec<_> = given.iter().filter_map(Given::mistake).collect();

    let strict = every_setting(command, &|arg| arg.env(Resettable::Reset));
    let words = if loose.subcommand().is_some() { 2 } else { 1 };
    let matches = match strict.try_get_matches_from(rewritten(line, words, &given)) {
        Ok(matches) => matches,
        Err(error) if mistakes.is_empty() => return Err(usage(error)),
        Err(_) => return Err(ParseError::Mistakes(mistakes)),
    };
    let mut parsed = C::from_arg_matches(&matches).map_err(usage)?;
    parsed.check(environment, &mut mistakes);
    if mistakes.is_empty() {
        Ok(parsed)
    } else {
        Err(ParseError::Mistakes(mistakes))
    }
}

/// Changes all arguments that are settings: those with a variable.
fn every_setting(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    let only_settings = |arg: Arg| {
        if arg.get_env().is_some() {
            change(arg)
        } else {
            arg
        }
    };
    command
        .mut_args(only_settings)
        .mut_subcommands(|sub| every_setting(sub, change))
}

/// A setting that was given, and whether it is good.
struct Given {
    variable: String,
    flag: String,
    value: OsString,
    on_the_line: bool,
    wrong: Option<String>,
}

impl Given {
    fn mistake(&self) -> Option<String> {
        let Self {
            variable,
            flag,
            value,
            ..
        } = self;
        let name = if self.on_the_line {
            format!("--{flag}")
        } else {
            variable.clone()
        };
        self.wrong
            .as_ref()
            .map(|wrong| format!("{name} is {:?}: {wrong}", value.to_string_lossy()))
    }
}

/// The settings of the command on the line that were given, by flag or by variable.
fn given(command: &Command, matches: &ArgMatches, environment: Environment<'_>) -> Vec<Given> {
    let (command, matches) = match matches.subcommand() {
        Some((name, matches)) => (command.find_subcommand(name).unwrap_or(command), matches),
        None => (command, matches),
    };
    command
        .get_arguments()
        .filter_map(|arg| one_given(arg, matches, environment))
        .collect()
}

fn one_given(arg: &Arg, matches: &ArgMatches, environment: Environment<'_>) -> Option<Given> {
    let (variable, flag) = (
        arg.get_env()?.to_str()?.to_owned(),
        arg.get_long()?.to_owned(),
    );
    let id = arg.get_id().as_str();
    let on_the_line = matches.value_source(id) == Some(ValueSource::CommandLine);
    let value = if on_the_line {
        matches.get_raw(id)?.next_back()?.to_owned()
    } else {
        OsString::from(environment(&variable)?)
    };
    let alone = Command::new("alone")
        .no_binary_name(true)
        .arg(arg.clone().env(Resettable::Reset));
    let wrong = alone
        .try_get_matches_from([flag_of(&flag, &value)])
        .err()
        .map(|error| wanted(&error));
    Some(Given {
        variable,
        flag,
        value,
        on_the_line,
        wrong,
    })
}

/// What a setting wanted, out of clap's error.
fn wanted(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("{} is wanted", values.join(" or "));
    }
    error
        .source()
        .map_or_else(|| "this is not taken".to_owned(), ToString::to_string)
}

fn flag_of(flag: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{flag}="));
    word.push(value);
    word
}

/// The line as the strict pass reads it: bad flags taken out, good variables put in as flags.
fn rewritten(line: &[OsString], words: usize, given: &[Given]) -> Vec<OsString> {
    let mut rewritten: Vec<_> = line.iter().take(words).cloned().collect();
    let from_variables = given
        .iter()
        .filter(|given| !given.on_the_line && given.wrong.is_none());
    rewritten.extend(from_variables.map(|given| flag_of(&given.flag, &given.value)));
    let mut skip_value = false;
    for word in line.iter().skip(words) {
        if std::mem::take(&mut skip_value) {
            continue;
        }
        match bad_flag(word, given) {
            Some(with_value) => skip_value = !with_value,
            None => rewritten.push(word.clone()),
        }
    }
    rewritten
}

/// Whether a word is a flag with a bad value, and whether that value is in the same word.
fn bad_flag(word: &OsStr, given: &[Given]) -> Option<bool> {
    let word = word.to_str()?.strip_prefix("--")?;
    let bad = given.iter().find(|given| {
        given.on_the_line
            && given.wrong.is_some()
            && word.split('=').next() == Some(given.flag.as_str())
    });
    bad.map(|_| word.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auto, Data, Database, Engine, Http, InProcess, Kafka, Logs, Orders};
    use clap::{Args, Subcommand};
    use std::time::Duration;

    #[derive(Parser, Debug)]
    #[command(name = "x", args_conflicts_with_subcommands = true)]
    struct Line {
        #[command(subcommand)]
        command: Option<Serving>,
        #[command(flatten)]
        embedded: Embedded,
    }

    #[derive(Args, Debug)]
    struct Embedded {
        #[command(flatten)]
        http: Http,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        workers: InProcess,
        #[command(flatten)]
        orders: Orders,
        #[command(flatten)]
        engine: Engine,
        #[command(flatten)]
        logs: Logs,
    }

    #[derive(Subcommand, Debug)]
    enum Serving {
        Serve {
            #[command(flatten)]
            database: Database,
            #[command(flatten)]
            kafka: Kafka,
            #[command(flatten)]
            http: Http,
        },
    }

    impl Check for Line {
        fn check(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>) {
            match &mut self.command {
                Some(Serving::Serve {
                    database,
                    kafka,
                    http,
                }) => {
                    database.read_secrets(environment, mistakes);
                    kafka.read_secrets(environment, mistakes);
                    http.check(mistakes);
                }
                None => {
                    self.embedded.http.check(mistakes);
                    self.embedded.orders.check(mistakes);
                    self.embedded.workers.check(mistakes);
                }
            }
        }
    }

    fn parse_with(line: &str, set: &[(&str, &str)]) -> Result<Line, ParseError> {
        let line: Vec<_> = line.split(' ').map(OsString::from).collect();
        let environment = |name: &str| {
            set.iter()
                .find(|(set, _)| *set == name)
                .map(|(_, value)| (*value).to_owned())
        };
        parse::<Line>(&line, &environment)
    }

    fn mistakes(line: &str, set: &[(&str, &str)]) -> Vec<String> {
        match parse_with(line, set).unwrap_err() {
            ParseError::Mistakes(mistakes) => mistakes,
            ParseError::Usage(error) => panic!("{error}"),
        }
    }

    #[test]
    fn without_anything_every_setting_has_its_default() {
        let Line { embedded, .. } = parse_with("x", &[]).unwrap();
        assert_eq!(embedded.http.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(embedded.data.folder().to_str(), Some("./data"));
        assert_eq!(embedded.workers.auto, None);
        assert_eq!(embedded.orders.order_version, 1);
        assert_eq!(
            embedded.orders.idempotency_life,
            Duration::from_secs(24 * 3600)
        );
        assert!(!embedded.http.allow_faults);
        assert_eq!(embedded.http.warning(), None);
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let set = [
            ("LISTEN", "127.0.0.1:1"),
            ("CURRENCY", "USD"),
            ("AUTO", "off"),
            ("ALLOW_FAULTS", "on"),
        ];
        let Line { embedded, .. } = parse_with("x --listen 0.0.0.0:2 --shards=3", &set).unwrap();
        assert_eq!(embedded.http.listen, "0.0.0.0:2".parse().unwrap());
        assert_eq!(
            (embedded.orders.currency.as_str(), embedded.engine.shards),
            ("USD", 3)
        );
        assert_eq!(
            (embedded.workers.auto, embedded.http.allow_faults),
            (Some(Auto::Off), true)
        );
        assert!(embedded.http.warning().unwrap().contains("0.0.0.0:2"));
        let Line { embedded, .. } = parse_with("x --allow-faults", &[]).unwrap();
        assert!(embedded.http.allow_faults);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let set = [
            ("LISTEN", "8080"),
            ("CURRENCY", "euro"),
            ("LOG_FORMAT", "xml"),
            ("IDEMPOTENCY_LIFE", "1s"),
        ];
        let told = mistakes("x --shards 0 --auto=soon --auth=jwt --allow-faults", &set);
        let expected = [
            "LISTEN is \"8080\": an address and a port are wanted, such as 127.0.0.1:8080 or [::]:8080",
            "--auto is \"soon\": a duration such as 0s or 2s is wanted, or off",
            "CURRENCY is \"euro\": three capital letters are wanted, such as EUR",
            "--shards is \"0\": a whole number from 1 to 64 is wanted",
            "LOG_FORMAT is \"xml\": text or json is wanted",
            "AUTH is jwt, which this release cannot do yet; none is wanted",
            "ALLOW_FAULTS is on with AUTH=jwt; faults are for machines that nobody relies on",
            "IDEMPOTENCY_LIFE is below 1m; a client that repeats a call may need longer",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_serve_needs_is_asked_for_in_one_go() {
        let told = mistakes(
            "x serve",
            &[
                ("TOPIC_PARTITIONS", "none"),
                ("VIEW_DATABASE_URL", "mysql://x"),
            ],
        );
        let expected = [
            "TOPIC_PARTITIONS is \"none\": a whole number from 1 to 1000 is wanted",
            "DATABASE_URL is not set; postgres://USER:PASSWORD@HOST/DATABASE is wanted",
            "VIEW_DATABASE_URL does not begin with postgres:// or postgresql://",
            "KAFKA_BROKERS is not set; HOST:PORT is wanted, several joined by commas",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn serve_takes_secrets_from_variables_and_the_rest_from_either() {
        let set = [
            ("DATABASE_URL", "postgres://u:secret@h/d"),
            ("KAFKA_BROKERS", "ignored:1"),
            ("KAFKA_PROPERTIES", "sasl.username=u, sasl.password=p=q"),
            ("TOPIC_PREFIX", "shop."),
        ];
        let line = parse_with("x serve --kafka-brokers a:1,b:2 --migrate off", &set).unwrap();
        assert!(!format!("{line:?}").contains("secret"));
        let Some(Serving::Serve {
            database, kafka, ..
        }) = line.command
        else {
            panic!("serve was asked for")
        };
        assert_eq!(database.url.unwrap().expose(), "postgres://u:secret@h/d");
        assert_eq!(database.migrate, crate::config::Migrate::Off);
        assert_eq!(
            kafka.pairs()[1],
            ("sasl.password".to_owned(), "p=q".to_owned())
        );
        assert_eq!(
            (kafka.brokers.as_deref(), kafka.topic_prefix.as_str()),
            (Some("a:1,b:2"), "shop.")
        );
    }

    #[test]
    fn a_word_that_nobody_knows_is_usage() {
        assert!(matches!(
            parse_with("x --banana", &[]),
            Err(ParseError::Usage(_))
        ));
        assert!(matches!(
            parse_with("x serve --database-url x", &[]),
            Err(ParseError::Usage(_))
        ));
    }
}
