//! Keeps what it is told to, through `tinymcp:plugin/kv` and both drafts of `wasi:keyvalue`.

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use tinymcp::plugin::kv;
use wasi::keyvalue0_2_0_draft as first;
use wasi::keyvalue0_2_0_draft2 as second;

wit_bindgen::generate!({
    world: "tinymcp:state/state",
    path: ["../../../wit", "wit"],
    generate_all,
});

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

thread_local! {
    /// A bucket that an earlier call has opened, in an instance that is kept.
    static OLD: RefCell<Option<first::store::Bucket>> = const { RefCell::new(None) };
}

struct State;

fn said(error: impl Debug) -> String {
    format!("{error:?}")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Guest for State {
    fn get(key: String) -> Result<Option<String>, String> {
        kv::get(&key).map(|value| value.map(text)).map_err(said)
    }

    fn set(key: String, value: String, ttl_ms: Option<u64>) -> Result<(), String> {
        kv::set(&key, value.as_bytes(), ttl_ms).map_err(said)
    }

    fn fill(key: String, bytes: u32) -> Result<(), String> {
        kv::set(&key, &vec![b'x'; bytes as usize], None).map_err(said)
    }

    fn delete(key: String) -> Result<bool, String> {
        kv::delete(&key).map_err(said)
    }

    fn keys(prefix: String, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        kv::list_keys(&prefix, cursor.as_deref()).map(|page| (page.keys, page.next)).map_err(said)
    }

    fn swap(key: String, expected: Option<String>, value: Option<String>) -> Result<bool, String> {
        let (expected, value) = (expected.map(String::into_bytes), value.map(String::into_bytes));
        let swapped = kv::compare_and_swap(&key, expected.as_deref(), value.as_deref(), None).map_err(said)?;
        Ok(matches!(swapped, kv::Swap::Done))
    }

    fn count_up(key: String, times: u32) -> Result<u32, String> {
        let mut attempts = 0;
        for _ in 0..times {
            let mut current = kv::get(&key).map_err(said)?;
            loop {
                attempts += 1;
                let number: u64 = current.clone().map_or(Ok(0), |bytes| text(bytes).parse()).map_err(said)?;
                let next = (number + 1).to_string();
                match kv::compare_and_swap(&key, current.as_deref(), Some(next.as_bytes()), None).map_err(said)? {
                    kv::Swap::Done => break,
                    kv::Swap::Other(other) => current = other,
                }
            }
        }
        Ok(attempts)
    }

    fn increment(key: String, delta: i64) -> Result<i64, String> {
        kv::increment(&key, delta).map_err(said)
    }

    fn write_until(prefix: String, bytes: u32, most: u32) -> (u32, String) {
        let value = vec![b'x'; bytes as usize];
        for written in 0..most {
            if let Err(error) = kv::set(&format!("{prefix}{written}"), &value, None) {
                return (written, said(error));
            }
        }
        (most, String::new())
    }

    fn write_on() -> Result<(), String> {
        let value = vec![b'x'; 16 * 1024];
        for written in 0_u64.. {
            match kv::set(&(written % 16).to_string(), &value, None) {
                Ok(()) | Err(kv::Error::TooManyWrites(_)) => {}
                Err(error) => return Err(said(error)),
            }
        }
        Ok(())
    }

    fn set_and_wait(key: String, value: String, ms: u32) -> Result<Option<String>, String> {
        kv::set(&key, value.as_bytes(), None).map_err(said)?;
        std::thread::sleep(Duration::from_millis(ms.into()));
        Self::get(key)
    }

    fn draft(bucket: String) -> Result<Vec<String>, String> {
        use first::{atomics, batch, store};
        let bucket = store::open(&bucket).map_err(said)?;
        OLD.set(Some(store::open("default").map_err(said)?));
        let mut steps = Vec::new();
        let mut step = |what: &str, gave: &dyn Debug| steps.push(format!("{what} {gave:?}"));
        step("get", &bucket.get("d1/a"));
        step("set", &bucket.set("d1/a", b"1"));
        step("get", &bucket.get("d1/a").map(|value| value.map(text)));
        step("exists", &(bucket.exists("d1/a"), bucket.exists("d1/b")));
        step("increment", &(atomics::increment(&bucket, "d1/a", 41), atomics::increment(&bucket, "d1/n", 7)));
        step("set-many", &batch::set_many(&bucket, &[("d1/b".to_owned(), b"x".to_vec()), ("d1/c".to_owned(), vec![])]));
        let names = ["d1/b".to_owned(), "d1/none".to_owned(), "d1/c".to_owned()];
        step("get-many", &batch::get_many(&bucket, &names));
        step("delete-many", &batch::delete_many(&bucket, &names));
        step("delete", &(bucket.delete("d1/n"), bucket.delete("d1/n")));
        step("list-keys", &bucket.list_keys(None).map(|page| (page.keys, page.cursor)));
        step("increment", &{
            bucket.set("d1/a", b"abc").map_err(said)?;
            atomics::increment(&bucket, "d1/a", 1)
        });
        step("delete", &bucket.delete("d1/a"));
        Ok(steps)
    }

    fn draft2(bucket: String) -> Result<Vec<String>, String> {
        use second::{atomics, batch, store};
        let bucket = store::open(&bucket).map_err(said)?;
        let mut steps = Vec::new();
        let mut step = |what: &str, gave: &dyn Debug| steps.push(format!("{what} {gave:?}"));
        step("set", &bucket.set("d2/a", b"1"));
        step("get", &bucket.get("d2/a").map(|value| value.map(text)));
        step("exists", &(bucket.exists("d2/a"), bucket.exists("d2/b")));
        step("increment", &(atomics::increment(&bucket, "d2/a", -3), atomics::increment(&bucket, "d2/a", 1)));
        let cas = atomics::Cas::new(&bucket, "d2/a").map_err(said)?;
        step("current", &cas.current().map(|value| value.map(text)));
        step("swap", &atomics::swap(cas, b"swapped").map_err(|_| "failed"));
        let cas = atomics::Cas::new(&bucket, "d2/a").map_err(said)?;
        bucket.set("d2/a", b"meanwhile").map_err(said)?;
        match atomics::swap(cas, b"late") {
            Err(atomics::CasError::CasFailed(again)) => {
                step("again", &again.current().map(|value| value.map(text)));
                step("swap", &atomics::swap(again, b"at last").map_err(|_| "failed"));
            }
            Err(atomics::CasError::StoreError(error)) => return Err(said(error)),
            Ok(()) => return Err("a value was lost".to_owned()),
        }
        let new = atomics::Cas::new(&bucket, "d2/new").map_err(said)?;
        step("new", &(new.current(), atomics::swap(new, b"made").map_err(|_| "failed")));
        step("set-many", &batch::set_many(&bucket, &[("d2/b".to_owned(), b"x".to_vec())]));
        let names = ["d2/a".to_owned(), "d2/none".to_owned(), "d2/b".to_owned()];
        let got = batch::get_many(&bucket, &names).map_err(said)?;
        let got: Vec<_> = got.into_iter().map(|(key, value)| (key, value.map(text))).collect();
        step("get-many", &got);
        step("list-keys", &bucket.list_keys(None).map(|page| (page.keys, page.cursor)));
        step("delete-many", &batch::delete_many(&bucket, &[names.as_slice(), &["d2/new".to_owned()]].concat()));
        step("get", &bucket.get("d2/a"));
        Ok(steps)
    }

    fn draft_keys(cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), String> {
        let bucket = first::store::open("default").map_err(said)?;
        bucket.list_keys(cursor).map(|page| (page.keys, page.cursor)).map_err(said)
    }

    fn draft2_keys(cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        let bucket = second::store::open("default").map_err(said)?;
        bucket.list_keys(cursor.as_deref()).map(|page| (page.keys, page.cursor)).map_err(said)
    }

    fn hoard(most: u32) -> u32 {
        let mut held = Vec::new();
        while (held.len() as u32) < most {
            let Ok(bucket) = second::store::open("") else { break };
            let Ok(cas) = second::atomics::Cas::new(&bucket, "hoard") else { break };
            held.push((bucket, cas));
        }
        held.len() as u32
    }

    fn read_by_old_handle(key: String) -> Result<Option<String>, String> {
        OLD.with_borrow(|old| {
            let bucket = old.as_ref().ok_or("no earlier call in this instance")?;
            bucket.get(&key).map(|value| value.map(text)).map_err(said)
        })
    }
}

export!(State);
