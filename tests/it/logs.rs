//! The log and the state directory: their contents and permissions.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use tinymcp_tests::command::tinymcp;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};
use wasm_encoder::{
    CodeSection, Component, ExportKind, ExportSection, Function, FunctionSection, Module, ModuleSection, TypeSection,
};

/// Kills its process when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_log_of_everything_beside_the_configuration_does_not_tell_of_itself() {
    for level in ["trace", "debug,notify=trace,notify::inotify=trace,inotify=trace,mio=trace"] {
        does_not_tell_of_itself(level).await;
    }
}

async fn does_not_tell_of_itself(level: &str) {
    let site = Site::with(&["greeter-v1"]).config(&format!("[log]\nlevel = \"{level}\"\n"));
    let log = site.path().join("tinymcp.log");
    let mut command = tinymcp(site.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(File::create(&log).unwrap());
    let mut server = Process(command.spawn().unwrap());
    let said = || fs::read_to_string(&log).unwrap();
    until("a server that is ready", async || said().contains(" ready")).await;
    // What begins to tell of itself doubles with every look. That nothing happens is what is tested.
    let mut sizes = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sizes.push(said().len());
    }
    assert!(sizes[3] - sizes[0] < 64 * 1024, "{level}: {sizes:?}");
    let pid = i32::try_from(server.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("a server that has ended", async || server.0.try_wait().unwrap().is_some()).await;
}

/// A component that is not valid, which its error quotes: it exports two things of one name.
fn quoted(name: &str) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0).function(0);
    let mut exports = ExportSection::new();
    exports.export(name, ExportKind::Func, 0).export(name, ExportKind::Func, 1);
    let mut code = CodeSection::new();
    for _ in 0..2 {
        let mut body = Function::new([]);
        body.instructions().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

#[tokio::test]
async fn names_in_a_file_forge_no_record_and_reach_no_terminal() {
    let component = quoted("x\u{1b}[31mRED\nFAKE 2030-01-01T00:00:00Z ERROR pwned\r\u{202e}abc\u{2028}end");
    let site = Site::new().plugin("forging", &component);
    let shown = |text: &str| {
        assert!(text.contains("pwned") && text.contains(r"\u{202e}") && text.contains("\\nFAKE"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("FAKE")), "{text}");
        assert!(!text.contains(['\u{1b}', '\r', '\u{202e}', '\u{2028}']), "{text:?}");
    };
    let finished = site.run(&["list"]);
    shown(&finished.stdout);
    shown(&site.run(&["inspect", "plugins/forging.wasm"]).stderr);
    shown(&site.run(&["call", "forging"]).stderr);
    let server = site.start().await;
    shown(&server.log.wait_for("pwned").await);
    shown(&server.log.text());
    // It is logged before it is published.
    until("the page of a server with a broken file", async || server.get("/").await.text().contains("pwned")).await;
    let page = server.get("/").await;
    let page = page.text();
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{2028}']), "{page}");
}

fn modes(dir: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != expected {
            found.push((path.display().to_string(), mode));
        }
        if metadata.is_dir() {
            modes(&path, found);
        }
    }
}

#[tokio::test]
async fn nobody_else_may_read_what_the_server_keeps() {
    let world = World::of(local().plugin("greeter", &tinymcp_tests::guests::guest("greeter-v1"))).await;
    world.log_in(Kind::ALL[0], "alice").await;
    let state = world.server.site().path().join(".tinymcp");
    let mut found = Vec::new();
    modes(&state, &mut found);
    assert_eq!(found, []);
    assert!(state.join("names.json").exists() && state.join("code").exists() && state.join("store").exists());
    // What others have left open is closed at the next start.
    let site = world.server.kill();
    for name in ["key", "names.json", "store/store.db", "store/lock"] {
        fs::set_permissions(state.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let server = site.start().await;
    modes(&state, &mut found);
    assert_eq!(found, []);
    assert_eq!(server.log.lines("others could read the key file").len(), 1, "{}", server.log.text());
}
