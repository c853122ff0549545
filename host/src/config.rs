//! The configuration: `tinymcp.toml`, overridden by variables and by the command line.
//!
//! [`Config::load`] reads all of it in one go, and gives either plain data or every problem that there is. The modules:
//!
//! - `keys`: every key, with its type, default and description; a new one is one line there.
//! - `address`, `names`, `units`, `template`, `free`: the types of values. `text`: those that are written as strings.
//!   `schema`: JSON schemas of single values.
//! - `environment`: the process's variables and `.env`, as a value. Nothing else in the program reads a variable.
//! - `document`: the file as a tree with line numbers. `reader`, `settings`, `table`: from the tree to the types.
//! - `about`: what the server says of itself, files read. `files`: files that keys name.
//! - `provider`: the built-in providers, and the one that is chosen, with the values of its variables.
//! - `egress`: the way to the provider, its variables and files read. `grants`: what plugins may touch. `telemetry`: the
//!   OTLP endpoint, its headers resolved.
//! - `machines`, `claims`: callers without a browser. `certificates`: files of certificates that the configuration names.
//! - `trust`: the files that may go live. `registries`: those of plugins that come from elsewhere. `check`: rules across keys. `problem`: all problems and their texts. `effective`: the values for `tinymcp check`.
//!
//! A value on the command line is stronger than a variable, a variable of the process than one of `.env`, and any of
//! them than the file. The variable of `server.listen` is `TINYMCP_SERVER_LISTEN`, and so on for every key with a
//! single value; what a variable holds is taken literally, without the white space around it, while `${…}` in the file
//! is replaced.

pub mod about;
pub mod address;
pub mod cases;
mod certificates;
mod check;
pub mod claims;
mod document;
pub mod effective;
pub mod egress;
pub mod environment;
mod files;
pub mod free;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod grants;
mod invocation;
pub mod key;
pub mod keys;
pub mod machines;
pub mod names;
pub mod otlp;
pub mod problem;
pub mod provider;
mod reader;
pub mod redirect_schemes;
pub mod registries;
mod schema;
mod settings;
pub mod state_url;
mod table;
pub mod telemetry;
pub mod template;
mod text;
pub mod trust;
pub mod units;

use std::sync::{Arc, LazyLock};

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value as Json;

pub use self::about::About;
use self::address::BaseUrl;
use self::document::Value;
use self::effective::EffectiveConfig;
pub use self::egress::Egress;
pub use self::environment::{Environment, ValueFiles};
pub use self::invocation::{Invocation, Override, Purpose};
use self::key::Key;
pub use self::keys::{Config, Limits, PluginSettings, Server, State};
pub use self::machines::Credentials;
pub use self::problem::ConfigError;
use self::problem::{Fault, Problem, Source};
pub use self::provider::Provider;
pub use self::reader::Change;
use self::reader::{Reader, Setting};
use self::telemetry::TelemetryHeaders;
use self::template::TemplateError;
use self::trust::Approve;
pub use self::units::ByteSize;
use crate::folders::places::Places;
use crate::grants::PluginGrants;
use crate::state::{SecretText, Secrets, ShortSecret};

/// The variable of the root key's secret, which takes the place of a file of the state directory.
const SECRET: &str = "TINYMCP_SECRET";

/// The variable of earlier secrets, separated by spaces: data that was sealed under them can still be read.
const PREVIOUS_SECRETS: &str = "TINYMCP_SECRET_PREVIOUS";

/// A configuration without problems, and the values of its variables and files.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration itself.
    pub config: Config,
    /// The identity provider that it chooses, its variables replaced. None for `none` and `local`, and where the
    /// configuration is for looking only.
    pub provider: Option<Provider>,
    /// What declared clients and workloads need beside the file. Empty where the configuration is for looking only.
    pub credentials: Credentials,
    /// The way to the provider and out of plugins, variables and files read.
    pub egress: Egress,
    /// The values of `telemetry.headers`. Empty where the configuration is for looking only.
    pub telemetry_headers: TelemetryHeaders,
    /// What each plugin that is not switched off may touch. Where the configuration is for looking only, an entry whose
    /// variables are not set is left out, with a warning.
    pub grants: PluginGrants,
    /// What the server says of itself, files read.
    pub about: About,
    /// Files of this server that no plugin sees.
    pub places: Places,
    /// The secrets of the root key that the environment gives.
    pub secrets: Secrets,
    /// The files of `NAME_FILE` variables that were read for a value, and those that keys name.
    pub value_files: ValueFiles,
    /// Warnings about values that are valid, and probably not meant; a line of the log each.
    pub warnings: Vec<Problem>,
    /// Every value with its source, for `tinymcp check`.
    pub effective: EffectiveConfig,
}

