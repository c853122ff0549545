//! The server as a service: what it tells systemd, how it is told to look anew, its unit, its version and its completions.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::command::program;
use tinymcp_tests::guests::{guest, project_dir};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};

/// The socket of a supervisor, and what came to it.
struct Supervisor(UnixDatagram);

impl Supervisor {
    /// One that listens in a directory, and the variable that names it.
    fn at(directory: &Path) -> (Self, String) {
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (Self(socket), path.display().to_string())
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message that is none of the watchdog's.
    fn next_news(&self) -> String {
        loop {
            match self.next() {
                alive if alive == "WATCHDOG=1\n" => {}
                news => return news,
            }
        }
    }
}

fn hang_up(server: &Server) {
    let pid = i32::try_from(server.pid()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

#[tokio::test]
async fn systemd_is_told_when_it_serves_reloads_and_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let (supervisor, socket) = Supervisor::at(scratch.path());
    let site = Site::with(&["greeter-v1"]).variable("NOTIFY_SOCKET", &socket).variable("WATCHDOG_USEC", "2000000");
    let mut server = site.start().await;
    assert_eq!(
        supervisor.next_news(),
        "READY=1\nSTATUS=serving 1 plugins with 2 tools; 0 not loaded, 0 waiting for approval\n"
    );
    assert_eq!(supervisor.next(), "WATCHDOG=1\n");
    server.site().put("broken.wasm", b"");
    assert_eq!(supervisor.next_news(), "STATUS=serving 1 plugins with 2 tools; 1 not loaded, 0 waiting for approval\n");

    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
    server.site().configure("[plugin.greeter-v1]\nprefix = \"hello\"\n");
    hang_up(&server);
    // A change may have been found by the regular look; the signal has it read again.
    let mut news = supervisor.next_news();
    while !news.starts_with("RELOADING=1\n") {
        news = supervisor.next_news();
    }
    let since = news.trim_end().strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    let since: i64 = since.parse().unwrap();
    assert!(since / 1_000_000 >= now && since / 1_000_000 <= now + 60, "{since} and {now}");
    while !news.starts_with("READY=1\n") {
        news = supervisor.next_news();
    }
    assert_eq!(news, "READY=1\nSTATUS=the configuration was read anew\n");
    Client::modern(&server).wait_for_tools(&["hello_greet", "hello_wait"]).await;

    server.terminate();
    let mut news = supervisor.next_news();
    while news.starts_with("STATUS=") {
        news = supervisor.next_news();
    }
    assert_eq!(news, "STOPPING=1\nSTATUS=calls under way end\n");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_signal_has_a_bad_configuration_told_and_ends_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (supervisor, socket) = Supervisor::at(scratch.path());
    let server = Site::with(&["greeter-v1"]).variable("NOTIFY_SOCKET", &socket).start().await;
    assert!(supervisor.next_news().starts_with("READY=1\n"));
    hang_up(&server);
    assert!(supervisor.next_news().starts_with("RELOADING=1\n"));
    assert_eq!(supervisor.next_news(), "READY=1\nSTATUS=the configuration was read anew\n");
    server.log.wait_for("told to read the configuration anew, and to open files anew").await;
    server.site().configure("[plugins]\nno_such_key = 1\n");
    server.log.wait_for("configuration not reloaded").await;
    hang_up(&server);
    assert!(supervisor.next_news().starts_with("RELOADING=1\n"));
    assert_eq!(supervisor.next_news(), "READY=1\nSTATUS=the configuration was not reloaded\n");
    assert_eq!(Client::modern(&server).value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

/// The unit with a program that is there.
fn unit(directory: &Path) -> String {
    let unit = fs::read_to_string(project_dir().join("dist/tinymcp.service")).unwrap();
    let path = directory.join("tinymcp.service");
    let here = unit.replace("/usr/local/bin/tinymcp", program().to_str().unwrap());
    assert_ne!(here, unit);
    fs::write(&path, here).unwrap();
    path.to_str().unwrap().to_owned()
}

fn systemd_analyze(arguments: &[&str]) -> (bool, String) {
    let run = Command::new("systemd-analyze").args(arguments).stdin(Stdio::null()).output();
    let run = run.expect("systemd-analyze is installed: see tests/setup/system");
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_unit_is_valid_and_exposes_little() {
    let scratch = tempfile::tempdir().unwrap();
    let unit = unit(scratch.path());
    let (is_valid, said) = systemd_analyze(&["verify", "--man=no", &unit]);
    assert!(is_valid && said.trim().is_empty(), "{said}");
    // Tenths: the exposure is 3.0 at most.
    let (is_below, said) = systemd_analyze(&["security", "--offline=yes", "--no-pager", "--threshold=30", &unit]);
    let overall = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    assert!(is_below && overall.contains("OK"), "{overall}");
}

#[test]
fn the_unit_leaves_what_compiling_needs() {
    let scratch = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(unit(scratch.path())).unwrap();
    // It sets limits on what compiles, and lowers its priority.
    for needed in ["@resources", "prlimit64", "setpriority"] {
        assert!(!unit.lines().any(|line| line.starts_with("SystemCallFilter=~") && line.contains(needed)), "{needed}");
    }
    assert!(!unit.lines().any(|line| line.starts_with("MemoryDenyWriteExecute")));
    let grace = tinymcp_grace();
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(stop.parse::<u64>().unwrap() > grace, "{stop} and {grace}");
}

/// `server.grace` in seconds.
fn tinymcp_grace() -> u64 {
    let checked: Value = serde_json::from_str(&Site::new().run(&["check", "--json"]).stdout).unwrap();
    let values = checked["values"].as_array().unwrap();
    let grace = values.iter().find(|value| value["key"] == "server.grace").unwrap();
    grace["value"].as_str().unwrap().trim_matches('"').trim_end_matches('s').parse().unwrap()
}

#[test]
fn the_version_names_the_interfaces_of_plugins() {
    let version = Site::new().run(&["--version"]);
    let wit = fs::read_to_string(project_dir().join("wit/world.wit")).unwrap();
    let package = wit.lines().find_map(|line| line.strip_prefix("package ")).unwrap().trim_end_matches(';');
    let expected = format!("tinymcp {} (development build, {package})\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected);
}

#[test]
fn a_release_names_its_commit_and_builds_without_git() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("build-script");
    let mut compiler = Command::new("rustc");
    compiler.args(["--edition", "2024", "-A", "unknown_lints", "-o"]).arg(&script);
    let built = compiler.arg(project_dir().join("host/build.rs")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let run = |directory: &Path, variables: &[(&str, &str)]| {
        let mut command = Command::new(&script);
        command.current_dir(directory).env("GIT_CEILING_DIRECTORIES", scratch.path()).env_remove("TINYMCP_COMMIT");
        let run = command.envs(variables.iter().copied()).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        let said = String::from_utf8(run.stdout).unwrap();
        said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=BUILT_FROM=")).map(str::to_owned)
    };
    let release = [("PROFILE", "release")];
    let (outside, inside) = (scratch.path().join("outside"), scratch.path().join("inside"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&inside).unwrap();
    assert_eq!(run(&outside, &release), None);
    assert_eq!(run(&outside, &[("PROFILE", "release"), ("PATH", "/nowhere")]), None);
    assert_eq!(run(&outside, &[("PROFILE", "debug"), ("TINYMCP_COMMIT", "1.2-3")]), Some("1.2-3".to_owned()));
    assert_eq!(run(&outside, &[("PROFILE", "debug"), ("TINYMCP_COMMIT", "a\ncargo::x")]), None);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&inside).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
        let done = git.args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    fs::write(inside.join("file"), "one").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(run(&inside, &release), Some(commit.clone()));
    assert_eq!(run(&inside, &[("PROFILE", "debug")]), None);
    fs::write(inside.join("file"), "two").unwrap();
    assert_eq!(run(&inside, &release), Some(format!("{commit}+")));
}

#[test]
fn shells_complete_commands() {
    let site = Site::new();
    for (shell, part) in [
        ("bash", "_tinymcp()"),
        ("zsh", "#compdef tinymcp"),
        ("fish", "complete -c tinymcp"),
        ("powershell", "tinymcp"),
    ] {
        let script = site.run(&["completions", shell]);
        assert_eq!(script.code, 0, "{script:?}");
        assert!(script.stdout.contains(part) && script.stdout.contains("approve"), "{shell}: {}", script.stdout);
    }
    // Bash itself takes it, and completes by it.
    fs::write(site.path().join("completions.bash"), site.run(&["completions", "bash"]).stdout).unwrap();
    let ask = "source ./completions.bash; COMP_WORDS=(tinymcp app); COMP_CWORD=1; _tinymcp tinymcp app tinymcp; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash").args(["-c", ask]).current_dir(site.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "approve", "{completed:?}");
    assert_eq!(site.run(&["completions", "csh"]).code, 2);
}

#[test]
fn the_help_is_grouped_by_what_people_do() {
    let help = Site::new().run(&["--help"]).stdout;
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("no `{text}`: {help}"));
    for (heading, command) in [
        ("\nWrite plugins:\n", "\n  inspect "),
        ("\nDecide what plugins may do:\n", "\n  approve "),
        ("\nRun a server:\n", "\n  serve "),
        ("\nConnect clients:\n", "\n  connect "),
        ("\nKnow this program:\n", "\n  completions "),
    ] {
        let section = &help[place(heading) + 1..];
        let section = &section[..section.find("\n\n").unwrap_or(section.len())];
        assert!(section.contains(command), "{command} under {heading}: {help}");
    }
    assert!(help.contains("--version") && !help.contains('{') && !help.contains("\nMore:\n"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
}

#[test]
fn what_is_checked_or_built_is_told_as_json() {
    let site = Site::with(&["greeter-v1"]).config("[plugin.greeter-v1]\nkv = {}\nenv = { TZ = \"UTC\" }\n");
    let checked = site.run(&["check", "--json"]);
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((checked.code, &json["problems"]), (0, &json!([])), "{checked:?}");
    let value = |key: &str| json["values"].as_array().unwrap().iter().find(|value| value["key"] == key).cloned();
    let provider = value("auth.provider").unwrap();
    assert_eq!(provider["value"], "\"none\"");
    assert!(provider["source"].as_str().unwrap().contains("tinymcp.toml"), "{provider}");
    assert_eq!(json["granted"]["greeter_v1"], json!(["env TZ", "kv"]));
    assert!(json["warnings"][0].as_str().unwrap().contains("whoever can replace its file inherits its state"));
    assert!(!checked.stdout.contains("UTC"), "values of variables are shown nowhere: {checked:?}");
    let pinned = "[plugin.greeter-v1]\nkv = {}\napprove = true\n";
    let checked = site.config(pinned).run(&["check", "--json"]);
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(json["warnings"], json!([]));

    let site = Site::new().config("[plugins]\ndirr = \"x\"\n");
    let checked = site.run(&["check", "--json"]);
    let json: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert!(checked.code == 2 && json["problems"][0].as_str().unwrap().contains("dirr"), "{checked:?}");

    let doctor = Site::new().run(&["doctor", "--json"]);
    let json: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert!(findings.len() > 3 && findings.iter().all(|finding| finding["subject"].is_string()), "{doctor:?}");
    assert_eq!(doctor.code == 0, json["failed"] == 0, "{doctor:?}");

    let site = Site::new();
    fs::create_dir_all(site.path().join("plugins/half/src")).unwrap();
    fs::write(site.path().join("plugins/half/Cargo.toml"), "[package]\nname = \"half\"\nversion = \"0.1.0\"\n")
        .unwrap();
    let built = site.run(&["build", "--json"]);
    let json: Value = serde_json::from_str(&built.stdout).unwrap();
    let outcomes = json.as_array().unwrap();
    assert_eq!(outcomes.len(), 1, "{built:?}");
    assert_eq!((&outcomes[0]["plugin"], &outcomes[0]["outcome"]), (&json!("half"), &json!("failed")));
    assert!(built.code == 1 && outcomes[0]["problem"].as_str().unwrap().contains("cargo"), "{built:?}");
}

#[tokio::test]
async fn people_in_the_log_are_joined_by_a_name_that_takes_a_key_to_be_made() {
    let site = local().plugin("greeter", &guest("greeter-v1")).config("[limits]\ntimeout = \"300ms\"\n");
    let world = World::of(site).await;
    let mut names = Vec::new();
    for name in ["alice", "bob"] {
        let client = world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
        for _ in 0..2 {
            let mark = world.server.log.mark();
            client.failure("greeter_wait", json!({ "ms": 60_000 })).await;
            let line = world.server.log.wait_since(mark, "person=").await;
            let (_, rest) = line.split_once("person=").unwrap();
            names.push(rest.split_whitespace().next().unwrap().trim_matches('"').to_owned());
        }
    }
    assert!(names[0] == names[1] && names[2] == names[3] && names[0] != names[2], "{names:?}");
    assert!(names.iter().all(|name| name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())), "{names:?}");
    // Who knows the subject cannot make it.
    let issuer = world.server.log.text();
    assert!(!issuer.contains("alice"), "{issuer}");
}
