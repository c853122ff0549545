//! Instances that are kept for the next call: their owners, and their ends.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked, never_warm};
use tinymcp_tests::http::Answer;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use tinymcp_tests::{until, within};
use tokio::task::JoinHandle;

const MIB: u64 = 1024 * 1024;

/// A server with the guest `warm` under this configuration.
async fn warm(config: &str) -> (Server, Client) {
    let server = Site::with(&["warm"]).config(config).start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// The same, where people log in.
async fn with_people(config: &str) -> World {
    World::of(local().plugin("warm", &guest("warm")).config(config)).await
}

/// A person through a client.
async fn person(world: &World, name: &str, through: Kind) -> Client {
    let (_, tokens) = world.log_in(through, name).await;
    world.modern(&tokens.access)
}

/// The number of calls of `count` that the instance of this one has had: 1 in a fresh one.
async fn count(client: &Client) -> u64 {
    client.value("warm_count", json!({})).await.as_u64().unwrap()
}

/// Leaves an instance that has had two such calls.
async fn warm_up(client: &Client) {
    assert_eq!((count(client).await, count(client).await), (1, 2));
}

/// A call that goes on until somebody ends it, under way, and its id.
async fn spin(server: &Server, client: &Client) -> (u64, JoinHandle<anyhow::Result<Answer>>) {
    let mark = server.log.mark();
    let (id, call) = client.request("tools/call", json!({ "name": "warm_spin", "arguments": {} }));
    let call = tokio::spawn(call.try_send());
    server.log.wait_since(mark, "spinning").await;
    (id, call)
}

/// The caller whose call printed a line, as the log has it.
async fn printed_by(server: &Server, client: &Client, text: &str) -> String {
    let mark = server.log.mark();
    client.value("warm_print", json!({ "text": format!("{text}\n") })).await;
    let line = server.log.wait_since(mark, text).await;
    let (_, label) = line.split_once("person=\"").unwrap_or_else(|| panic!("nobody is in `{line}`"));
    label.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_next_call_is_in_the_instance_of_the_one_before() {
    let (server, _) = warm("").await;
    let mut expected = 0;
    for client in Client::both(&server).await {
        for _ in 0..3 {
            expected += 1;
            assert_eq!(count(&client).await, expected);
        }
    }
}

#[tokio::test]
async fn nobody_gets_the_instance_of_another() {
    let world = with_people("").await;
    let alice = person(&world, "alice", Kind::ClaudeCode).await;
    let bob = person(&world, "bob", Kind::ClaudeCode).await;
    for expected in 1..4 {
        assert_eq!((count(&alice).await, count(&bob).await), (expected, expected));
    }
    // It is the person's, through whatever client.
    let inspector = person(&world, "alice", Kind::Inspector).await;
    assert_eq!(count(&inspector).await, 4);
    let mallory = person(&world, "mallory", Kind::Inspector).await;
    assert_eq!(count(&mallory).await, 1);
}

#[tokio::test]
async fn a_plugin_that_does_not_ask_for_it_is_not_kept() {
    let server = Site::new().plugin("warm", &never_warm(&guest("warm"))).start().await;
    for client in Client::both(&server).await {
        assert_eq!((count(&client).await, count(&client).await), (1, 1));
    }
}

#[tokio::test]
async fn an_instance_has_one_call_at_a_time() {
    let (server, client) = warm("").await;
    warm_up(&client).await;
    let (_, spinning) = spin(&server, &client).await;
    // The instance is taken: others are fresh, and stay.
    warm_up(&client).await;
    assert!(!spinning.is_finished());
    spinning.abort();
}

#[tokio::test]
async fn calls_of_one_person_at_once_all_go_well() {
    let (_server, client) = warm("").await;
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { count(&client).await })
        })
        .collect();
    let mut counts = Vec::new();
    for call in calls {
        counts.push(call.await.unwrap());
    }
    // Each instance counts from 1, so that no number is there more often than the one before it.
    let instances = |number: u64| counts.iter().filter(|count| **count == number).count();
    assert!((1..24).all(|number| instances(number) >= instances(number + 1)), "{counts:?}");
}

