//! Checks that clients reach the server at `base_url`, and find this very server there.

use http::StatusCode;
use http::header::{ACCEPT, LOCATION};
use serde_json::Value;
use url::Url;

use crate::config::Config;
use crate::config::address::BaseUrl;
use crate::config::provider::NONE;
use crate::diagnosis::{Finding, Verdict};
use crate::fetch::{self, FetchError, ProviderHttp};

const SUBJECT: &str = "base_url";

/// Looks at the URL, then fetches from it what a client would.
pub(super) async fn look(config: &Config, http: &ProviderHttp) -> Vec<Finding> {
    let base_url = &config.server.base_url;
    let mut findings = Vec::new();
    match base_url.is_loopback() {
        true => findings.push(Finding::good(SUBJECT, format!("{base_url}, for clients on this machine only"))),
        false => {
            findings.push(Finding::good(SUBJECT, format!("{base_url}, with https")));
            findings.extend(address(base_url).await);
        }
    }
    if base_url.port() == Some(0) {
        findings.push(Finding::note("server", "not looked for: the system chooses its port"));
        return findings;
    }
    let alive = alive(config, http).await;
    let is_there = alive.verdict == Verdict::Good;
    findings.push(alive);
    if is_there && config.auth.provider.as_str() != NONE {
        findings.push(metadata(base_url, http).await);
    }
    findings
}

/// Checks the public address: clients such as claude.ai call from their own machines, and to port 443 only.
async fn address(base_url: &BaseUrl) -> Vec<Finding> {
    const SUBJECT: &str = "public address";
    let mut findings = Vec::new();
    if base_url.port_or_known_default() != Some(443) {
        let seen = format!("{base_url} is not on port 443, where claude.ai and ChatGPT want it");
        findings.push(Finding::note(SUBJECT, seen).step("Let the proxy listen on port 443 if such clients are used."));
    }
    let host = base_url.host_str().unwrap_or_default();
    findings.push(match fetch::is_public(base_url).await {
        Ok(true) => Finding::good(SUBJECT, format!("{host} has one")),
        Ok(false) => Finding::note(SUBJECT, format!("{host} has a private address, as seen from this machine"))
            .step("claude.ai and ChatGPT call from outside: for them the DNS must give a public address, and a firewall must let them in."),
        Err(error) => Finding::bad(SUBJECT, format!("{host} has no address: {error}"))
            .step("Enter the name into the DNS, or correct `server.base_url` (BASE_URL)."),
    });
    findings
}

/// Checks that a server answers.
async fn alive(config: &Config, http: &ProviderHttp) -> Finding {
    const SUBJECT: &str = "server";
    let base_url = &config.server.base_url;
    let url = format!("{}/healthz", base_url.as_str());
    let answer = match get(&url, http).await {
        Ok(answer) => answer,
        Err(error) => return unreachable(config, &url, &error),
    };
    let status = answer.status();
    let proxy = "Let the proxy pass every path on to the server as it is; see docs/operations.md, Behind a proxy.";
    let seen = format!("{url}: status {}", status.as_u16());
    match status {
        StatusCode::OK if member(answer.body(), "status").as_deref() == Some("ok") => Finding::good(SUBJECT, seen),
        StatusCode::FORBIDDEN => Finding::bad(SUBJECT, format!("{seen}: it does not answer for that Host"))
            .step("Let the proxy pass the `Host` header on as it is, or add what it sends to `server.allowed_hosts`."),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Finding::bad(SUBJECT, format!("{seen}: a proxy answers, and nothing behind it; not running?"))
                .step(start(config))
                .step("If it runs, the proxy must pass requests on to that address.")
        }
        _ if status.is_redirection() => {
            let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let seen =
                format!("{seen}: it redirects to {}, which clients do not follow", location.unwrap_or("nowhere"));
            Finding::bad(SUBJECT, seen)
                .step("Set `server.base_url` (BASE_URL) to where it leads, or switch that off.")
                .step(proxy)
        }
        _ => Finding::bad(SUBJECT, format!("{seen}: something else than TinyMCP answers there"))
            .step("Compare `server.base_url` (BASE_URL) with where the server is reached.")
            .step(proxy),
    }
}

/// Explains a failed request. On loopback the server may only not have been started.
fn unreachable(config: &Config, url: &str, error: &FetchError) -> Finding {
    const SUBJECT: &str = "server";
    if error.is_plain() {
        return Finding::bad(SUBJECT, format!("{url}: something answers, and without TLS"))
            .step("TinyMCP speaks plain HTTP: let a proxy with a certificate stand in front of it; see docs/operations.md, Behind a proxy.")
            .step("For clients on this machine alone, begin `server.base_url` (BASE_URL) with http://.");
    }
    if error.is_untrusted() {
        let finding =
            Finding::bad(SUBJECT, format!("{url}: something answers, and its certificate is refused: {error}"));
        if error.is_of_an_authority() {
            return finding.step("The certificate is an authority's own (`CA:TRUE`), which stands for no server: let that authority sign one for this name (`CA:FALSE`), or make one without `CA:TRUE`, and set SSL_CERT_FILE to the authority's.");
        }
        return finding.step(FetchError::TRUST).step(
            "Clients need to trust it too, each in its own way: claude.ai and ChatGPT take only authorities that everybody knows.",
        );
    }
    let seen = format!("{url}: {error}; not running?");
    if config.server.base_url.is_loopback() {
        return Finding::note(SUBJECT, seen).step(start(config));
    }
    Finding::bad(SUBJECT, seen).step(start(config)).step(
        "If it runs, DNS, proxy and firewall must lead this URL to it. Some networks do not let a machine call itself by its public address: then open the URL from elsewhere.",
    )
}

