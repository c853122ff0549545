//! Several servers renew sessions at a provider that takes each refresh token once, and ends the login of one that comes twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;
use tinymcp_tests::world::behind;
use tokio::task::JoinSet;
use url::Url;

use super::{SECRET, dies_within};
use crate::requests::get;
use crate::requests::login::{LIFE, NEARLY, reaching_beside, url};
use crate::requests::tls::{Service, service};

/// The servers of one store, the provider behind them, and a service that takes the provider's tokens.
struct Servers {
    redis: Redis,
    provider: Provider,
    service: Service,
    /// None for one that was killed.
    servers: Vec<Option<Server>>,
    bases: Vec<Url>,
}

/// Somebody who is logged in, by way of each server.
struct Person {
    by_server: Vec<OAuthClient>,
    tokens: Tokens,
}

impl Servers {
    async fn start(number: usize) -> Self {
        Self::at(Redis::durable(), number).await
    }

    async fn at(redis: Redis, number: usize) -> Self {
        let settings = Settings { access_seconds: LIFE.as_secs(), ..Settings::oidc() };
        assert!(settings.rotate && settings.overlap.is_zero(), "a token that comes twice ends the login");
        let (provider, service) = (Provider::start(settings).await, service().await);
        let sites: Vec<Site> = (0..number).map(|_| behind(&provider).with_clock()).collect();
        let bases: Vec<Url> = sites.iter().map(Site::base).collect();
        let (published, store) = (bases[0].as_str().trim_end_matches('/'), redis.url());
        let shared = format!("[server]\nbase_url = \"{published}\"\n[state]\nurl = \"{store}\"\n");
        let mut servers = Vec::new();
        for site in sites {
            let site = reaching_beside(&shared, site, &service).variable("TINYMCP_SECRET", SECRET);
            servers.push(Some(site.start().await));
        }
        Self { redis, provider, service, servers, bases }
    }

    async fn log_in(&self, name: &str) -> Person {
        let client = OAuthClient::register(&self.bases[0], Kind::ClaudeCode).await;
        let tokens = client.log_in(&mut Browser::of(name)).await;
        Person { by_server: self.bases.iter().map(|base| client.through(base)).collect(), tokens }
    }

    fn server(&self, number: usize) -> &Server {
        self.servers[number].as_ref().unwrap()
    }

    /// Lets time pass, until the provider's access tokens have less than a minute.
    fn near_the_end(&self) {
        self.servers.iter().flatten().for_each(|server| server.advance(NEARLY));
    }

    /// Begins a renewal at the first server, and waits until the provider is asked.
    async fn ask_by_the_first(&self, person: &Person) -> tokio::task::JoinHandle<u16> {
        let (client, refresh, held) =
            (person.by_server[0].clone(), person.tokens.refresh.clone(), self.provider.held());
        let asking = tokio::spawn(async move {
            let sent = client.posting("/token", &client.renewal(&refresh)).try_send().await;
            sent.map_or(0, |answer| answer.status)
        });
        until("the provider is asked", async || self.provider.held() > held).await;
        asking
    }

    /// The refresh tokens that the provider was sent, each with the status of its answer.
    fn renewals(&self) -> Vec<(String, u16)> {
        let calls = self.provider.token_calls("refresh_token");
        calls.iter().map(|call| (call.parameter("refresh_token").unwrap().to_owned(), call.status)).collect()
    }

    /// Holds that the provider was sent so many different ones, and each is good.
    fn assert_renewed_once_each(&self, expected: usize) {
        let renewals = self.renewals();
        let different: BTreeSet<_> = renewals.iter().map(|(token, _)| token).collect();
        assert_eq!((renewals.len(), different.len()), (expected, expected), "{renewals:?}");
        assert!(renewals.iter().all(|(_, status)| *status == 200), "{renewals:?}");
    }

    /// Waits until nobody has a turn at the provider any more.
    async fn no_turn_is_left(&self) {
        until("no turn is left", async || self.redis.ask(&["KEYS", "tinymcp:*:l2:*"]).is_empty()).await;
    }
}

