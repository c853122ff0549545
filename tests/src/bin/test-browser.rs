//! A browser for clients that open one: takes the URL of an authorization, lets somebody log in and consent there, and calls the client
//! back. It returns at once, as the programs do that start a real browser.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::http::Request;
use url::Url;

/// Attempts to call the client, which may not listen yet.
const ATTEMPTS: u32 = 50;

#[derive(Parser)]
struct Arguments {
    /// The URL to which the client sends the person
    url: String,
    /// The name of the person
    #[arg(long, default_value = "alice")]
    name: String,
    /// Deny what the client asks for
    #[arg(long)]
    deny: bool,
    /// Do it here and now, and say how it ended
    #[arg(long)]
    wait: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.wait {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(walk(arguments));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--wait");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(ExitCode::SUCCESS)
}

async fn walk(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut person = Browser::of(&arguments.name);
    person.approves = !arguments.deny;
    match person.walk(&arguments.url).await {
        Landing::Client(url) => {
            call_back(&url).await?;
            Ok(ExitCode::SUCCESS)
        }
        // Somebody who has just asked for a login follows the link.
        Landing::Page(page) if page.way_back().is_some() => {
            call_back(&page.way_back().expect("there is one")).await?;
            Ok(ExitCode::SUCCESS)
        }
        Landing::Page(page) => {
            eprintln!("{page:?}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn call_back(url: &Url) -> anyhow::Result<()> {
    let mut attempt = 0;
    loop {
        match Request::to(url, "GET").header("accept", "text/html").try_send().await {
            Err(_) if attempt < ATTEMPTS => tokio::time::sleep(Duration::from_millis(100)).await,
            answer => return answer.map(drop),
        }
        attempt += 1;
    }
}
