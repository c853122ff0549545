//! A server in a directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use crate::command::{CommandOutput, command_of, finish, run, test_server, tinymcp};
use crate::guests::guest;
use crate::http::{Answer, Request};
use crate::log::{Log, Mark};
use crate::{BUILDING, DEADLINE, until, until_within};

/// No login: it has tests of its own.
const NO_LOGIN: &str = "[auth]\nprovider = \"none\"\n";

/// The variable that names the file with the offset of a server's clock, in milliseconds.
pub const CLOCK: &str = "TEST_SERVER_CLOCK";

/// The variable that says which formats of a shared store a server reads, for one of a later version.
pub const FORMAT: &str = "TEST_SERVER_FORMAT";

/// The directory that a server runs in: `tinymcp.toml`, `plugins/`, and the state that it leaves.
pub struct Site {
    dir: TempDir,
    auth: String,
    listen: SocketAddr,
    variables: Vec<(String, String)>,
    is_special: bool,
    program: Option<PathBuf>,
}

/// A server that runs. It is killed when it is dropped.
pub struct Server {
    /// The address that it listens at.
    pub address: SocketAddr,
    /// Its standard error.
    pub log: Log,
    site: Option<Site>,
    child: Child,
}

impl Site {
    /// A directory with an empty `plugins/`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("plugins")).expect("a directory of ours");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let auth = NO_LOGIN.to_owned();
        Self { dir, auth, listen, variables: Vec::new(), is_special: false, program: None }.config("")
    }

    /// Chooses a port now, which stays the same for every server that runs here.
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.listen.set_port(free_port());
        self
    }

    /// The base URL of the server, once the port is fixed.
    pub fn base(&self) -> Url {
        format!("http://localhost:{}/", self.listen.port()).parse().expect("a URL of ours")
    }

    /// Sets `[auth]`.
    #[must_use]
    pub fn auth(mut self, text: &str) -> Self {
        text.clone_into(&mut self.auth);
        self.config("")
    }

    /// A directory with these guests under their own names.
    pub fn with(guests: &[&str]) -> Self {
        guests.iter().fold(Self::new(), |site, name| site.plugin(name, &guest(name)))
    }

    /// Adds a plugin.
    #[must_use]
    pub fn plugin(self, name: &str, component: &[u8]) -> Self {
        self.put(&format!("{name}.wasm"), component);
        self
    }

    /// Sets the configuration beyond `[auth]`.
    #[must_use]
    pub fn config(self, text: &str) -> Self {
        self.configure(text);
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Serves with another build of the program than the one beside the tests.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Gives the server a clock that [`Server::advance`] moves. It is another build of the same program.
    #[must_use]
    pub fn with_clock(mut self) -> Self {
        self.is_special = true;
        let file = self.clock();
        fs::write(&file, "0").expect("a file of ours");
        let file = file.to_str().expect("a path of ours").to_owned();
        self.variable(CLOCK, &file)
    }

    /// Serves as a later version would, which reads formats of a shared store up to this one. It is another build of the same
    /// program.
    #[must_use]
    pub fn of_later_version(mut self, latest: u8) -> Self {
        self.is_special = true;
        self.variable(FORMAT, &latest.to_string())
    }

    fn clock(&self) -> PathBuf {
        self.path().join("clock")
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the plugins directory.
    pub fn plugin_path(&self, file: &str) -> PathBuf {
        self.path().join("plugins").join(file)
    }

    /// Puts a file into the plugins directory whole: written beside it, and renamed.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        let draft = self.path().join(format!("{file}.draft"));
        fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, self.plugin_path(file))).expect("a file of ours");
    }

    /// Takes a file out of the plugins directory.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.plugin_path(file)).expect("a file of ours");
    }

    /// Writes the configuration beyond `[auth]`.
    pub fn configure(&self, text: &str) {
        fs::write(self.path().join("tinymcp.toml"), format!("{}{text}", self.auth)).expect("a file of ours");
    }

    /// Runs a command of the program here.
    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(self.path(), arguments)
    }

    /// Starts a server that is expected to refuse.
    pub fn refusal(&self) -> CommandOutput {
        let mut command = tinymcp(self.path());
        command.args(["serve", "--listen", &self.listen.to_string()]);
        finish(command.envs(self.variables.iter().map(|(name, value)| (name, value))))
    }

    /// Starts a server, and waits until it is ready.
    pub async fn start(self) -> Server {
        let server = self.launch().await;
        server.ready().await;
        server
    }

    /// Starts a server, and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    pub async fn launch(self) -> Server {
        self.launch_as(&["serve"], DEADLINE).await
    }

    /// Starts `tinymcp dev`, and waits until it has built the crates and listens.
    ///
    /// # Panics
    /// If it does not.
    pub async fn develop(self) -> Server {
        self.launch_as(&["dev"], BUILDING).await
    }

    /// Starts `tinymcp dev --no-login`, as [`Self::develop`] does.
    pub async fn develop_without_login(self) -> Server {
        self.launch_as(&["dev", "--no-login"], BUILDING).await
    }

    async fn launch_as(self, arguments: &[&str], deadline: Duration) -> Server {
        let mut command = match &self.program {
            Some(program) => command_of(program, self.path()),
            None if self.is_special => test_server(self.path()),
            None => tinymcp(self.path()),
        };
        command
            .args(arguments)
            .args(["--listen", &self.listen.to_string()])
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        // A busy machine compiles slowly, and tests expect all of their plugins once the server is ready.
        command.env("TINYMCP_PLUGINS_WAIT", "10m");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().expect("the program starts");
        let log = Log::collect(child.stderr.take().expect("it was just piped"));
        let line = log.wait_within(deadline, Mark::START, "listening on ").await;
        let (_, rest) = line.split_once("listening on ").expect("it was waited for");
        let address = rest.split([' ', '"']).next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in `{line}`"));
        Server { address, log, site: Some(self), child }
    }
}