#[tokio::test]
async fn a_crash_ends_an_instance() {
    let (_server, client) = warm("").await;
    warm_up(&client).await;
    assert_eq!(client.failure("warm_trap", json!({})).await, "the tool crashed");
    warm_up(&client).await;
}

#[tokio::test]
async fn an_error_of_the_tool_and_wrong_arguments_end_no_instance() {
    let (_server, client) = warm("").await;
    warm_up(&client).await;
    assert_eq!(client.failure("warm_fail", json!({})).await, "this tool fails on purpose");
    client.failure("warm_fill", json!({ "bytes": "many" })).await;
    assert_eq!(count(&client).await, 3);
}

#[tokio::test]
async fn a_deadline_ends_an_instance() {
    let (_server, client) = warm("[limits]\ntimeout = \"2s\"\n").await;
    warm_up(&client).await;
    assert_eq!(client.failure("warm_spin", json!({})).await, "the tool did not finish within 2s");
    warm_up(&client).await;
}

/// With one place, a call waits until the one before has left it, and has released all that it held.
const ONE_PLACE: &str = "[limits]\nconcurrency = 1\ntimeout = \"10m\"\n";

#[tokio::test]
async fn a_client_that_goes_away_ends_its_instance() {
    let (server, client) = warm(ONE_PLACE).await;
    warm_up(&client).await;
    let (_, spinning) = spin(&server, &client).await;
    spinning.abort();
    warm_up(&client).await;
}

#[tokio::test]
async fn a_call_that_is_taken_back_ends_its_instance() {
    let (server, _) = warm(ONE_PLACE).await;
    let client = Client::legacy(&server).await;
    warm_up(&client).await;
    let (id, spinning) = spin(&server, &client).await;
    client.notify("notifications/cancelled", json!({ "requestId": id })).await;
    warm_up(&client).await;
    within("the end of a cancelled call", spinning).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_file_and_new_terms_end_an_instance() {
    let (server, client) = warm("").await;
    warm_up(&client).await;
    server.site().put("warm.wasm", &marked(&guest("warm"), 1));
    is_fresh(&client, "an instance of the new file").await;
    for config in [
        "[limits]\nmemory = \"32MiB\"\n",
        "[plugin.warm]\ntimeout = \"29s\"\n",
        "[plugin.warm.settings]\ncolour = \"red\"\n",
        "[plugin.warm.settings]\ncolour = \"blue\"\n",
        "",
    ] {
        server.site().configure(config);
        is_fresh(&client, config).await;
    }
}

/// Waits for a call in a fresh instance, which is kept.
async fn is_fresh(client: &Client, what: &str) {
    // In a row: a configuration that is read twice ends an instance twice.
    until(what, async || count(client).await == 1 && count(client).await == 2).await;
}

#[tokio::test]
async fn what_becomes_of_other_plugins_ends_no_instance() {
    let (server, client) = warm("").await;
    warm_up(&client).await;
    let tools = client.tool_names().await;
    server.site().put("aaa.wasm", &guest("greeter-v1"));
    until("the tools of another plugin", async || client.tool_names().await != tools).await;
    assert_eq!(count(&client).await, 3);
    server.site().remove("aaa.wasm");
    client.wait_for_tools(&tools.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count(&client).await, 4);
}

#[tokio::test]
async fn memory_that_calls_leave_counts_for_the_limit() {
    let (_server, client) = warm("[limits]\nmemory = \"16MiB\"\n").await;
    for _ in 0..2 {
        let mut kept = 0;
        let said = loop {
            let called = client.call("warm_fill", json!({ "bytes": MIB })).await;
            if called.is_error {
                break called.text;
            }
            assert_eq!(called.structured["result"], kept + MIB);
            kept += MIB;
            assert!(kept < 16 * MIB, "{kept} bytes");
        };
        assert_eq!(said, "the tool needs more memory than its limit of 16MiB");
        assert!(kept > 8 * MIB, "{kept} bytes");
    }
    warm_up(&client).await;
}

#[tokio::test]
async fn a_crash_is_not_blamed_on_memory_that_an_earlier_call_was_refused() {
    let (_server, client) = warm("[limits]\nmemory = \"16MiB\"\n").await;
    assert_eq!(client.value("warm_ask", json!({ "bytes": 20 * MIB })).await, false);
    warm_up(&client).await;
    assert_eq!(client.failure("warm_trap", json!({})).await, "the tool crashed");
}

#[tokio::test]
async fn more_people_than_instances_only_wait_for_fresh_ones() {
    let world = with_people("[pool]\nslots = 1\nwarm = 2\n").await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        people.push(person(&world, name, Kind::ClaudeCode).await);
    }
    for client in [&people; 3].into_iter().flatten() {
        assert_eq!(count(client).await, 1);
    }
    let [alice, _, carol, dave] = &people[..] else { unreachable!("they are four") };
    assert_eq!((count(carol).await, count(dave).await), (2, 2));
    // The one that was used longest ago makes room.
    assert_eq!((count(alice).await, count(dave).await, count(carol).await), (1, 3, 1));
    // All at once for one slot.
    let calls: Vec<_> = [&people; 4]
        .into_iter()
        .flatten()
        .cloned()
        .map(|client| tokio::spawn(async move { client.value("warm_count", json!({})).await }))
        .collect();
    for call in calls {
        assert!(call.await.unwrap().as_u64().is_some_and(|count| count > 0));
    }
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let (_server, client) = warm("[pool]\nwarm = 0\n").await;
    assert_eq!((count(&client).await, count(&client).await), (1, 1));
}

