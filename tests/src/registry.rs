//! A registry: Debian's `docker-registry`, with a login or without; and artifacts that are written by hand.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::Digest;
use tempfile::TempDir;

use crate::http::Request;
use crate::server::free_port;
use crate::until;

/// The type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The layer of a component, in the layout of the CNCF.
pub const WASM: &str = "application/wasm";

/// A registry that runs. It is killed when it is dropped.
pub struct Registry {
    /// Its address.
    pub address: SocketAddr,
    dir: TempDir,
    child: Child,
    login: Option<(String, String)>,
}

/// The digest of bytes, as registries write it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What a manifest says of bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest(bytes) })
}

/// A manifest with these layers.
pub fn manifest(layers: &[Value]) -> Value {
    let config = descriptor("application/vnd.wasm.config.v0+json", b"{}");
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers })
}

/// A directory with a `config.json` of Docker that has this login.
///
/// # Panics
/// If it cannot be written.
pub fn docker_config(host: &str, user: &str, password: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let auth = STANDARD.encode(format!("{user}:{password}"));
    let text = json!({ "auths": { host: { "auth": auth } } }).to_string();
    fs::write(dir.path().join("config.json"), text).expect("a file of ours");
    dir
}

impl Registry {
    /// Starts one that asks for nothing.
    pub async fn start() -> Self {
        Self::of(tempfile::tempdir().expect("a temporary directory"), None, free_port()).await
    }

    /// Starts one that asks for this login.
    pub async fn with_login(user: &str, password: &str) -> Self {
        let login = Some((user.to_owned(), password.to_owned()));
        Self::of(tempfile::tempdir().expect("a temporary directory"), login, free_port()).await
    }

    /// Stops it, and keeps what it has.
    pub fn stop(mut self) -> Stopped {
        self.end();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory"));
        Stopped { dir, login: self.login.clone(), port: self.address.port() }
    }

    async fn of(dir: TempDir, login: Option<(String, String)>, port: u16) -> Self {
        let path = |name: &str| dir.path().join(name);
        let auth = login.as_ref().map(|(user, password)| {
            let mut command = Command::new("htpasswd");
            command.args(["-i", "-B", "-C", "4", "-c"]).arg(path("htpasswd")).arg(user);
            let mut child = command
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("htpasswd: run `tests/setup/system`");
            child.stdin.take().expect("it was just piped").write_all(password.as_bytes()).expect("it reads");
            assert!(child.wait().expect("it ends").success());
            json!({ "htpasswd": { "realm": "tests", "path": path("htpasswd") } })
        });
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        if let Some(auth) = auth {
            config["auth"] = auth;
        }
        // JSON is YAML.
        fs::write(path("config.yml"), config.to_string()).expect("a file of ours");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry: run `tests/setup/system`");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let registry = Self { address, dir, child, login };
        until("a registry that listens", async || Request::new(address, "GET", "/v2/").try_send().await.is_ok()).await;
        registry
    }

    /// Its host, as references name it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A reference into it.
    pub fn at(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.host())
    }

    fn request(&self, method: &str, path: &str) -> Request {
        let request = Request::new(self.address, method, path);
        match &self.login {
            Some((user, password)) => {
                request.header("authorization", &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            None => request,
        }
    }

    /// Puts a blob into it.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn put_blob(&self, name: &str, bytes: &[u8]) {
        let begun = self.request("POST", &format!("/v2/{name}/blobs/uploads/")).send().await;
        assert_eq!(begun.status, 202, "{begun:?}");
        let location = begun.headers["location"].to_str().expect("a URL");
        let place = location.split_once(&self.host()).map_or(location, |(_, path)| path);
        let path = format!("{place}&digest={}", digest(bytes));
        let put = self.request("PUT", &path).header("content-type", "application/octet-stream");
        let put = put.body(bytes.to_vec()).send().await;
        assert_eq!(put.status, 201, "{put:?}");
    }

    /// Puts a manifest into it under a tag, and returns its digest.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn put_manifest(&self, name: &str, tag: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let of = manifest["mediaType"].as_str().expect("every manifest of ours says it").to_owned();
        let put = self.request("PUT", &format!("/v2/{name}/manifests/{tag}")).header("content-type", &of);
        let put = put.body(bytes.clone()).send().await;
        assert_eq!(put.status, 201, "{put:?}");
        digest(&bytes)
    }

    /// Puts an artifact into it: a component, and further layers.
    pub async fn put(&self, name: &str, tag: &str, layers: &[(&str, &[u8])]) -> String {
        self.put_blob(name, b"{}").await;
        let mut described = Vec::new();
        for (media_type, bytes) in layers {
            self.put_blob(name, bytes).await;
            described.push(descriptor(media_type, bytes));
        }
        self.put_manifest(name, tag, &manifest(&described)).await
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry that was stopped, with what it has.
pub struct Stopped {
    dir: TempDir,
    login: Option<(String, String)>,
    port: u16,
}

impl Stopped {
    /// Starts it again, at the same address.
    pub async fn start(self) -> Registry {
        Registry::of(self.dir, self.login, self.port).await
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
    }
}

/// The files below a directory, by their paths from there.
///
/// # Panics
/// If it cannot be read.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => left.push(path),
                path => found.push(path.strip_prefix(dir).expect("it is below").display().to_string()),
            }
        }
    }
    found.sort();
    found
}
