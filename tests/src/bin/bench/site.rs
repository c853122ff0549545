//! The site of a TinyMCP under measurement: a directory with configuration, plugins and state.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::server::{Program, Ready, Server};

/// Time for any server to start when it has nothing to compile.
const START_WITHIN: Duration = Duration::from_secs(30);

/// The artifacts that are there before the bench begins: programs and plugins.
#[derive(Clone)]
pub(crate) struct Workshop {
    /// The directory into which cargo puts programs.
    programs: PathBuf,
    /// The TinyMCP under measurement.
    tinymcp: PathBuf,
    /// Servers of others that are at hand.
    peers: Peers,
    /// Everything that the bench writes.
    scratch: PathBuf,
    /// The directory of the plugins that the project ships.
    plugins: PathBuf,
    /// The plugin `add`.
    pub(crate) add: Vec<u8>,
    /// The plugin `hello`.
    pub(crate) hello: Vec<u8>,
}

/// Servers of others, which not every machine has.
#[derive(Clone, Default)]
pub(crate) struct Peers {
    /// A Python that has FastMCP.
    pub(crate) fastmcp: Option<PathBuf>,
    /// The program `wassette`.
    pub(crate) wassette: Option<PathBuf>,
}

/// A directory that TinyMCP can be started in.
pub(crate) struct Site {
    path: PathBuf,
    /// Removes it in the end; one that is kept has none.
    _temporary: Option<TempDir>,
}

impl Workshop {
    /// # Errors
    /// When something was not built: `tests/bench` builds all.
    pub(crate) fn open(tinymcp: Option<PathBuf>, peers: Peers) -> anyhow::Result<Self> {
        let bench = std::env::current_exe()?;
        let programs = bench.parent().context("the bench is in no directory")?.to_owned();
        let scratch = programs.parent().context("the bench is in no target directory")?.join("bench");
        fs::create_dir_all(&scratch)?;
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("plugins");
        let (add, hello) = (plugin(&plugins, "add")?, plugin(&plugins, "hello")?);
        let tinymcp = tinymcp.unwrap_or_else(|| programs.join("tinymcp"));
        Ok(Self { programs, tinymcp, peers, scratch, plugins, add, hello })
    }

    /// The same with another TinyMCP.
    pub(crate) fn with_tinymcp(&self, program: &Path) -> Self {
        Self { tinymcp: program.to_owned(), ..self.clone() }
    }

    /// A plugin of the project, for which not every machine has the toolchain.
    ///
    /// # Errors
    /// When it was not built.
    pub(crate) fn plugin(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        plugin(&self.plugins, name)
    }

    /// The plugin `add` as plain cargo builds it.
    ///
    /// # Errors
    /// When it was not built.
    pub(crate) fn plain_add(&self) -> anyhow::Result<Vec<u8>> {
        plugin(&self.scratch.join("plain/wasm32-wasip2/release"), "add")
    }

    /// A directory that is kept from run to run.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn kept_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.scratch.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The program of the TinyMCP under measurement.
    pub(crate) fn program(&self) -> &Path {
        &self.tinymcp
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// A site with the two plugins that every checkout has.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn site(&self) -> anyhow::Result<Site> {
        let site = self.empty_site()?;
        site.put("add.wasm", &self.add)?;
        site.put("hello.wasm", &self.hello)?;
        Ok(site)
    }

