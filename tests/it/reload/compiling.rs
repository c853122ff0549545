//! Files that want more of a compiler than their size lets one think, and the processes that compile them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{bomb, guest, marked};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, until_within};

use super::V1;

/// A file of 30 KB that takes every compiler minutes, and gigabytes.
fn large() -> Vec<u8> {
    bomb(5_000, 4_000)
}

/// The processes that compile for a server.
fn compilers(server: u32) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_compiler = |pid: &i32| {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.ends_with("\0compile-component\0") && field(*pid, 1) == Some(i64::from(server))
    };
    numbers.filter(is_compiler).filter_map(Pid::from_raw).collect()
}

/// A number of `/proc/PID/stat`, counted from the state of the process.
fn field(pid: i32, index: usize) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(index)?.parse().ok()
}

/// Tells whether it has computed for a tenth of a second, so that it is not the one that waits.
fn is_at_work(pid: &Pid) -> bool {
    field(pid.as_raw_pid(), 11).is_some_and(|ticks| ticks >= 10)
}

/// The files of the compile cache with this extension.
fn kept(site: &Path, extension: &str) -> Vec<PathBuf> {
    let dirs = fs::read_dir(site.join(".tinymcp/code")).into_iter().flatten().flatten();
    let files = dirs.flat_map(|dir| fs::read_dir(dir.path()).unwrap().flatten()).map(|file| file.path());
    files.filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

#[tokio::test]
async fn a_limit_of_processor_time_names_the_function_and_is_remembered_until_it_is_raised() {
    const REFUSED: &str = "more than 1s of processor time (`limits.compile_cpu`): function `boom`";
    let site = Site::with(&["greeter-v1"]).plugin("bomb", &large()).config("[limits]\ncompile_cpu = \"1s\"\n");
    let server = site.launch().await;
    let line = server.log.wait_for("plugin `bomb` not loaded").await;
    assert!(line.contains(REFUSED) && line.contains("4000 local variables"), "{line}");
    assert_eq!(kept(server.site().path(), "failed").len(), 1);

    let server = server.kill().launch().await;
    let line = server.log.wait_for("plugin `bomb` not loaded").await;
    assert!(line.contains(REFUSED) && line.contains("within the last hour"), "{line}");
    server.site().configure("[limits]\ncompile_cpu = \"2s\"\n");
    let line = server.log.wait_for("more than 2s of processor time").await;
    assert!(!line.contains("within the last hour"), "{line}");
}

#[tokio::test]
async fn a_limit_of_memory_names_the_function() {
    let site = Site::with(&["greeter-v1"]).plugin("bomb", &large()).config("[limits]\ncompile_memory = \"96MiB\"\n");
    let server = site.start().await;
    let line = server.log.wait_for("plugin `bomb` not loaded").await;
    assert!(line.contains("more than 96MiB of memory (`limits.compile_memory`): function `boom`"), "{line}");
    let tools = Client::modern(&server).tool_names().await;
    assert_eq!(tools, ["greeter_v1_greet", "greeter_v1_wait"]);
}

#[tokio::test]
async fn beside_files_that_take_long_others_are_served_and_the_server_stays_small() {
    let server = Site::with(&["echo"]).config("[limits]\ncompile_cpu = \"1h\"\n").start().await;
    let client = Client::modern(&server);
    let before = server.resident_kib();
    for name in 0..3 {
        server.site().put(&format!("bomb{name}.wasm"), &marked(&large(), name));
    }
    // As many as may take long do so.
    until("two compilers at work", async || compilers(server.pid()).iter().filter(|pid| is_at_work(pid)).count() >= 2)
        .await;
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    client.wait_for_tool("greeter_greet").await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    for ended in ["compiled plugin `bomb", "not loaded"] {
        assert_eq!(server.log.lines(ended), Vec::<String>::new());
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
}

#[tokio::test]
async fn a_file_that_takes_long_and_is_replaced_or_removed_ends_its_compiler() {
    let server = Site::new().config("[limits]\ncompile_cpu = \"1h\"\n").start().await;
    let client = Client::modern(&server);
    let at_work = || compilers(server.pid()).into_iter().filter(is_at_work).count();
    for is_replaced in [true, false] {
        server.site().put("greeter.wasm", &large());
        until("a compiler at work", async || at_work() == 1).await;
        if is_replaced {
            server.site().put("greeter.wasm", &guest("greeter-v1"));
            client.wait_for_tools(&V1).await;
        } else {
            server.site().remove("greeter.wasm");
            client.wait_for_tools(&[]).await;
        }
        until("no compiler at work", async || at_work() == 0).await;
    }
}

#[tokio::test]
async fn a_compiler_that_is_killed_is_told_and_not_remembered() {
    let server = Site::new().config("[limits]\ncompile_cpu = \"1h\"\n").start().await;
    server.site().put("bomb.wasm", &large());
    until("the word that it was killed", async || {
        for compiler in compilers(server.pid()).iter().filter(|pid| is_at_work(pid)) {
            let _ = kill_process(*compiler, Signal::KILL);
        }
        !server.log.lines("plugin `bomb` not loaded: the compiler was ended from outside (signal 9)").is_empty()
    })
    .await;
    assert_eq!(kept(server.site().path(), "failed"), Vec::<PathBuf>::new());
    // A file that is replaced is tried at once; so is the same file by a server that starts.
    let server = server.kill().launch().await;
    until("a compiler at work", async || compilers(server.pid()).iter().any(is_at_work)).await;
}

#[tokio::test]
async fn a_compiler_waits_with_nothing_in_its_hands_and_ends_with_its_server() {
    let server = Server::with(&["greeter-v1"]).await;
    let waiting = |server: u32| compilers(server).into_iter().find(|pid| !is_at_work(pid));
    let mut found = None;
    until("a compiler that waits", async || {
        found = waiting(server.pid());
        found.is_some_and(|pid| fs::read_link(format!("/proc/{}/fd/0", pid.as_raw_pid())).is_ok())
    })
    .await;
    let compiler = found.unwrap();
    let proc = PathBuf::from(format!("/proc/{}", compiler.as_raw_pid()));
    until("three pipes and nothing else", async || {
        let open: Vec<PathBuf> = fs::read_dir(proc.join("fd")).unwrap().flatten().map(|fd| fd.path()).collect();
        let is_pipe = |fd: &PathBuf| fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"));
        open.len() == 3 && open.iter().all(is_pipe)
    })
    .await;
    // Nothing of the server's environment, where secrets are: only the word for the allocator.
    assert_eq!(fs::read(proc.join("environ")).unwrap(), b"MIMALLOC_ARENA_EAGER_COMMIT=0\0");
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), Path::new("/"));

    // One that is killed is replaced when it is needed.
    kill_process(compiler, Signal::KILL).unwrap();
    server.site().put("greeter-v1.wasm", &guest("greeter-v2"));
    Client::modern(&server).wait_for_tool("greeter_v1_part").await;

    let pid = server.pid();
    let last = compilers(pid);
    let _site = server.kill();
    let is_gone =
        |pid: &Pid| fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).map_or(true, |line| line.is_empty());
    until("the end of all compilers", async || last.iter().all(is_gone)).await;
}

