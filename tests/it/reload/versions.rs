//! Calls while the plugin that they call is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};

use super::{V2, greeter};

#[tokio::test]
async fn a_call_ends_on_the_version_that_it_began_with() {
    let (server, client) = greeter().await;
    let calls = Client::both(&server)
        .await
        .map(|client| tokio::spawn(async move { client.value("greeter_wait", json!({ "ms": 3000 })).await }));
    // A call that came after these has been served, so they are under way.
    assert_eq!(client.value("greeter_wait", json!({ "ms": 200 })).await, "v1");
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
    assert_eq!(client.value("greeter_wait", json!({ "ms": 0 })).await, "v2");
    assert!(calls.iter().all(|call| !call.is_finished()), "the calls were over before the reload");
    for call in calls {
        assert_eq!(call.await.unwrap(), "v1");
    }
}

#[tokio::test]
async fn a_call_ends_although_its_plugin_is_deleted() {
    let (server, client) = greeter().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.value("greeter_wait", json!({ "ms": 2000 })).await }
    });
    assert_eq!(client.value("greeter_wait", json!({ "ms": 200 })).await, "v1");
    server.site().remove("greeter.wasm");
    client.wait_for_tools(&[]).await;
    assert!(!call.is_finished(), "the call was over before the file was gone");
    assert_eq!(call.await.unwrap(), "v1");
}

#[tokio::test]
async fn no_call_fails_while_plugins_are_replaced() {
    let (server, client) = greeter().await;
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for client in [Client::both(&server).await, Client::both(&server).await].into_iter().flatten() {
        let (is_over, calls) = (Arc::clone(&is_over), Arc::clone(&calls));
        callers.push(tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let said = client.value("greeter_greet", json!({ "name": "Ada" })).await;
                assert!(said == "v1 greets Ada" || said == "v2 greets Ada", "{said}");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let versions = [guest("greeter-v1"), guest("greeter-v2")];
    for round in 0..20_u32 {
        let mark = server.log.mark();
        server.site().put("greeter.wasm", &marked(&versions[round as usize % 2], round));
        server.log.wait_since(mark, "plugin `greeter`").await;
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(calls.load(Ordering::Relaxed) > 100, "{calls:?} calls");
    // What was loaded last is in force a moment after the log says so.
    client.wait_for_tools(&V2).await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
}
