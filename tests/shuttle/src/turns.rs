//! Turns: one request about a thing at a time, so that the provider sees one refresh, and nothing is left of those that
//! are over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future;
use shuttle::sync::Mutex;

use crate::schedules::{find, hold};

macro_rules! scene {
    ($turns:ident from $room:ident) => {
        || {
            let turns = Arc::new(crate::$room::$turns::Turns::<u8>::default());
            // The session's row: which refresh token of the provider is good. It takes each once.
            let row = Arc::new(Mutex::new(0));
            let provider = Arc::new(AtomicUsize::new(0));
            let requests: Vec<_> = (0..4_u8)
                .map(|request| {
                    let (turns, row, provider) = (Arc::clone(&turns), Arc::clone(&row), Arc::clone(&provider));
                    future::spawn(async move {
                        // The last is about another session.
                        let session = request / 3;
                        let refresh = async {
                            if session == 1 {
                                return;
                            }
                            let token = *row.lock().unwrap();
                            future::yield_now().await;
                            let is_good =
                                provider.compare_exchange(token, token + 1, Ordering::SeqCst, Ordering::SeqCst);
                            assert!(is_good.is_ok(), "a refresh token is used twice");
                            *row.lock().unwrap() = token + 1;
                        };
                        turns.take(session, refresh).await;
                    })
                })
                .collect();
            for request in requests {
                future::block_on(request).unwrap();
            }
            assert_eq!(provider.load(Ordering::SeqCst), 3);
        }
    };
}

#[test]
fn requests_about_one_session_take_turns() {
    hold(scene!(turns from host));
}

#[test]
fn a_turn_that_ends_for_all_is_found() {
    find("used twice", scene!(turns_that_end_for_all from races));
}
