//! Every key of `tinymcp.toml`, by table. A new one is a line here, and one in the shipped file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::address::{AllowedHost, BaseUrl, Listen, Network, Origin};
use super::claims::ClaimRule;
use super::document::{Node, Table, Value};
use super::egress::proxy::EgressProxy;
use super::environment::Environment;
use super::free::Free;
use super::grants::entries::{Dir, EnvName, HttpEntry, Kv, SecretEntry, Short, TcpEntry};
use super::key::Key;
use super::machines::{ClientGrant, MachineName, SigningAlgorithm, WebUrl};
use super::names::{
    AuditOnError, AuditPeople, GroupName, LogFilter, LogFormat, PageUrl, PluginName, Prefix, ProviderName, RedirectUri,
    Scope, ShownName, StatePrefix, ToolName, UnknownClients, ViewName, Who,
};
use super::otlp::{OtlpEndpoint, Share};
use super::problem::Source;
use super::reader::{Reader, Setting};
use super::redirect_schemes::SchemeRule;
use super::registries::{PackageNamespace, PluginSource, RegistryHost};
use super::state_url::StateUrl;
use super::table::{overridable_table, table};
use super::template::Template;
use super::trust::{Approve, Trust};
use super::units::{Bound, ByteSize, Count, Period, Positive, Rate};
use crate::address::Nat64Prefix;

table! {
    /// The configuration: plain data, checked, and resolved except for values that may never be used.
    pub struct Config {
        /// The listener and its limits.
        server: Server = {},
        /// Login: the provider, and the people who may log in.
        auth: Auth = {},
        /// The way to the provider.
        egress: Egress = {},
        /// The data that the server keeps between two runs.
        state: State = {},
        /// The source of plugins.
        plugins: Plugins = {},
        /// Limits of one call of any plugin. A change applies at once.
        @live limits: Limits = {},
        /// Resources that all calls share.
        pool: Pool = {},
        /// The log.
        log: Log = {},
        /// The audit: who did what, a line of JSON for each event, apart from the log.
        audit: Audit = {},
        /// Numbers for Prometheus, on a listener of their own.
        metrics: Metrics = {},
        /// Numbers and spans for OpenTelemetry.
        telemetry: Telemetry = {},
        /// Settings and grants of single plugins. A plugin that is not named here may only compute. A change applies at
        /// once.
        @live plugin: BTreeMap<PluginName, PluginSettings> = {},
        /// Parts of this server with a list and an audience of their own, each at `/mcp/NAME`. A change applies at once.
        @live view: BTreeMap<ViewName, View> = {},
        /// What there is to say of registries that plugins come from. A change applies at once.
        @live registry: BTreeMap<RegistryHost, Registry> = {},
    }
}