    /// The same, where people log in.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn site_with_login(&self) -> anyhow::Result<Site> {
        let site = self.site()?;
        site.configure("[auth]\nprovider = \"local\"\n")?;
        Ok(site)
    }

    /// A site without plugins.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn empty_site(&self) -> anyhow::Result<Site> {
        let temporary = TempDir::with_prefix_in("site-", &self.scratch)?;
        let site = Site { path: temporary.path().to_owned(), _temporary: Some(temporary) };
        site.furnish()?;
        Ok(site)
    }

    /// A site that is kept from run to run, with what was put into it and compiled, as long as it would be made of
    /// the same bytes.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn kept_site(&self, name: &str, made_of: &[u8]) -> anyhow::Result<Site> {
        let site = Site { path: self.scratch.join(name), _temporary: None };
        let witness = site.path.join("made-of");
        if !fs::read(&witness).is_ok_and(|it| it == made_of) {
            if site.path.exists() {
                fs::remove_dir_all(&site.path)?;
            }
            site.furnish()?;
            fs::write(witness, made_of)?;
        }
        Ok(site)
    }

    /// Starts TinyMCP in a site; see [`Server::start`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) async fn tinymcp(&self, site: &Site) -> anyhow::Result<(Server, Duration)> {
        self.tinymcp_within(site, START_WITHIN).await
    }

    /// The same for a site that has much to compile.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) async fn tinymcp_within(&self, site: &Site, within: Duration) -> anyhow::Result<(Server, Duration)> {
        let arguments = vec!["serve".into(), "--config".into(), OsString::from(site.config())];
        Server::start(&Program::ours(self.tinymcp.clone(), arguments), within).await
    }

    /// Starts a server that needs no site.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) async fn baseline(&self, name: &str) -> anyhow::Result<Server> {
        Ok(Server::start(&Program::ours(self.programs.join(name), Vec::new()), START_WITHIN).await?.0)
    }

    /// Starts FastMCP with an `add` of its own.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) async fn fastmcp(&self, python: &Path) -> anyhow::Result<Server> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench/fastmcp_add.py");
        let mut program = Program::ours(python.to_owned(), vec![script.into()]);
        program.home = Some(self.kept_dir("fastmcp-home")?);
        Ok(Server::start(&program, START_WITHIN).await?.0)
    }

    /// Starts Wassette with the component that TinyMCP serves.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) async fn wassette(&self, program: &Path) -> anyhow::Result<Server> {
        let home = self.kept_dir("wassette-home")?;
        let components = self.kept_dir("wassette-home/components")?;
        fs::write(components.join("add.wasm"), &self.add)?;
        let mut arguments: Vec<OsString> =
            ["serve", "--streamable-http", "--disable-builtin-tools"].map(Into::into).into();
        arguments.extend(["--component-dir".into(), components.into()]);
        let (path, home) = (program.to_owned(), Some(home));
        let program = Program { path, arguments, listen: "--bind-address", ready: Ready::Answers, home };
        Ok(Server::start(&program, START_WITHIN).await?.0)
    }
}

impl Site {
    /// Directories and a configuration: the shipped one, but for where things are.
    fn furnish(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.path.join("plugins"))?;
        self.configure("[auth]\nprovider = \"none\"\n")
    }

    fn config(&self) -> PathBuf {
        self.path.join("tinymcp.toml")
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn configure(&self, text: &str) -> anyhow::Result<()> {
        Ok(fs::write(self.config(), text)?)
    }

    /// Tells whether the plugins directory has this file.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.path.join("plugins").join(file).exists()
    }

    /// Puts a file into the plugins directory by rename, as `tinymcp build` does: servers never see half of it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.draft(file, bytes)?.put()
    }

    /// Writes a file under another name, so that only the rename is left to do.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn draft(&self, file: &str, bytes: &[u8]) -> anyhow::Result<Draft> {
        let path = self.path.join("plugins").join(file);
        let draft = self.path.join("draft");
        fs::write(&draft, bytes)?;
        Ok(Draft { draft, path })
    }
}

fn plugin(plugins: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = plugins.join(format!("{name}.wasm"));
    let missing = || format!("`{}` is missing: run `tests/bench`, which builds it", path.display());
    fs::read(&path).with_context(missing)
}

/// A file that is written and not yet in its place.
pub(crate) struct Draft {
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// # Errors
    /// What the system says.
    pub(crate) fn put(self) -> anyhow::Result<()> {
        Ok(fs::rename(self.draft, self.path)?)
    }
}

/// The same component under another digest, so that no cache knows it: with a custom section of its own.
pub(crate) fn variant(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let content_bytes = u8::try_from(1 + NAME.len() + size_of::<u32>()).expect("fits one byte of LEB128");
    let name_bytes = u8::try_from(NAME.len()).expect("fits one byte of LEB128");
    let section_head = [0, content_bytes, name_bytes];
    [component, &section_head, NAME, &number.to_le_bytes()].concat()
}
