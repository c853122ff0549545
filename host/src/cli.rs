//! The commands, a module each, with their arguments and exit codes.

mod add;
mod approve;
mod audit;
mod backup;
mod build;
mod call;
mod check;
mod completions;
mod connect;
mod dev;
mod doctor;
mod egress;
mod grant;
mod health;
mod help;
mod init;
mod inspect;
mod keys;
mod kv;
mod list;
mod locking;
mod logging;
mod login;
mod new;
mod observing;
mod offers;
mod operator;
mod output;
mod passing;
mod people;
mod plugin;
mod plugin_loader;
mod push;
mod recording;
mod reload;
mod serve;
mod sessions;
mod shared;
mod stdio;
mod test;
mod token;
mod update;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment, Invocation, Override, Purpose, Setup};
use crate::plugins::services::Services;

/// One MCP server that people own: drop a WebAssembly component into plugins/, and its functions are tools.
#[derive(Parser)]
#[command(name = "tinymcp", arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = "Example:\n  tinymcp serve --config /etc/tinymcp/tinymcp.toml --listen 127.0.0.1:9000")]
    Serve(serve::Arguments),
    /// Serve one client of this machine over standard input and output, without any login
    #[command(after_help = "Example:\n  tinymcp stdio --config /etc/tinymcp/tinymcp.toml")]
    Stdio(stdio::Arguments),
    /// Build all plugins, serve them on this machine, and rebuild what changes
    #[command(after_help = "Example:\n  tinymcp dev")]
    Dev(dev::Arguments),
    /// Build plugins from their sources, in Rust, Python or JavaScript
    #[command(after_help = "Example:\n  tinymcp build hello add")]
    Build(build::Arguments),
    /// Make a directory with a configuration and a first plugin
    #[command(after_help = "Example:\n  tinymcp init my-tools")]
    Init(init::Arguments),
    /// Create a new plugin, in Rust, Python or JavaScript
    #[command(after_help = "Example:\n  tinymcp new weather --lang python --template http")]
    New(new::Arguments),
    /// Show the tools and imports of a component, and warnings for its author
    #[command(after_help = "Example:\n  tinymcp inspect plugins/hello.wasm")]
    Inspect(inspect::Arguments),
    /// Print the lines that grant a plugin what it declares to need
    #[command(after_help = "Example:\n  tinymcp grant weather --write")]
    Grant(grant::Arguments),
    /// Take a plugin of a registry into the configuration and the lock
    #[command(after_help = "Example:\n  tinymcp add oci://registry.example/org/weather:1.2")]
    Add(add::Arguments),
    /// Show what would run of plugins from registries, and write it into the lock
    #[command(after_help = "Example:\n  tinymcp update --dry-run\n  tinymcp update weather")]
    Update(update::Arguments),
    /// Publish a plugin in a registry
    #[command(after_help = "Example:\n  tinymcp push plugins/weather.wasm oci://registry.example/org/weather:1.2")]
    Push(push::Arguments),
    /// Call one tool here, as the server would
    #[command(
        after_help = "Example:\n  tinymcp call add a=2 b=3\n  tinymcp call ./add.wasm add '{\"a\": 2, \"b\": 3}'\n  tinymcp call reserve @reserve.json --answers answers.json"
    )]
    Call(call::Arguments),
    /// Run the cases of plugins, `plugins/NAME/tests/*.toml`, in the sandbox
    #[command(after_help = "Example:\n  tinymcp test\n  tinymcp test weather --filter rain")]
    Test(test::Arguments),
    /// List the tools of the plugins directory
    #[command(after_help = "Example:\n  tinymcp list --json")]
    List(list::Arguments),
    /// Show what plugins wait for approval and what is different in them, and approve it
    #[command(
        after_help = "Example:\n  tinymcp approve\n  tinymcp approve weather\n  tinymcp approve weather@sha256:…"
    )]
    Approve(approve::Arguments),
    /// Show and change what plugins have kept
    #[command(after_help = "Example:\n  tinymcp kv notes\n  tinymcp kv notes get draft --owner alice")]
    Kv(kv::Arguments),
    /// List who is logged in through which client, and end that
    #[command(after_help = "Example:\n  tinymcp sessions\n  tinymcp sessions end alice@example.com")]
    Sessions(sessions::Arguments),
    /// List the people who have something here, and block, export or delete one
    #[command(after_help = "Example:\n  tinymcp people\n  tinymcp people block alice@example.com")]
    People(people::Arguments),
    /// Switch a plugin off and on at once
    #[command(after_help = "Example:\n  tinymcp plugin disable weather")]
    Plugin(plugin::Arguments),
    /// Save the state directory while the server runs
    #[command(after_help = "Example:\n  tinymcp backup state.tar\n  tinymcp backup - | age -r KEY > state.tar.age")]
    Backup(backup::Arguments),
    /// List the root keys, and make a new one
    #[command(after_help = "Example:\n  tinymcp keys rotate")]
    Keys(keys::Arguments),
    /// Find lines of the audit by person, tool and time
    #[command(after_help = "Example:\n  tinymcp audit --person alice@example.com --since 1h")]
    Audit(audit::Arguments),
    /// Make, list and revoke tokens for callers without a browser
    #[command(
        after_help = "Example:\n  tinymcp token new ci --scopes weather:read --expires 90d\n  tinymcp token revoke ci"
    )]
    Token(token::Arguments),
    /// Check the configuration, and print the effective values
    #[command(
        after_help = "Example:\n  tinymcp check --config tinymcp.toml\n  tinymcp check --config tinymcp.toml --against running"
    )]
    Check(check::Arguments),
    /// Check the configuration against the real provider, and tell what to change there
    #[command(after_help = "Example:\n  tinymcp doctor --config /etc/tinymcp/tinymcp.toml")]
    Doctor(doctor::Arguments),
    /// Ask the server of this machine if it serves, for supervisors; exit code 0 or 1
    #[command(after_help = "Example:\n  tinymcp health --ready --config /etc/tinymcp/tinymcp.toml")]
    Health(health::Arguments),
    /// Print the JSON schema of tinymcp.toml, for editors
    #[command(after_help = "Example:\n  tinymcp schema > tinymcp.schema.json")]
    Schema,
    /// Print a script by which a shell completes commands and options
    #[command(after_help = "Example:\n  tinymcp completions bash > ~/.local/share/bash-completion/completions/tinymcp")]
    Completions(completions::Arguments),
    /// Print the entry for a client's configuration, or write it there
    #[command(after_help = "Example:\n  tinymcp connect claude-code\n  tinymcp connect cursor --write")]
    Connect(connect::Arguments),
}