/// The output of a command of each kind about what it compiles.
fn compiled_by_commands(site: &Site) -> Vec<String> {
    let commands = [
        &["list"][..],
        &["list", "--json"],
        &["call", "greeter_v1_greet", r#"{"name": "Ada"}"#],
        &["call", "plugins/greeter-v1.wasm", "greeter_v1_greet", r#"{"name": "Ada"}"#],
        &["inspect", "plugins/greeter-v1.wasm"],
    ];
    let printed = commands.map(|arguments| {
        let finished = site.run(arguments);
        assert_eq!(finished.code, 0, "{arguments:?}: {finished:?}");
        finished.stderr
    });
    printed.into()
}

#[test]
fn commands_compile_a_file_once() {
    let site = Site::with(&["greeter-v1"]);
    let printed = compiled_by_commands(&site);
    assert!(printed[0].contains("compiled plugin `greeter_v1` in "), "{printed:?}");
    assert_eq!(printed[1..].concat(), "");
}

#[tokio::test]
async fn commands_and_their_server_compile_for_each_other() {
    let server = Server::with(&["greeter-v1"]).await;
    server.log.wait_for("compiled plugin `greeter_v1` in ").await;
    assert_eq!(compiled_by_commands(server.site()).concat(), "");
    let file = server.site().path().join("greeter.wasm");
    fs::write(&file, guest("greeter-v2")).unwrap();
    let inspected = server.site().run(&["inspect", "greeter.wasm"]);
    assert!(inspected.stderr.contains("compiled plugin `greeter` in "), "{inspected:?}");
    fs::rename(&file, server.site().plugin_path("greeter.wasm")).unwrap();
    Client::modern(&server).wait_for_tool("greeter_part").await;
    assert_eq!(server.log.lines("compiled plugin").len(), 1);
}

#[tokio::test]
async fn code_under_one_key_and_under_another_do_not_replace_each_other() {
    const SECRET: &str = "a secret of more than thirty-two characters";
    // A server has run with a key of its own before it was given a secret.
    let server = Site::with(&["greeter-v1"]).start().await;
    let site = server.kill().variable("TINYMCP_SECRET", SECRET);
    let server = site.start().await;
    server.log.wait_for("compiled plugin `greeter_v1`").await;
    // Commands do not have the secret here, and use what was compiled before.
    assert_eq!(server.site().run(&["list"]).stderr, "");
    let server = server.kill().start().await;
    assert_eq!(server.log.lines("compiled plugin"), Vec::<String>::new());
}

/// The largest runtimes of languages compile within the limits that are shipped.
#[tokio::test]
async fn language_runtimes_compile_within_the_limits() {
    let server = Site::with(&["py-greet", "js-greet"]).launch().await;
    // Generous: compiling at low priority gets a twentieth of a core beside four busy threads.
    until_within(Duration::from_secs(900), "both runtimes", async || {
        server.log.lines("compiled plugin").len() == 2 || !server.log.lines("not loaded").is_empty()
    })
    .await;
    assert_eq!(server.log.lines("not loaded"), Vec::<String>::new());
}
