//! Clients of the protocol whose requests go to any of several servers: what is said to one counts on all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::{Answer, Events, Request};
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, until_within, within, world};

use super::SECRET;

/// A resource that a tool of the plugin says to have changed.
const WATCHED: &str = "test://watched-resource";

/// Within this everything is known on all servers that hear each other.
const SOON: Duration = Duration::from_secs(1);

/// Two servers of one store, with the plugin that does everything.
pub(super) struct Pair {
    pub(super) redis: Redis,
    pub(super) one: Server,
    pub(super) other: Server,
}

fn with_plugins(site: Site, redis: &Redis, config: &str) -> Site {
    let url = redis.url();
    let config = format!(
        "{config}[state]\nurl = \"{url}\"\n[plugin.everything]\nprefix = \"\"\n[plugin.hostile]\ntimeout = \"40s\"\n"
    );
    site.plugin("everything", &guest("everything"))
        .plugin("hostile", &guest("hostile"))
        .config(&config)
        .variable("TINYMCP_SECRET", SECRET)
}

impl Pair {
    /// Without a login: all callers are one person.
    pub(super) async fn open() -> Self {
        let redis = Redis::durable();
        let [one, other] = [(); 2].map(|()| with_plugins(Site::new(), &redis, ""));
        let (one, other) = tokio::join!(one.start(), other.start());
        Self { redis, one, other }
    }

    /// With the built-in login, and the base that both publish.
    pub(super) async fn with_login() -> (Self, url::Url) {
        let redis = Redis::durable();
        let (first, second) = (world::local(), world::local());
        let base = first.base();
        let published = format!("[server]\nbase_url = \"{}\"\n", base.as_str().trim_end_matches('/'));
        let [one, other] = [first, second].map(|site| with_plugins(site, &redis, &published));
        let (one, other) = tokio::join!(one.start(), other.start());
        (Self { redis, one, other }, base)
    }

    /// A client of the older era, at each of the servers.
    async fn legacy(&self) -> [Client; 2] {
        let client = Client::legacy(&self.one).await;
        [client.clone(), client.moved_to(&self.other)]
    }
}

/// A session whose client can be asked, and its messages at any server.
struct Asked {
    session: String,
}

impl Asked {
    async fn begin(server: &Server) -> Self {
        let mut message = initialize(LEGACY[0]);
        message["params"]["capabilities"] = json!({ "elicitation": {} });
        let begun = Request::new(server.address, "POST", "/mcp").json(&message).send().await;
        let asked = Self { session: begun.header("mcp-session-id").to_owned() };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(asked.post(server, &initialized).send().await.status, 202);
        asked
    }

    fn post(&self, server: &Server, message: &Value) -> Request {
        self.of_session(Request::new(server.address, "POST", "/mcp").json(message))
    }

    fn of_session(&self, request: Request) -> Request {
        request.header("mcp-session-id", &self.session).header("mcp-protocol-version", LEGACY[0])
    }

    async fn resume(&self, server: &Server, seen: &str) -> Events {
        resume(self.of_session(Request::new(server.address, "GET", "/mcp")), seen).await
    }

    /// Begins a call that asks, and returns its stream and the question's id.
    async fn call(&self, server: &Server, file: &str) -> (Events, Value) {
        let arguments = json!({ "filename": file });
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "confirm_delete", "arguments": arguments },
        });
        let mut events = self.post(server, &call).open().await.events();
        let question = events.expect("a question").await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        (events, question["id"].clone())
    }

    /// A session whose client was cut off while it was asked, and comes back to the other server: it, the question, and what
    /// follows.
    async fn gone_on_elsewhere(pair: &Pair) -> (Self, Value, Events) {
        let asked = Self::begin(&pair.one).await;
        let (events, question) = asked.call(&pair.one, "a").await;
        let before = beginning(&events.last_id().unwrap());
        drop(events);
        let mut back = asked.resume(&pair.other, &before).await;
        assert_eq!(back.expect("the question again").await["id"], question);
        (asked, question, back)
    }

    async fn answer(&self, server: &Server, id: &Value) -> Answer {
        let accepted = json!({ "action": "accept", "content": { "confirm": true } });
        self.post(server, &json!({ "jsonrpc": "2.0", "id": id, "result": accepted })).send().await
    }
}

