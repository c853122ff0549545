//! The pool of warm instances: one call has an instance at a time, and only its owner's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread;

use crate::schedules::{find, hold};

/// An instance, and whom it served.
struct Instance {
    owner: u8,
    is_used: Arc<AtomicBool>,
}

macro_rules! scene {
    ($pool:ident from $room:ident) => {
        || {
            let pool = Arc::new(crate::$room::$pool::Pool::<u8, Instance>::new(2));
            let calls: Vec<_> = [1, 2, 1, 3]
                .map(|owner| {
                    let pool = Arc::clone(&pool);
                    thread::spawn(move || {
                        for _ in 0..2 {
                            let instance = pool.take(|other: &u8| *other == owner);
                            let instance = instance.unwrap_or_else(|| Instance { owner, is_used: Arc::default() });
                            assert_eq!(instance.owner, owner, "somebody else's instance");
                            assert!(!instance.is_used.swap(true, Ordering::SeqCst), "two calls have one instance");
                            thread::yield_now();
                            instance.is_used.store(false, Ordering::SeqCst);
                            pool.put(owner, instance);
                            if owner == 3 {
                                pool.sweep(|other: &u8| *other != 1);
                            }
                        }
                    })
                })
                .into_iter()
                .collect();
            for call in calls {
                call.join().unwrap();
            }
            let left = (0..8).filter_map(|_| pool.take(|_| true)).count();
            assert!(left <= 2, "more instances than there is room for");
        }
    };
}

#[test]
fn an_instance_serves_its_owner_one_call_at_a_time() {
    hold(scene!(pool from host));
}

#[test]
fn an_instance_that_is_taken_in_two_steps_is_found() {
    find("somebody else's instance", scene!(pool_in_two_steps from races));
}
