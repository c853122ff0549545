//! `wasi:keyvalue` in both of its drafts, as toolchains emit them.

use serde_json::{Value, json};
use tinymcp_tests::guests::{from_text, guest};
use tinymcp_tests::server::Site;

use super::{GRANTED, get, state};

/// The steps that a guest has done, one on a line.
fn steps(value: &Value) -> String {
    let steps: Vec<&str> = value.as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
    steps.join("\n")
}

#[tokio::test]
async fn the_first_draft_does_all_that_it_has() {
    let (_server, client) = state(GRANTED).await;
    let done = client.value("state_draft", json!({ "bucket": "default" })).await;
    insta::assert_snapshot!(steps(&done), @r#"
    get Ok(None)
    set Ok(())
    get Ok(Some("1"))
    exists (Ok(true), Ok(false))
    increment (Ok(42), Ok(7))
    set-many Ok(())
    get-many Ok([Some(("d1/b", [120])), None, Some(("d1/c", []))])
    delete-many Ok(())
    delete (Ok(()), Ok(()))
    list-keys Ok((["d1/a"], None))
    increment Err(Error::Other("the value is no whole number of this range"))
    delete Ok(())
    "#);
    assert_eq!(client.value("state_draft", json!({ "bucket": "" })).await, done);
}

#[tokio::test]
async fn the_second_draft_does_all_that_it_has() {
    let (_server, client) = state(GRANTED).await;
    let done = client.value("state_draft2", json!({ "bucket": "default" })).await;
    insta::assert_snapshot!(steps(&done), @r#"
    set Ok(())
    get Ok(Some("1"))
    exists (Ok(true), Ok(false))
    increment (Ok(-2), Ok(-1))
    current Ok(Some("-1"))
    swap Ok(())
    again Ok(Some("meanwhile"))
    swap Ok(())
    new (Ok(None), Ok(()))
    set-many Ok(())
    get-many [("d2/a", Some("at last")), ("d2/none", None), ("d2/b", Some("x"))]
    list-keys Ok((["d2/a", "d2/b", "d2/new"], None))
    delete-many Ok(())
    get Ok(None)
    "#);
}

#[tokio::test]
async fn there_is_one_bucket_and_all_interfaces_see_the_same() {
    let (_server, client) = state(GRANTED).await;
    for tool in ["state_draft", "state_draft2"] {
        for bucket in ["other", "Default", "default ", "redis", "../other"] {
            let said = client.failure(tool, json!({ "bucket": bucket })).await;
            assert!(said.contains("NoSuchStore"), "{tool} {bucket}: {said}");
        }
    }
    for number in 0..1100 {
        client.call("state_set", json!({ "key": format!("k{number:04}"), "value": "x" })).await;
    }
    for tool in ["state_keys", "state_draft_keys", "state_draft2_keys"] {
        let (mut keys, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let arguments = match tool {
                "state_keys" => json!({ "prefix": "", "cursor": cursor }),
                _ => json!({ "cursor": cursor }),
            };
            let page = client.value(tool, arguments).await;
            keys.extend(page[0].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()));
            (cursor, pages) = (page[1].clone(), pages + 1);
            if cursor.is_null() {
                break;
            }
        }
        keys.sort();
        let expected: Vec<String> = (0..1100).map(|number| format!("k{number:04}")).collect();
        assert!(keys == expected && pages == 3, "{tool}: {} keys on {pages} pages", keys.len());
    }
    assert_eq!(get(&client, "k0007").await, "x");
}

/// The second draft had another `get-many` before its last change, under the same version.
#[tokio::test]
async fn the_second_draft_is_served_as_it_was_before_its_last_change() {
    let site = Site::with(&["state"]).config("[plugin.older]\nkv = {}\n");
    let server = site.plugin("older", &from_text(OLDER)).start().await;
    let client = tinymcp_tests::client::Client::modern(&server);
    // One key that is missing: a list of one entry, which begins with the 0 of no pair.
    assert_eq!(client.value("older_ask", json!({})).await, 1000);
}

/// Asks for one missing key, and gives 1000 × the length of the list + the tag of its first entry.
const OLDER: &str = r#"(component
    (import "wasi:keyvalue/store@0.2.0-draft2" (instance $store
        (export "bucket" (type $bucket (sub resource)))
        (type $e (variant (case "no-such-store") (case "access-denied") (case "other" string)))
        (export "error" (type $error (eq $e)))
        (type $own (own $bucket))
        (type $opened (result $own (error $error)))
        (export "open" (func (param "identifier" string) (result $opened)))))
    (alias export $store "bucket" (type $bucket))
    (alias export $store "error" (type $error))
    (import "wasi:keyvalue/batch@0.2.0-draft2" (instance $batch
        (export "bucket" (type $b (eq $bucket)))
        (export "error" (type $e (eq $error)))
        (type $borrow (borrow $b))
        (type $bytes (list u8))
        (type $pair (tuple string $bytes))
        (type $entry (option $pair))
        (type $entries (list $entry))
        (type $keys (list string))
        (type $got (result $entries (error $e)))
        (export "get-many" (func (param "bucket" $borrow) (param "keys" $keys) (result $got)))))
    (core module $memory
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $open (canon lower (func $store "open")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $get-many (canon lower (func $batch "get-many")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core module $main
        (import "memory" "memory" (memory 1))
        (import "host" "open" (func $open (param i32 i32 i32)))
        (import "host" "get-many" (func $get-many (param i32 i32 i32 i32)))
        (func (export "ask") (result i32)
            (call $open (i32.const 0) (i32.const 0) (i32.const 16))
            (if (i32.load8_u (i32.const 16)) (then (return (i32.const -1))))
            ;; The list of one key, which is empty.
            (i32.store (i32.const 64) (i32.const 0))
            (i32.store (i32.const 68) (i32.const 0))
            (call $get-many (i32.load (i32.const 20)) (i32.const 64) (i32.const 1) (i32.const 96))
            (if (i32.load8_u (i32.const 96)) (then (return (i32.const -2))))
            (i32.add
                (i32.mul (i32.load (i32.const 104)) (i32.const 1000))
                (i32.load8_u (i32.load (i32.const 100))))))
    (core instance $main (instantiate $main
        (with "memory" (instance $memory))
        (with "host" (instance (export "open" (func $open)) (export "get-many" (func $get-many))))))
    (func (export "ask") (result s32) (canon lift (core func $main "ask"))))"#;

#[tokio::test]
async fn handles_are_bounded_and_those_of_a_kept_instance_are_decided_anew() {
    let (_server, client) = state("[plugin.state]\nkv = {}\n[limits]\nmemory = '64MiB'\n").await;
    let held = client.call("state_hoard", json!({ "most": 100_000 })).await;
    assert!(held.is_error, "the host holds no handles without end: {held:?}");
    assert!(client.value("state_hoard", json!({ "most": 500 })).await == 500);
    let warm = guest("state");
    let inspected = Site::new().plugin("state", &warm).run(&["inspect", "plugins/state.wasm"]);
    for import in ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/batch@0.2.0-draft2", "tinymcp:plugin/kv@0.1.0"] {
        let line = inspected.stdout.lines().find(|line| line.contains(import)).unwrap_or_default();
        assert!(line.contains("kept by this host, if `kv` grants it"), "{import}: {}", inspected.stdout);
    }
}