table! {
    /// `[server]`
    pub struct Server {
        /// The address to listen on, with a port, or `localhost:8000` for both loopback addresses.
        listen: Listen = "127.0.0.1:8000",
        /// The URL by which clients call the server: scheme, host and port. Every published URL comes from it, never
        /// from a request. Without it, `localhost` with the port of `listen`. Also BASE_URL.
        base_url: BaseUrl = "http://localhost:8000",
        /// Further hosts by which clients may call the server, beside the one of `base_url`; a network, such as
        /// `10.0.0.0/8`, for requests that call it by an address.
        allowed_hosts: Vec<AllowedHost> = [],
        /// Further origins from which browsers may call the server, beside the one of `base_url`.
        allowed_origins: Vec<Origin> = [],
        /// Addresses or networks of the proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<Network> = [],
        /// Connections that may be open at once. When all are taken, a further one takes the place of one that is idle,
        /// or of one of the client that has most; otherwise it waits.
        connections: Positive<Count> = 1024,
        /// The largest body of a request.
        body: Positive<ByteSize> = "4MiB",
        /// Time in which a client must send the head of a request.
        header_timeout: Positive<Period> = "10s",
        /// Time that calls may still take after the server has been told to stop.
        grace: Period = "25s",
        /// Time for which a server that was told to stop goes on to serve, and says at `/readyz` that it is not ready: a load
        /// balancer hears of it before it ends. `grace` begins afterwards.
        drain: Period = "0s",
        /// Offers clients two further tools, `find_tools` and `call_tool`, by which they can use a tool that was not
        /// there when they asked for the list.
        discovery_tools: bool = false,
        /// Sessions that one person may have open with clients of the older protocol.
        sessions_per_person: Positive<Count> = 256,
        /// Items of a list in one answer; a client asks for the rest with the cursor that it gets.
        list_page: Positive<Count> = 1000,
        /// The name of this server for people, in clients and on its page. A change applies at once.
        @live title: Option<String>,
        /// What this server is for, in a sentence. A change applies at once.
        @live description: Option<String>,
        /// The page about this server. A change applies at once.
        @live website: Option<PageUrl>,
        /// Its picture: a file (PNG, JPEG, GIF or WebP of 64 KiB at most), or a URL of https. A change applies at once,
        /// also of the file.
        @live icon: Option<String>,
        /// What a model should know of this server before it calls a tool; clients put it into every conversation. A
        /// change applies at once.
        @live instructions: Option<String>,
        /// The same in a file, which is read again when it changes.
        @live instructions_file: Option<PathBuf>,
    }
}

table! {
    /// `[view.NAME]`: a part of this server at `/mcp/NAME`. A token for it is good for nothing else.
    pub struct View {
        /// The plugins that it shows.
        plugins: Vec<PluginName> = [],
        /// The only tools that it shows of these, by their names as clients see them; without it, all.
        tools: Option<Vec<ShownName>>,
        /// Tools of these that it does not show.
        hide: Vec<ShownName> = [],
        /// Scopes of which a caller must hold all for any request, beside those of the tools.
        scopes: Vec<Scope> = [],
        /// Its name for people; without one, that of the server.
        title: Option<String>,
        /// What it is for; without one, as for the server.
        description: Option<String>,
        /// What a model should know of it; without one, as for the server.
        instructions: Option<String>,
    }
}

table! {
    /// `[auth]`
    pub struct Auth {
        /// The identity provider: a built-in one or one declared below; `none` for no login at all, on loopback only.
        /// Also AUTH_PROVIDER.
        provider: ProviderName = "auth0",
        /// People who may log in: `alice@example.com`, `*@example.com`, `sub:…`, `org:…`, `group:…`; empty for everyone
        /// the provider knows. A change applies at once, also to those who are logged in.
        @live allow: Vec<Who> = [],
        /// People who may not log in, whatever `allow` says. It fails closed: a person about whom the provider does not
        /// say enough to tell is denied. A change applies at once.
        @live deny: Vec<Who> = [],
        /// People who run this server, named as in `allow`: they see its state and may approve on its own pages. Nobody
        /// is one who is not named, and no machine is. A change applies at once.
        @live operators: Vec<Who> = [],
        /// Lifetime of an access token.
        access_ttl: Positive<Period> = "1h",
        /// Lifetime of a session after its last use.
        refresh_ttl: Positive<Period> = "90d",
        /// Longest lifetime of a session, however often it is used; without it, there is no limit.
        session_max: Option<Positive<Period>>,
        /// Time for which a replaced refresh token still gets its answer again after its successor was first used:
        /// clients send one twice. Any later use of it ends the session.
        refresh_grace: Period = "60s",
        /// Time after which the provider is asked again about a person whose session is in use, whatever else is due:
        /// what it says of them then holds here, and a login that it has ended ends. While it cannot be reached, nothing
        /// changes. Without it, the provider is asked when its own tokens end.
        recheck: Option<Positive<Period>>,
        /// Days for which the provider may refuse to renew one person's session with an unknown error before that
        /// session ends. Refusals that others get too do not count.
        refresh_refused_days: Count = 7,
        /// Requests a minute that one address may make to each of the login's endpoints.
        requests_per_minute: Positive<Count> = 600,
        /// The treatment of a client whose id this server never issued: `refuse` it, or `adopt` it as a new one.
        unknown_clients: UnknownClients = "refuse",
        /// Ids of clients that are turned away as if they had never registered. A change applies at once.
        @live denied_clients: Vec<String> = [],
        /// Schemes by which clients may be called back, beside those of known applications and those that nothing else
        /// acts on: `myapp` allows one, `!myapp` refuses one, `!*` refuses all that are not allowed here by name. A
        /// change applies at once.
        @live redirect_schemes: Vec<SchemeRule> = [],
        /// Groups of people, which are then named `group:…`. A change applies at once.
        @live groups: BTreeMap<GroupName, Vec<Who>> = {},
        /// People who hold a scope that the provider's token does not carry. A change applies at once.
        @live scopes: BTreeMap<Scope, Vec<Who>> = {},
        /// Clients that are known beforehand, by their id. A change applies at once.
        @live clients: BTreeMap<String, Client> = {},
        /// Workloads that call for themselves, each by the tokens of its platform. A change applies at once, also to
        /// tokens that were given out.
        @live workloads: BTreeMap<MachineName, Workload> = {},
        /// Lets people log in on a device without a browser, by a code that they type elsewhere (RFC 8628), through
        /// clients with `device_code` in their `grants`.
        device_flow: bool = false,
        /// Providers of one's own, or changes to built-in ones.
        providers: BTreeMap<ProviderName, BTreeMap<String, Free>> = {},
    }
}

