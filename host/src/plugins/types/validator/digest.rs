//! Digests of JSON values, equal for values that JSON Schema calls equal, and under a secret key: nobody can make values
//! of one digest. A set of them tells in linear time whether a value is there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use serde_json::{Number, Value};

/// The secret keys, of this process.
static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// The digest of a value. `step` is called for each value in it with its length.
pub(super) fn digest(value: &Value, step: &mut impl FnMut(usize)) -> u128 {
    let mut hashers = KEYS.each_ref().map(BuildHasher::build_hasher);
    let mut write = |bytes: &[u8]| hashers.iter_mut().for_each(|hasher| hasher.write(bytes));
    match value {
        Value::Null => {
            step(1);
            write(b"n");
        }
        Value::Bool(value) => {
            step(1);
            write(if *value { b"t" } else { b"f" });
        }
        Value::Number(number) => {
            step(1);
            match whole(number) {
                Some(number) => {
                    write(b"i");
                    write(&number.to_le_bytes());
                }
                None => {
                    write(b"d");
                    write(&number.as_f64().unwrap_or_default().to_bits().to_le_bytes());
                }
            }
        }
        Value::String(text) => {
            step(1 + text.len() / 64);
            write(b"s");
            write(text.as_bytes());
        }
        Value::Array(items) => {
            step(1);
            write(b"a");
            for item in items {
                write(&digest(item, step).to_le_bytes());
            }
        }
        Value::Object(members) => {
            step(1);
            // Members have no order.
            let mut sum = 0_u128;
            for (name, value) in members {
                let mut hashers = KEYS.each_ref().map(BuildHasher::build_hasher);
                for hasher in &mut hashers {
                    hasher.write(&digest(value, step).to_le_bytes());
                    hasher.write(name.as_bytes());
                }
                sum = sum.wrapping_add(finish(&hashers));
            }
            write(b"o");
            write(&members.len().to_le_bytes());
            write(&sum.to_le_bytes());
        }
    }
    finish(&hashers)
}

/// A number without a fraction, however it is written: `1` and `1.0` are one value.
fn whole(number: &Number) -> Option<i128> {
    /// Below 2^127, and above all integers of JSON here.
    const END: f64 = 1e38;
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < END).map(|float| float as i128)
}

fn finish(hashers: &[impl Hasher; 2]) -> u128 {
    let [high, low] = hashers.each_ref().map(|hasher| u128::from(hasher.finish()));
    (high << 64) | low
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> u128 {
        digest(value, &mut |_| {})
    }

    #[test]
    fn equal_values_have_one_digest_and_others_another() {
        assert_eq!(of(&json!({ "a": 1, "b": [0.0, 2.0] })), of(&json!({ "b": [-0.0, 2], "a": 1.0 })));
        let different = [
            json!(null),
            json!(false),
            json!(0),
            json!(1),
            json!(0.5),
            json!(u64::MAX),
            json!(u64::MAX - 1),
            json!(1e300),
            json!(""),
            json!("a"),
            json!([]),
            json!({}),
            json!([[1, 2], 3]),
            json!([1, [2, 3]]),
            json!([1, 2, 3]),
            json!({ "a": 1 }),
            json!({ "a": 1, "b": 1 }),
            json!({ "a": "b" }),
            json!({ "b": "a" }),
        ];
        let digests: std::collections::HashSet<u128> = different.iter().map(of).collect();
        assert_eq!(digests.len(), different.len());
    }
}