fn start(config: &Config) -> String {
    format!("Start `tinymcp serve`, which listens on {}, and run this again.", config.server.listen)
}

/// Checks that the server there publishes the same URL: clients refuse metadata that names another issuer (RFC 8414
/// §3.3).
async fn metadata(base_url: &BaseUrl, http: &ProviderHttp) -> Finding {
    const SUBJECT: &str = "metadata";
    let url = format!("{}/.well-known/oauth-authorization-server", base_url.as_str());
    let answer = match get(&url, http).await {
        Ok(answer) => answer,
        Err(error) => return Finding::bad(SUBJECT, format!("{url}: {error}")),
    };
    let restart = "Give the server that runs there the same configuration, `server.base_url` (BASE_URL) above all, and restart it.";
    match member(answer.body(), "issuer") {
        Some(issuer) if issuer == base_url.as_str() => Finding::good(SUBJECT, format!("{url}: issuer {issuer}")),
        Some(issuer) => Finding::bad(SUBJECT, format!("{url}: issuer {issuer}, expected {base_url}")).step(restart),
        None => {
            let seen = format!("{url}: status {}, and no issuer", answer.status().as_u16());
            Finding::bad(SUBJECT, seen)
                .step(
                    "With provider `none` a server has no such document; otherwise, let the proxy pass every path on.",
                )
                .step(restart)
        }
    }
}

async fn get(url: &str, http: &ProviderHttp) -> Result<http::Response<bytes::Bytes>, FetchError> {
    let url = Url::parse(url).map_err(|_| FetchError::Refused("only URLs"))?;
    let request = http::Request::get(url.as_str()).header(ACCEPT, "application/json").body(Vec::new());
    http.send(request.map_err(|_| FetchError::Refused("only URLs"))?).await
}

/// A member of a JSON object, if it is a text.
fn member(body: &[u8], name: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Invocation, Purpose};
    use crate::fetch::site::Site;

    const ISSUER: &str = "/.well-known/oauth-authorization-server";

    async fn findings(url: &str) -> Vec<(Verdict, String)> {
        let mut config = Config::load(
            &Invocation { file: Some("../tinymcp.toml".into()), overrides: Vec::new(), purpose: Purpose::Look },
            &Environment::from_iter([("BASE_URL", url)]),
        )
        .unwrap()
        .config;
        config.server.base_url = url.parse().unwrap();
        let findings = look(&config, &ProviderHttp::new(true).unwrap()).await;
        findings
            .into_iter()
            .map(|finding| (finding.verdict, format!("{}: {}", finding.subject, finding.seen)))
            .collect()
    }

    #[tokio::test]
    async fn a_server_is_found_and_names_itself() {
        let site = Site::start().await;
        site.says("/healthz", 200, &[], r#"{"status":"ok"}"#);
        site.says(ISSUER, 200, &[], &format!(r#"{{"issuer":"{}"}}"#, site.url));
        let found = findings(&site.url).await;
        assert!(found.iter().all(|(verdict, _)| *verdict == Verdict::Good) && found.len() == 3, "{found:?}");

        site.says(ISSUER, 200, &[], r#"{"issuer":"http://internal:8000"}"#);
        let (verdict, seen) = findings(&site.url).await.pop().unwrap();
        assert_eq!(verdict, Verdict::Bad);
        assert!(seen.ends_with(&format!("issuer http://internal:8000, expected {}", site.url)), "{seen}");
    }

    #[tokio::test]
    async fn what_stands_in_the_way_is_told_apart() {
        let site = Site::start().await;
        for (status, headers, body, expected) in [
            (403, &[][..], "{}", "status 403: it does not answer for that Host"),
            (502, &[], "", "status 502: a proxy answers, and nothing behind it; not running?"),
            (302, &[("location", "/login")], "", "status 302: it redirects to /login, which clients do not follow"),
            (200, &[], "<html>", "status 200: something else than TinyMCP answers there"),
        ] {
            site.says("/healthz", status, headers, body);
            let (verdict, seen) = findings(&site.url).await.pop().unwrap();
            assert_eq!(verdict, Verdict::Bad);
            assert!(seen.ends_with(expected), "{seen}");
        }
    }

    #[tokio::test]
    async fn a_server_on_this_machine_need_not_run_yet() {
        // Nothing listens there any more.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (verdict, seen) = findings(&url).await.pop().unwrap();
        assert_eq!(verdict, Verdict::Note);
        assert!(seen.ends_with("not running?"), "{seen}");
    }

    #[tokio::test]
    async fn claude_ai_wants_port_443_and_a_public_address() {
        let of = async |url: &str| {
            let found = address(&url.parse().unwrap()).await;
            found.into_iter().map(|finding| finding.seen).collect::<Vec<_>>()
        };
        assert_eq!(of("https://8.8.8.8").await, ["8.8.8.8 has one"]);
        assert_eq!(
            of("https://10.0.0.1:8443").await,
            [
                "https://10.0.0.1:8443 is not on port 443, where claude.ai and ChatGPT want it",
                "10.0.0.1 has a private address, as seen from this machine"
            ]
        );
    }
}
