//! `trust`: files by their digest, and files that are signed with minisign's own program.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::{Server, Site};

use super::{V1, V2, approve, until_it_waits};

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_digest(digest: &str) -> String {
    format!("[plugin.greeter]\ntrust = {{ sha256 = \"{digest}\" }}\n")
}

#[tokio::test]
async fn only_the_file_with_the_digest_is_served() {
    let (first, second) = (guest("greeter-v1"), guest("greeter-v2"));
    let site = Site::new().config(&of_digest(&sha256(&first))).plugin("greeter", &second);
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    let said = server.log.wait_for("plugin `greeter` not loaded: `trust` names the file with the SHA-256 digest").await;
    assert!(said.contains(&sha256(&second)) && said.contains("put that file back, or write this digest"), "{said}");
    server.site().put("greeter.wasm", &first);
    client.wait_for_tools(&V1).await;
    // Another one: the old version serves on.
    server.site().put("greeter.wasm", &second);
    server.log.wait_for("plugin `greeter` not reloaded: `trust` names the file").await;
    assert_eq!(client.tool_names().await, V1);
    // The rule is changed: the file that was refused is served, without a restart.
    server.site().configure(&of_digest(&sha256(&second).to_uppercase()));
    client.wait_for_tools(&V2).await;
    // What it names is not there: the one in force goes on, and is gone after a restart.
    server.site().configure(&of_digest(&"0".repeat(64)));
    let named = format!("not reloaded: `trust` names the file with the SHA-256 digest {}", "0".repeat(64));
    server.log.wait_for(&named).await;
    assert_eq!(client.tool_names().await, V2);
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    let shown = server.site().run(&["inspect", "--json", "plugins/greeter.wasm"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["sha256"], sha256(&second));
}

#[test]
fn a_rule_that_names_nothing_or_two_things_is_a_problem() {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    for (rule, expected) in [
        ("{}", "expected either `sha256` or `minisign`"),
        (&format!("{{ sha256 = \"{}\", minisign = \"{key}\" }}", "0".repeat(64)), "expected either"),
        ("{ sha256 = \"abc\" }", "expected 64 hexadecimal digits, as `sha256sum FILE` prints them"),
        ("{ minisign = \"minisign.pub\" }", "the line that begins with `RW`"),
    ] {
        let checked = Site::new().config(&format!("[plugin.greeter]\ntrust = {rule}\n")).run(&["check"]);
        assert!(checked.code == 2 && checked.stderr.contains(expected), "{rule}: {checked:?}");
    }
}

/// A pair of keys of minisign, without a password.
struct Signer(TempDir);

impl Signer {
    fn new() -> Self {
        let signer = Self(tempfile::tempdir().unwrap());
        signer.minisign(&["-G", "-W", "-p", "key.pub", "-s", "key.sec"]);
        signer
    }

    fn minisign(&self, arguments: &[&str]) {
        let mut command = Command::new("minisign");
        let run = command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null()).output();
        let run = run.expect("minisign is installed: see tests/setup/system");
        assert!(run.status.success(), "{run:?}");
    }

    fn config(&self) -> String {
        let public = fs::read_to_string(self.0.path().join("key.pub")).unwrap();
        format!("[plugin.greeter]\ntrust = {{ minisign = \"{}\" }}\n", public.lines().nth(1).unwrap())
    }

    /// The signature of bytes, with a comment if there is one.
    fn sign(&self, bytes: &[u8], comment: Option<&str>) -> Vec<u8> {
        fs::write(self.0.path().join("file"), bytes).unwrap();
        let comment = comment.map(|comment| ["-t", comment]);
        let mut arguments = vec!["-S", "-s", "key.sec", "-m", "file", "-x", "signature"];
        arguments.extend(comment.iter().flatten());
        self.minisign(&arguments);
        fs::read(self.0.path().join("signature")).unwrap()
    }

    /// Puts a signed file into the plugins directory.
    fn put(&self, site: &Site, bytes: &[u8], version: u64) {
        let signature = self.sign(bytes, Some(&format!("plugin:greeter version:{version}")));
        site.put("greeter.wasm.minisig", &signature);
        site.put("greeter.wasm", bytes);
    }
}

