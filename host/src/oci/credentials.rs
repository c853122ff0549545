//! Logins at registries, as Docker and its relatives keep them: `config.json`, and the helpers that it names.
//!
//! Only the operator's own file counts: one that belongs to another user, or that others may write, is refused, since it names
//! programs. A helper is a program `docker-credential-NAME` on the search path; it is started without a shell, with the host
//! on its standard input, and has to answer soon.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::secret::Secret;

/// Time for a helper: some ask a service in the cloud, and a person may be asked to unlock a key ring.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a helper's answer: tokens of clouds have a few thousand.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Bytes of `config.json`.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A helper's name for a credential that is no password (docker/cli, credentials).
const TOKEN_USER: &str = "<token>";

/// A login at one registry.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Password {
        user: String,
        password: Secret,
    },
    /// A refresh token, for OAuth at the realm.
    IdentityToken(Secret),
}

/// Where the logins are: the file, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Credentials {
    /// Those of a directory with a `config.json`, if there is one. The file is read when a login is asked for.
    pub(crate) fn of_directory(directory: Option<PathBuf>) -> Self {
        Self { file: directory.map(|directory| directory.join("config.json")) }
    }

    /// The login at a registry, if there is one.
    ///
    /// # Errors
    /// Why there may be one that cannot be had, with the cure; never a part of it.
    pub(crate) async fn of(&self, host: &str) -> Result<Option<Credential>, String> {
        let Some(path) = &self.file else { return Ok(None) };
        let Some(file) = read(path)? else { return Ok(None) };
        let named = |name: &str| bare(name) == host;
        let helper = file.cred_helpers.iter().find(|(name, _)| named(name)).map(|(_, helper)| helper);
        if let Some(helper) = helper.or(file.creds_store.as_ref().filter(|store| !store.is_empty())) {
            let asked = ask(helper, host).await.map_err(|error| format!("{}: {error}", path.display()))?;
            if asked.is_some() {
                return Ok(asked);
            }
        }
        let Some((_, auth)) = file.auths.iter().find(|(name, _)| named(name)) else { return Ok(None) };
        written(auth).map_err(|error| format!("{}: the login at `{host}` {error}", path.display()))
    }
}

/// Docker writes some hosts as URLs.
fn bare(name: &str) -> String {
    let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    name.split('/').next().unwrap_or_default().to_ascii_lowercase()
}

fn read(path: &Path) -> Result<Option<File>, String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(format!("{} belongs to another user, and its logins are not used: `chown` it", path.display()));
    }
    if metadata.mode() & 0o022 != 0 {
        let path = path.display();
        return Err(format!("others may write {path}, and its logins are not used: `chmod go-w {path}`"));
    }
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{} is no file of logins", path.display()));
    }
    let bytes = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    // The error would quote what it found.
    let file = serde_json::from_slice(&bytes);
    file.map(Some).map_err(|error| format!("{} is not as Docker writes it (line {})", path.display(), error.line()))
}

fn written(auth: &Auth) -> Result<Option<Credential>, &'static str> {
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = said(&auth.identitytoken) {
        return Ok(Some(Credential::IdentityToken(Secret::new(token))));
    }
    if let Some(both) = said(&auth.auth) {
        let bytes = STANDARD.decode(both.trim()).map_err(|_| "is not in base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "is no text")?;
        // Old versions of Docker end it with zeros.
        let text = text.trim_end_matches('\0');
        let (user, password) = text.split_once(':').ok_or("has no password")?;
        return Ok(Some(Credential::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) }));
    }
    match (said(&auth.username), said(&auth.password)) {
        (Some(user), Some(password)) => Ok(Some(Credential::Password { user, password: Secret::new(password) })),
        _ => Ok(None),
    }
}

