//! Tools that are hidden, renamed, described or guarded one by one, while the server runs.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, challenge};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, behind};

use super::{INVALID_PARAMS, code};

fn site() -> Site {
    Site::new().plugin("greeter", &guest("greeter-v1"))
}

async fn call(client: &Client, name: &str) -> Value {
    client.answer("tools/call", json!({ "name": name, "arguments": { "name": "Ada" } })).await
}

#[tokio::test]
async fn what_is_hidden_is_not_there_by_any_way() {
    let on = "[server]\ndiscovery_tools = true\n";
    let server = site().config(on).start().await;
    for hiding in [
        "[plugin.greeter]\nhide = [\"greet\"]\n",
        "[plugin.greeter]\ntools = [\"wait\"]\n",
        "[plugin.greeter.tool.greet]\nenabled = false\n",
        // What is hidden stays so, whoever shows it.
        "[plugin.greeter]\ntools = [\"greet\", \"wait\"]\nhide = [\"greet\"]\n",
    ] {
        for client in Client::both(&server).await {
            server.site().configure(&format!("{on}{hiding}"));
            client.wait_for_tools(&["greeter_wait", "find_tools", "call_tool"]).await;
            let (hidden, unknown) = (call(&client, "greeter_greet").await, call(&client, "greeter_nothing").await);
            assert_eq!((code(&hidden), code(&unknown)), (INVALID_PARAMS, INVALID_PARAMS), "{hiding}");
            let said = |answer: &Value| answer["error"]["message"].as_str().unwrap().to_owned();
            assert_eq!(said(&hidden).replace("greet`", "nothing`"), said(&unknown), "{hiding}");
            let by_name = json!({ "name": "greeter_greet", "arguments": { "name": "Ada" } });
            let refused = client.failure("call_tool", by_name).await;
            assert!(refused.starts_with("there is no tool `greeter_greet`"), "{refused}");
            let found = client.call("find_tools", json!({})).await;
            assert_eq!(found.structured["total"], 1, "{found:?}");
            server.site().configure(on);
            client.wait_for_tool("greeter_greet").await;
            assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
        }
    }
    server.site().configure(&format!("{on}[plugin.greeter]\ntools = []\n"));
    Client::modern(&server).wait_for_tools(&["find_tools", "call_tool"]).await;
}

#[tokio::test]
async fn the_name_of_what_is_hidden_is_free() {
    let other = "[plugin.other]\nprefix = \"greeter\"\nhide = [\"wait\"]\n";
    let server = site().config(&format!("[plugin.greeter]\nhide = [\"greet\"]\n{other}")).start().await;
    let client = Client::modern(&server);
    server.site().put("other.wasm", &guest("greeter-v2"));
    client.wait_for_tool("greeter_greet").await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
}

