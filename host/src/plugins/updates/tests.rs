use std::ops::AsyncFn;

use futures::FutureExt;

use super::*;

/// The updates of one plugin, `owner`, which has every resource, with a task that tells of them.
async fn with_updates(test: impl AsyncFn(&Arc<Updates>)) {
    let updates = Arc::new(Updates::default());
    let scopes = |plugin: &str, _uri: &str| (plugin == "owner").then(|| Arc::from([]));
    tokio::select! {
        () = updates.tell(scopes) => {}
        () = test(&updates) => {}
    }
}

fn subscription(updates: &Arc<Updates>, uris: &[&str]) -> Subscription {
    let mut subscription = updates.subscription(Arc::default());
    uris.iter().for_each(|uri| subscription.add(uri));
    subscription
}

async fn uris(subscription: &Subscription) -> Vec<String> {
    subscription.next().await.into_iter().map(|updated| updated.uri.to_string()).collect()
}

#[tokio::test]
async fn many_updates_are_told_once_an_interval_and_the_last_is_told() {
    with_updates(async |updates| {
        let (owner, other) = (Arc::from("owner"), Arc::from("other"));
        let subscriptions: Vec<_> = (0..900).map(|_| subscription(updates, &["x:1", "x:2"])).collect();
        let start = Instant::now();
        for moment in 0..3 {
            for _ in 0..3000 {
                updates.announce(&owner, "x:1");
                updates.announce(&other, "x:2");
            }
            for subscription in &subscriptions {
                assert_eq!(uris(subscription).await, ["x:1"]);
            }
            assert!(start.elapsed() >= moment * INTERVAL, "{:?}", start.elapsed());
        }
        assert!(uris(&subscriptions[0]).now_or_never().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_not_taken_in_one_turn_comes_in_the_next_rounds() {
    with_updates(async |updates| {
        let owner = Arc::from("owner");
        let all: Vec<String> = (0..400).map(|number| format!("x:{number:03}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let subscription = subscription(updates, &all);
        all.iter().for_each(|uri| updates.announce(&owner, uri));
        let start = Instant::now();
        let mut told = Vec::new();
        while told.len() < all.len() {
            let turn = uris(&subscription).await;
            assert!(turn.len() <= TURN);
            told.extend(turn);
        }
        assert_eq!(told, all);
        assert!(start.elapsed() >= 6 * INTERVAL, "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn who_has_no_room_gets_another_turn() {
    with_updates(async |updates| {
        let subscription = subscription(updates, &["x:1"]);
        updates.announce(&Arc::from("owner"), "x:1");
        for _ in 0..3 {
            subscription.subscriber.turn.notified().await;
            assert!(subscription.take(0).is_empty());
        }
        assert_eq!(uris(&subscription).await, ["x:1"]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_kept_of_what_nobody_subscribes_to() {
    let updates = Arc::new(Updates::default());
    let mut subscription = subscription(&updates, &["x:1", "x:1", "x:2"]);
    updates.announce(&Arc::from("owner"), "x:3");
    assert!(updates.state().announced.is_empty());
    assert!(subscription.remove("x:2") && !subscription.remove("x:2") && subscription.len() == 1);
    updates.announce(&Arc::from("owner"), "x:2");
    assert!(updates.state().announced.is_empty());
    drop(subscription);
    assert!(updates.state().subscribers.is_empty());
}

#[tokio::test]
async fn what_is_said_for_others_is_bounded_and_nothing_of_it_is_lost() {
    let updates = Arc::new(Updates::default());
    let (chatty, calm): (Arc<str>, Arc<str>) = (Arc::from("chatty"), Arc::from("calm"));
    // Before anybody takes it, nothing is kept.
    updates.announce(&chatty, "x:before");
    assert!(updates.for_others().now_or_never().is_none());
    updates.announce(&calm, "y:1");
    (0..2000).for_each(|number| updates.announce(&chatty, &format!("x:{number}")));
    let said: Vec<_> = updates.for_others().await.into_iter().collect();
    assert_eq!(said, [(Arc::clone(&calm), Some(Arc::from("y:1"))), (Arc::clone(&chatty), None)]);
    updates.announce(&chatty, "x:1");
    let said: Vec<_> = updates.for_others().await.into_iter().collect();
    assert_eq!(said, [(chatty, Some(Arc::from("x:1")))]);
}

#[tokio::test]
async fn what_is_said_elsewhere_is_heard_by_subscribers_of_that_plugins_resources() {
    with_updates(async |updates| {
        let subscription = subscription(updates, &["x:1", "x:2"]);
        updates.announced_elsewhere("owner", Some("x:1"));
        assert_eq!(uris(&subscription).await, ["x:1"]);
        updates.announced_elsewhere("other", None);
        updates.announced_elsewhere("owner", Some("x:3"));
        updates.announced_elsewhere("owner", None);
        assert_eq!(uris(&subscription).await, ["x:1", "x:2"]);
    })
    .await;
}
