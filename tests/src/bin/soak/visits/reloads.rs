//! Plugins that are replaced, added, removed and broken while everybody calls them.

use std::time::Duration;

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::marked;
use tinymcp_tests::within;

use crate::ground::Ground;
use crate::ledger::Event;

/// Changes of a visit.
const CHANGES: usize = 6;
const PAUSE: Duration = Duration::from_secs(4);

/// Time between two looks at the list.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    let client = ground.world().modern(&login.tokens.access);
    let site = ground.server().site();
    for change in 0..CHANGES {
        if ground.is_over() {
            break;
        }
        let mark = u32::try_from(time * CHANGES + change)?;
        // Another file each time, so that no cache knows it.
        site.put("hello.wasm", &marked(&ground.hello, mark));
        site.put("extra.wasm", &marked(&ground.hello, mark | 1 << 31));
        site.put("broken.wasm", &mark.to_le_bytes());
        within("a list with the tool of a new file", lists(&client, true)).await;
        site.remove("extra.wasm");
        site.remove("broken.wasm");
        within("a list without the tool of a file that is gone", lists(&client, false)).await;
        ground.ledger.count(Event::Reload);
        ground.pause(PAUSE).await;
    }
    ground.log_out(login).await
}

/// Waits until the list has the tool of `extra.wasm`, or has it no more.
async fn lists(client: &Client, wanted: bool) {
    while client.tool_names().await.iter().any(|name| name == "extra_hello") != wanted {
        tokio::time::sleep(LOOK).await;
    }
}
