//! What the operator says of the server, and its views, on the page.

use tinymcp_tests::guests::guest;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::behind;

use super::{Visitor, World};

const SHAPED: &str = "[server]\ntitle = \"Acme <tools>\"\ndescription = \"Greetings for <everybody>.\"\n\
    website = \"https://acme.example/tools?a=1&b=2\"\nicon = \"icon.bin\"\n\
    [plugin.greeter.tool.wait]\nscopes = [\"wait\"]\n\
    [view.ops]\nplugins = [\"greeter\"]\nscopes = [\"ops\"]\ntitle = \"Operations\"\n\
    [view.small]\nplugins = [\"greeter\"]\ntools = [\"greeter_greet\"]\n";

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nrest";

fn shaped(site: Site) -> Site {
    let site = site.plugin("greeter", &guest("greeter-v1")).config(SHAPED);
    std::fs::write(site.path().join("icon.bin"), PICTURE).unwrap();
    site
}

/// The part of a page about a view; empty without one.
fn view<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = page.find(&format!("data-view=\"{name}\""));
    let rest = begin.map(|begin| &page[begin..]).unwrap_or_default();
    let end = rest.match_indices("data-view=").nth(1).map_or(rest.len(), |(end, _)| end);
    &rest[..end]
}

#[tokio::test]
async fn the_page_says_what_the_server_is_and_which_tools_are_at_which_view() {
    let server = shaped(Site::new()).start().await;
    let visitor = Visitor::anybody(&server).await;
    let answer = visitor.get("").send().await;
    let page = answer.text();
    for expected in [
        "<title>Acme &#60;tools&#62;</title>",
        "Greetings for &#60;everybody&#62;.",
        "href=\"https://acme.example/tools?a=1&#38;b=2\"",
        "class=\"picture\" src=\"/icon/",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let (ops, small) = (view(&page, "ops"), view(&page, "small"));
    let base = visitor.base.as_str();
    assert!(ops.contains("Operations") && ops.contains(&format!(">{base}mcp/ops</pre>")), "{ops}");
    assert!(ops.contains("#tool-greeter_greet") && ops.contains("#tool-greeter_wait"), "{ops}");
    assert!(small.contains("#tool-greeter_greet") && !small.contains("greeter_wait"), "{small}");
    assert!(small.contains("data-copy=\"the command for Codex and the view small\""), "{small}");
    for client in ["claude-code", "codex"] {
        let command = format!("tinymcp connect {client} --view ops");
        assert!(ops.contains(&command), "{ops}");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let printed = server.site().run(&words);
        assert!(printed.code == 0 && printed.stdout.contains("/mcp/ops"), "{printed:?}");
    }
    let (_, path) = page.split_once("src=\"/icon/").unwrap();
    let path = format!("icon/{}", path.split('"').next().unwrap());
    let icon = visitor.get(&path).send().await;
    assert_eq!((icon.header("content-type"), &*icon.body), ("image/png", PICTURE));
    assert_eq!(icon.header("x-content-type-options"), "nosniff");
    assert_eq!(visitor.get("icon/0000000000000000").send().await.status, 404);

    // A picture elsewhere is let in by its URL alone.
    server.site().configure("[server]\nicon = \"https://acme.example/a/icon.png?x=1\"\n");
    until("another picture", async || visitor.get("").send().await.text().contains("a/icon.png?x=1\" alt")).await;
    let policy = visitor.get("").send().await.header("content-security-policy").to_owned();
    assert!(policy.contains("img-src 'self' blob: https://acme.example/a/icon.png;"), "{policy}");
    assert!(!answer.header("content-security-policy").contains("acme"), "{answer:?}");
    let page = visitor.get("").send().await.text();
    assert!(page.contains("<title>TinyMCP</title>") && !page.contains("id=\"views\""), "{page}");
}

#[tokio::test]
async fn a_view_is_shown_to_those_who_may_use_it() {
    let provider = Provider::start(Settings::oidc()).await;
    let site = behind(&provider);
    let written = std::fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
    let scopes = "[auth.scopes]\nops = [\"alice@example.com\"]\nwait = [\"alice@example.com\"]\n";
    let site = site.auth(&format!("{written}{scopes}"));
    let world = World::of(shaped(site)).await;
    let [alice, mallory] = [Visitor::logged_in(&world, "alice").await, Visitor::logged_in(&world, "mallory").await];
    let (hers, his) = (alice.get("").send().await.text(), mallory.get("").send().await.text());
    assert!(view(&hers, "ops").contains("greeter_wait") && view(&hers, "small").contains("greeter_greet"), "{hers}");
    assert!(view(&his, "ops").is_empty() && view(&his, "small").contains("greeter_greet"), "{his}");
    assert!(!his.contains("greeter_wait"), "{his}");
}

#[tokio::test]
async fn strangers_are_told_what_it_is_for_and_of_no_view() {
    // Its provider is not there, which the page does not need.
    let auth = "[auth]\nprovider = \"acme\"\nallow = [\"alice@example.com\"]\n[auth.providers.acme]\n\
        discovery = \"https://127.0.0.1:9/x\"\nclient_id = \"x\"\nclient_secret = \"y\"\n";
    let server = shaped(Site::new().variable("BASE_URL", "https://mcp.example.com").auth(auth)).launch().await;
    server.log.wait_for("loaded plugin `greeter`").await;
    for path in ["/", "/mcp", "/mcp/ops"] {
        let request = server.request("GET", path).header("host", "mcp.example.com").header("accept", "text/html");
        let page = request.send().await.text();
        assert!(page.contains("Greetings for &#60;everybody&#62;.") && page.contains("Acme &#60;tools&#62;"), "{page}");
        for word in ["/mcp/ops", "Operations", "greeter"] {
            assert!(!page.contains(word), "{path}: {word}: {page}");
        }
    }
}