table! {
    /// `[auth.clients.ID]`: a client that need not register.
    pub struct Client {
        /// Its name on the consent page; without one, its id.
        name: Option<String>,
        /// Its redirect URIs.
        redirect_uris: Vec<RedirectUri> = [],
        /// The ways by which it gets tokens: `authorization_code` for people with a browser, `device_code` for people with
        /// a browser elsewhere, `client_credentials` for itself alone.
        grants: Vec<ClientGrant> = ["authorization_code"],
        /// The scopes that it holds itself, with `client_credentials`.
        scopes: Vec<Scope> = [],
        /// Its secret; without one, and without keys, it is a public client.
        secret: Option<Template>,
        /// The public key (PEM) of the assertions by which it authenticates (`private_key_jwt`).
        public_key: Option<String>,
        /// Several such keys: a set as RFC 7517 has it.
        jwks: Option<Free>,
        /// The URL of such a set.
        jwks_uri: Option<WebUrl>,
        /// Lets that URL lead into a network of one's own.
        private: bool = false,
    }
}

table! {
    /// `[auth.workloads.NAME]`: a job or a service that calls for itself. Its platform's token must be for `server.base_url`
    /// and nothing else.
    pub struct Workload {
        /// The issuer of its tokens, as their `iss` has it.
        issuer: WebUrl,
        /// The claims that its tokens must have: a value as it is, in which `*` may stand for one whole segment. One of
        /// them must name the workload exactly: `sub`, `repository_id`, `project_id`, or `kubernetes.io/namespace` with
        /// `kubernetes.io/serviceaccount/name`.
        claims: BTreeMap<String, ClaimRule>,
        /// The scopes that it holds.
        scopes: Vec<Scope> = [],
        /// The algorithms of its tokens' signatures.
        algorithms: Vec<SigningAlgorithm> = ["RS256", "ES256"],
        /// The URL of the issuer's keys; without it, the issuer's discovery document names it.
        jwks_uri: Option<WebUrl>,
        /// The issuer's keys themselves, as RFC 7517 has them: then nothing is fetched.
        jwks: Option<Free>,
        /// Certificates (PEM) of authorities that the issuer is trusted by, beside the system's.
        ca_file: Option<PathBuf>,
        /// Lets the issuer be in a network of one's own.
        private: bool = false,
    }
}