/// A port that nobody listens at. Tests run as processes of their own, so that the number of the process keeps them apart, and
/// it is none that the system hands out.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1200).expect("a small number") * 10;
    let is_free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = (0..).map(|_| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    ports.find(is_free).expect("one port of many")
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server with these guests under their own names.
    pub async fn with(guests: &[&str]) -> Self {
        Site::with(guests).start().await
    }

    /// The directory that it runs in.
    pub fn site(&self) -> &Site {
        self.site.as_ref().expect("taken at its end only")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that the process has at the moment, in KiB (`VmRSS`).
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process of ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has it");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// The compiled code of plugins that is in the process's memory at the moment, in KiB.
    pub fn resident_code_kib(&self) -> u64 {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.pid())).expect("a process of ours");
        let (mut is_code, mut resident) = (false, 0);
        for line in maps.lines() {
            match line.split_once(':') {
                Some(("Rss", kib)) if is_code => {
                    resident += kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB");
                }
                Some((key, _)) if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {}
                // The first line of a mapping.
                _ => is_code = line.ends_with(".cwasm"),
            }
        }
        resident
    }

    /// The MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// A request to it.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    /// The answer to `GET` of a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    /// Waits until the first scan is done.
    pub async fn ready(&self) {
        self.ready_within(DEADLINE).await;
    }

    /// Waits until the first scan is done, for as long as compiling may take.
    pub async fn ready_within(&self, deadline: Duration) {
        until_within(deadline, "a server that is ready", async || self.get("/readyz").await.status == 200).await;
    }

    /// Moves its clock on, also for later servers of the site. Waits, caches and pauses are not shortened: they have a clock of
    /// their own.
    ///
    /// # Panics
    /// If its site is without [`Site::with_clock`].
    pub fn advance(&self, by: Duration) {
        let (file, draft) = (self.site().clock(), self.site().path().join("clock.draft"));
        let before: u128 = fs::read_to_string(&file).expect("a server with a clock").parse().expect("a number of ours");
        fs::write(&draft, (before + by.as_millis()).to_string()).expect("a file of ours");
        fs::rename(draft, file).expect("a file of ours");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Asks it to stop as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process has a number"), signal).expect("it runs");
    }

    /// Waits for its end. Returns its exit status.
    ///
    /// # Panics
    /// If it goes on.
    pub async fn ended(&mut self) -> ExitStatus {
        self.log.ended().await;
        let mut status = None;
        until("the end of the server", async || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        status.expect("it was just waited for")
    }

    /// Kills it as a power cut would, and leaves its directory.
    pub fn kill(mut self) -> Site {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.site.take().expect("taken here only")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && self.site.is_some() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}
