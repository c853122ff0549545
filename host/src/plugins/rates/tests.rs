use super::*;

/// The bounds of a plugin and of its tool `draw-map`, with a clock that is set by hand.
struct Bounds {
    rates: Rates,
    now: Instant,
}

impl Bounds {
    fn new(plugin: Option<&str>, tool: Option<&str>) -> Self {
        let mut bounds = Self { rates: Rates::default(), now: Instant::now() };
        bounds.set(plugin, tool);
        bounds
    }

    /// Sets other rates. Returns whether calls have to be told.
    fn set(&mut self, plugin: Option<&str>, tool: Option<&str>) -> bool {
        let tool = tool.map(|text| ("draw_map".to_owned(), rate(text)));
        let rates = self.rates.replaced_at(plugin.map(rate), tool, self.now);
        let is_new = !rates.are_like(&self.rates);
        self.rates = rates;
        is_new
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn ask(&self, number: u32) -> Result<(), TooMany> {
        let tool = FunctionName { interface: None, function: "draw-map".to_owned() };
        self.rates.count_at(self.rates.of_tool(&tool).as_deref(), person(number), self.now, 1)
    }

    /// Calls of the tool that are allowed now, of so many.
    fn calls(&self, number: u32, tries: usize) -> usize {
        (0..tries).filter(|_| self.ask(number).is_ok()).count()
    }

    /// Calls of another tool, which has no rate of its own.
    fn other_calls(&self, number: u32, tries: usize) -> usize {
        (0..tries).filter(|_| self.rates.count_at(None, person(number), self.now, 1).is_ok()).count()
    }

    fn refusal(&self, number: u32) -> String {
        self.ask(number).unwrap_err().to_string()
    }

    fn people(&self) -> (usize, usize) {
        let calls = self.rates.plugin.as_ref().unwrap().calls();
        (calls.back_at.len(), calls.back_at.capacity())
    }
}

fn person(number: u32) -> Person {
    let mut person = [0; 32];
    person[..4].copy_from_slice(&number.to_le_bytes());
    Some(person)
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

#[test]
fn a_person_has_the_calls_of_a_span_at_once_and_then_one_by_one() {
    let mut bounds = Bounds::new(Some("60/min"), None);
    assert_eq!(bounds.calls(1, 100), 60);
    assert_eq!(bounds.refusal(1), "too many calls: this plugin allows 60/min for each person, try again in 1s");
    assert_eq!(bounds.calls(2, 100), 60, "another person has their own");
    bounds.wait(Duration::from_millis(999));
    assert_eq!(bounds.calls(1, 100), 0);
    bounds.wait(Duration::from_millis(1));
    assert_eq!(bounds.calls(1, 100), 1);
    bounds.wait(Duration::from_secs(30));
    assert_eq!(bounds.calls(1, 100), 30);
    bounds.wait(Duration::from_secs(3_600));
    assert_eq!(bounds.calls(1, 100), 60, "no more than a span's are saved up");
}

#[test]
fn a_refusal_says_when_to_try_again_and_means_it() {
    for text in ["1/s", "7/min", "3/h", "2/d", "5000/d"] {
        let mut bounds = Bounds::new(Some(text), None);
        let all = rate(text).calls() as usize;
        assert_eq!(bounds.calls(1, all + 1), all, "{text}");
        bounds.wait(bounds.ask(1).unwrap_err().retry_after().duration());
        assert_eq!(bounds.calls(1, 1), 1, "{text}");
    }
    let mut bounds = Bounds::new(Some("2/d"), None);
    assert_eq!(bounds.calls(1, 3), 2);
    bounds.wait(Duration::from_millis(500));
    assert_eq!(bounds.refusal(1), "too many calls: this plugin allows 2/d for each person, try again in 12h");
}

#[test]
fn a_tool_has_its_own_rate_and_a_refused_call_counts_for_neither() {
    let mut bounds = Bounds::new(Some("10/min"), Some("2/min"));
    assert_eq!(bounds.calls(1, 20), 2);
    let refusal = "too many calls: this tool allows 2/min for each person, try again in 30s";
    assert_eq!(bounds.refusal(1), refusal);
    assert_eq!(bounds.other_calls(1, 20), 8, "what the tool refused did not count for the plugin");
    assert_eq!(bounds.refusal(1), refusal, "both refuse: the longer time is said");
    bounds.wait(Duration::from_secs(6));
    assert_eq!((bounds.other_calls(1, 2), bounds.calls(1, 1)), (1, 0));
}

#[test]
fn what_was_counted_outlives_another_rate() {
    let mut bounds = Bounds::new(Some("60/min"), None);
    assert_eq!(bounds.calls(1, 30), 30);
    assert!(!bounds.set(Some("40/h"), None));
    assert_eq!(bounds.calls(1, 100), 10, "30 of 40 are used");
    bounds.set(Some("5/s"), None);
    assert_eq!(bounds.calls(1, 100), 0);
    bounds.wait(Duration::from_secs(1));
    assert_eq!(bounds.calls(1, 100), 5, "nobody waits longer than the new rate asks");
    assert!(bounds.set(Some("5/s"), Some("1/h")));
    assert_eq!(bounds.calls(1, 1), 0);
    assert!(bounds.set(None, None));
    assert_eq!(bounds.calls(1, 1_000), 1_000);
}

#[test]
fn people_are_forgotten_when_they_have_all_calls_back_and_not_before() {
    let mut bounds = Bounds::new(Some("1/min"), None);
    let people = u32::try_from(MAX_PEOPLE).unwrap();
    assert!((0..people).all(|number| bounds.calls(number, 1) == 1));
    assert_eq!((bounds.calls(people, 1), bounds.calls(people + 1, 1)), (1, 0), "no room: these two share one");
    assert_eq!(bounds.people().0, MAX_PEOPLE + 1);
    assert!((0..people).step_by(997).all(|number| bounds.calls(number, 1) == 0));
    bounds.wait(Duration::from_secs(60));
    assert_eq!(bounds.calls(people + 1, 2), 1);
    let (people, capacity) = bounds.people();
    assert!(people == 1 && capacity < MAX_PEOPLE / 10, "{people} of {capacity}");
}

#[test]
fn many_calls_at_once_are_counted_each() {
    let bounds = Bounds::new(Some("50/h"), Some("70/h"));
    let allowed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bounds.calls(1, 20))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 50);
}