table! {
    /// `[egress]`: the way to the provider and out of plugins. URLs that strangers name are always fetched directly.
    pub struct Egress {
        /// A proxy, `http://proxy.example:3128`, or `env` for the one of HTTPS_PROXY and NO_PROXY. Without it no proxy
        /// is used, whatever those say.
        proxy: Option<EgressProxy>,
        /// Certificates (PEM) of authorities that are trusted beside the system's, such as those of a proxy that looks
        /// into TLS.
        ca_file: Option<PathBuf>,
        /// Prefixes of this network's own translators from IPv6 to IPv4 (RFC 6052), beside the well-known one: an
        /// address below them is judged by the IPv4 address in it.
        nat64: Vec<Nat64Prefix> = [],
        /// Lets the proxy look up the names that plugins call. What they resolve to is the proxy's matter then; without
        /// it they are looked up here, and the proxy is asked for an address.
        proxy_resolves: bool = false,
    }
}

table! {
    /// `[state]`
    pub struct State {
        /// The state directory, private to the server: store, key, compile cache.
        dir: PathBuf = ".tinymcp",
        /// The socket by which commands reach the running server, where the state directory cannot hold one; in a
        /// directory of its own, for the server's user alone. Without it, `control/socket` in the state directory.
        socket: Option<PathBuf>,
        /// The Redis or Valkey in which several servers keep what they share: logins, the state of plugins, what an
        /// operator has switched off. Without it they are in the state directory, and one server has them. Off loopback
        /// with a password and TLS (`rediss://`); `TINYMCP_SECRET` must be set.
        url: Option<StateUrl>,
        /// The beginning of every key in there: servers with another one share nothing.
        prefix: StatePrefix = "tinymcp",
        /// A file of certificates in PEM by which that Redis is known; without it, the system's.
        ca_file: Option<PathBuf>,
        /// Time for which tokens that were verified before are honoured while that Redis cannot be reached; "0s" for none.
        stale: Period = "30s",
    }
}

table! {
    /// `[plugins]`
    pub struct Plugins {
        /// The directory whose `.wasm` files are the plugins.
        dir: PathBuf = "plugins",
        /// Interval between looks at the directory, for file systems that report no changes, such as network file
        /// systems; without it, the system's events are relied on.
        poll: Option<Positive<Period>>,
        /// Interval between looks in spite of events, in case one was lost.
        rescan: Positive<Period> = "30s",
        /// Time that clients wait at a start for plugins that have to be compiled; those that take longer are announced
        /// when they are ready. Plugins whose code is in the state directory need none of it.
        wait: Period = "5s",
        /// Holds back files that are new or have changed until an operator has looked at them (`tinymcp approve`);
        /// `"interface"` lets new code pass that shows and needs the same. A change applies at once.
        @live approve: Approve = false,
        /// The file that says which files of plugins with `from` run here. Only `tinymcp add` and `update` write it.
        lock: PathBuf = "tinymcp.lock",
        /// Time that servers of one store wait for each other with what the lock changes. One that has not got it by then holds
        /// nobody up, and says at `/readyz` that it is behind. A change applies at once.
        @live update_wait: Period = "60s",
    }
}

table! {
    /// `[registry."HOST"]`: a registry that plugins come from, by its host and, if it needs one, its port.
    pub struct Registry {
        /// A registry with the same content, which is asked first.
        mirror: Option<RegistryHost>,
        /// Further hosts that take logins for it. Without them, they are sent to its own host alone.
        realms: Vec<RegistryHost> = [],
        /// Speaks plain http with it; on loopback that is so anyway. No login is sent by it.
        plain: bool = false,
        /// Namespaces of packages (`acme:weather@1.2`) whose registry its `.well-known/wasm-pkg/registry.json` names.
        packages: Vec<PackageNamespace> = [],
    }
}