impl Config {
    /// Reads the configuration and checks all of it.
    ///
    /// # Errors
    /// A file that was named and cannot be read; or every problem of file, `.env`, variables and command line.
    pub fn load(invocation: &Invocation, environment: &Environment) -> Result<Setup, ConfigError> {
        let text = invocation.read()?;
        Self::parse(text.as_deref().unwrap_or_default(), invocation, environment)
    }

    /// Reads the text of a configuration file, as [`Config::load`] does.
    ///
    /// # Errors
    /// Every problem of text, `.env`, variables and command line.
    pub fn parse(text: &str, invocation: &Invocation, environment: &Environment) -> Result<Setup, ConfigError> {
        let file: Arc<str> = invocation.path().display().to_string().into();
        let mut reader = Reader::new(environment, &invocation.overrides, invocation.directory());
        let root = match document::parse(&file, text) {
            Ok(root) => root,
            Err(problems) => {
                reader.problems.extend(problems);
                return Err(ConfigError::Problems(listed(reader.problems)));
            }
        };
        let mut config = Self::read_root(&root, &mut reader);
        config.server.base_url = base_url(&config, &mut reader);
        let secrets = root_secrets(environment, &mut reader);
        check::check(&config, Some(&secrets).filter(|_| invocation.purpose == Purpose::Serve), &mut reader);
        let places = grants::folders::places(&config, invocation, &reader);
        grants::folders::check(&config, &places, &mut reader);
        provider::check_keys(&root, &mut reader);
        let provider = match invocation.purpose {
            Purpose::Serve => provider::choose(&config, &root, &mut reader),
            Purpose::Look => None,
        };
        let credentials = match invocation.purpose {
            Purpose::Serve => machines::tables::credentials(&config, environment, &mut reader),
            Purpose::Look => Credentials::default(),
        };
        let telemetry_headers = match invocation.purpose {
            Purpose::Serve => telemetry::headers(&config, &mut reader),
            Purpose::Look => TelemetryHeaders::default(),
        };
        let before = reader.problems.len();
        let egress = egress::resolve(&config, &mut reader);
        let grants = grants::resolve::resolve(&config, &mut reader);
        let about = about::resolve(&config, &mut reader);
        if invocation.purpose == Purpose::Look {
            // Somebody who looks need not have the secrets and files: what lacks one is not granted, or not used.
            let missing = reader.problems.split_off(before);
            reader.warnings.extend(missing);
        }
        reader.expect_overrides_taken();
        reader.warn_about_variables();
        reader.problems.retain(|problem| !is_of_disabled_plugin(problem, &config));
        if !reader.problems.is_empty() {
            return Err(ConfigError::Problems(listed(reader.problems)));
        }
        let provider_urls = provider.as_ref().map(|provider| provider.urls_to_compare(&config.server.base_url));
        let way_out = egress.proxy.as_ref().map(|_| match config.egress.proxy_resolves {
            true => "it looks their names up (`egress.proxy_resolves`), and what these resolve to is its matter",
            false => "their names are looked up here, and it is asked for addresses that were checked",
        });
        let effective = EffectiveConfig { lines: reader.lines, provider_urls, egress: egress.to_string(), way_out };
        let warnings = listed(reader.warnings);
        let value_files = environment.value_files();
        Ok(Setup {
            config,
            provider,
            credentials,
            egress,
            telemetry_headers,
            grants,
            about,
            places,
            secrets,
            value_files,
            warnings,
            effective,
        })
    }

    /// The limits of this plugin's calls. The name may be in kebab case.
    pub fn limits(&self, plugin: &str) -> Limits {
        self.limits.replaced_by(&self.plugin(plugin).limits)
    }

