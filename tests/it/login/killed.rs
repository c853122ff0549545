//! `kill -9` in the middle of logins: what was acknowledged holds, what is good once is used once.

use std::time::Duration;

use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::{Code, Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::World;

/// The number of kills.
const KILLS: u64 = 20;

/// Answers that clients had while the server ran, which must hold afterwards.
#[derive(Default)]
struct Answers {
    /// Codes, and the tokens that each gave; none while the answer had not come.
    codes: Vec<(Code, Option<Tokens>)>,
    /// Refresh tokens that were presented, each with its answer; none while that had not come.
    renewals: Vec<(String, Option<Tokens>)>,
}

/// Logs in and renews until the connection breaks.
async fn until_killed(client: OAuthClient, name: String) -> Answers {
    let mut told = Answers::default();
    loop {
        let Some(code) = try_code(&client, &name).await else { return told };
        told.codes.push((code.clone(), None));
        let redemption = client.redemption(&code);
        let Ok(answer) = client.posting("/token", &redemption).try_send().await else { return told };
        let mut tokens = Tokens::of(&answer);
        told.codes.last_mut().expect("it was just pushed").1 = Some(tokens.clone());
        for _ in 0..2 {
            told.renewals.push((tokens.refresh.clone(), None));
            let renewal = client.renewal(&tokens.refresh);
            let Ok(answer) = client.posting("/token", &renewal).try_send().await else { return told };
            tokens = Tokens::of(&answer);
            told.renewals.last_mut().expect("it was just pushed").1 = Some(tokens.clone());
        }
    }
}

/// A code, unless the server goes away.
async fn try_code(client: &OAuthClient, name: &str) -> Option<Code> {
    let (client, mut person) = (client.clone(), Browser::of(name));
    // The browser stops the task that it is in when a connection breaks.
    tokio::spawn(async move { client.code(&mut person).await }).await.ok()
}

#[tokio::test]
async fn kills_lose_no_login_and_let_nothing_be_used_twice() {
    killed_often(Settings { rotate: false, ..Settings::oidc() }, KILLS).await;
}

/// A provider that gives a token only once must not be asked without need: its answer may be lost.
#[tokio::test]
async fn kills_where_the_provider_rotates_lose_no_login() {
    killed_often(Settings::oidc(), KILLS / 4).await;
}

async fn killed_often(settings: Settings, kills: u64) {
    let provider = Provider::start(settings).await;
    let mut world = World::with(&provider).await;
    let client = world.register(Kind::ClaudeCode).await;
    let mut logins = 0;
    for round in 0..kills {
        let people: Vec<_> =
            (0..3).map(|person| tokio::spawn(until_killed(client.clone(), format!("person-{person}")))).collect();
        // Moments of all kinds are what is tested.
        tokio::time::sleep(Duration::from_millis(150 + 37 * (round % 7))).await;
        world = world.killed().await;
        for person in people {
            logins += hold(&client, person.await.unwrap()).await;
        }
    }
    assert!(logins >= kills, "{logins} logins");
}

/// Checks what clients were told, after the restart. Returns how many sessions there were.
async fn hold(client: &OAuthClient, told: Answers) -> u64 {
    let sessions = told.codes.iter().filter(|(_, tokens)| tokens.is_some()).count();
    // The last chain of tokens: what was acknowledged last is good.
    let last = told.renewals.last().cloned();
    if let Some((presented, answer)) = last {
        match answer {
            Some(tokens) => {
                assert!(client.is_live(&tokens.access).await, "an acknowledged access token is lost");
                client.renew(&tokens.refresh).await;
            }
            None => {
                // The answer had not come: the same question is answered, and with one successor.
                let first = client.renew(&presented).await;
                assert_eq!(client.renew(&presented).await.refresh, first.refresh);
            }
        }
    }
    for (code, tokens) in told.codes {
        let again = client.try_redeem(&code).await;
        match tokens {
            Some(_) => assert_eq!(again.status, 400, "a code was good twice"),
            // Whether it had been used is not known; it must be by now.
            None => assert_eq!(client.try_redeem(&code).await.status, 400),
        }
        if again.status == 200 {
            let tokens = Tokens::of(&again);
            // The second attempt above came within a client's own time, and ended nothing.
            assert!(client.is_live(&tokens.access).await);
        }
    }
    u64::try_from(sessions).unwrap()
}
