//! The lock decides what runs: without it nothing does, and what has moved elsewhere runs when an operator says so.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tinymcp_tests::client::Client;
use tinymcp_tests::cut::Way;
use tinymcp_tests::registry::{Registry, WASM, files};
use tinymcp_tests::server::Site;
use tinymcp_tests::until;

use super::{V1, V2, done, first, from, lock_of, problem, run, second};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_that_is_not_locked() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let to = registry.at("org/weather:1");
    // Whoever can write into the plugins directory has no say in it.
    let site = Site::new().config(&from(&to)).plugin("weather", &second());
    assert!(problem(&site).contains("is not locked: `tinymcp update weather`"), "{}", problem(&site));
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    server.log.wait_for("`weather.wasm` in the plugins directory is passed over").await;
    server.log.wait_for("plugin `weather` not loaded: ").await;
    let shown = done(server.site(), &["update", "--dry-run"]);
    assert!(shown.contains("sha256:") && shown.contains("nothing was written"), "{shown}");
    assert_eq!(lock_of(server.site()), "");
    done(server.site(), &["update"]);
    client.wait_for_tools(&V1).await;
    assert!(done(server.site(), &["update"]).contains("the lock is as it has to be"));

    // The configuration names another one now, and the lock does not: the one before ends.
    registry.put("org/weather", "2", &[(WASM, &second())]).await;
    server.site().configure(&from(&registry.at("org/weather:2")));
    client.wait_for_tools(&[]).await;
    assert!(problem(server.site()).contains("the lock has it from elsewhere"), "{}", problem(server.site()));
    done(server.site(), &["update", "weather"]);
    client.wait_for_tools(&V2).await;
    // A lock that cannot be read takes nothing away that is served, and nothing else could be.
    let lock = lock_of(server.site());
    fs::write(server.site().path().join("tinymcp.lock"), "<<<<<<< ours\n").unwrap();
    server.log.wait_for("is damaged at line 1").await;
    assert_eq!(client.tool_names().await, V2);
    assert!(problem(server.site()).contains("is damaged at line 1"), "{}", problem(server.site()));
    fs::write(server.site().path().join("tinymcp.lock"), lock).unwrap();
    client.wait_for_tools(&V2).await;
    // Without `from` it is a file like others.
    server.site().configure("");
    client.wait_for_tools(&V2).await;
    assert!(done(server.site(), &["update"]).contains("is locked no more"));
}

