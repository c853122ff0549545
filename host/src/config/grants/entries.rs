//! Entries of `http`, `tcp`, `secrets` and `dirs`, `kv`, and names of `env`, as they are written. The texts in them are read by
//! `crate::grants`, which has their rules.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::address::Nat64Prefix;
use crate::config::document::{Node, Table, Value};
use crate::config::effective::REDACTED;
use crate::config::key::Key;
use crate::config::reader::{Reader, Setting};
use crate::config::table::table;
use crate::config::template::Template;
use crate::config::text::{InvalidValue, Text, choice, name, text_schema};
use crate::config::units::{ByteSize, Positive};
use crate::grants::endpoint::Endpoint;
use crate::grants::headers::canonical;
use crate::grants::origin::Origin;
use crate::grants::rule::{MethodError, Methods};

table! {
    /// An entry of `http`: a URL alone grants its scheme, host and port, with every method, and its path with all below.
    pub struct HttpEntry {
        /// Scheme, host, and a port or a path if they are not those of the scheme and all: `https://api.example.com`,
        /// `https://*.example.com:8443/v1/`.
        to: Origin,
        /// The methods, such as `["GET"]`; without them, all.
        methods: Option<Vec<Method>>,
        /// Headers that the host puts in, and that the plugin does not see.
        headers: BTreeMap<String, Template> = {},
        /// Parameters of the query that the host puts in, and that the plugin does not see.
        query: BTreeMap<String, Template> = {},
        /// User and password that the host puts in: `"${USER}:${PASSWORD}"`.
        basic: Option<Template>,
        /// `login` for the calling person's own access token of the identity provider.
        r#as: Option<As>,
        /// True for a host inside one's own network.
        private: bool = false,
    }
}

table! {
    /// An entry of `tcp`.
    pub struct TcpEntry {
        /// Host and port: `db.example.com:5432`.
        to: Endpoint,
        /// True for a host inside one's own network.
        private: bool = false,
    }
}

table! {
    /// An entry of `secrets`: a string alone is its value, for `tinymcp:plugin/secrets` and nothing else.
    pub struct SecretEntry {
        /// The value.
        value: Template,
        /// True for a value of the plugin's configuration too, which it reads through `wasi:config/store`.
        config: bool = false,
    }
}

table! {
    /// State that the host keeps for a plugin.
    pub struct Kv {
        /// Bytes of keys and values, for each owner.
        quota: Positive<ByteSize> = "1MiB",
        /// The owner: the `plugin`, or each `person` who calls.
        per: KvOwner = "plugin",
    }
}

table! {
    /// A folder that a plugin sees.
    pub struct Dir {
        /// The folder here.
        host: PathBuf,
        /// Its name for the plugin.
        guest: GuestPath,
        /// `ro` to read, `rw` to write too.
        mode: DirMode = "ro",
        /// Bytes that the plugin may add.
        quota: Option<Positive<ByteSize>>,
    }
}

impl Dir {
    /// True if files may be changed.
    pub fn is_writable(&self) -> bool {
        self.mode == DirMode::ReadWrite
    }
}

choice! {
    /// Whose token is put in.
    pub enum As {
        /// The calling person's, of the identity provider.
        Login = "login",
    }
}

choice! {
    /// The owner of a plugin's state.
    pub enum KvOwner {
        /// One state for all callers.
        Plugin = "plugin",
        /// One for each person.
        Person = "person",
    }
}

choice! {
    /// What may be done in a folder.
    pub enum DirMode {
        /// Reading.
        ReadOnly = "ro",
        /// Writing too.
        ReadWrite = "rw",
    }
}

name! {
    /// A folder's name in a plugin: absolute, without `.` and `..`.
    pub struct GuestPath = guest_path, "a folder's name", "/data", "/.*"
}

name! {
    /// The name of a variable in a plugin's environment.
    pub struct EnvName = env_name, "a variable's name", "TZ", "[^=\\x00-\\x1f]+"
}

/// A method of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(pub(super) http::Method);

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        Methods::parse_one(text).map(Self)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for Method {
    const WHAT: &'static str = "a method";
    const EXAMPLE: &'static str = "GET";
    const PATTERN: &'static str = "[A-Z-]+";
}