    /// The settings of this plugin: the defaults if the file does not name it. The name may be in kebab case.
    pub fn plugin(&self, name: &str) -> &PluginSettings {
        static DEFAULT: LazyLock<PluginSettings> = LazyLock::new(PluginSettings::default);
        self.plugin.get(names::snake(name).as_str()).unwrap_or(&DEFAULT)
    }

    /// Whether somebody has to look at a file of this plugin before it goes live. The name may be in kebab case.
    pub fn approve(&self, plugin: &str) -> Approve {
        self.plugin(plugin).approve.unwrap_or(self.plugins.approve)
    }

    /// This configuration with the keys of `new` that apply at once, and the changed keys that only a restart can apply.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> (Self, Vec<Key>) {
        let (mut config, mut waiting) = (self.clone(), Vec::new());
        config.reload(self.with_bound_port(new), &Key::default(), &mut waiting);
        (config, waiting)
    }

    /// The keys whose values are others in `new`, and which of them apply at once.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.compare(&self.with_bound_port(new.clone()), &Key::default(), false, &mut changes);
        changes
    }

    /// What was just read, with the port of this configuration's URL where the file leaves the choice to the system.
    fn with_bound_port(&self, mut new: Self) -> Self {
        if let Some(port) = self.server.base_url.port_or_known_default() {
            new.server.base_url = new.server.base_url.with_bound_port(port);
        }
        new
    }

    /// The JSON schema of `tinymcp.toml`, in the draft that editors of TOML know, and without references.
    pub fn schema() -> Schema {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        RecursiveTransform(require_only_what_has_no_default).transform(&mut schema);
        RecursiveTransform(unwrap_description).transform(&mut schema);
        schema
    }
}

fn require_only_what_has_no_default(schema: &mut Schema) {
    let Some(mut required) = schema.remove("required") else { return };
    if let (Some(names), Some(properties)) = (required.as_array_mut(), schema.get("properties")) {
        names.retain(|name| name.as_str().is_some_and(|name| properties[name].get("default").is_none()));
        if !names.is_empty() {
            schema.insert("required".to_owned(), required);
        }
    }
}

/// Joins the lines of a description: comments are wrapped in the source, and editors wrap by themselves.
fn unwrap_description(schema: &mut Schema) {
    if let Some(Json::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// The configured URL, or else `localhost` with the listener's port.
fn base_url(config: &Config, reader: &mut Reader<'_>) -> BaseUrl {
    let key = Key::from("server.base_url");
    match reader.lines.iter_mut().find(|line| line.key == key) {
        Some(line) if line.source == Source::Default => {
            let url = BaseUrl::localhost(config.server.listen.port());
            line.shown = Value::Text(url.to_string()).to_string();
            url
        }
        _ => config.server.base_url.clone(),
    }
}

/// The variables that the root key is made of; without them it is a file of the state directory.
fn root_secrets(environment: &Environment, reader: &mut Reader<'_>) -> Secrets {
    let mut parse = |name: &str, raw: &str| {
        let problem = |error: ShortSecret| Problem {
            source: environment.source(name),
            key: None,
            fault: Fault::Conflict(error.to_string()),
        };
        SecretText::parse(raw).map_err(|error| reader.problems.push(problem(error))).ok()
    };
    let current = environment.get(SECRET).and_then(|raw| parse(SECRET, raw));
    let previous = environment.get(PREVIOUS_SECRETS).unwrap_or_default();
    let previous = previous.split_whitespace().filter_map(|raw| parse(PREVIOUS_SECRETS, raw)).collect();
    Secrets { current, previous }
}

/// True for a variable that is not set and that only a disabled plugin needs.
fn is_of_disabled_plugin(problem: &Problem, config: &Config) -> bool {
    let (Fault::Template(TemplateError::Missing(_)), Some(key)) = (&problem.fault, &problem.key) else {
        return false;
    };
    let mut disabled = config.plugin.iter().filter(|(_, plugin)| !plugin.enabled);
    disabled.any(|(name, _)| key.is_within(&Key::from("plugin").child(name.as_str())))
}

/// Sorts problems by the file's lines; variables and the command line come last.
fn listed(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|one, other| one.source.cmp(&other.source));
    problems
}

#[cfg(test)]
mod tests;