#[tokio::test]
async fn a_tool_is_called_and_described_as_the_operator_says() {
    let server = site().config("[plugin.greeter.tool.greet]\nrate = \"2/h\"\n").start().await;
    let [modern, legacy] = Client::both(&server).await;
    assert_eq!(modern.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    server.site().configure(
        "[plugin.greeter.tool.greet]\nrate = \"2/h\"\nname = \"Say-hello\"\ntitle = \"Hello\"\n\
         description = \"Says hello.\\nTo anybody.\"\n",
    );
    for client in [&modern, &legacy] {
        client.wait_for_tools(&["Say-hello", "greeter_wait"]).await;
        let shown = &client.tools().await[0];
        assert_eq!((&shown["title"], &shown["description"]), (&json!("Hello"), &json!("Says hello.\nTo anybody.")));
        assert_eq!(code(&call(client, "greeter_greet").await), INVALID_PARAMS);
    }
    let listed = server.site().run(&["list"]).stdout;
    assert!(listed.contains("Say-hello") && listed.contains("Says hello.  (its function is greet)"), "{listed}");
    // What was counted belongs to the function, whatever it is called.
    assert_eq!(legacy.value("Say-hello", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let refused = modern.failure("Say-hello", json!({ "name": "Ada" })).await;
    assert!(refused.starts_with("too many calls: this tool allows 2/h"), "{refused}");
    server.site().configure("");
    modern.wait_for_tools(&["greeter_greet", "greeter_wait"]).await;
    assert_eq!(modern.tools().await[0]["description"], "Greet somebody, version 1");
}

#[tokio::test]
async fn a_name_of_another_plugin_is_not_given() {
    let server = site().plugin("other", &guest("greeter-v2")).start().await;
    let client = Client::modern(&server);
    let before = client.tool_names().await;
    server.site().configure("[plugin.greeter.tool.greet]\nname = \"other_greet\"\n");
    server.log.wait_for("plugin `greeter` not reloaded: tool name `other_greet` belongs to `other.wasm`").await;
    assert_eq!(client.tool_names().await, before);
    assert_eq!(client.value("other_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
    // Within one plugin, it is the wish that comes to nothing.
    server.site().configure("[plugin.greeter.tool.greet]\nname = \"greeter_wait\"\n");
    server.log.wait_for("left out: ").await;
    until("one tool left out", async || !client.tool_names().await.contains(&"greeter_greet".to_owned())).await;
    assert_eq!(client.value("greeter_wait", json!({ "ms": 0 })).await, "v1");
}

#[tokio::test]
async fn one_tool_may_need_scopes_of_its_own() {
    let provider = Provider::start(Settings::auth0()).await;
    let site = behind(&provider).plugin("greeter", &guest("greeter-v1"));
    let scoped = "[plugin.greeter.tool.greet]\nscopes = [\"a:b\"]\n\
        [auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n\"c:d\" = [\"*@example.com\"]\n";
    let world = World::of(site.config(scoped)).await;
    let client = world.register(Kind::ClaudeCode).await;
    let mut alice = tinymcp_tests::browser::Browser::of("alice");
    let narrow = client.code_of(client.authorization().set("scope", "c:d"), &mut alice).await;
    let narrow = world.modern(&client.redeem(&narrow).await.access);
    assert_eq!(narrow.tool_names().await, ["greeter_greet", "greeter_wait"]);
    assert_eq!(narrow.value("greeter_wait", json!({ "ms": 0 })).await, "v1");
    let (_, request) = narrow.request("tools/call", json!({ "name": "greeter_greet", "arguments": { "name": "A" } }));
    let refused = request.send().await;
    assert_eq!((refused.status, challenge(&refused)["scope"].as_str()), (403, "a:b c:d"), "{refused:?}");
    let wide = world.modern(&client.log_in(&mut alice).await.access);
    assert_eq!(wide.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    // Who could never hold it does not see the tool.
    let (_, mallorys) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let mallory = world.modern(&mallorys.access);
    assert_eq!(mallory.tool_names().await, ["greeter_wait"]);
    assert_eq!(code(&call(&mallory, "greeter_greet").await), INVALID_PARAMS);
    let metadata = world.server.get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(metadata["scopes_supported"], json!(["a:b", "c:d"]));
}

#[tokio::test]
async fn slips_in_names_are_told() {
    let config = "[plugin.greeter]\nhide = [\"gret\"]\ntools = [\"greet\", \"waitt\"]\n[plugin.greeter.tool.wai]\nenabled = false\n\
        [view.ops]\nplugins = [\"greeter\", \"gretter\"]\n[view.small]\nplugins = [\"greeter\"]\nhide = [\"greeter_gret\"]\n[view.none]\n";
    let site = site().config(config);
    let checked = site.run(&["check"]);
    for told in [
        "`view.ops.plugins`: there is no plugin `gretter`, so it does nothing there; did you mean `greeter`?",
        "it names no `plugins`, so there is nothing at it",
    ] {
        assert!(checked.code == 0 && checked.stderr.contains(told), "{told}: {checked:?}");
    }
    let listed = site.run(&["list"]);
    let of_lists = [
        "`plugin.greeter.hide`: there is no tool `gret`, so it does nothing there; did you mean `greet`?",
        "`plugin.greeter.tools`: there is no tool `waitt`, so it does nothing there; did you mean `wait`?",
        "`[plugin.greeter.tool.wai]`: there is no such tool, so this does nothing; did you mean `wait`?",
        "`view.small.hide`: there is no tool `greeter_gret`, so it does nothing there; did you mean `greeter_greet`?",
    ];
    for told in of_lists {
        assert!(listed.stderr.contains(told), "{told}: {listed:?}");
    }
    assert!(listed.stdout.contains("greeter  hides wait"), "{listed:?}");
    let views = "/mcp/none  shows no tool\n/mcp/ops  shows greeter_greet\n/mcp/small  shows greeter_greet\n";
    assert!(listed.stdout.contains(views), "{listed:?}");
    let server: Server = site.start().await;
    for told in of_lists {
        server.log.wait_for(told).await;
    }
}