#[tokio::test]
async fn what_is_printed_is_of_who_called() {
    let world = with_people("").await;
    let alice = person(&world, "alice", Kind::ClaudeCode).await;
    let bob = person(&world, "bob", Kind::ClaudeCode).await;
    let inspector = person(&world, "alice", Kind::Inspector).await;
    let (of_alice, of_bob) =
        (printed_by(&world.server, &alice, "first").await, printed_by(&world.server, &bob, "second").await);
    assert_ne!(of_alice, of_bob);
    assert_eq!(printed_by(&world.server, &alice, "third").await, of_alice);
    assert_eq!(printed_by(&world.server, &bob, "fourth").await, of_bob);
    assert_eq!(printed_by(&world.server, &inspector, "fifth").await, of_alice);
}

#[tokio::test]
async fn each_call_prints_for_itself() {
    let (server, client) = warm("[limits]\nlog = \"1KiB\"\n").await;
    // Two calls that fill the cap, each with its own share, and without an end of the line.
    for letter in ["x", "y"] {
        let text = letter.repeat(1000);
        client.value("warm_print", json!({ "text": text })).await;
        let line = server.log.wait_for(&text).await;
        assert!(!line.contains("xy"), "{line}");
    }
    assert_eq!(server.log.lines("printed more than one call may"), Vec::<String>::new());
    // What is dropped is told of for each call that has dropped something.
    for _ in 0..2 {
        let mark = server.log.mark();
        client.value("warm_print", json!({ "text": "z".repeat(2000) })).await;
        let line = server.log.wait_since(mark, "printed more than one call may").await;
        assert!(line.contains("dropped_bytes=976"), "{line}");
    }
}

#[test]
fn inspect_tells_who_asks_to_be_kept_and_the_tag_is_no_description() {
    let site = Site::with(&["warm", "echo"]);
    let inspect =
        |file: &str| -> Value { serde_json::from_str(&site.run(&["inspect", "--json", file]).stdout).unwrap() };
    let warm = inspect("plugins/warm.wasm");
    assert_eq!(warm["keepWarm"], true);
    assert_eq!(warm["description"], "Tells what is left in an instance that is kept for the next call.");
    assert_eq!(inspect("plugins/echo.wasm")["keepWarm"], false);
}
