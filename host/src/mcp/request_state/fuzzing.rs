//! Sealed states that a client sends back, or makes up.

use serde_json::{Map, Value};

use super::{MAX_BYTES, Purpose, RequestStates};
use crate::principal::Principal;
use crate::vault::Vault;

/// Lines with a place and a change, a method, a name, the arguments as JSON, and a text in place of a sealed one; then
/// the state of a plugin.
pub(crate) fn request_state(bytes: &[u8]) {
    let mut lines = bytes.splitn(6, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (change, method, name, json, foreign, state) =
        (line(), text(line()), text(line()), line(), text(line()), line());
    let arguments: Map<String, Value> = serde_json::from_slice(json).unwrap_or_default();
    let states = RequestStates(Vault::for_tests(1));
    let principal = Principal::anonymous();
    let purpose =
        |method: &str, name: &str, arguments: &Map<String, Value>| Purpose::new(&principal, method, name, arguments);
    let own = purpose(&method, &name, &arguments);
    assert!(states.open(&own, &foreign).is_err(), "a stranger's text is a state");
    let Ok(sealed) = states.seal(&own, state) else { return assert!(state.len() > MAX_BYTES) };
    assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(states.open(&own, &sealed).ok().as_deref(), Some(state));
    assert!(RequestStates(Vault::for_tests(2)).open(&own, &sealed).is_err());

    // The members of an object have no order.
    let reversed: Map<String, Value> = arguments.iter().rev().map(|(name, it)| (name.clone(), it.clone())).collect();
    assert!(states.open(&purpose(&method, &name, &reversed), &sealed).is_ok());
    let mut further = arguments.clone();
    let changed = further.insert("x".to_owned(), Value::from(foreign.as_str()));
    if changed.as_ref() != further.get("x") {
        assert!(states.open(&purpose(&method, &name, &further), &sealed).is_err(), "for other arguments");
    }
    let moved = (
        format!("{method}{}", name.chars().next().map_or('x', |first| first)),
        name.chars().skip(1).collect::<String>(),
    );
    assert!(states.open(&purpose(&moved.0, &moved.1, &arguments), &sealed).is_err(), "for another method and name");
    assert!(states.open(&purpose(&name, &method, &arguments), &sealed).is_err() || name == method);

    let place = change.first().map_or(0, |byte| usize::from(*byte) * 7919 % sealed.len());
    let mut other = sealed.clone().into_bytes();
    other[place] = change.get(1).copied().unwrap_or(b'A');
    if other != sealed.as_bytes() {
        let other = String::from_utf8_lossy(&other);
        assert!(states.open(&own, &other).is_err(), "a changed state opens");
    }
    assert!(states.open(&own, &sealed[..place]).is_err(), "a state that is cut short opens");
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
