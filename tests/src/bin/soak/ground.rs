//! The place of all visits: the server, the provider behind it, the plugins that it serves.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::Server;
use tinymcp_tests::world::{World, behind};
use tinymcp_tests::{BUILDING, DEADLINE};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::ledger::{Event, Language, Ledger};

/// Few, so that what each of them may hold is full soon.
const PEOPLE: [&str; 4] = ["ada", "bob", "cleo", "dan"];

/// Clients whose redirect URIs a browser on this machine can be sent to.
const CLIENTS: [Kind; 6] = [Kind::Cursor, Kind::ClaudeCode, Kind::VsCode, Kind::Gemini, Kind::Inspector, Kind::Codex];

/// Bounds that are reached early. `--help` tells them.
const CONFIG: &str = "[server]\nsessions_per_person = 16\n";
const REFRESH_TTL: &str = "3m";
const ACCESS_TTL: &str = "2m";

/// A guest that takes long on demand.
const SLOW: &str = "hostile";

pub(crate) struct Ground {
    pub(crate) provider: Provider,
    pub(crate) ledger: Ledger,
    pub(crate) hello: Vec<u8>,
    /// Held for reading while somebody needs the provider, and for writing while it is out.
    pub(crate) calm: RwLock<()>,
    world: World,
    languages: Vec<Language>,
    has_slow: bool,
    over: CancellationToken,
    /// Pauses are divided by it.
    hurry: u32,
    logins: AtomicUsize,
}

/// Somebody who is logged in.
pub(crate) struct Login {
    pub(crate) client: OAuthClient,
    pub(crate) tokens: Tokens,
}

impl Ground {
    /// Starts provider and server, and waits until all plugins are ready.
    ///
    /// # Errors
    /// When a plugin is missing that every checkout can build.
    pub(crate) async fn prepare(program: &Path, plugins: &Path, hurry: u32) -> anyhow::Result<Self> {
        let read = |name: &str| fs::read(plugins.join(format!("{name}.wasm")));
        let required = |name: &str| {
            read(name).with_context(|| format!("`{name}.wasm` is not in `{}`: run `tests/soak`", plugins.display()))
        };
        let (hello, add) = (required("hello")?, required("add")?);
        let provider = Provider::start(Settings::oidc()).await;
        let mut site = behind(&provider)
            .config(CONFIG)
            .variable("TINYMCP_AUTH_REFRESH_TTL", REFRESH_TTL)
            .variable("TINYMCP_AUTH_ACCESS_TTL", ACCESS_TTL)
            .program(program)
            .plugin("hello", &hello)
            .plugin("add", &add);
        let mut languages = vec![Language::Rust];
        for (language, name) in [(Language::Python, "statistics"), (Language::JavaScript, "text")] {
            if let Ok(component) = read(name) {
                site = site.plugin(name, &component);
                languages.push(language);
            }
        }
        let slow = fs::read(tests_dir().join(format!(".guests/{SLOW}.wasm"))).ok();
        if let Some(component) = &slow {
            site = site.plugin(SLOW, component);
        }
        let world = World::launched(site).await;
        world.server.ready_within(BUILDING).await;
        Ok(Self {
            provider,
            ledger: Ledger::default(),
            hello,
            calm: RwLock::default(),
            world,
            languages,
            has_slow: slow.is_some(),
            over: CancellationToken::new(),
            hurry,
            logins: AtomicUsize::new(0),
        })
    }

    /// The plugins that are called, and those that are missing, in words.
    pub(crate) fn at_hand(&self) -> Vec<String> {
        let line = |what: &str, is_there: bool, cure: &str| {
            let outcome = if is_there { "called".to_owned() } else { format!("NOT CALLED: not at hand, {cure}") };
            format!("{what:<9}{outcome}")
        };
        let setup = "`tests/run --setup-only` installs its toolchain";
        vec![
            line("Rust", true, ""),
            line("Python", self.speaks(Language::Python), setup),
            line("JS", self.speaks(Language::JavaScript), setup),
            line("slow", self.has_slow, "`tests/setup/guests` builds it; calls that are cut are short ones"),
        ]
    }

    pub(crate) fn speaks(&self, language: Language) -> bool {
        self.languages.contains(&language)
    }

    pub(crate) fn has_slow(&self) -> bool {
        self.has_slow
    }

    pub(crate) fn server(&self) -> &Server {
        &self.world.server
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The person of a visitor.
    pub(crate) fn person(number: usize) -> &'static str {
        PEOPLE[number % PEOPLE.len()]
    }

    /// A whole login through a client that has just registered, at a time when the provider is there.
    pub(crate) async fn log_in(&self, person: &str) -> Login {
        let _calm = self.calm.read().await;
        let kind = CLIENTS[self.logins.fetch_add(1, Ordering::Relaxed) % CLIENTS.len()];
        let (client, tokens) = self.world.log_in(kind, person).await;
        self.ledger.count(Event::Login);
        Login { client, tokens }
    }

    /// New tokens for a login, at a time when the provider is there.
    pub(crate) async fn renew(&self, login: &mut Login) {
        let _calm = self.calm.read().await;
        login.tokens = login.client.renew(&login.tokens.refresh).await;
        self.ledger.count(Event::Renewal);
    }

    /// Ends a login, at a time when the provider is there.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn log_out(&self, login: Login) -> anyhow::Result<()> {
        let _calm = self.calm.read().await;
        let answer = login.client.revoke(&login.tokens.refresh).await;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits, or until all is over.
    pub(crate) async fn pause(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration / self.hurry, self.over.cancelled()).await;
    }

    /// Asks the server to stop. Returns its exit code; `None` if it does not end.
    pub(crate) async fn stop_server(mut self) -> Option<i32> {
        self.world.server.terminate();
        tokio::time::timeout(DEADLINE, self.world.server.ended()).await.ok()?.code()
    }
}
