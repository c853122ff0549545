//! People in very many groups, and what is said when an answer of the provider's cannot be used.

use serde_json::json;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::world::World;

use super::alice;

fn groups(count: usize) -> serde_json::Value {
    json!((0..count).map(|number| format!("00000000-0000-4000-8000-{number:012}")).collect::<Vec<_>>())
}

async fn with_groups(count: usize) -> Provider {
    let provider = Provider::start(Settings { access_seconds: 1, ..Settings::oidc() }).await;
    provider.change(|settings| {
        let claims = [("groups".to_owned(), groups(count))].into();
        settings.accounts.insert("alice".to_owned(), Account { claims, ..Account::of("alice") });
    });
    provider
}

#[tokio::test]
async fn a_person_in_many_groups_logs_in_and_stays() {
    for count in [130, 1500] {
        let provider = with_groups(count).await;
        let world = World::with(&provider).await;
        let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
        assert!(client.is_live(&tokens.access).await);
        let world = world.killed().await;
        let renewed = client.renew(&tokens.refresh).await;
        assert!(client.is_live(&renewed.access).await);
        drop(world);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_told_apart() {
    let provider = with_groups(8000).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::ClaudeCode).await;
    let told = async |expected: &str| {
        let tinymcp_tests::browser::Landing::Client(url) = alice().walk(&client.authorization().url()).await else {
            panic!("a page")
        };
        let said = url.query_pairs().find(|(name, _)| name == "error_description").unwrap().1.into_owned();
        assert!(said.contains(expected) && said.contains("reference"), "{said}");
        said
    };
    told("id_token is too large").await;
    let notes = std::fs::read_to_string(world.server.site().path().join(".tinymcp/providers/acme.notes.json")).unwrap();
    assert!(notes.contains("token too large"), "{notes}");
    provider.change(|settings| {
        settings.accounts.clear();
        settings.skew_seconds = -7200;
    });
    told("has expired or is not valid yet").await;
    provider.change(|settings| {
        settings.skew_seconds = 0;
        settings.nonce = tinymcp_tests::provider::settings::Claim::Wrong;
    });
    told("not for this login").await;
    let doctor = doctor(&world, &provider);
    assert!(doctor.contains("the last login failed at the provider") && doctor.contains("nonce"), "{doctor}");
    provider.change(|settings| settings.nonce = tinymcp_tests::provider::settings::Claim::Right);
    client.log_in(&mut alice()).await;
    assert!(!self::doctor(&world, &provider).contains("the last login failed"));
}

/// The output of `tinymcp doctor` beside the server.
pub(super) fn doctor(world: &World, provider: &Provider) -> String {
    let site = world.server.site();
    let (mut id, mut secret) = (String::new(), String::new());
    provider.change(|settings| (id, secret) = (settings.client_id.clone(), settings.client_secret.clone()));
    let base = world.base.as_str().trim_end_matches('/');
    let variables = format!("BASE_URL={base}\nACME_CLIENT_ID={id}\nACME_CLIENT_SECRET=\"{secret}\"\n");
    std::fs::write(site.path().join(".env"), variables).unwrap();
    site.run(&["doctor"]).stdout
}