/// The place of the configuration, for every command that reads it.
#[derive(Args, Clone)]
struct ConfigArguments {
    /// The configuration file [default: tinymcp.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

/// The reason for another exit code than 0.
enum Failure {
    /// The command could not start, and cannot until somebody changes something: the configuration, a directory, the
    /// arguments. Exit code 2.
    Start(String),
    /// The command ran and failed, or could not start for something that may pass. Exit code 1.
    Failed(String),
    /// The same, with everything printed already.
    Silent,
    /// A signal ended it before it had begun, which is no failure. Exit code 0.
    Stopped,
}

impl Failure {
    fn start(message: impl Display) -> Self {
        Self::Start(message.to_string())
    }

    /// An error at the start, by its kind.
    fn at_start(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let message = error.to_string();
        if passing::may_pass(&error) { Self::Failed(message) } else { Self::Start(message) }
    }

    fn failed(message: impl Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// The reason in words; empty where it was printed.
    fn into_message(self) -> String {
        match self {
            Self::Start(message) | Self::Failed(message) => message,
            Self::Silent | Self::Stopped => String::new(),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Before anything else: a process that compiles knows nothing of the rest.
    if let Some(code) = crate::plugins::loading::compile::child::run_if_told() {
        return code;
    }
    let cli: Cli = help::parse();
    let outcome = match cli.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Stdio(arguments) => stdio::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Grant(arguments) => grant::run(arguments),
        Command::Add(arguments) => add::run(arguments),
        Command::Update(arguments) => update::run(arguments),
        Command::Push(arguments) => push::run(arguments),
        Command::Call(arguments) => call::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Approve(arguments) => approve::run(arguments),
        Command::Kv(arguments) => kv::run(arguments),
        Command::Sessions(arguments) => sessions::run(arguments),
        Command::People(arguments) => people::run(arguments),
        Command::Plugin(arguments) => plugin::run(arguments),
        Command::Backup(arguments) => backup::run(arguments),
        Command::Keys(arguments) => keys::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Token(arguments) => token::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Health(arguments) => health::run(arguments),
        Command::Schema => check::schema(),
        Command::Completions(arguments) => completions::run::<Cli>(&arguments),
        Command::Connect(arguments) => connect::run(&arguments),
    };
    match outcome {
        Ok(()) | Err(Failure::Stopped) => ExitCode::SUCCESS,
        Err(Failure::Silent) => ExitCode::from(1),
        Err(Failure::Failed(message)) => {
            output::error(&message);
            ExitCode::from(1)
        }
        Err(Failure::Start(message)) => {
            output::error(&message);
            ExitCode::from(2)
        }
    }
}

impl ConfigArguments {
    fn invocation(self, purpose: Purpose, overrides: Vec<Override>) -> Invocation {
        Invocation { file: self.config, overrides, purpose }
    }

    /// Loads the configuration, for commands that only look.
    fn look(self) -> Result<Config, Failure> {
        load(&self.invocation(Purpose::Look, Vec::new())).map(|setup| setup.config)
    }

    /// The loader of plugins, for commands that only look.
    fn plugin_loader(self) -> Result<plugin_loader::PluginLoader, Failure> {
        let invocation = self.invocation(Purpose::Look, Vec::new());
        let environment = Environment::read(invocation.directory());
        let setup = Config::load(&invocation, &environment).map_err(Failure::start)?;
        let (user_cache, docker) = (environment.user_cache(), environment.docker_config());
        Ok(plugin_loader::PluginLoader {
            config: setup.config,
            grants: setup.grants,
            egress: setup.egress,
            places: setup.places,
            secrets: setup.secrets,
            user_cache,
            docker,
            services: Services::default(),
        })
    }
}

fn load(invocation: &Invocation) -> Result<Setup, Failure> {
    let environment = Environment::read(invocation.directory());
    Config::load(invocation, &environment).map_err(Failure::start)
}

/// The runtime that serves requests, or runs a command.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::at_start(anyhow::Error::new(error).context("no threads to run on")))
}
