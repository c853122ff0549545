//! `/try` as an attacker would use it, and as the page does.

use serde_json::json;

use super::{Server, Site, Visitor, World, error, local, with_shown};

#[tokio::test]
async fn a_person_calls_as_themselves_through_the_page() {
    let world = World::of(local().plugin("everything", &tinymcp_tests::guests::guest("everything"))).await;
    let alice = Visitor::logged_in(&world, "alice").await;
    let answer = alice.call("everything_who_am_i", &json!({})).send().await;
    let text = answer.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("alice"), "{text}");
}

#[tokio::test]
async fn a_request_of_another_page_calls_nothing() {
    let world = World::of(with_shown(local())).await;
    let alice = Visitor::logged_in(&world, "alice").await;
    let call = || alice.call("shown_steps", &json!({}));
    for request in [
        call().header("origin", "https://evil.example"),
        call().header("origin", "null"),
        call().without("origin"),
        call().header("sec-fetch-site", "cross-site"),
        call().header("sec-fetch-site", "same-site"),
        call().without("x-page-token"),
        call().header("x-page-token", "guess"),
    ] {
        let answer = request.send().await;
        assert_eq!(error(&answer), (403, "forged".to_owned()), "{answer:?}");
    }
    let mallory = Visitor::logged_in(&world, "mallory").await;
    let answer = call().header("x-page-token", &mallory.token).send().await;
    assert_eq!(error(&answer), (403, "forged".to_owned()), "{answer:?}");
    let answer = call().without("cookie").send().await;
    assert_eq!(error(&answer), (401, "logged_out".to_owned()), "{answer:?}");
    // A page of another origin is not even told that it may not: there is no CORS here.
    let preflight = alice.call("x", &json!({}));
    let preflight = tinymcp_tests::http::Request::to(&alice.base.join("try").unwrap(), "OPTIONS")
        .header("origin", "http://localhost:1")
        .header("access-control-request-method", "POST")
        .header("cookie", preflight.sent_headers()["cookie"].to_str().unwrap())
        .send()
        .await;
    assert_eq!(preflight.header("access-control-allow-origin"), "", "{preflight:?}");
}

#[tokio::test]
async fn the_endpoint_takes_no_cookie() {
    let world = World::of(with_shown(local())).await;
    let alice = Visitor::logged_in(&world, "alice").await;
    let answer = world.server.request("POST", "/mcp").header("cookie", &alice.cookies);
    let answer = answer.json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).send().await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let page = alice.get("mcp").send().await.text();
    assert!(!page.contains("data-token") && !page.contains("Log out"), "{page}");
}

#[tokio::test]
async fn the_message_must_be_a_call_of_the_tool_that_was_named() {
    let server = with_shown(Site::new()).start().await;
    let anybody = Visitor::anybody(&server).await;
    let elsewhere = anybody.call("shown_steps", &json!({}));
    let body = elsewhere.sent_body().to_vec();
    // Asking for another tool than the one that the query has confirmed.
    let other = String::from_utf8(body.clone()).unwrap().replace("shown_steps", "shown_delete");
    let answer = anybody.call("shown_steps", &json!({})).body(other).send().await;
    assert!(answer.status == 400 && answer.json()["error"]["code"] == -32020, "{answer:?}");
    let list = String::from_utf8(body).unwrap().replace("tools/call", "tools/list");
    let answer = anybody.call("shown_steps", &json!({})).body(list).send().await;
    assert!(answer.status == 400 && answer.json()["error"]["code"] == -32020, "{answer:?}");
    let answer = anybody.call("nothing_here", &json!({})).send().await;
    assert_eq!(answer.json()["error"]["code"], -32602, "{answer:?}");
}

#[tokio::test]
async fn what_may_destroy_something_is_asked_for_twice() {
    let server = with_shown(Site::new()).start().await;
    let anybody = Visitor::anybody(&server).await;
    let answer = anybody.call("shown_delete", &json!({})).send().await;
    assert_eq!(error(&answer), (409, "unconfirmed".to_owned()), "{answer:?}");
    let confirmed = anybody.call("shown_delete&confirmed=yes", &json!({}));
    let body = String::from_utf8(confirmed.sent_body().to_vec()).unwrap().replace("&confirmed=yes", "");
    let answer = confirmed.body(body).send().await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "all is gone", "{answer:?}");
}

#[tokio::test]
async fn images_are_what_their_bytes_say() {
    let server = with_shown(Site::new()).start().await;
    let anybody = Visitor::anybody(&server).await;
    let answer = anybody.call("shown_hostile", &json!({})).send().await.json();
    let content = answer["result"]["content"].as_array().unwrap();
    let kinds: Vec<&str> = content.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(&kinds[3..6], ["unshown", "unshown", "image"], "{kinds:?}");
    assert_eq!(content[5]["mimeType"], "image/png");
    assert!(content[3].get("data").is_none() && content[4].get("data").is_none());
}

#[tokio::test]
async fn limits_of_calls_hold_for_the_page_too() {
    let site = with_shown(Site::new()).config("[plugin.shown]\nrate = \"1/h\"\n");
    let server = site.start().await;
    let anybody = Visitor::anybody(&server).await;
    assert_eq!(anybody.call("shown_long", &json!({})).send().await.status, 200);
    let refused = anybody.call("shown_long", &json!({})).send().await.json();
    let text = refused["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(refused["result"]["isError"] == true && text.contains("try again"), "{refused}");
}

#[tokio::test]
async fn by_another_name_of_the_server_nothing_is_tried() {
    let server = Server::with(&["shown"]).await;
    let page = server.request("GET", "/").header("accept", "text/html").send().await.text();
    assert!(page.contains("to try tools") && !page.contains("data-token"), "{page}");
    let page = Visitor::anybody(&server).await.get("").send().await.text();
    assert!(page.contains("data-token") && !page.contains("to try tools"));
}