/// Asks a helper. What it prints to its standard error is nobody's: it may quote what it was to keep.
async fn ask(helper: &str, host: &str) -> Result<Option<Credential>, String> {
    let is_name = !helper.is_empty()
        && helper.len() <= 64
        && helper.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Err("the name of a helper is made of small letters, digits and `-`".to_owned());
    }
    let program = format!("docker-credential-{helper}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.env_remove("TINYMCP_SECRET");
    let mut child = command.spawn().map_err(|error| format!("the helper `{program}` cannot be started: {error}"))?;
    let asked = async {
        if let Some(mut input) = child.stdin.take() {
            // One that does not read its input has its own reasons.
            let _ = input.write_all(host.as_bytes()).await;
        }
        let mut answer = Vec::new();
        if let Some(output) = child.stdout.take() {
            output.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, answer))
    };
    let asked = tokio::time::timeout(HELPER_TIMEOUT, asked).await;
    let (status, answer) = match asked {
        Ok(Ok(asked)) => asked,
        Ok(Err(error)) => return Err(format!("the helper `{program}` failed: {error}")),
        Err(_) => {
            return Err(format!("the helper `{program}` did not answer within {} seconds", HELPER_TIMEOUT.as_secs()));
        }
    };
    if !status.success() {
        // The words for it are a part of the protocol (docker-credential-helpers, credentials/error.go).
        let is_absent = String::from_utf8_lossy(&answer).contains("credentials not found");
        return if is_absent { Ok(None) } else { Err(format!("the helper `{program}` failed ({status})")) };
    }
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .map_err(|_| format!("the helper `{program}` answered with something that is no login"))?;
    let secret = Secret::new(answer.secret);
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(secret),
        _ => Credential::Password { user: answer.username, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn of(text: &str, host: &str) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), text).unwrap();
        let found = Credentials::of_directory(Some(dir.path().to_owned())).of(host).await;
        found.map(|found| {
            found.map(|found| match found {
                Credential::Password { user, password } => format!("{user}:{}", password.reveal()),
                Credential::IdentityToken(token) => format!("token {}", token.reveal()),
            })
        })
    }

    #[tokio::test]
    async fn logins_are_those_of_their_host() {
        let text = format!(
            r#"{{"auths": {{"https://a.example/v1/": {{"auth": "{}"}}, "b.example:5000": {{"username": "u", "password": "p"}}, "c.example": {{"identitytoken": "t"}}, "d.example": {{}}, "e.example": {{"auth": "!"}}}}}}"#,
            STANDARD.encode("alice:pa:ss")
        );
        assert_eq!(of(&text, "a.example").await, Ok(Some("alice:pa:ss".to_owned())));
        assert_eq!(of(&text, "b.example:5000").await, Ok(Some("u:p".to_owned())));
        assert_eq!(of(&text, "b.example").await, Ok(None));
        assert_eq!(of(&text, "c.example").await, Ok(Some("token t".to_owned())));
        assert_eq!(of(&text, "d.example").await, Ok(None));
        assert!(of(&text, "e.example").await.is_err());
        assert_eq!(of("{}", "a.example").await, Ok(None));
        assert!(of("{\"auths\": {\"x\": {\"auth\": 5}}}", "a.example").await.unwrap_err().contains("line 1"));
    }

    #[tokio::test]
    async fn helpers_have_names_and_no_paths() {
        for wrong in ["../evil", "a b", "A", "$(id)", "x;y"] {
            let text = format!(r#"{{"credsStore": "{wrong}"}}"#);
            let error = of(&text, "a.example").await.unwrap_err();
            assert!(error.contains("the name of a helper"), "{error}");
        }
        let error = of(r#"{"credHelpers": {"a.example": "not-there"}}"#, "a.example").await.unwrap_err();
        assert!(error.contains("`docker-credential-not-there` cannot be started"), "{error}");
        assert_eq!(of(r#"{"credHelpers": {"a.example": "not-there"}}"#, "b.example").await, Ok(None));
    }

    #[tokio::test]
    async fn a_file_that_others_may_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = Credentials::of_directory(Some(dir.path().to_owned())).of("a.example").await.unwrap_err();
        assert!(error.contains("chmod go-w"), "{error}");
        assert!(Credentials::of_directory(None).of("a.example").await.unwrap().is_none());
    }
}