impl Person {
    /// Renews by way of a server, as a client does: one that is told to come again comes again.
    async fn renew(&mut self, server: usize) {
        let began = Instant::now();
        loop {
            let answer = self.by_server[server].try_renew(&self.tokens.refresh).await;
            if answer.status != 503 {
                self.tokens = Tokens::of(&answer);
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Clients renew, and plugins send requests with the person's login, at all servers at once.
#[tokio::test]
async fn each_session_is_renewed_once_by_all_servers_together() {
    const PEOPLE: usize = 6;
    let servers = Servers::start(3).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(servers.log_in(&format!("person{number}")).await);
    }
    servers.near_the_end();
    servers.provider.fail("/token", Fault::Slow(Duration::from_millis(300)));
    let (mut renewing, mut calling) = (JoinSet::new(), JoinSet::new());
    for (number, person) in people.iter().enumerate() {
        for (at, client) in person.by_server.iter().enumerate() {
            let (client, refresh) = (client.clone(), person.tokens.refresh.clone());
            renewing.spawn(async move { (number, client.renew(&refresh).await.refresh) });
            let caller = Client::modern(servers.server(at)).with_token(&person.tokens.access);
            let request = get(&url(&servers.service));
            calling.spawn(async move { caller.value("fetch", request).await });
        }
    }
    assert_eq!(calling.join_all().await.len(), 3 * PEOPLE);
    // Of one session all servers give the same answer.
    let answers: BTreeSet<(usize, String)> = renewing.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), PEOPLE);
    servers.assert_renewed_once_each(PEOPLE);
    servers.provider.mend();
    servers.no_turn_is_left().await;
    // The session goes on, by way of whichever server.
    servers.near_the_end();
    for (number, refresh) in answers {
        let person = &mut people[number];
        person.tokens.refresh = refresh;
        person.renew(number % 3).await;
        let caller = Client::modern(servers.server((number + 1) % 3)).with_token(&person.tokens.access);
        caller.value("fetch", get(&url(&servers.service))).await;
    }
    servers.assert_renewed_once_each(2 * PEOPLE);
}

/// The provider has not seen the question of the server that was killed: another one asks, once its turn has run out.
#[tokio::test]
async fn another_server_takes_over_from_one_that_was_killed_while_it_asked() {
    let mut servers = Servers::start(2).await;
    let mut person = servers.log_in("alice").await;
    servers.near_the_end();
    servers.provider.fail("/token", Fault::Slow(Duration::from_secs(3600)));
    let asking = servers.ask_by_the_first(&person).await;
    let site = servers.servers[0].take().unwrap().kill();
    let killed = Instant::now();
    assert_eq!(asking.await.unwrap(), 0);
    servers.provider.mend();
    person.renew(1).await;
    // Nobody can know that it is dead, and the provider may have been about to answer.
    assert!(killed.elapsed() > Duration::from_secs(5), "{:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
    servers.assert_renewed_once_each(1);
    servers.servers[0] = Some(site.start().await);
    servers.near_the_end();
    person.renew(0).await;
    servers.assert_renewed_once_each(2);
}

/// The provider has answered, and its answer cannot be written down: no other server may ask with the token that is used up.
#[tokio::test]
async fn what_the_provider_has_said_is_written_down_when_the_store_is_back() {
    let mut servers = Servers::start(2).await;
    let mut person = servers.log_in("alice").await;
    servers.near_the_end();
    servers.provider.fail("/token", Fault::Slow(Duration::from_secs(2)));
    let asking = servers.ask_by_the_first(&person).await;
    servers.redis.kill();
    assert_eq!(asking.await.unwrap(), 503);
    servers.assert_renewed_once_each(1);
    servers.provider.mend();
    servers.redis.revive();
    // Nobody comes to the first server again.
    person.renew(1).await;
    servers.assert_renewed_once_each(1);
    servers.no_turn_is_left().await;
    servers.near_the_end();
    person.renew(1).await;
    servers.assert_renewed_once_each(2);
}

/// The turn is among what the store has lost: its holder has it again before anybody else takes one.
#[tokio::test]
async fn a_turn_that_was_lost_with_the_last_writes_is_taken_again_first() {
    let mut servers = Servers::at(Redis::forgetful(), 2).await;
    let mut person = servers.log_in("alice").await;
    servers.near_the_end();
    servers.redis.save();
    servers.provider.fail("/token", Fault::Slow(Duration::from_secs(6)));
    let asking = servers.ask_by_the_first(&person).await;
    servers.redis.kill();
    servers.redis.revive();
    person.renew(1).await;
    asking.await.unwrap();
    servers.assert_renewed_once_each(1);
    servers.provider.mend();
    servers.no_turn_is_left().await;
    servers.near_the_end();
    person.renew(1).await;
    servers.assert_renewed_once_each(2);
}

#[tokio::test]
async fn a_provider_that_fails_one_server_keeps_no_other_waiting() {
    let servers = Servers::start(2).await;
    let mut person = servers.log_in("alice").await;
    servers.near_the_end();
    servers.provider.fail("/token", Fault::Status(500));
    assert_eq!(person.by_server[0].try_renew(&person.tokens.refresh).await.status, 503);
    servers.no_turn_is_left().await;
    servers.provider.mend();
    let began = Instant::now();
    person.renew(1).await;
    // Less than a turn lives that nobody ends.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_that_is_ended_while_a_server_asks_stays_ended() {
    let servers = Servers::start(2).await;
    let person = servers.log_in("alice").await;
    assert!(person.by_server[1].is_live(&person.tokens.access).await);
    servers.near_the_end();
    servers.provider.fail("/token", Fault::Slow(Duration::from_secs(2)));
    let asking = servers.ask_by_the_first(&person).await;
    let ended = servers.server(1).site().run(&["sessions", "end", "alice"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(asking.await.unwrap(), 400);
    for client in &person.by_server {
        dies_within(client, &person.tokens.access, Duration::from_secs(1)).await;
        assert_eq!(client.try_renew(&person.tokens.refresh).await.status, 400);
    }
    servers.no_turn_is_left().await;
}
