//! The rights of the user of `state.url`, for whoever only looks: each command is sent in a form that changes nothing.
//!
//! Redis asks for the right before it looks at what is asked. So a command that it then finds wrong, or that finds nothing to do,
//! tells as much as one that does something: no user needs the right to ask for rights.

use ::redis::Cmd;

use super::fault::Fault;
use super::link::Link;
use super::place::Place;

/// What running scripts takes. None has this digest, and this is none.
const RUNNING: [&str; 2] = ["EVALSHA 0000000000000000000000000000000000000000 1 KEY", "SCRIPT LOAD ("];

/// What scripts do: with a key that nothing has, or in a form that is wrong. `PUBLISH` is tried apart.
const DONE_IN_SCRIPTS: [&str; 24] = [
    "DEL KEY",
    "EXISTS KEY",
    "GET KEY",
    "GETRANGE KEY 0 3",
    "HDEL KEY field",
    "HGET KEY field",
    "HGETALL KEY",
    "HLEN KEY",
    "HSET KEY field value without",
    "INFO replication",
    "PERSIST KEY",
    "PEXPIRE KEY 1",
    "RENAME KEY KEY2",
    "SET KEY value NX XX",
    "SETRANGE KEY 0 ",
    "TIME",
    "UNLINK KEY",
    "ZADD KEY no-number member",
    "ZRANDMEMBER KEY",
    "ZRANGE KEY 0 0",
    "ZRANGEBYLEX KEY - +",
    "ZRANGEBYSCORE KEY 0 0",
    "ZREM KEY member",
    "ZSCORE KEY member",
];

/// The word in the keys and the channel of this room alone.
const NOTHING_THERE: &str = "rights";

/// Looks whether the user may do all that servers do in this store.
///
/// # Errors
/// The first right that is missing, or Redis cannot be reached.
pub(super) async fn look(link: &Link, prefix: &str) -> Result<(), Fault> {
    for form in RUNNING.iter().chain(&DONE_IN_SCRIPTS) {
        link.may(&command(form, prefix)).await?;
    }
    // Nobody hears this channel, and an empty message says nothing.
    let channel = format!("{prefix}:tell:{NOTHING_THERE}").into_bytes();
    drop(link.subscribe(std::slice::from_ref(&channel)).await?);
    link.publish(&channel, b"").await
}

fn command(form: &str, prefix: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in form.split(' ') {
        match word {
            "KEY" => command.arg(Place(0).key(prefix, NOTHING_THERE, b"")),
            "KEY2" => command.arg(Place(0).key(prefix, NOTHING_THERE, b"2")),
            word => command.arg(word),
        };
    }
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::redis::testing::{TestCluster, TestRedis};

    /// The commands in the scripts of a folder's files, but for those of tests.
    fn in_scripts(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                in_scripts(&path, found);
            } else if path.extension().is_some_and(|of| of == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("\nmod tests {").next().unwrap();
                let calls = text.split("redis.call('").skip(1).filter_map(|call| call.split_once('\''));
                found.extend(calls.map(|(command, _)| command.to_owned()));
            }
        }
    }

    #[test]
    fn every_command_of_scripts_is_tried() {
        let mut used = BTreeSet::new();
        in_scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        let tried = DONE_IN_SCRIPTS.iter().map(|form| form.split(' ').next().unwrap().to_owned());
        assert_eq!(used, tried.chain(["PUBLISH".to_owned()]).collect());
    }

    #[tokio::test]
    async fn looking_changes_nothing_and_names_the_right_that_is_missing() {
        let redis = TestRedis::start();
        let writes = || redis.ask(&["INFO", "persistence"]);
        let changes = |info: ::redis::Value| {
            let ::redis::Value::BulkString(info) = info else { panic!("no text") };
            let info = String::from_utf8(info).unwrap();
            info.lines().find(|line| line.starts_with("rdb_changes_since_last_save")).unwrap().to_owned()
        };
        let before = changes(writes());
        let documented = include_str!("../../../docs/replicas.md");
        let documented = documented.lines().find(|line| line.starts_with("ACL SETUSER tinymcp")).unwrap();
        let look = async || {
            let link = Link::new(&redis.address_with("tinymcp:PASSWORD@")).unwrap();
            look(&link, "tinymcp").await
        };
        redis.ask(&documented.split(' ').collect::<Vec<_>>());
        assert_eq!(look().await, Ok(()));
        for (taken, named) in [
            ("-evalsha", "'evalsha'"),
            ("-script|load", "'script|load'"),
            ("-hset", "'hset'"),
            ("-publish", "'publish'"),
            ("-subscribe", "'subscribe'"),
            ("resetchannels", "channel"),
            ("resetkeys", "key"),
        ] {
            redis.ask(&documented.split(' ').chain([taken]).collect::<Vec<_>>());
            let fault = look().await.unwrap_err().to_string();
            assert!(fault.contains("lacks a right") && fault.contains(named), "{taken}: {fault}");
        }
        assert_eq!((redis.ask(&["DBSIZE"]), changes(writes())), (::redis::Value::Int(0), before));
    }

    #[tokio::test]
    async fn it_looks_at_a_cluster() {
        let cluster = TestCluster::start();
        let link = Link::new(&cluster.address()).unwrap();
        assert_eq!(look(&link, "tinymcp").await, Ok(()));
        for server in &cluster.servers {
            server.ask(&["ACL", "SETUSER", "default", "-script|load"]);
        }
        assert!(look(&link, "tinymcp").await.unwrap_err().to_string().contains("lacks a right"));
    }
}
