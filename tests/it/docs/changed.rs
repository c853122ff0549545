//! *A plugin changed* in `docs/operations.md`, and *Signing* in `docs/plugins.md`: every command and every table of the
//! configuration there runs as it stands, but for keys and digests.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tinymcp_tests::client::Client;
use tinymcp_tests::command::{CommandOutput, program};
use tinymcp_tests::guests::{guest, project_dir};
use tinymcp_tests::server::Site;

/// The listings of a section, each with its language.
fn listings(page: &str, heading: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(project_dir().join("docs").join(page)).unwrap();
    let begin = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`")) + 1;
    let section = &text[begin..];
    let section = &section[..section[2..].find("\n## ").map_or(section.len(), |end| end + 2)];
    let block = |block: &str| {
        let (language, listing) = block.split_once('\n').unwrap();
        (language.to_owned(), listing.to_owned())
    };
    section.split("```").skip(1).step_by(2).map(block).collect()
}

/// Runs a listing in a shell that finds the program, with these lines to be read.
fn shell(directory: &Path, listing: &str, typed: &str) -> CommandOutput {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program().parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", listing]).current_dir(directory).env("PATH", path);
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    CommandOutput {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn a_changed_plugin_is_looked_at_and_approved_as_the_page_says() {
    let listings = listings("operations.md", "## A plugin changed");
    let languages: Vec<&str> = listings.iter().map(|(language, _)| language.as_str()).collect();
    assert_eq!(languages, ["toml", "sh", "sh", "toml"]);
    let site = Site::new().config(&listings[0].1).plugin("weather", &guest("greeter-v1"));
    let server = site.start().await;
    let looked = shell(server.site().path(), &listings[1].1, "");
    assert_eq!(looked.code, 0, "{looked:?}");
    assert!(looked.stdout.starts_with("weather  a new plugin\n"), "{looked:?}");
    let command = looked.stdout.lines().last().unwrap();
    let (listed, shown) = (listings[2].1.trim_end(), command);
    // It is the command that was shown, with the digest left out.
    assert_eq!(listed.strip_suffix('…').unwrap(), &shown[..listed.len() - '…'.len_utf8()]);
    let approved = shell(server.site().path(), shown, "");
    assert_eq!(approved.code, 0, "{approved:?}");
    assert_eq!(Client::modern(&server).tool_names().await, ["weather_greet", "weather_wait"]);

    let checked = Site::with(&["greeter-v1"]).config(&listings[3].1).run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[tokio::test]
async fn a_file_is_signed_as_the_guide_says() {
    let listings = listings("plugins.md", "## Signing");
    assert_eq!(listings.len(), 2);
    let site = Site::new();
    fs::write(site.path().join("weather.wasm"), guest("greeter-v1")).unwrap();
    for ((_, listing), typed) in listings.iter().zip(["secret\nsecret\n", "secret\n"]) {
        let ran = shell(site.path(), listing, typed);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let public = fs::read_to_string(site.path().join("minisign.pub")).unwrap();
    let key = public.lines().nth(1).unwrap();
    site.configure(&format!("[plugin.weather]\ntrust = {{ minisign = \"{key}\" }}\n"));
    for file in ["weather.wasm.minisig", "weather.wasm"] {
        fs::rename(site.path().join(file), site.plugin_path(file)).unwrap();
    }
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, ["weather_greet", "weather_wait"]);
}