overridable_table! {
    /// `[limits]`, each of which may be changed for one plugin in `[plugin.NAME]`.
    #[derive(Copy)]
    pub struct Limits, LimitOverrides {
        /// Wall time of a call from its arrival, waiting included.
        timeout: Positive<Period> = "30s",
        /// Memory of one call.
        memory: Positive<ByteSize> = "64MiB",
        /// The largest result of a call.
        result: Positive<ByteSize> = "8MiB",
        /// The largest component that is loaded.
        file: Positive<ByteSize> = "64MiB",
        /// Processor time that compiling a component may take, over all cores; counted in whole seconds.
        compile_cpu: Positive<Period> = "2m",
        /// Memory that compiling a component may take.
        compile_memory: Positive<ByteSize> = "1GiB",
        /// Calls of one plugin that may run at once.
        concurrency: Positive<Count> = 64,
        /// Calls of one plugin that may wait for their turn, shared by person; further ones are turned away.
        queue: Count = 256,
        /// The bytes that one call may print into the log.
        log: ByteSize = "64KiB",
        /// Calls of one plugin that one person may make in a span of time, such as `60/min`: so many at once, which come
        /// back one by one.
        rate: Bound<Rate> = "unlimited",
        /// Processor time that the plugin itself may take in one call, beside the wall time. Waiting takes none.
        cpu: Bound<Period> = "unlimited",
        /// Requests that one call may make.
        http_requests: Count = 100,
        /// Bytes that the requests of one call may send and receive.
        http_bytes: ByteSize = "64MiB",
        /// Connections that one call may have open.
        connections: Count = 16,
    }
}

table! {
    /// `[pool]`
    pub struct Pool {
        /// Calls that may run at once over all plugins. Address space is reserved for each, memory is not.
        slots: Positive<Count> = 256,
        /// Instances that are kept for their person's next call, over all plugins whose authors ask for it; each keeps
        /// its memory for up to five minutes.
        warm: Count = 16,
        /// Cleans only those pages of a call's memory that it wrote, as the kernel says (Linux 6.7 and later). That
        /// makes calls cheaper, and is not for machines with swap: see `docs/performance.md`.
        scan: bool = false,
    }
}

table! {
    /// `[log]`
    pub struct Log {
        /// The level: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tinymcp=debug`. A change
        /// applies at once.
        @live level: LogFilter = "info",
        /// The format: `text` for people, `json` for machines.
        format: LogFormat = "text",
    }
}

table! {
    /// `[audit]`. Without `file` and `stdout` there is none.
    pub struct Audit {
        /// The file that lines are appended to. It is opened anew when it was moved, and at SIGHUP.
        file: Option<PathBuf>,
        /// Writes the lines to standard output instead.
        stdout: bool = false,
        /// What happens while lines cannot be written: `continue` goes on and counts them, `refuse` lets nobody log in or
        /// call anything.
        on_error: AuditOnError = "continue",
        /// The form of people in lines: `clear`, or `hash` for keyed hashes of their names.
        people: AuditPeople = "clear",
    }
}

table! {
    /// `[metrics]`
    pub struct Metrics {
        /// The address of `/metrics`, such as `127.0.0.1:9464`; without it there is none. It asks for no login.
        listen: Option<Listen>,
        /// Hosts by which Prometheus may call it, beside `localhost` and addresses.
        allowed_hosts: Vec<AllowedHost> = [],
    }
}

table! {
    /// `[telemetry]`
    pub struct Telemetry {
        /// The endpoint that takes OTLP over HTTP (protobuf), such as `http://collector.internal:4318`; `/v1/metrics` and
        /// `/v1/traces` follow it. Without it nothing is sent.
        otlp: Option<OtlpEndpoint>,
        /// Headers of every request to it.
        headers: BTreeMap<String, Template> = {},
        /// Interval between two sendings of the numbers.
        interval: Positive<Period> = "30s",
        /// The share of calls that have a span, from 0 for none to 1 for all.
        traces: Share = 0,
    }
}

