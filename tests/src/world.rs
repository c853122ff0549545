//! A server with its login, the provider behind it, and the people and clients in front.

use url::Url;

use crate::browser::Browser;
use crate::client::Client;
use crate::oauth::{Kind, OAuthClient, Tokens};
use crate::provider::Provider;
use crate::provider::settings::{Flavour, Settings};
use crate::server::{Server, Site};

/// A name of a provider that only the configuration knows.
pub const ACME: &str = "acme";

/// A server with a login.
pub struct World {
    /// The server.
    pub server: Server,
    /// The base of the URLs that it publishes.
    pub base: Url,
}

impl World {
    /// A server with the built-in login.
    pub async fn local() -> Self {
        Self::of(local()).await
    }

    /// The server of a site.
    pub async fn of(site: Site) -> Self {
        let base = site.base();
        Self { server: site.start().await, base }
    }

    /// The server of a site as soon as it listens, ready or not.
    pub async fn launched(site: Site) -> Self {
        let base = site.base();
        Self { server: site.launch().await, base }
    }

    /// A server that runs already, at the port that it has found.
    pub fn at(server: Server) -> Self {
        let base = format!("http://localhost:{}/", server.address.port()).parse().expect("a URL of ours");
        Self { server, base }
    }

    /// A server whose people log in at a provider.
    pub async fn with(provider: &Provider) -> Self {
        Self::of(behind(provider)).await
    }

    /// Registers a client.
    pub async fn register(&self, kind: Kind) -> OAuthClient {
        OAuthClient::register(&self.base, kind).await
    }

    /// A client, and its tokens after somebody has logged in through it.
    pub async fn log_in(&self, kind: Kind, name: &str) -> (OAuthClient, Tokens) {
        let client = self.register(kind).await;
        let tokens = client.log_in(&mut Browser::of(name)).await;
        (client, tokens)
    }

    /// A modern MCP client with a token.
    pub fn modern(&self, token: &str) -> Client {
        Client::modern(&self.server).with_token(token)
    }

    /// Kills the server as a power cut would, and starts it again.
    #[must_use]
    pub async fn killed(self) -> Self {
        Self::of(self.server.kill()).await
    }

    /// Asks the server to stop, and starts it again when it has.
    #[must_use]
    pub async fn stopped(mut self) -> Self {
        self.server.terminate();
        self.server.ended().await;
        Self::of(self.server.kill()).await
    }

    /// The secrets that the program has written into its log, which it must not.
    pub fn leaked(&self, secrets: &[String]) -> Vec<String> {
        let log = self.server.log.text();
        secrets.iter().filter(|secret| secret.len() >= 8 && log.contains(secret.as_str())).cloned().collect()
    }
}

/// A site with the built-in login.
pub fn local() -> Site {
    Site::new().fixed().auth("[auth]\nprovider = \"local\"\n")
}

/// A site whose people log in at a provider, with the variables that its built-in file wants.
///
/// # Panics
/// If this kind of provider is not configured here.
pub fn behind(provider: &Provider) -> Site {
    let site = Site::new().fixed();
    let callback = format!("{}auth/callback", site.base());
    let (mut id, mut secret) = Default::default();
    provider.change(|settings| {
        settings.redirect_uris.push(callback);
        (id, secret) = (settings.client_id.clone(), settings.client_secret.clone());
    });
    let (id, secret): (String, String) = (id, secret);
    let (url, discovery) = (&provider.url, provider.discovery());
    match provider.flavour() {
        Flavour::Auth0 => site
            .auth("[auth]\nprovider = \"auth0\"\n[auth.providers.auth0]\ndiscovery = \"http://${AUTH0_DOMAIN}\"\n")
            .variable("AUTH0_DOMAIN", url.trim_start_matches("http://"))
            .variable("AUTH0_CLIENT_ID", &id)
            .variable("AUTH0_CLIENT_SECRET", &secret)
            .variable("AUTH0_AUDIENCE", "https://api.example"),
        Flavour::Clerk => site
            .auth("[auth]\nprovider = \"clerk\"\nallow = [\"*@example.com\"]\n")
            .variable("CLERK_CONFIG_URL", &discovery)
            .variable("CLERK_CLIENT_ID", &id)
            .variable("CLERK_CLIENT_SECRET", &secret),
        Flavour::GitHub => site
            .auth(&format!(
                "[auth]\nprovider = \"github\"\nallow = [\"*@example.com\"]\n[auth.providers.github]\n\
                 authorization_endpoint = \"{url}/login/oauth/authorize\"\n\
                 token_endpoint = \"{url}/login/oauth/access_token\"\nuserinfo_endpoint = \"{url}/user\"\n\
                 [auth.providers.github.documents.emails]\nurl = \"{url}/user/emails\"\n"
            ))
            .variable("GITHUB_CLIENT_ID", &id)
            .variable("GITHUB_CLIENT_SECRET", &secret),
        Flavour::Oidc => site
            .auth(&format!(
                "[auth]\nprovider = \"{ACME}\"\n[auth.providers.{ACME}]\ndiscovery = \"{discovery}\"\n\
                 client_id = \"${{ACME_CLIENT_ID}}\"\nclient_secret = \"${{ACME_CLIENT_SECRET}}\"\n\
                 scopes = [\"openid\", \"profile\", \"email\", \"offline_access\"]\n"
            ))
            .variable("ACME_CLIENT_ID", &id)
            .variable("ACME_CLIENT_SECRET", &secret),
    }
}

/// Settings without faults, one for each kind of provider.
pub fn every_provider() -> [Settings; 4] {
    [Settings::auth0(), Settings::clerk(), Settings::github(), Settings::oidc()]
}