#[tokio::test]
async fn a_signed_file_is_served_and_an_unsigned_one_is_not() {
    let signer = Signer::new();
    let server = Site::new().config(&signer.config()).plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    server.log.wait_for("`trust` demands a signature, and `greeter.wasm.minisig` cannot be read").await;
    // The signature comes later, and nothing else changes.
    server.site().put("greeter.wasm.minisig", &signer.sign(&guest("greeter-v1"), Some("plugin:greeter version:1")));
    client.wait_for_tools(&V1).await;
    signer.put(server.site(), &guest("greeter-v2"), 2);
    client.wait_for_tools(&V2).await;
    // A signature of another's key, of other bytes, and none at all.
    let stranger = Signer::new();
    // No two of the same words follow each other: these are said once.
    for (signature, expected) in [
        (
            stranger.sign(&guest("greeter-v1"), Some("plugin:greeter version:3")),
            "is not one of this file by the key of `trust`",
        ),
        (signer.sign(&guest("greeter-v1"), None), "does not say for which plugin and version it is"),
        (
            signer.sign(&guest("echo"), Some("plugin:greeter version:3")),
            "is not one of this file by the key of `trust`",
        ),
        (signer.sign(&guest("greeter-v1"), Some("plugin:other version:3")), "it was signed for the plugin `other`"),
        (b"signed".to_vec(), "is no signature of minisign"),
        (vec![0xff; 100], "cannot be read (not a text)"),
        (vec![b'x'; 100_000], "cannot be read (larger than any signature)"),
    ] {
        let mark = server.log.mark();
        server.site().put("greeter.wasm.minisig", &signature);
        server.site().put("greeter.wasm", &guest("greeter-v1"));
        let said = server.log.wait_since(mark, expected).await;
        assert!(said.contains("not reloaded") && said.contains("the version before goes on"), "{said}");
        assert_eq!(client.tool_names().await, V2);
    }
    // A command knows the file alone, and asks the server for the rest.
    let listed = server.site().run(&["list"]).stdout;
    assert!(listed.contains("the server still serves the version before"), "{listed}");
    assert!(V2.iter().all(|tool| listed.contains(tool)), "{listed}");
}

#[tokio::test]
async fn an_older_version_is_never_taken_back() {
    let signer = Signer::new();
    let site = Site::new().config(&signer.config());
    signer.put(&site, &guest("greeter-v2"), 5);
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V2);
    // Signed once, long ago, by the right key.
    signer.put(server.site(), &guest("greeter-v1"), 4);
    let said = server.log.wait_for("it is signed as version 4, and version 5 was served already").await;
    assert!(said.contains("sign it anew with a higher version"), "{said}");
    assert_eq!(Client::modern(&server).tool_names().await, V2);
    // Also after a restart.
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    // Each version is one file.
    signer.put(server.site(), &marked(&guest("greeter-v2"), 1), 5);
    server.log.wait_for("it is signed as version 5, which was another file before").await;
    signer.put(server.site(), &guest("greeter-v1"), 6);
    Client::modern(&server).wait_for_tools(&V1).await;
    // Nobody knows what was served: no file is older than what nobody knows.
    let site = server.kill();
    fs::write(site.path().join(".tinymcp/approved/signed-versions.json"), "{}").unwrap();
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    server.log.wait_for("the versions that were served cannot be read").await;
}

#[tokio::test]
async fn both_may_be_asked_for_and_what_was_approved_keeps_its_signature() {
    let signer = Signer::new();
    let config = format!("{}approve = true\n", signer.config());
    let site = Site::new().config(&config);
    signer.put(&site, &guest("greeter-v1"), 1);
    let server: Server = site.start().await;
    approve(server.site(), "greeter");
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    signer.put(server.site(), &guest("greeter-v2"), 2);
    until_it_waits(&server, "greeter").await;
    assert!(super::shown(server.site(), "greeter").contains("signed as version 2"));
    // Version 2 waits for somebody, and version 1 serves after a restart, whose signature is kept with it.
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    approve(server.site(), "greeter");
    assert_eq!(Client::modern(&server).tool_names().await, V2);
    assert!(Path::new(&server.site().path().join(".tinymcp/approved")).is_dir());
}
