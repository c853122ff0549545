//! Catalogs: revisions only grow, and whoever has waited for the first scan finds what it found.

use std::sync::Arc;

use shuttle::future;
use tokio::sync::watch;

use crate::schedules::{find, hold};

macro_rules! scene {
    ($publisher:ident from $room:ident) => {
        || {
            let (sender, catalog) = watch::channel(Arc::new(0));
            let (is_ready, ready) = watch::channel(false);
            let publisher = crate::$room::$publisher::Publisher::new(sender, is_ready);
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let (mut catalog, mut ready) = (catalog.clone(), ready.clone());
                    future::spawn(async move {
                        ready.wait_for(|ready| *ready).await.map(drop).unwrap();
                        let mut last = **catalog.borrow_and_update();
                        assert!(last > 0, "the first scan is done, and nothing is there");
                        while last < 3 {
                            catalog.changed().await.unwrap();
                            let now = **catalog.borrow_and_update();
                            assert!(now > last, "an older catalog takes the place of a newer one");
                            last = now;
                        }
                    })
                })
                .collect();
            publisher.publish(|last| last + 1);
            assert!(!publisher.is_ready() || *ready.borrow());
            publisher.settle();
            publisher.publish(|last| last + 1);
            publisher.publish(|last| last + 1);
            for reader in readers {
                future::block_on(reader).unwrap();
            }
        }
    };
}

#[test]
fn who_waits_for_the_first_scan_finds_its_catalog() {
    hold(scene!(publisher from host));
}

#[test]
fn a_scan_that_ends_before_its_catalog_is_found() {
    find("nothing is there", scene!(publisher_that_settles_first from races));
}
