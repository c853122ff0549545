//! Every instrument: its name by OpenTelemetry, its unit, its labels, and what it says.
//!
//! Prometheus gets the same names with `_` for `.`, the unit as a suffix, and `_total` behind counters ([`Named::exposed`]).
//! `docs/monitoring/README.md` shows this list, and a test holds that dashboard and alerts name nothing else.

/// The label of a method of the protocol (semantic conventions for MCP).
pub const METHOD: &str = "mcp.method.name";
/// The label of a tool (semantic conventions for generative AI).
pub const TOOL: &str = "gen_ai.tool.name";
/// The label of the kind of operation (the same).
pub const OPERATION: &str = "gen_ai.operation.name";
/// The label of the class of an error.
pub const ERROR: &str = "error.type";
/// The label of the transport.
pub const TRANSPORT: &str = "network.transport";

/// The kinds of instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is at the moment.
    Gauge,
    /// How often values were in which range.
    Histogram,
}

/// An instrument.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit (UCUM); in braces, what is counted. A plain `1` would become `_ratio` for Prometheus.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Named {
    /// The names of its series for Prometheus.
    pub fn exposed(&self) -> Vec<String> {
        let mut name = self.name.replace('.', "_");
        match self.unit {
            "s" => name.push_str("_seconds"),
            "By" => name.push_str("_bytes"),
            _ => {}
        }
        match self.kind {
            Kind::Counter => vec![format!("{name}_total")],
            Kind::Gauge => vec![name],
            Kind::Histogram => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
        }
    }
}

macro_rules! instruments {
    ($( $constant:ident: $kind:ident $name:literal $unit:literal [$($label:expr),*] $help:literal; )*) => {
        $(
            #[doc = $help]
            pub const $constant: Named =
                Named { name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help };
        )*

        /// All of them.
        pub const ALL: &[Named] = &[$($constant),*];
    };
}

instruments! {
    OPERATIONS: Histogram "mcp.server.operation.duration" "s" [METHOD, TOOL, OPERATION, ERROR, TRANSPORT]
        "Time of requests of the protocol, from their arrival to their answer";
    CALLS: Counter "tinymcp.calls" "{call}" ["plugin", "tool", "outcome"]
        "Calls of tools by their outcome";
    PARTS: Histogram "tinymcp.call.part.duration" "s" ["plugin", "part"]
        "Time of the parts of a call: waiting for a place, instantiating, the guest's own work, and requests that it waits for";
    SLOTS: Gauge "tinymcp.pool.slots" "{call}" []
        "Calls that may run at once";
    RUNNING: Gauge "tinymcp.pool.running" "{call}" []
        "Calls that run";
    WAITING: Gauge "tinymcp.pool.waiting" "{call}" []
        "Calls that wait for a place in the pool";
    WARM: Gauge "tinymcp.pool.warm" "{instance}" []
        "Instances that are kept for their person's next call";
    PLUGIN_RUNNING: Gauge "tinymcp.plugin.running" "{call}" ["plugin"]
        "Calls of a plugin that run, or have its place and wait for one in the pool";
    PLUGIN_WAITING: Gauge "tinymcp.plugin.waiting" "{call}" ["plugin"]
        "Calls of a plugin that wait in its queue";
    PLUGINS: Gauge "tinymcp.plugins" "{plugin}" ["state"]
        "Plugins by state: served, disabled, or refused, which includes those whose older version is served";
    TOOLS: Gauge "tinymcp.tools" "{tool}" []
        "Tools in the catalog";
    PLUGIN_CHANGES: Counter "tinymcp.plugin.changes" "{change}" ["what"]
        "Changes of plugins in the catalog";
    COMPILE: Histogram "tinymcp.compile.duration" "s" ["outcome"]
        "Time of compiling a component";
    CODE_CACHE: Counter "tinymcp.code_cache.lookups" "{lookup}" ["result"]
        "Looks for compiled code in the state directory";
    LOGINS: Counter "tinymcp.logins" "{login}" ["outcome"]
        "Logins that have ended at the identity provider";
    CONSENTS: Counter "tinymcp.consents" "{answer}" ["outcome"]
        "Answers to the question whether a client may act for a person";
    TOKENS: Counter "tinymcp.tokens" "{change}" ["what"]
        "Changes of sessions and tokens: issued, refreshed, revoked, ended";
    ENDS: Counter "tinymcp.sessions.ended" "{session}" ["reason"]
        "Sessions that have ended before their time, by reason";
    DEVICES: Counter "tinymcp.device.codes" "{code}" ["what"]
        "Codes of devices: begun, entered in a browser";
    REFUSALS: Counter "tinymcp.refusals" "{request}" ["reason"]
        "Requests that were refused for who sent them";
    LOGIN_READY: Gauge "tinymcp.login.ready" "{state}" []
        "1 while people can log in: the identity provider is known";
    STORE: Histogram "tinymcp.store.duration" "s" ["operation", "outcome"]
        "Time of operations of the store of sessions";
    EGRESS_REQUESTS: Counter "tinymcp.egress.requests" "{request}" ["plugin", "outcome"]
        "Requests of plugins: answered, failed, or refused";
    EGRESS_CONNECTIONS: Gauge "tinymcp.egress.connections" "{connection}" []
        "Connections of plugins that are open";
    CONNECTIONS: Gauge "tinymcp.connections" "{connection}" []
        "Connections of clients that are open";
    MEMORY: Gauge "process.memory.usage" "By" []
        "Memory of the process that is in use (its resident set)";
    CPU: Counter "process.cpu.time" "s" []
        "Processor time of the process";
    DESCRIPTORS: Gauge "process.unix.file_descriptor.count" "{file_descriptor}" []
        "Descriptors that are open";
    UPTIME: Gauge "process.uptime" "s" []
        "Time since the start";
    CONFIGURATION: Gauge "tinymcp.config.info" "{configuration}" ["digest"]
        "1, with the digest of the configuration that is in force";
    CONFIGURATIONS: Counter "tinymcp.config.reloads" "{reload}" ["outcome"]
        "Configurations that were read anew: applied or refused";
    ACTS: Counter "tinymcp.operator.acts" "{act}" ["outcome"]
        "Acts of operators";
    AUDIT_LINES: Counter "tinymcp.audit.lines" "{line}" ["result"]
        "Lines of the audit: written or lost";
    AUDIT_WAITING: Gauge "tinymcp.audit.waiting" "{line}" []
        "Lines of the audit that wait to be written";
    AUDIT_FAILING: Gauge "tinymcp.audit.failing" "{state}" []
        "1 while the audit cannot be written";
    EXPORTS: Counter "tinymcp.telemetry.exports" "{request}" ["outcome"]
        "Requests to the OTLP endpoint: sent or failed";
}
