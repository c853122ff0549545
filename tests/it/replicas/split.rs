//! A primary that was cut off and still takes writes, while another one has taken over: what a client may get of both.

use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::Server;
use tinymcp_tests::world;
use url::Url;

use super::SECRET;

/// Starts a server with a Redis, which publishes this URL, or its own.
async fn server(redis: &Redis, published: Option<&Url>) -> (Server, Url) {
    let site = world::local();
    let base = site.base();
    let published = published.unwrap_or(&base).as_str().trim_end_matches('/').to_owned();
    let config = format!("[server]\nbase_url = \"{published}\"\n[state]\nurl = \"{}\"\n", redis.url());
    (site.config(&config).variable("TINYMCP_SECRET", SECRET).start().await, base)
}

#[tokio::test]
async fn a_primary_that_is_still_served_gives_no_second_grant_and_ends_no_honest_session() {
    let old = Redis::durable();
    let (_one, here_base) = server(&old, None).await;
    let new = Redis::following(&old);
    let here = OAuthClient::register(&here_base, Kind::Cursor).await;
    let [mut before, ended] =
        [here.log_in(&mut Browser::of("alice")).await, here.log_in(&mut Browser::of("bob")).await];
    let codes = [here.code(&mut Browser::of("alice")).await, here.code(&mut Browser::of("alice")).await];
    new.take_over_from(&old);
    let (_other, there_base) = server(&new, Some(&here_base)).await;
    let there = here.through(&there_base);
    // Both take writes now, and neither knows of the other.
    assert!(here.is_live(&before.access).await && there.is_live(&before.access).await);

    // A code is good where it was written, and nowhere else: whoever comes first.
    assert_eq!((here.try_redeem(&codes[0]).await.status, there.try_redeem(&codes[0]).await.status), (200, 400));
    assert_eq!((there.try_redeem(&codes[1]).await.status, here.try_redeem(&codes[1]).await.status), (400, 200));

    // A client that a load balancer sends here and there goes on with the newest token that it has, as long as it goes one way.
    for _ in 0..3 {
        before = here.renew(&before.refresh).await;
    }
    let found = there.renew(&before.refresh).await;
    assert!(there.is_live(&found.access).await);
    assert_eq!(there.renew(&before.refresh).await.refresh, found.refresh, "a retry gets the same answer");
    let next = Tokens::of(&there.try_renew(&found.refresh).await);
    assert!(there.is_live(&next.access).await);
    // An older one of either is theft.
    assert_eq!(there.try_renew(&before.refresh).await.status, 400);
    assert_eq!(there.try_renew(&next.refresh).await.status, 400);

    // A session that is ended at the new one is dead there, also with what the old one still gives for it.
    let given = here.renew(&ended.refresh).await;
    assert_eq!(there.revoke(&ended.refresh).await.status, 200);
    assert!(!there.is_live(&given.access).await);
    assert_eq!(there.try_renew(&given.refresh).await.status, 400);
}
