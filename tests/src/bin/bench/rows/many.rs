//! A thousand plugins: variants of `hello`, compiled beforehand; and the list of their tools.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::Plan;
use crate::caller::modern_request;
use crate::figures::{Figures, Goal, Unit};
use crate::http::Connection;
use crate::server::Server;
use crate::site::{Workshop, variant};
use crate::table::Line;

const MANY: u32 = 1000;
const FEW: u32 = 2;

/// Lists in a round: a tick of the clock that counts processor time is ten milliseconds.
const LISTS: u32 = 200;

/// Time to compile all of them, once.
const COMPILE_WITHIN: Duration = Duration::from_secs(300);

/// # Errors
/// When the server does not start.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let many = workshop.kept_site("many", &workshop.hello)?;
    // Ready is who has all of them, however long they take.
    many.configure("[auth]\nprovider = \"none\"\n[plugins]\nwait = \"5m\"\n")?;
    let missing: Vec<u32> = (0..MANY).filter(|number| !many.has(&file(*number))).collect();
    if !missing.is_empty() {
        eprintln!("compiling {} plugins, which takes a minute and is kept for the next time", missing.len());
    }
    for number in missing {
        many.put(&file(number), &variant(&workshop.hello, number))?;
    }
    // Compiles what is new, or what an engine of another version had compiled.
    workshop.tinymcp_within(&many, COMPILE_WITHIN).await?.0.end().await?;
    let few = workshop.empty_site()?;
    for number in 0..FEW {
        few.put(&file(number), &variant(&workshop.hello, number))?;
    }
    workshop.tinymcp(&few).await?.0.end().await?;

    let (mut times, mut memory_each, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (server, time) = workshop.tinymcp(&many).await?;
        let memory_of_many = server.settled_memory().await?;
        lists.push(list(&server).await?);
        server.end().await?;
        let (server, _) = workshop.tinymcp(&few).await?;
        let memory_of_few = server.settled_memory().await?;
        server.end().await?;
        times.push(time);
        memory_each.push((memory_of_many - memory_of_few) / f64::from(MANY - FEW));
    }
    Ok(vec![
        Line::new("exec to `/readyz` 200", Figures::from_iter(times), Unit::Milliseconds).goal(Goal::AtMost(1.0)),
        Line::new("each, resident", Figures::from_iter(memory_each), Unit::Kibibytes)
            .goal(Goal::AtMost(150.0 * 1024.0)),
        Line::new("`tools/list` of all, CPU time", Figures::from_iter(lists), Unit::Milliseconds)
            .goal(Goal::AtMost(0.002)),
    ])
}

/// The server's processor time for one list of all tools, one after the other over one connection.
async fn list(server: &Server) -> anyhow::Result<Duration> {
    let mut connection = Connection::open(server.address).await?;
    let request = modern_request(server.address, "tools/list", None, json!({}));
    let before = server.cpu_time()?;
    for _ in 0..LISTS {
        let (head, body) = connection.exchange(&request).await?;
        ensure!(head.status == 200, "`tools/list` answered with status {}", head.status);
        let tools = str::from_utf8(body)?.matches("\"inputSchema\"").count();
        ensure!(tools == MANY as usize, "`tools/list` gave {tools} tools");
    }
    Ok((server.cpu_time()? - before) / LISTS)
}

fn file(number: u32) -> String {
    format!("hello-{number:04}.wasm")
}
