//! `tinymcp dev` at a terminal: its keys, and the terminal as it was afterwards.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tinymcp_tests::command::{program, suite_path};
use tinymcp_tests::server::Site;
use tinymcp_tests::until_within;

const DEADLINE: Duration = Duration::from_secs(60);

/// `tinymcp dev` at a terminal of its own, which writes what it shows into a file.
struct AtTerminal {
    site: Site,
    child: Child,
}

impl AtTerminal {
    fn start(site: Site) -> Self {
        let program = program();
        let dev = format!("echo $$ > pid; exec {} dev --no-login --listen 127.0.0.1:0", program.display());
        // Ctrl-C is meant for `dev`, and ends many a shell as well.
        let all = format!("trap : INT; stty -g > before; sh -c '{dev}'; echo $? > code; stty -g > after");
        let mut script = Command::new("script");
        script.args(["-qefc", &all, "shown"]).current_dir(site.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let path = std::env::join_paths([site.path().join("bin")]).unwrap();
        let path = [path, suite_path()].join(std::ffi::OsStr::new(":"));
        script.env("XDG_CACHE_HOME", site.path().join(".cache")).env("PATH", path).env("TERM", "dumb");
        // Where it is set, styles are written even to such a terminal.
        script.env("SHELL", "/bin/sh").env_remove("CI");
        Self { child: script.spawn().expect("`script` of util-linux"), site }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.site.path().join(name)).unwrap_or_default()).into_owned()
    }

    async fn shows(&self, text: &str) {
        self.shows_times(1, text).await;
    }

    async fn shows_times(&self, times: usize, text: &str) {
        until_within(DEADLINE, text, async || self.file("shown").matches(text).count() >= times).await;
    }

    /// Waits for the end, and compares the terminal with what it was.
    async fn ends(mut self) {
        until_within(DEADLINE, "the end", async || !self.file("after").is_empty()).await;
        assert_eq!(self.file("after"), self.file("before"), "{}", self.file("shown"));
        assert_eq!(self.file("code").trim(), "0", "{}", self.file("shown"));
        let _ = self.child.wait();
    }
}

/// A test that fails leaves nothing behind.
impl Drop for AtTerminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill").arg(self.file("pid").trim()).status();
            let _ = self.child.kill();
        }
    }
}

fn site() -> Site {
    let site = Site::with(&["greeter-v1"]);
    fs::create_dir_all(site.plugin_path("greeter-v1/tests")).unwrap();
    let case =
        "[[case]]\nname = \"greets\"\ntool = \"greet\"\narguments = { name = \"Ada\" }\nresult = \"v1 greets Ada\"\n";
    fs::write(site.plugin_path("greeter-v1/tests/first.toml"), case).unwrap();
    site
}

#[tokio::test]
async fn keys_do_what_they_say_and_the_terminal_is_given_back() {
    let site = site();
    let opener = site.path().join("bin/xdg-open");
    fs::create_dir(site.path().join("bin")).unwrap();
    fs::write(&opener, "#!/bin/sh\necho \"$1\" > opened\n").unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let mut dev = AtTerminal::start(site);
    dev.shows("open the page").await;
    dev.shows("Its page is at http://localhost:").await;
    dev.press("l");
    // Once more than at the start.
    dev.shows_times(2, "  greeter_v1_greet  ").await;
    dev.press("t");
    dev.shows("passed greeter-v1: 1 of 1 cases").await;
    dev.press("o");
    until_within(DEADLINE, "the page", async || dev.file("opened").starts_with("http://localhost:")).await;
    dev.press("q");
    dev.ends().await;
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back_too() {
    let dev = AtTerminal::start(site());
    dev.shows("open the page").await;
    let pid = dev.file("pid");
    let killed = Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap();
    assert!(killed.success());
    dev.ends().await;
}

#[tokio::test]
async fn ctrl_c_is_what_it_was() {
    let mut dev = AtTerminal::start(site());
    dev.shows("open the page").await;
    dev.press("\u{3}");
    dev.ends().await;
}