/// The configuration and the lock are two files: whichever comes first, nothing is missing meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_goes_on_until_both_files_have_come() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    registry.put("org/weather", "2", &[(WASM, &second())]).await;
    let configs = ["1", "2"].map(|tag| from(&registry.at(&format!("org/weather:{tag}"))));
    let locks = configs.each_ref().map(|config| {
        let desk = Site::new().config(config);
        done(&desk, &["update"]);
        lock_of(&desk)
    });
    let site = Site::new().config(&configs[0]);
    let bring = |site: &Site, which: usize| {
        fs::write(site.path().join("coming.lock"), &locks[which]).unwrap();
        fs::rename(site.path().join("coming.lock"), site.path().join("tinymcp.lock")).unwrap();
    };
    bring(&site, 0);
    let server = site.start().await;
    let client = Client::modern(&server);
    client.wait_for_tools(&V1).await;
    for (lock_first, which) in [(false, 1), (true, 0)] {
        let (before, after) = if which == 1 { (&V1[..], &V2[..]) } else { (&V2[..], &V1[..]) };
        let steps: [&dyn Fn(); 2] = [&|| server.site().configure(&configs[which]), &|| bring(server.site(), which)];
        let steps = if lock_first { [steps[1], steps[0]] } else { steps };
        for step in steps {
            step();
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(1500) {
                let names = client.tool_names().await;
                assert!(names == before || names == after, "{names:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        client.wait_for_tools(after).await;
    }
    // A lock that is read half has a moment, too.
    fs::write(server.site().path().join("tinymcp.lock"), "version = 1\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(client.tool_names().await, V1);
    client.wait_for_tools(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_what_has_to_be_pulled_for_a_time() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let way = Way::to(registry.address.port()).await;
    let host = registry.host();
    let config =
        format!("{}[registry.\"{host}\"]\nmirror = \"127.0.0.1:{}\"\n", from(&registry.at("org/weather:1")), way.port);
    let fresh = |wait: &str| {
        let site = Site::new().config(&config).variable("TINYMCP_PLUGINS_WAIT", wait);
        done(&site, &["update"]);
        fs::remove_dir_all(site.path().join(".tinymcp/pulled")).unwrap();
        site
    };
    let (short, long) = (fresh("2s"), fresh("1m"));
    way.cut(true);
    let server = short.launch().await;
    assert_eq!(server.get("/readyz").await.status, 503);
    server.log.wait_for("1 files are still being pulled or loaded after `plugins.wait`").await;
    until("a server that has waited", async || server.get("/readyz").await.status == 200).await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    let server = long.launch().await;
    assert_eq!(server.get("/readyz").await.status, 503);
    way.cut(false);
    // Whoever asks first has all of it.
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_said_and_not_followed() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let to = registry.at("org/weather:1");
    let site = Site::new();
    done(&site, &["add", &to]);
    let moved = registry.put("org/weather", "1", &[(WASM, &second())]).await;
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, V1);
    let said = server.log.wait_for("names another artifact now").await;
    assert!(said.contains(&moved), "{said}");
    let shown = done(server.site(), &["update", "--dry-run"]);
    assert!(shown.contains(&moved) && shown.contains("locked so far: sha256:") && shown.contains("soon"), "{shown}");
    assert_eq!(client.tool_names().await, V1);
    done(server.site(), &["update"]);
    client.wait_for_tools(&V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_needs_no_registry_and_what_is_damaged_is_pulled_again() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new();
    done(&site, &["add", &registry.at("org/weather:1")]);
    let stopped = registry.stop();
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    let site = server.kill();
    let pulled = site.path().join(".tinymcp/pulled");
    let kept = files(&pulled);
    let component = kept.iter().find(|file| file.ends_with("weather.wasm")).unwrap();
    // Another component in its place, which is one that could be served.
    fs::write(pulled.join(component), second()).unwrap();
    let listed = run(&site, &["list"]);
    assert!(listed.stdout.contains("what was pulled of it is damaged"), "{listed:?}");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    server.log.wait_for("is damaged and is pulled again").await;
    server.log.wait_for("it cannot be pulled from").await;
    let _registry = stopped.start().await;
    Client::modern(&server).wait_for_tools(&V1).await;
    assert_eq!(fs::read(pulled.join(component)).unwrap(), first());
    assert_eq!(files(&pulled), kept, "nothing else is left there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_gone_is_filled_and_a_mirror_is_asked_first() {
    let (registry, mirror) = (Registry::start().await, Registry::start().await);
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let digest = mirror.put("org/weather", "1", &[(WASM, &first())]).await;
    let host = registry.host();
    let site = Site::new();
    done(&site, &["add", &registry.at("org/weather:1")]);
    assert!(lock_of(&site).contains(&digest));
    fs::remove_dir_all(site.path().join(".tinymcp/pulled")).unwrap();
    drop(registry);
    let reference = format!("oci://{host}/org/weather:1");
    let site = site.config(&format!("{}[registry.\"{host}\"]\nmirror = \"{}\"\n", from(&reference), mirror.host()));
    let server = site.start().await;
    Client::modern(&server).wait_for_tools(&V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_waits_for_approval_like_any_other() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new().config("[plugins]\napprove = true\n");
    done(&site, &["add", &registry.at("org/weather:1")]);
    let server = site.start().await;
    let client = Client::modern(&server);
    server.log.wait_for("plugin `weather` waits for approval").await;
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    let listed = done(server.site(), &["approve", "weather"]);
    let reference = listed.split_whitespace().find(|word| word.starts_with("weather@sha256:"));
    let reference = reference.unwrap_or_else(|| panic!("{listed}")).trim_matches(['`', '.', ',', ';']).to_owned();
    done(server.site(), &["approve", &reference]);
    client.wait_for_tools(&V1).await;
    // The next one waits, and the approved one goes on.
    registry.put("org/weather", "1", &[(WASM, &second())]).await;
    done(server.site(), &["update"]);
    server.log.wait_for("waits for approval: another file").await;
    assert_eq!(client.tool_names().await, V1);
    until("the state that says so", async || problem(server.site()).contains("waits for approval")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_is_at_hand_and_what_the_registry_says_of_it() {
    let registry = Registry::start().await;
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new().config(&from(&registry.at("org/weather:1")));
    // Other checks are none of this test's business.
    let said = |site: &Site| {
        let findings: Value = serde_json::from_str(&run(site, &["doctor", "--json"]).stdout).unwrap();
        let findings = findings["findings"].as_array().unwrap().clone();
        let of = |finding: &&Value| finding["subject"] == "plugin from a registry";
        let found: Vec<String> = findings
            .iter()
            .filter(of)
            .map(|finding| format!("{} {}", finding["verdict"].as_str().unwrap(), finding["seen"].as_str().unwrap()))
            .collect();
        found.join("\n")
    };
    assert!(said(&site).starts_with("fail `weather`: ") && said(&site).contains("is not locked"), "{}", said(&site));
    done(&site, &["update"]);
    assert!(said(&site).starts_with("ok `weather` is locked and at hand"), "{}", said(&site));
    registry.put("org/weather", "1", &[(WASM, &second())]).await;
    assert!(
        said(&site).starts_with("note `weather`: ") && said(&site).contains("another artifact now"),
        "{}",
        said(&site)
    );
    let pulled = site.path().join(".tinymcp/pulled");
    fs::rename(&pulled, site.path().join("elsewhere")).unwrap();
    assert!(said(&site).starts_with("ok `weather` is locked, and its registry has it"), "{}", said(&site));
    drop(registry);
    assert!(said(&site).starts_with("fail `weather` is not at hand, and cannot be pulled"), "{}", said(&site));
    fs::rename(site.path().join("elsewhere"), &pulled).unwrap();
    assert!(said(&site).starts_with("note `weather` is at hand"), "{}", said(&site));
    assert_eq!(lock_of(&site).matches("[plugin.weather]").count(), 1, "nothing is changed");
}
