//! Many schedules of one scene, from seeds that are always the same.

use std::panic::{self, AssertUnwindSafe};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Schedules of each of two kinds.
const SCHEDULES: usize = 5_000;

/// The seed of the first.
const SEED: u64 = 20_260_728;

/// Plays a scene under schedules chosen at random, and under such as have few changes of who goes first.
///
/// # Panics
/// When it panics under one of them, or nobody can go on.
pub(crate) fn hold(scene: impl Fn() + Send + Sync + Clone + 'static) {
    let config = || {
        let mut config = Config::new();
        config.stack_size = 0x4_0000;
        config.max_steps = MaxSteps::FailAfter(200_000);
        config.failure_persistence = FailurePersistence::None;
        config
    };
    Runner::new(RandomScheduler::new_from_seed(SEED, SCHEDULES), config()).run(scene.clone());
    Runner::new(PctScheduler::new_from_seed(SEED, 3, SCHEDULES), config()).run(scene);
}

/// Plays a scene that has a known race, which a schedule must find: it panics with this in its words.
///
/// # Panics
/// When none does.
pub(crate) fn find(words: &str, scene: impl Fn() + Send + Sync + Clone + 'static) {
    let played = panic::catch_unwind(AssertUnwindSafe(|| hold(scene)));
    let panic = played.expect_err("no schedule finds a race that is there");
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    assert!(said.is_some_and(|said| said.contains(words)), "found for another reason: {said:?}");
}
