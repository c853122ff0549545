//! `tinymcp connect`: entries written into clients' files, and read there by the clients' own commands.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tinymcp_tests::command::{CommandOutput, finish, tinymcp};
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::server::Site;

const URL: &str = "http://localhost:9000/mcp";

fn site() -> Site {
    let site = Site::new().config("[server]\nlisten = \"127.0.0.1:9000\"\n");
    fs::create_dir(site.path().join("home")).unwrap();
    site
}

/// A command in the site's directory, for somebody whose home is there too.
fn at_home(site: &Site, mut command: Command) -> Command {
    let home = site.path().join("home");
    command.current_dir(site.path()).stdin(Stdio::null()).env("HOME", &home);
    for (name, dir) in [("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".data"), ("XDG_STATE_HOME", ".state")] {
        command.env(name, home.join(dir));
    }
    for name in ["CODEX_HOME", "COPILOT_HOME", "CLINE_DIR"] {
        command.env_remove(name);
    }
    command
}

fn connect(site: &Site, arguments: &[&str]) -> CommandOutput {
    let mut command = tinymcp(site.path());
    command.arg("connect").args(arguments);
    finish(&mut at_home(site, command))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_client_is_listed_and_has_something_to_paste() {
    let site = site();
    let listed = connect(&site, &[]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let names: Vec<&str> = listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let printed = connect(&site, &[name]);
        assert_eq!(printed.code, 0, "{name}: {printed:?}");
        assert!(printed.stdout.contains(URL), "{name}: {}", printed.stdout);
    }
}

#[test]
fn an_entry_is_written_once_and_the_file_is_kept_as_it_was() {
    let site = site();
    let path = site.path().join(".cursor/mcp.json");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let old = "{\n\t// mine\n\t\"mcpServers\": {\n\t\t\"other\": { \"command\": \"x\", \"env\": { \"KEY\": \"secret\" } },\n\t},\n}\n";
    fs::write(&path, old).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    let asked = connect(&site, &["cursor", "--write"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stdout.contains("+ \t\t\"tinymcp\": {") && asked.stderr.contains("no terminal"), "{asked:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), old);

    let written = connect(&site, &["cursor", "--write", "--yes"]);
    assert_eq!(written.code, 0, "{written:?}");
    let new = fs::read_to_string(&path).unwrap();
    let entry = format!("\t\t\"tinymcp\": {{\n\t\t\t\"url\": \"{URL}\",\n\t\t}},\n");
    assert_eq!(new.replace(&entry, ""), old);
    let backup = path.with_file_name("mcp.json.backup-1");
    assert_eq!(fs::read_to_string(&backup).unwrap(), old);
    for file in [&path, &backup] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }

    let again = connect(&site, &["cursor", "--write", "--yes"]);
    assert!(again.code == 0 && again.stderr.contains("nothing to write"), "{again:?}");
    assert!(!path.with_file_name("mcp.json.backup-2").exists());

    let removed = connect(&site, &["cursor", "--remove", "--yes"]);
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), old);
    assert_eq!(fs::read_to_string(path.with_file_name("mcp.json.backup-2")).unwrap(), new);
}

#[test]
fn a_link_stays_one_and_a_file_that_is_not_there_is_made() {
    let site = site();
    let dotfiles = site.path().join("dotfiles");
    fs::create_dir(&dotfiles).unwrap();
    fs::write(dotfiles.join("settings.json"), "{}\n").unwrap();
    fs::create_dir(site.path().join("home/.gemini")).unwrap();
    let link = site.path().join("home/.gemini/settings.json");
    symlink(dotfiles.join("settings.json"), &link).unwrap();
    assert_eq!(connect(&site, &["gemini", "--write", "--yes"]).code, 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let expected = json!({ "mcpServers": { "tinymcp": { "url": URL, "type": "http" } } });
    assert_eq!(json_of(&dotfiles.join("settings.json")), expected);
    assert!(dotfiles.join("settings.json.backup-1").exists());

    assert_eq!(connect(&site, &["vscode", "--write", "--yes"]).code, 0);
    let made = json_of(&site.path().join(".vscode/mcp.json"));
    assert_eq!(made, json!({ "servers": { "tinymcp": { "type": "http", "url": URL } } }));
    assert!(!site.path().join(".vscode/mcp.json.backup-1").exists());

    // A link to nowhere leads to a file that is not ours to make.
    let dangling = site.path().join("home/.codeium/windsurf/mcp_config.json");
    fs::create_dir_all(dangling.parent().unwrap()).unwrap();
    symlink(site.path().join("nowhere"), &dangling).unwrap();
    let refused = connect(&site, &["windsurf", "--write", "--yes"]);
    assert!(refused.code == 1 && refused.stderr.contains("cannot be read"), "{refused:?}");
    assert!(!site.path().join("nowhere").exists());
}

#[test]
fn a_file_that_cannot_be_changed_safely_stays() {
    let site = site();
    let path = site.path().join("config.yaml");
    for text in ["extensions: {a: {}}\n", "extensions: [\n", "a: 1\n---\nb: 2\n"] {
        fs::write(&path, text).unwrap();
        let refused = connect(&site, &["goose", "--write", "--yes", "--file", "config.yaml"]);
        assert!(refused.code == 1 && refused.stderr.contains("stays as it is"), "{text}: {refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(!site.path().join("config.yaml.backup-1").exists());
    for arguments in [
        &["claude-ai", "--write"][..],
        &["claude-code", "--write", "--scope", "user"],
        &["goose", "--write", "--scope", "project"],
        &["chatgpt", "--stdio"],
        &["cursor", "--name", "../x"],
        &["--write"],
    ] {
        let refused = connect(&site, arguments);
        assert!(refused.code == 2 && refused.stderr.contains("error:"), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn an_entry_with_a_command_works_from_anywhere() {
    let site = site();
    let printed = connect(&site, &["claude-desktop", "--stdio"]);
    let entry: Value = serde_json::from_str(&printed.stdout).unwrap();
    let entry = &entry["mcpServers"]["tinymcp"];
    let command = PathBuf::from(entry["command"].as_str().unwrap());
    let config = PathBuf::from(entry["args"][2].as_str().unwrap());
    assert!(command.is_absolute() && command.is_file() && config.is_absolute() && config.is_file(), "{entry}");
    // It takes the place of an entry with the URL, and leaves what somebody has added.
    fs::write(
        site.path().join(".mcp.json"),
        format!("{{\"mcpServers\": {{\"tinymcp\": {{\"type\": \"http\", \"url\": \"{URL}\", \"env\": {{}}}}}}}}"),
    )
    .unwrap();
    assert_eq!(connect(&site, &["mcp-json", "--stdio", "--write", "--yes"]).code, 0);
    let entry = &json_of(&site.path().join(".mcp.json"))["mcpServers"]["tinymcp"];
    assert!(entry.get("url").is_none() && entry["type"] == "stdio" && entry["env"] == json!({}), "{entry}");
    fs::remove_file(site.path().join("tinymcp.toml")).unwrap();
    let refused = connect(&site, &["cursor", "--stdio"]);
    assert!(refused.code == 2 && refused.stderr.contains("--config"), "{refused:?}");
}

/// The command of a client.
fn client(site: &Site, path: &str, arguments: &[&str]) -> CommandOutput {
    let program = tests_dir().join(".tools").join(path);
    assert!(program.exists(), "`{}` is not installed: run `tests/run --setup-only`", program.display());
    let node = tests_dir().join(".tools/node/node_modules/.bin");
    let mut command = if path.ends_with(".js") {
        let mut command = Command::new(node.join("node"));
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).env("PATH", tinymcp_tests::command::suite_path()).env("NO_COLOR", "1").env("CI", "1");
    let finished = finish(&mut at_home(site, command));
    assert_eq!(finished.code, 0, "{path} {arguments:?}: {finished:?}");
    finished
}

/// The commands of clients, and what they say of their servers.
const CLIENTS: [(&str, &str, &[&str]); 6] = [
    ("codex", "clis/node_modules/@openai/codex/bin/codex.js", &["mcp", "list", "--json"]),
    ("qwen", "clis/node_modules/.bin/qwen", &["mcp", "list"]),
    ("gemini", "node/node_modules/@google/gemini-cli/bundle/gemini.js", &["mcp", "list"]),
    ("copilot", "clis/node_modules/.bin/copilot", &["mcp", "list", "--json"]),
    ("opencode", OPENCODE, &["debug", "config"]),
    ("mcp-json", CLAUDE, &["mcp", "get", "tinymcp"]),
];

const OPENCODE: &str = "clis/node_modules/opencode-linux-x64-baseline/bin/opencode";
const CLAUDE: &str = "clis/node_modules/@anthropic-ai/claude-code-linux-x64/claude";

#[test]
fn clients_read_what_is_written() {
    let site = site();
    for (name, program, lists) in CLIENTS {
        assert_eq!(connect(&site, &[name, "--write", "--yes"]).code, 0, "{name}");
        let said = client(&site, program, lists);
        let said = said.stdout + &said.stderr;
        assert!(said.contains("tinymcp") && (said.contains(URL) || name == "copilot"), "{name}: {said}");
        assert_eq!(connect(&site, &[name, "--stdio", "--write", "--yes"]).code, 0, "{name}");
        let said = client(&site, program, lists);
        let said = said.stdout + &said.stderr;
        assert!(!said.contains(URL) && (said.contains("stdio") || said.contains("local")), "{name}: {said}");
        assert_eq!(connect(&site, &[name, "--remove", "--yes"]).code, 0, "{name}");
    }
}

#[test]
fn the_commands_of_clients_write_the_same() {
    let site = site();
    for (name, program, _) in CLIENTS.into_iter().filter(|(name, ..)| *name != "mcp-json") {
        let printed = connect(&site, &[name]);
        let command = printed.stderr.lines().find_map(|line| line.strip_prefix("or: ")).unwrap().to_owned();
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        client(&site, program, &words);
        let again = connect(&site, &[name, "--write", "--yes", "--scope", "user"]);
        assert!(again.code == 0 && again.stderr.contains("nothing to write"), "{name}: {again:?}");
    }
}
