//! The help of the program: commands grouped by what people do, and its version.

use std::sync::LazyLock;

use clap::{Command, Parser};

use crate::plugins::wit;

/// What people do, and the commands for it, in the order of the help. A command that is in none comes last.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Write plugins", &["init", "new", "dev", "build", "test", "inspect", "call", "push"]),
    ("Decide what plugins may do", &["add", "update", "list", "approve", "grant", "plugin", "kv"]),
    ("Run a server", &["serve", "stdio", "check", "doctor", "health", "backup", "restore", "key", "keys"]),
    ("Look after people and machines", &["sessions", "people", "token", "revoke", "revoke-everything"]),
    ("See what happened", &["audit"]),
    ("Connect clients", &["connect"]),
    ("Know this program", &["schema", "completions", "help"]),
];

const REST: &str = "More";

/// The version, the commit that a release was built from, and the interfaces that plugins may use.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("BUILT_FROM").unwrap_or("development build");
    format!("{} ({commit}, tinymcp:plugin@{})", env!("CARGO_PKG_VERSION"), wit::VERSION)
});

/// Reads the command line, or ends the process with help, a version or an error.
pub(super) fn parse<C: Parser>() -> C {
    let matches = with_groups(C::command()).get_matches();
    C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command with its version, and with its help in groups.
pub(super) fn with_groups(command: Command) -> Command {
    let mut command = command.version(VERSION.as_str());
    // Adds `help` itself.
    command.build();
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}", groups(&command));
    command.help_template(template)
}

fn groups(command: &Command) -> String {
    let shown = || command.get_subcommands().filter(|command| !command.is_hide_set());
    let width = shown().map(|command| command.get_name().len()).max().unwrap_or_default();
    let line = |command: &Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:width$}  {about}\n", command.get_name())
    };
    let mut text = String::new();
    for (heading, names) in GROUPS {
        // In the order of the group.
        let commands = names.iter().filter_map(|name| shown().find(|command| command.get_name() == *name));
        let lines: String = commands.map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("\n{heading}:\n{lines}"));
        }
    }
    let rest: String = shown().filter(|command| !is_in_group(command.get_name())).map(line).collect();
    if !rest.is_empty() {
        text.push_str(&format!("\n{REST}:\n{rest}"));
    }
    text
}

fn is_in_group(name: &str) -> bool {
    GROUPS.iter().any(|(_, names)| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_is_in_a_group_once() {
        let command = with_groups(Cli::command());
        let strays: Vec<&str> =
            command.get_subcommands().map(Command::get_name).filter(|name| !is_in_group(name)).collect();
        assert!(strays.is_empty(), "put these into `GROUPS`: {strays:?}");
        let mut names: Vec<&&str> = GROUPS.iter().flat_map(|(_, names)| *names).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn every_command_and_every_part_of_one_shows_an_example() {
        fn without(command: &Command, path: &str, found: &mut Vec<String>) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name());
                let shown = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
                // Of `kv`, a plugin's name stands between the two.
                let last = format!(" {}", inner.get_name());
                if !(shown.starts_with("Example:\n  tinymcp ") && shown.contains(&last)) {
                    found.push(path.clone());
                }
                without(inner, &path, found);
            }
        }
        let mut found = Vec::new();
        without(&with_groups(Cli::command()), "tinymcp", &mut found);
        assert!(found.is_empty(), "these have no example of themselves in `--help`: {found:?}");
    }

    #[test]
    fn nothing_in_the_help_is_taken_for_a_part_of_the_template() {
        let command = with_groups(Cli::command());
        let mut abouts = command.get_subcommands().filter_map(|command| command.get_about().map(ToString::to_string));
        assert!(abouts.all(|about| !about.contains(['{', '}'])));
    }
}
