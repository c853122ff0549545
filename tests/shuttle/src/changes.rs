//! Listeners: nobody misses the last change of a list, and none is told of a list that stays the same.

use std::sync::Arc;

use shuttle::future;
use tokio::sync::watch;

use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::schedules::{find, hold};

macro_rules! scene {
    ($changes:ident from $room:ident) => {{
        use crate::$room::$changes::{Announcement, Changes};

        || {
            let (catalogs, catalog) = watch::channel(Arc::new(Catalog::default()));
            let (rules, rules_read) = watch::channel(());
            let plugins = Plugins { catalog };
            let listeners: Vec<_> = (0..2)
                .map(|_| {
                    let mut changes = Changes::of(&plugins, rules_read.clone());
                    future::spawn(async move {
                        let (mut tools, mut others) = (0, 0);
                        // The changes are known once both are; a change of the rules in between is one more.
                        while !(tools > 0 && others > 0) {
                            match changes.next().await.unwrap() {
                                Announcement::Lists(lists) => {
                                    assert!(lists.tools || lists.prompts || lists.resources, "a change of nothing");
                                    tools += usize::from(lists.tools);
                                    others += usize::from(lists.prompts);
                                }
                                Announcement::Rules => {}
                            }
                        }
                        assert!(tools <= 1 && others <= 1, "one change is told twice");
                    })
                })
                .collect();
            let publish = |tools, prompts| {
                catalogs.send_modify(|last| *last = Arc::new(Catalog(Revisions { tools, prompts, resources: 0 })));
            };
            publish(0, 0);
            publish(1, 0);
            rules.send_replace(());
            publish(1, 1);
            for listener in listeners {
                future::block_on(listener).unwrap();
            }
        }
    }};
}

#[test]
fn no_listener_misses_a_change() {
    hold(scene!(changes from host));
}

#[test]
fn a_change_between_two_looks_is_found() {
    find("deadlock", scene!(changes_that_forget from races));
}
