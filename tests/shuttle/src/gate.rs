//! The gate: never more calls than places, nobody waits for a free one, and nothing is left of those who went away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future;

use crate::schedules::{find, hold};

const PLACES: usize = 2;

/// A call that runs.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn one_of(calls: &Arc<AtomicUsize>) -> Self {
        assert!(calls.fetch_add(1, Ordering::SeqCst) < PLACES, "more calls than places");
        Self(Arc::clone(calls))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

macro_rules! scene {
    ($gate:ident from $room:ident) => {
        || {
            let gate = Arc::new(crate::$room::$gate::Gate::of_pool(PLACES));
            let running = Arc::new(AtomicUsize::new(0));
            let calls: Vec<_> = (0..5_u8)
                .map(|call| {
                    let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
                    future::spawn(async move {
                        let calling = async {
                            let _permit = gate.enter(Some([call % 2; 32])).await.ok().unwrap();
                            let _running = Running::one_of(&running);
                            future::yield_now().await;
                        };
                        // Some callers go away while they wait, are let in, or run.
                        if call < 3 {
                            let gone = std::pin::pin!(future::yield_now());
                            futures::future::select(std::pin::pin!(calling), gone).await;
                        } else {
                            calling.await;
                        }
                    })
                })
                .collect();
            for call in calls {
                future::block_on(call).unwrap();
            }
            // Every place is there again.
            let places: Vec<_> = (0..PLACES).map(|_| future::block_on(gate.enter(None)).ok().unwrap()).collect();
            drop(places);
        }
    };
}

#[test]
fn a_gate_has_as_many_calls_as_places() {
    hold(scene!(gate from host));
}

#[test]
fn a_place_that_is_taken_in_two_steps_is_found() {
    find("more calls than places", scene!(gate_in_two_steps from races));
}

#[test]
fn a_place_that_is_lost_with_its_caller_is_found() {
    find("deadlock", scene!(gate_that_loses_places from races));
}
