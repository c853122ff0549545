//! A process that is killed at any moment keeps every change that it has acknowledged.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Running, key};
use crate::store::conformance::{commit, insert, value};
use crate::store::{Committed, Table};

/// Stores, and processes that are killed in each.
const STORES: usize = 20;
const KILLS: usize = 10;

/// The longest that a process goes on after its first word. Most are killed while they write.
const MAX_LIFE_MS: u64 = 40;

/// Tasks that write at once, so that transactions are shared.
const TASKS: usize = 4;

/// Tells [`child`] that it is one: the file is in its working directory, and says which keys are its own.
const ORDERS: &str = "child-orders";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_removed_comes_back() {
    let mut acknowledged = 0;
    for _ in 0..STORES {
        let dir = tempfile::tempdir().unwrap();
        let (mut kept, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for number in 0..KILLS {
            for line in killed_child(dir.path(), number) {
                acknowledged += 1;
                match line.split_once(' ').unwrap() {
                    ("kept", name) => assert!(kept.insert(name.to_owned())),
                    ("removed", name) => assert!(removed.insert(name.to_owned())),
                    _ => panic!("not a line of a child: {line}"),
                }
            }
            let running = Running::open(&dir.path().join("state")).unwrap();
            for name in &kept {
                assert_eq!(value(&running.store, key(name)).await.as_ref(), Some(name));
            }
            for name in &removed {
                assert_eq!(running.store.get(Table::Once, &key(name)).await, Ok(None), "{name}");
            }
            running.close().await;
        }
    }
    assert!(acknowledged > STORES * KILLS, "only {acknowledged} writes were acknowledged");
}

/// Starts a process that writes, kills it, and returns its output.
fn killed_child(dir: &Path, number: usize) -> Vec<String> {
    fs::write(dir.join(ORDERS), number.to_string()).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::crash::child", "--nocapture"])
        .current_dir(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = lines_of(&mut child);
    while lines.recv().unwrap() != "ready" {}
    thread::sleep(Duration::from_millis(rand::random_range(0..=MAX_LIFE_MS)));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.iter().collect()
}

/// The complete lines of a process's output.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
            let _ = sender.send(line.trim_end().to_owned());
            line.clear();
        }
    });
    receiver
}

/// The process that is killed; in a run of all tests it has no orders, and does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(number) = fs::read_to_string(ORDERS) else { return };
    let running = Running::open(Path::new("state")).unwrap();
    // The harness may have begun a line.
    say("\nready");
    let tasks = (0..TASKS).map(|task| {
        let (store, number) = (running.store.clone(), number.clone());
        tokio::spawn(async move {
            for count in 0.. {
                let name = format!("{number}-{task}-{count}");
                let once = crate::store::Write::Insert {
                    table: Table::Once,
                    key: key(&name),
                    value: Vec::new(),
                    expires: crate::store::conformance::soon(),
                };
                assert_eq!(commit(&store, [insert(key(&name), &name), once]).await, Committed::Done);
                say(&format!("kept {name}"));
                let remove = crate::store::Write::Remove { table: Table::Once, key: key(&name) };
                assert_eq!(commit(&store, [remove]).await, Committed::Done);
                say(&format!("removed {name}"));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}
