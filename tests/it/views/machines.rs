//! Callers without a browser are bound to a view as people are.

use serde_json::{Value, json};
use tinymcp_tests::client::initialize;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::world::{World, local};

const CONFIG: &str = "[plugin.greeter.tool.greet]\nscopes = [\"greet\"]\n\
    [view.ops]\nplugins = [\"greeter\"]\nscopes = [\"ops\"]\n\
    [auth.clients.nightly]\nsecret = \"a-secret-of-more-than-sixteen-letters\"\ngrants = [\"client_credentials\"]\nscopes = [\"greet\", \"ops\"]\n";

const SECRET: &str = "a-secret-of-more-than-sixteen-letters";

async fn world() -> World {
    let site = local().plugin("greeter", &guest("greeter-v1"));
    World::of(site.config(CONFIG)).await
}

async fn knock(world: &World, path: &str, token: &str) -> u16 {
    world.server.request("POST", path).json(&initialize("2025-11-25")).bearer(token).send().await.status
}

async fn ask(world: &World, resource: &str) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", SECRET),
        ("resource", resource),
    ];
    Request::to(&world.base.join("/token").unwrap(), "POST").form(&form).send().await
}

#[tokio::test]
async fn a_client_that_calls_for_itself_names_its_view() {
    let world = world().await;
    let token =
        |answer: Answer| answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    let ops = token(ask(&world, &format!("{}mcp/ops", world.base)).await);
    let main = token(ask(&world, "").await);
    assert_eq!((knock(&world, "/mcp/ops", &ops).await, knock(&world, "/mcp", &ops).await), (200, 401));
    assert_eq!((knock(&world, "/mcp/ops", &main).await, knock(&world, "/mcp", &main).await), (401, 200));
    let called = world.modern(&ops).at("/mcp/ops").value("greeter_greet", json!({ "name": "Ada" })).await;
    assert_eq!(called, "v1 greets Ada");
    let refused = ask(&world, &format!("{}mcp/nothing", world.base)).await;
    assert_eq!(refused.oauth_error(), (400, "invalid_target".to_owned()));
    // A view outlives a restart in the row of its token.
    let world = world.killed().await;
    assert_eq!((knock(&world, "/mcp/ops", &ops).await, knock(&world, "/mcp", &ops).await), (200, 401));
}

#[tokio::test]
async fn an_operators_token_is_for_the_view_that_it_was_made_for() {
    let world = world().await;
    let site = world.server.site();
    let make = |name: &str, view: &str| {
        let made = site.run(&["token", "new", name, "--scopes", "greet,ops", "--expires", "1d", "--view", view]);
        assert_eq!(made.code, 0, "{made:?}");
        made.stdout.trim().to_owned()
    };
    let (ops, main) = (make("of-ops", "ops"), make("of-all", "mcp"));
    assert_eq!((knock(&world, "/mcp/ops", &ops).await, knock(&world, "/mcp", &ops).await), (200, 401));
    assert_eq!((knock(&world, "/mcp/ops", &main).await, knock(&world, "/mcp", &main).await), (401, 200));
    let listed: Value = serde_json::from_str(&site.run(&["token", "list", "--json"]).stdout).unwrap();
    let views: Vec<&Value> = listed.as_array().unwrap().iter().map(|token| &token["view"]).collect();
    assert_eq!(views, ["mcp", "ops"]);
    for (arguments, told) in [
        (&["token", "new", "x", "--scopes", "ops", "--expires", "1d", "--view", "opps"][..], "there is no view `opps`"),
        (&["token", "new", "x", "--scopes", "ops", "--expires", "1d"], "say which view the token is for"),
    ] {
        let refused = site.run(arguments);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{refused:?}");
    }
}