fn sleep(id: &Value, ms: u64) -> Value {
    json!({
        "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": { "name": "hostile_sleep_ms", "arguments": { "ms": ms } },
    })
}

/// What the store has of clients. Keys have any bytes in them, so that lines of a list would not do.
fn letters(redis: &Redis) -> usize {
    redis.ask(&["EVAL", "return #redis.call('KEYS', '*:r21:*')", "0"]).parse().unwrap()
}

#[tokio::test]
async fn a_cancellation_stops_the_call_that_another_server_runs() {
    let pair = Pair::open().await;
    let [here, there] = pair.legacy().await;
    let slow = json!({
        "jsonrpc": "2.0", "id": 8, "method": "tools/call",
        "params": { "name": "slow_compute", "arguments": { "seconds": 20, "label": "x" } },
    });
    // One by the short way, and one that rmcp serves.
    for (id, call) in [(json!("seven"), sleep(&json!("seven"), 20_000)), (json!(8), slow)] {
        let began = Instant::now();
        let call = tokio::spawn(here.post(&call).try_send());
        // Nobody but this session cancels it, whoever says the same id.
        let stranger = Client::legacy(&pair.other).await;
        let mut sent = Instant::now();
        stranger.notify("notifications/cancelled", json!({ "requestId": id })).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!call.is_finished(), "{id}");
        until("the end of a call that was cancelled", async || {
            if !call.is_finished() {
                sent = Instant::now();
                let said = there.notify("notifications/cancelled", json!({ "requestId": id })).await;
                assert_eq!(said.status, 202, "{said:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            call.is_finished()
        })
        .await;
        assert!(sent.elapsed() < SOON && began.elapsed() < Duration::from_secs(15), "{id}: {:?}", began.elapsed());
        let text = call.await.unwrap().map(|answer| answer.text()).unwrap_or_default();
        assert!(!text.contains("structuredContent") && !text.contains("Computed"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_reaches_the_server_that_asked() {
    let pair = Pair::open().await;
    let asked = Asked::begin(&pair.one).await;
    // Both ask at once, and each gets its own answer at the other.
    let (mut first, first_id) = asked.call(&pair.one, "a.txt").await;
    let (mut second, second_id) = asked.call(&pair.other, "b.txt").await;
    assert_ne!(first_id, second_id);
    assert!(first_id.as_u64().is_some_and(|id| id < 1 << 53), "{first_id}");
    for (server, id) in [(&pair.other, &first_id), (&pair.one, &second_id)] {
        assert_eq!(asked.answer(server, id).await.status, 202);
    }
    for (events, file) in [(&mut first, "a.txt"), (&mut second, "b.txt")] {
        let answer = within("an answer", events.expect("an answer")).await;
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.starts_with(file), "{file}: {answer}");
    }
    until("nothing is left of answers", async || letters(&pair.redis) == 0).await;
    // And where it was asked, as ever.
    let (mut events, id) = asked.call(&pair.one, "c.txt").await;
    assert_eq!(asked.answer(&pair.one, &id).await.status, 202);
    assert!(events.expect("an answer").await["result"]["content"][0]["text"].as_str().unwrap().starts_with("c.txt"));
}

#[tokio::test]
async fn answers_that_nobody_waits_for_are_few_and_go_by_themselves() {
    let pair = Pair::open().await;
    let asked = Asked::begin(&pair.one).await;
    let (mut events, id) = asked.call(&pair.one, "a.txt").await;
    for number in 0..80 {
        let made_up = json!((1u64 << 30) + number);
        assert_eq!(asked.answer(&pair.other, &made_up).await.status, 202);
    }
    // Ids that no server gives leave nothing at all; a stranger's answer to a genuine question neither reaches it.
    for id in [json!(0), json!("x"), json!(-1)] {
        assert_eq!(asked.answer(&pair.other, &id).await.status, 202);
    }
    assert!(letters(&pair.redis) <= 64, "{}", letters(&pair.redis));
    let life = pair.redis.ask(&["EVAL", "local longest = 0 for _, key in ipairs(redis.call('KEYS', '*:r21:*')) do longest = math.max(longest, redis.call('PTTL', key)) end return longest", "0"]);
    let life: u64 = life.trim().parse().unwrap();
    assert!(life > 0 && life <= 60_000, "{life}");
    let stranger = Asked::begin(&pair.other).await;
    stranger.answer(&pair.other, &id).await;
    let waited = tokio::time::timeout(Duration::from_millis(500), events.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    asked.answer(&pair.other, &id).await;
    assert!(events.expect("an answer").await.get("result").is_some());
}

#[tokio::test]
async fn a_session_that_was_ended_is_unknown_on_all_servers() {
    let pair = Pair::open().await;
    let [here, there] = pair.legacy().await;
    let [never_seen, gone] = pair.legacy().await;
    assert!(here.call("greet", json!({ "name": "A" })).await.text.contains('A'));
    assert!(there.call("greet", json!({ "name": "B" })).await.text.contains('B'));
    let mut stream = here.listen().await;
    assert_eq!(there.other("DELETE").send().await.status, 204);
    let ping = json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" });
    until_within(SOON, "the session has ended where it is in memory", async || {
        here.post(&ping).send().await.status == 404
    })
    .await;
    within("the end of its stream", async { while stream.next().await.is_some() {} }).await;
    // A server that has never seen it knows, too.
    assert_eq!(never_seen.other("DELETE").send().await.status, 204);
    assert_eq!(gone.post(&ping).send().await.status, 404);
    let again = pair.other.kill().start().await;
    assert_eq!(gone.moved_to(&again).post(&ping).send().await.status, 404);
}

#[tokio::test]
async fn sessions_that_the_operator_ends_are_over_on_all_servers() {
    let (pair, base) = Pair::with_login().await;
    let oauth = OAuthClient::register(&base, Kind::ClaudeCode).await;
    let tokens = oauth.log_in(&mut Browser::of("alice")).await;
    let here = Client::legacy_with_token(&pair.one, &tokens.access).await;
    let there = here.clone().moved_to(&pair.other);
    assert!(!there.tools().await.is_empty());
    let ended = pair.one.site().run(&["sessions", "end", "alice"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // Whoever logs in again begins anew, on any server.
    let tokens = oauth.log_in(&mut Browser::of("alice")).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" });
    for client in [here, there] {
        let client = client.with_token(&tokens.access);
        until_within(SOON, "the session has ended", async || client.post(&ping).send().await.status == 404).await;
    }
    let anew = async || {
        let begun = Request::new(pair.one.address, "POST", "/mcp").json(&initialize(LEGACY[0])).bearer(&tokens.access);
        let session = begun.send().await.header("mcp-session-id").to_owned();
        let ping = Request::new(pair.other.address, "POST", "/mcp").json(&ping).bearer(&tokens.access);
        ping.header("mcp-session-id", &session).send().await.status == 200
    };
    until("a session that began later goes on", anew).await;
}

#[tokio::test]
async fn what_a_client_wishes_counts_on_all_servers() {
    let pair = Pair::open().await;
    let [here, there] = pair.legacy().await;
    let mut stream = here.listen().await;
    there.result("resources/subscribe", json!({ "uri": WATCHED })).await;
    let updated = |message: &Value| message["method"] == "notifications/resources/updated";
    until("an update arrives", async || {
        there.call("update_watched_resource", json!({})).await;
        tokio::time::timeout(SOON, stream.next()).await.is_ok_and(|it| it.is_some_and(|it| updated(&it)))
    })
    .await;
    // The level: of messages at level info none comes any more.
    there.result("logging/setLevel", json!({ "level": "error" })).await;
    there.result("resources/unsubscribe", json!({ "uri": WATCHED })).await;
    until("the level is another", async || {
        here.call("test_tool_with_logging", json!({})).await;
        let told = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
        told.is_err()
    })
    .await;
    here.call("update_watched_resource", json!({})).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), stream.next()).await.is_err());
    // A server that begins later knows it, too.
    drop(stream);
    let again = pair.one.kill().start().await;
    let here = here.moved_to(&again);
    let mut stream = here.listen().await;
    here.call("test_tool_with_logging", json!({})).await;
    let told = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn updates_of_resources_reach_listeners_of_both_eras_on_other_servers() {
    let pair = Pair::open().await;
    let [here, there] = [&pair.one, &pair.other].map(Client::modern);
    let filter = json!({ "notifications": { "resourceSubscriptions": [WATCHED] } });
    let mut watching = here.request("subscriptions/listen", filter).1.open().await.events();
    watching.expect("an acknowledgement").await;
    let elsewhere = json!({ "notifications": { "resourceSubscriptions": ["test://static-text"] } });
    let mut other = here.request("subscriptions/listen", elsewhere).1.open().await.events();
    other.expect("an acknowledgement").await;
    let legacy = Client::legacy(&pair.one).await;
    let mut stream = legacy.listen().await;
    legacy.result("resources/subscribe", json!({ "uri": WATCHED })).await;
    for events in [&mut watching, &mut stream] {
        until("an update", async || {
            there.call("update_watched_resource", json!({})).await;
            let told = tokio::time::timeout(SOON, events.next()).await;
            told.is_ok_and(|it| it.is_some_and(|it| it["params"]["uri"] == WATCHED))
        })
        .await;
    }
    let told = tokio::time::timeout(Duration::from_millis(300), other.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn a_state_that_one_server_gave_is_good_at_another() {
    let pair = Pair::open().await;
    let [here, there] = [&pair.one, &pair.other].map(Client::modern);
    let forms = json!({ "elicitation": {} });
    let call = |client: &Client, more: Value| {
        let mut params = json!({ "name": "test_input_required_result_request_state", "arguments": {} });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut message = client.message("tools/call", params);
        message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = forms.clone();
        client.post(&message).messages()
    };
    let asked = call(&here, json!({})).await.pop().unwrap();
    let confirm = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let state = asked["result"]["requestState"].clone();
    let done = call(&there, json!({ "inputResponses": confirm, "requestState": state })).await.pop().unwrap();
    assert_eq!(done["result"]["content"][0]["text"], "state-ok", "{done}");
}

/// Opens the stream again of which a client has seen everything up to this event.
async fn resume(request: Request, seen: &str) -> Events {
    let opened = request.header("accept", "text/event-stream").header("last-event-id", seen).open().await;
    assert_eq!(opened.status, 200);
    opened.events()
}

/// The id from which a stream is told from its beginning.
fn beginning(event: &str) -> String {
    event.rsplit_once('-').map(|(stream, _)| format!("{stream}-0")).unwrap()
}

/// What a client may do that was cut off (2025-11-25, basic/transports, Resumability): any server goes on with the stream.
#[tokio::test]
async fn a_stream_is_resumed_at_any_server() {
    let pair = Pair::open().await;
    let [here, there] = pair.legacy().await;
    for back in [&here, &there] {
        let call = json!({ "name": "test_reconnection", "arguments": {} });
        let (id, request) = here.request("tools/call", call);
        let mut events = request.open().await.events();
        assert_eq!(within("the end of the stream", events.next()).await, None);
        let seen = events.last_id().unwrap();
        let messages = within("the rest", resume(back.other("GET"), &seen).await.rest()).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0]["id"], id);
        assert!(messages[0]["result"]["content"][0]["text"].is_string(), "{messages:?}");
        // It has been read, wherever.
        for again in [&here, &there] {
            let nothing = within("the end of an empty stream", resume(again.other("GET"), &seen).await.rest()).await;
            assert!(nothing.is_empty(), "{nothing:?}");
        }
    }
    assert_eq!(letters(&pair.redis), 0);
}

/// A client that is cut off while it is asked is asked again on the server that it comes back to, and gets the answer of
/// its call there; another session does not.
#[tokio::test]
async fn a_stream_goes_on_at_another_server_with_all_that_follows() {
    let pair = Pair::open().await;
    let [mine, others] = [Asked::begin(&pair.one).await, Asked::begin(&pair.one).await];
    let (events, question) = mine.call(&pair.one, "a").await;
    let seen = events.last_id().unwrap();
    let before = beginning(&seen);
    drop(events);
    let nothing = within("the end of an empty stream", others.resume(&pair.other, &before).await.rest()).await;
    assert!(nothing.is_empty(), "{nothing:?}");
    let mut back = mine.resume(&pair.other, &before).await;
    assert_eq!(back.expect("the question again").await["id"], question);
    // Cut off again.
    drop(back);
    let mut back = mine.resume(&pair.other, &seen).await;
    assert_eq!(mine.answer(&pair.other, &question).await.status, 202);
    let answer = back.expect("the answer").await;
    assert!(answer["result"]["content"].is_array(), "{answer}");
    assert_eq!(within("the end of the stream", back.next()).await, None);
    until("nothing to be left of it", async || letters(&pair.redis) == 0).await;
}

/// Where the server that runs the call is gone, its stream ends at the others too.
#[tokio::test]
async fn a_stream_ends_with_the_server_that_it_is_of() {
    let pair = Pair::open().await;
    let (_asked, _question, mut back) = Asked::gone_on_elsewhere(&pair).await;
    let Pair { one, other: _other, redis: _redis } = pair;
    drop(one.kill());
    assert_eq!(within("the end of the stream", back.next()).await, None);
}

/// A store that is away for a moment costs a stream that goes on elsewhere no more than that moment.
#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_survives_the_stores_absence() {
    let mut pair = Pair::open().await;
    let (asked, question, mut back) = Asked::gone_on_elsewhere(&pair).await;
    pair.redis.kill();
    pair.one.log.wait_for("the shared store is away").await;
    assert_eq!(asked.answer(&pair.one, &question).await.status, 202);
    pair.redis.revive();
    let answer = back.expect("the answer").await;
    assert!(answer["result"]["content"].is_array(), "{answer}");
    assert_eq!(within("the end of the stream", back.next()).await, None);
}

/// While the store is away, calls of sessions go on; what all servers would have to know fails with a reason.
#[tokio::test]
async fn without_the_store_calls_go_on_and_wishes_fail() {
    let mut pair = Pair::open().await;
    let [here, _] = pair.legacy().await;
    assert!(here.call("greet", json!({ "name": "A" })).await.text.contains('A'));
    pair.redis.kill();
    pair.one.log.wait_for("the shared store is away").await;
    let began = Instant::now();
    assert!(here.call("greet", json!({ "name": "B" })).await.text.contains('B'));
    let fresh = Client::legacy(&pair.one).await;
    assert!(fresh.call("greet", json!({ "name": "C" })).await.text.contains('C'));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let refused = here.answer("logging/setLevel", json!({ "level": "error" })).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("all servers"), "{refused}");
    let refused = here.other("DELETE").send().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    pair.redis.revive();
    until("the store is back", async || {
        fresh.answer("logging/setLevel", json!({ "level": "error" })).await.get("result").is_some()
    })
    .await;
}