impl Text for Origin {
    const WHAT: &'static str = "an origin";
    const EXAMPLE: &'static str = "https://api.example.com";
    const PATTERN: &'static str = "[Hh][Tt][Tt][Pp][Ss]?://.+";

    fn with_variable(self) -> Self {
        self.with_hidden_path()
    }
}

impl Text for Endpoint {
    const WHAT: &'static str = "host and port";
    const EXAMPLE: &'static str = "db.example.com:5432";
    const PATTERN: &'static str = ".+:[0-9]+";
}

impl Text for Nat64Prefix {
    const WHAT: &'static str = "a network";
    const EXAMPLE: &'static str = "2001:db8:64::/96";
    const PATTERN: &'static str = "[0-9a-fA-F:.]+/[0-9]+";
}

text_schema!(Method, Origin, Endpoint, Nat64Prefix);

fn guest_path(text: &str) -> Result<String, InvalidValue> {
    let Some(parts) = text.strip_prefix('/') else { return Err("it begins with `/`".into()) };
    if parts.chars().any(|char| char.is_control() || char == '\\') {
        return Err("it has no control characters and no backslash".into());
    }
    let parts = parts.strip_suffix('/').unwrap_or(parts);
    if !parts.is_empty() && parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("write it without `.`, `..` and `//`".into());
    }
    Ok(format!("/{parts}"))
}

fn env_name(text: &str) -> Result<String, InvalidValue> {
    if text.is_empty() || text.chars().any(|char| char == '=' || char.is_control()) {
        return Err("a variable's name is not empty, and has neither `=` nor control characters".into());
    }
    Ok(text.to_owned())
}

/// A table of which one key alone may be written in its place.
pub(in crate::config) trait Entry: Setting + JsonSchema {
    /// The type of that key.
    type Main: Setting + JsonSchema;

    /// True if that key is a secret.
    const IS_SECRET: bool = false;

    /// The entry that it makes.
    fn of(main: Self::Main) -> Self;
}

impl Entry for HttpEntry {
    type Main = Origin;

    fn of(to: Origin) -> Self {
        let (headers, query) = (BTreeMap::new(), BTreeMap::new());
        Self { to, methods: None, headers, query, basic: None, r#as: None, private: false }
    }
}

impl Entry for TcpEntry {
    type Main = Endpoint;

    fn of(to: Endpoint) -> Self {
        Self { to, private: false }
    }
}

impl Entry for SecretEntry {
    type Main = Template;

    const IS_SECRET: bool = true;

    fn of(value: Template) -> Self {
        Self { value, config: false }
    }
}

/// An entry in either form.
#[derive(Clone, Debug, PartialEq)]
pub struct Short<T>(T);

impl<T> Deref for Short<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Entry> Setting for Short<T> {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(_) => T::Main::read(node, key, reader).map(T::of),
            // What is in it is shown with the entry.
            Value::Table(_) => reader.item::<T>(node, key),
            _ if T::IS_SECRET => {
                reader.secret_text(node, key, "a string or a table");
                None
            }
            _ => {
                reader.wrong_type(node, key, "a string or a table");
                None
            }
        }
        .map(Self)
    }

    fn shown(node: &Node, _name: &str) -> String {
        match &node.value {
            Value::Table(_) => without_secrets(&node.value).to_string(),
            _ if T::IS_SECRET => REDACTED.to_owned(),
            value => value.to_string(),
        }
    }
}

impl<T: Entry> JsonSchema for Short<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Short{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (main, table) = (T::Main::json_schema(generator), T::json_schema(generator));
        json_schema!({ "anyOf": [main, table] })
    }
}

/// An entry with its names and without the values that are put in.
fn without_secrets(entry: &Value) -> Value {
    let redacted = || Value::Text("***".to_owned());
    let Value::Table(entry) = entry else { return entry.clone() };
    let shown = |(name, node): (&String, &Node)| {
        let value = match (canonical(name).as_str(), &node.value) {
            ("headers" | "query", Value::Table(secrets)) => {
                let hidden = |name: &String| (name.clone(), Node::new(redacted(), node.source.clone()));
                Value::Table(secrets.keys().map(hidden).collect::<Table>())
            }
            ("headers" | "query" | "basic" | "value", _) => redacted(),
            (_, value) => value.clone(),
        };
        (name.clone(), Node::new(value, node.source.clone()))
    };
    Value::Table(entry.iter().map(shown).collect())
}