table! {
    /// `[plugin.NAME]`: settings and grants of the plugin in `NAME.wasm`; `-` and `_` are the same.
    pub struct PluginSettings {
        /// Loads the plugin, or not.
        enabled: bool = true,
        /// The registry that it comes from, in place of the plugins directory: `oci://registry.example/org/weather:1.2`, or
        /// a package, `acme:weather@1.2`. What runs is what `tinymcp.lock` says.
        from: Option<PluginSource>,
        /// The beginning of its tools' names, instead of its own name; `""` for none.
        prefix: Option<Prefix>,
        /// Scopes of which a caller must hold all.
        scopes: Vec<Scope> = [],
        /// The only functions of it that are tools; without it, all.
        tools: Option<Vec<ToolName>>,
        /// Functions of it that are no tools.
        hide: Vec<ToolName> = [],
        /// Holds back its file, as `plugins.approve` does for all.
        approve: Option<Approve>,
        /// The only files that are loaded under its name: `{ sha256 = "…" }`, `{ minisign = "KEY" }`, or, with `from`,
        /// `{ cosign = "KEY" }` or `{ cosign = { identity = "…", issuer = "…" } }`.
        trust: Option<Trust>,
        /// Requests that it may make: `https://api.example.com`, or a table with more to say.
        http: Vec<Short<HttpEntry>> = [],
        /// Sockets that it may open: `db.example.com:5432`, or a table.
        tcp: Vec<Short<TcpEntry>> = [],
        /// Folders that it sees.
        dirs: Vec<Dir> = [],
        /// State that the host keeps for it.
        kv: Option<Kv>,
        /// Variables of its environment.
        env: BTreeMap<EnvName, Template> = {},
        /// Values that it may ask for by name, and that are shown nowhere: `"${NAME}"`, or a table for one that is also a
        /// value of its configuration.
        secrets: BTreeMap<String, Short<SecretEntry>> = {},
        /// Values that it may ask for by name: strings as they are, anything else as JSON.
        settings: BTreeMap<String, Free> = {},
        /// Settings of single tools, by the name of the tool's function.
        tool: BTreeMap<ToolName, ToolSettings> = {},
        ..limits: LimitOverrides,
    }
}

table! {
    /// `[plugin.NAME.tool.FUNCTION]`: settings of the tool of this function; `-` and `_` are the same.
    pub struct ToolSettings {
        /// Shows the tool and lets it be called, or not.
        enabled: bool = true,
        /// Its name for clients, in place of the one that is made of the plugin's and the function's.
        name: Option<ShownName>,
        /// Its title, in place of the author's.
        title: Option<String>,
        /// Its description, in place of the author's.
        description: Option<String>,
        /// Scopes of which a caller must hold all, beside those of the whole plugin.
        scopes: Vec<Scope> = [],
        /// Calls of this tool that one person may make in a span of time, beside the rate of the whole plugin.
        rate: Bound<Rate> = "unlimited",
    }
}

impl Config {
    /// Reads a whole file. Its values are the defaults wherever the reader has found a problem.
    pub(super) fn read_root(root: &Node, reader: &mut Reader<'_>) -> Self {
        Self::read(root, &Key::default(), reader).expect("every key of the root has a default")
    }
}

/// The values of a table in which nothing is given.
pub(super) fn defaults<T: Setting>() -> T {
    let environment = Environment::default();
    let mut reader = Reader::new(&environment, &[], Path::new(""));
    let nothing = Node::new(Value::Table(Table::new()), Source::Default);
    T::read(&nothing, &Key::default(), &mut reader).expect("every default fits its own key")
}

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}

impl Default for Limits {
    fn default() -> Self {
        defaults()
    }
}

impl Default for PluginSettings {
    fn default() -> Self {
        defaults()
    }
}

impl PluginSettings {
    /// True if a function of it, by its name in snake case, is to be a tool.
    pub fn shows(&self, function: &str) -> bool {
        self.tools.as_ref().is_none_or(|only| only.iter().any(|shown| **shown == *function))
            && !self.hide.iter().any(|hidden| **hidden == *function)
            && self.tool.get(function).is_none_or(|tool| tool.enabled)
    }
}

impl View {
    /// True if it shows a tool of its plugins, by the tool's name as clients see it.
    pub fn shows(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|only| only.iter().any(|shown| **shown == *tool))
            && !self.hide.iter().any(|hidden| **hidden == *tool)
    }
}
