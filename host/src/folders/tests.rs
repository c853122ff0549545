//! Granted folders from inside: what leads nowhere, what is not waited for, and what counts.

use std::fs::{self, FileTimes};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;
use crate::grants::DirGrant;
use crate::state::Secrets;

/// A folder `data` beside a file that nobody may reach.
struct Site {
    dir: TempDir,
    folders: Folders,
}

const READ: Opening = Opening {
    follow: true,
    create: false,
    exclusive: false,
    directory: false,
    truncate: false,
    read: true,
    write: false,
};
const QUOTA: u64 = 10_000;
const WRITE: Opening = Opening { create: true, write: true, ..READ };

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::write(dir.path().join("secret"), "hunter2").unwrap();
        Self { dir, folders: Folders::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn grant(&self, quota_bytes: Option<u64>, is_writable: bool) -> DirGrant {
        DirGrant { host: self.path("data"), guest: "/data".to_owned(), is_writable, quota_bytes }
    }

    fn plugin(&self) -> Arc<PluginFolders> {
        self.folders.of(&"plugin".into())
    }

    /// The folder, to write in.
    fn open(&self, quota_bytes: Option<u64>) -> Directory {
        self.plugin().open(&self.grant(quota_bytes, true)).unwrap()
    }

    fn fifo(&self, name: &str) {
        mknodat(CWD, self.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
}

fn file(directory: &Directory, path: &str, opening: Opening) -> io::Result<OpenFile> {
    match directory.open(path, opening)? {
        Node::File(file) => Ok(file),
        Node::Directory(_) => Err(Errno::ISDIR.into()),
    }
}

fn write(directory: &Directory, path: &str, bytes: usize) -> io::Result<()> {
    file(directory, path, WRITE)?.write_at(&vec![b'x'; bytes], 0)
}

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().map(|error| error.raw_os_error().map_or(Errno::PERM, Errno::from_raw_os_error))
}

#[test]
fn no_path_leads_out() {
    let site = Site::new();
    let secret = site.path("secret");
    for (name, target) in [
        ("absolute", secret.as_path()),
        ("relative", Path::new("../secret")),
        ("parent", Path::new("..")),
        ("root", Path::new("/")),
        ("first", Path::new("second")),
        ("second", Path::new("deep/third")),
        ("deep/third", Path::new("../../secret")),
    ] {
        fs::create_dir_all(site.path("data/deep")).unwrap();
        symlink(target, site.path("data").join(name)).unwrap();
    }
    let data = site.open(None);
    let secret = secret.to_str().unwrap();
    for path in [
        "absolute",
        "relative",
        "first",
        "second",
        "deep/third",
        "parent/secret",
        "root/etc/passwd",
        "../secret",
        "deep/../../secret",
        "./../secret",
        "parent/",
        "parent/data/deep/../../secret",
        secret,
        "/",
        "..",
        "parent/.",
        "deep/../..",
    ] {
        assert!(data.open(path, READ).is_err(), "{path} is read");
        assert!(data.metadata_at(path, true).is_err(), "{path} is looked at");
        assert!(data.open(path, WRITE).is_err(), "{path} is written");
        let times = FileTimes::new();
        assert!(data.set_times_at(path, true, times, Times::default()).is_err(), "{path} has its times set");
    }
    for path in ["../new", "parent/new", "root/tmp/new", "/tmp/tinymcp-new"] {
        assert!(write(&data, path, 1).is_err(), "{path} is written");
        assert!(data.create_directory(path).is_err(), "{path} is made");
        assert!(data.symlink("deep", path).is_err(), "{path} is linked");
        assert!(data.link("deep/third", &data, path).is_err(), "{path} is linked");
        assert!(data.rename("deep", &data, path).is_err(), "deep is moved to {path}");
    }
    for path in ["../secret", "parent/secret", secret] {
        assert!(data.rename(path, &data, "stolen").is_err(), "{path} is moved");
        assert!(data.link(path, &data, "stolen").is_err(), "{path} is linked");
        assert!(data.remove_file(path).is_err(), "{path} is removed");
        assert!(data.remove_directory(path).is_err(), "{path} is removed");
        assert!(data.read_link(path).is_err(), "{path} is read");
    }
    // What a link leads to is not made, read or removed through it.
    data.rename("absolute", &data, "moved").unwrap();
    data.remove_file("moved").unwrap();
    assert_eq!(fs::read_to_string(site.path("secret")).unwrap(), "hunter2");
    assert!(!site.path("new").exists());
}

#[test]
fn links_that_could_lead_out_are_not_made() {
    let site = Site::new();
    let data = site.open(None);
    data.create_directory("deep").unwrap();
    write(&data, "deep/file", 1).unwrap();
    for target in ["/", "/etc/passwd", "..", "../secret", "deep/..", "deep/../../secret", "./../x"] {
        assert_eq!(errno(data.symlink(target, "link")), Some(Errno::PERM), "{target}");
    }
    data.symlink("deep/file", "link").unwrap();
    assert_eq!(file(&data, "link", READ).unwrap().read_at(9, 0).unwrap(), b"x");
    data.link("deep/file", &data, "name").unwrap();
    // A second folder of the same plugin is another one.
    let other = DirGrant { host: site.path("other"), guest: "/other".to_owned(), ..site.grant(None, true) };
    let other = site.plugin().open(&other).unwrap();
    assert_eq!(errno(data.link("name", &other, "name")), Some(Errno::XDEV));
    assert_eq!(errno(data.rename("name", &other, "name")), Some(Errno::XDEV));
}

#[test]
fn only_files_and_folders_are_opened_and_nothing_is_waited_for() {
    let site = Site::new();
    site.fifo("data/fifo");
    symlink("fifo", site.path("data/link")).unwrap();
    let _socket = UnixListener::bind(site.path("data/socket")).unwrap();
    let data = site.open(Some(1 << 20));
    let begun = Instant::now();
    for path in ["fifo", "link", "socket"] {
        for opening in [READ, WRITE, Opening { truncate: true, ..WRITE }, Opening { directory: true, ..READ }] {
            assert_eq!(errno(data.open(path, opening)), Some(Errno::ACCESS), "{path} {opening:?}");
        }
        // Also where it took the place of a file after it was looked at.
        for opening in [READ, Opening { write: true, ..READ }] {
            assert_eq!(errno(data.open_checked(path, opening)), Some(Errno::ACCESS), "{path} {opening:?}");
        }
        assert!(data.open(&format!("{path}/"), READ).is_err());
        assert!(data.open(&format!("{path}/."), READ).is_err());
        let set = data.set_times_at(path, true, FileTimes::new(), Times::default());
        assert_eq!(errno(set), Some(Errno::ACCESS), "{path}");
        data.metadata_at(path, true).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    let mut names: Vec<String> = data.list().unwrap().read().unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names, ["fifo", "link", "socket"]);
}

#[test]
fn a_folder_for_reading_stays_as_it_is() {
    let site = Site::new();
    fs::write(site.path("data/file"), "text").unwrap();
    fs::create_dir(site.path("data/folder")).unwrap();
    let data = site.plugin().open(&site.grant(None, false)).unwrap();
    let read_only = |result: io::Result<()>, what: &str| assert_eq!(errno(result), Some(Errno::ROFS), "{what}");
    for opening in
        [WRITE, Opening { write: true, ..READ }, Opening { truncate: true, ..READ }, Opening { create: true, ..READ }]
    {
        read_only(data.open("file", opening).map(drop), "open");
        read_only(data.open("new", opening).map(drop), "open");
    }
    read_only(data.create_directory("new"), "make a folder");
    read_only(data.symlink("file", "new"), "make a link");
    read_only(data.link("file", &data, "new"), "link");
    read_only(data.rename("file", &data, "new"), "move");
    read_only(data.remove_file("file"), "remove");
    read_only(data.remove_directory("folder"), "remove a folder");
    read_only(data.set_times_at("file", true, FileTimes::new(), Times::default()), "set times");
    read_only(data.set_times_at("file", false, FileTimes::new(), Times::default()), "set times");
    read_only(data.set_times(FileTimes::new()), "set times");
    let opened = file(&data, "file", READ).unwrap();
    assert_eq!(errno(opened.write_at(b"x", 0)), Some(Errno::BADF));
    assert_eq!(errno(opened.append(b"x")), Some(Errno::BADF));
    assert_eq!(errno(opened.set_len(0)), Some(Errno::BADF));
    assert_eq!(opened.read_at(99, 0).unwrap(), b"text");
}

#[test]
fn what_no_plugin_sees_has_no_other_name() {
    let site = Site::new();
    fs::hard_link(site.path("secret"), site.path("data/name")).unwrap();
    symlink(site.path("data"), site.path("link")).unwrap();
    let places = || Places::new([(site.path("secret"), "the secret".to_owned())]);
    let folders = Folders::new(places(), None);
    let data = folders.of(&"plugin".into()).open(&site.grant(None, true)).unwrap();
    for opening in [READ, WRITE, Opening { truncate: true, ..WRITE }] {
        assert_eq!(errno(data.open("name", opening)), Some(Errno::ACCESS));
    }
    // A link that leads elsewhere than at the start.
    let through = DirGrant { host: site.path("link"), ..site.grant(None, true) };
    folders.of(&"plugin".into()).open(&through).unwrap();
    fs::remove_file(site.path("link")).unwrap();
    symlink(site.dir.path(), site.path("link")).unwrap();
    let refused = folders.of(&"plugin".into()).open(&through).err().unwrap().to_string();
    assert!(refused.contains("holds the secret"), "{refused}");
    assert_eq!(fs::read_to_string(site.path("secret")).unwrap(), "hunter2");
}

#[test]
fn a_file_inside_of_what_no_plugin_sees_has_no_other_name() {
    let site = Site::new();
    fs::create_dir_all(site.path("state/kv")).unwrap();
    fs::write(site.path("state/key"), "hunter2").unwrap();
    fs::write(site.path("state/kv/kv.db"), "of others").unwrap();
    fs::write(site.path("data/mine"), "mine").unwrap();
    fs::hard_link(site.path("data/mine"), site.path("data/again")).unwrap();
    fs::hard_link(site.path("state/key"), site.path("data/key")).unwrap();
    fs::hard_link(site.path("state/kv/kv.db"), site.path("data/db")).unwrap();
    let old = fs::metadata(site.path("state/key")).unwrap().modified().unwrap();
    let folders = Folders::new(Places::new([(site.path("state"), "the state directory".to_owned())]), None);
    let data = folders.of(&"plugin".into()).open(&site.grant(Some(QUOTA), true)).unwrap();
    for name in ["key", "db"] {
        for opening in [READ, WRITE, Opening { truncate: true, ..WRITE }] {
            assert_eq!(errno(data.open(name, opening)), Some(Errno::ACCESS), "{name}");
        }
        for follow in [true, false] {
            let times = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            let epoch = || Some(cap_primitives::fs::SystemTimeSpec::SymbolicNow);
            let times_of_link = Times { accessed: epoch(), modified: epoch() };
            assert_eq!(errno(data.set_times_at(name, follow, times, times_of_link)), Some(Errno::ACCESS), "{name}");
        }
    }
    for name in ["mine", "again"] {
        assert_eq!(file(&data, name, READ).unwrap().read_at(9, 0).unwrap(), b"mine");
    }
    data.link("key", &data, "more").unwrap();
    assert_eq!(errno(data.open("more", READ)), Some(Errno::ACCESS), "a link of a link");
    assert_eq!(fs::read_to_string(site.path("state/key")).unwrap(), "hunter2");
    assert_eq!(fs::metadata(site.path("state/key")).unwrap().modified().unwrap(), old);
}

#[test]
fn a_chain_of_folders_deeper_than_a_path_is_counted_and_removed() {
    let site = Site::new();
    let (name, depth) = ("n".repeat(255), 40);
    let quota = Some(1_000_000);
    let nest = |data: Directory| {
        let mut here = data;
        let mut levels = Vec::new();
        for _ in 0..depth {
            here.create_directory(&name).unwrap();
            let Node::Directory(next) = here.open(&name, Opening { directory: true, ..READ }).unwrap() else {
                unreachable!()
            };
            levels.push(std::mem::replace(&mut here, next));
        }
        write(&here, "deep", 100).unwrap();
        levels.push(here);
        levels
    };
    drop(nest(site.open(quota)));
    // As after a restart: the whole folder is counted at the first use, and the plugin can go on, and clear it away.
    let site = Site { folders: Folders::default(), ..site };
    let data = site.open(quota);
    write(&data, "x", 10).unwrap();
    let mut levels = Vec::new();
    let mut here = data;
    for _ in 0..depth {
        let Node::Directory(next) = here.open(&name, Opening { directory: true, ..READ }).unwrap() else {
            unreachable!()
        };
        levels.push(std::mem::replace(&mut here, next));
    }
    assert_eq!(here.metadata_at("deep", true).unwrap().len(), 100);
    here.remove_file("deep").unwrap();
    drop(here);
    while let Some(level) = levels.pop() {
        level.remove_directory(&name).unwrap();
    }
    assert_eq!(fs::read_dir(site.path("data")).unwrap().count(), 1);
}

#[test]
fn a_quota_counts_what_is_added_and_what_is_gone() {
    let site = Site::new();
    fs::write(site.path("data/before"), vec![b'x'; 50_000]).unwrap();
    let data = site.open(Some(QUOTA));
    write(&data, "a", 6_000).unwrap();
    assert_eq!(errno(write(&data, "b", 4_001)), Some(Errno::DQUOT));
    write(&data, "b", 4_000).unwrap();
    let b = file(&data, "b", WRITE).unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
    assert_eq!(errno(b.write_at(b"x", 4_000)), Some(Errno::DQUOT));
    assert_eq!(errno(b.write_at(b"x", 1 << 40)), Some(Errno::DQUOT));
    assert_eq!(errno(b.write_at(b"x", u64::MAX)), Some(Errno::FBIG));
    assert_eq!(errno(b.set_len(4_001)), Some(Errno::DQUOT));
    assert_eq!(errno(b.set_len(1 << 50)), Some(Errno::DQUOT));
    b.write_at(&[b'y'; 4_000], 0).unwrap();
    // Room comes back, each time exactly once.
    b.set_len(1_000).unwrap();
    write(&data, "c", 3_000).unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
    file(&data, "a", Opening { truncate: true, ..WRITE }).unwrap();
    write(&data, "d", 6_000).unwrap();
    data.rename("d", &data, "c").unwrap();
    write(&data, "e", 3_000).unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
    data.link("e", &data, "f").unwrap();
    data.remove_file("e").unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
    data.rename("f", &data, "f").unwrap();
    data.remove_file("f").unwrap();
    b.append(&[b'x'; 3_000]).unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
    // What was there before was no part of it, and makes room when it goes.
    data.remove_file("before").unwrap();
    b.append(&[b'x'; 50_000]).unwrap();
    assert_eq!(errno(b.append(b"x")), Some(Errno::DQUOT));
}

#[test]
fn a_removed_file_takes_room_until_it_is_closed() {
    let site = Site::new();
    let data = site.open(Some(10_000));
    let kept = file(&data, "a", WRITE).unwrap();
    kept.write_at(&[0; 4_000], 0).unwrap();
    data.remove_file("a").unwrap();
    kept.append(&[0; 2_000]).unwrap();
    assert_eq!(errno(write(&data, "b", 4_001)), Some(Errno::DQUOT));
    // Also after a look at the whole folder, which does not show it.
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(errno(write(&data, "b", 4_001)), Some(Errno::DQUOT));
    drop(kept);
    write(&data, "b", 10_000).unwrap();
    assert_eq!(errno(write(&data, "c", 1)), Some(Errno::DQUOT));
}

#[test]
fn names_count_too() {
    let site = Site::new();
    let data = site.open(Some(1));
    let made = (0..100).take_while(|number| data.create_directory(&format!("folder{number}")).is_ok()).count();
    assert_eq!(made, 64);
    assert_eq!(errno(write(&data, "new", 0)), Some(Errno::DQUOT));
    assert_eq!(errno(data.symlink("folder0", "new")), Some(Errno::DQUOT));
    assert!(data.open("missing", READ).is_err());
    assert!(data.create_directory("folder0").is_err());
    data.remove_directory("folder0").unwrap();
    write(&data, "new", 0).unwrap();
    assert_eq!(errno(data.link("new", &data, "newer")), Some(Errno::DQUOT));
}

#[test]
fn two_calls_do_not_use_the_same_room() {
    const QUOTA: u64 = 1 << 20;
    let site = Site::new();
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let site = &site;
            scope.spawn(move || {
                let data = site.open(Some(QUOTA));
                let shared = file(&data, "shared", WRITE).unwrap();
                for round in 0..40 {
                    let own = format!("{writer}-{round}");
                    let _ = write(&data, &own, 4_000);
                    let _ = shared.append(&[0; 1_000]);
                    if round % 3 == 0 {
                        let _ = data.rename(&own, &data, "moved");
                    }
                    if round % 5 == 0 {
                        let _ = data.remove_file("moved");
                    }
                }
            });
        }
    });
    let held: u64 =
        fs::read_dir(site.path("data")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(held <= QUOTA && held > QUOTA / 2, "{held}");
    // The count is that of the disk: exactly the rest can still be written.
    let data = site.open(Some(QUOTA));
    let rest = usize::try_from(QUOTA - held).unwrap();
    assert_eq!(errno(write(&data, "rest", rest + 1)), Some(Errno::DQUOT));
    write(&data, "rest", rest).unwrap();
}

#[test]
fn a_quota_begins_once_and_others_may_make_room() {
    let site = Site::new();
    let state = StateDir::open(&site.path("state"), &Secrets::default()).unwrap();
    let started = || Folders::new(Places::default(), Some(&state)).of(&"plugin".into());
    write(&started().open(&site.grant(Some(1_000), true)).unwrap(), "a", 800).unwrap();
    // After a restart, and for a command beside the server, the 800 bytes are the plugin's still.
    let again = started().open(&site.grant(Some(1_000), true)).unwrap();
    assert_eq!(errno(write(&again, "b", 201)), Some(Errno::DQUOT));
    write(&again, "b", 200).unwrap();
    fs::remove_file(site.path("data/a")).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    write(&again, "c", 800).unwrap();
    // Another folder of the same name is another beginning.
    fs::rename(site.path("data"), site.path("old")).unwrap();
    fs::create_dir(site.path("data")).unwrap();
    fs::write(site.path("data/before"), [0; 5_000]).unwrap();
    let new = started().open(&site.grant(Some(1_000), true)).unwrap();
    write(&new, "a", 1_000).unwrap();
}

#[test]
fn descriptors_are_bounded_and_come_back() {
    let site = Site::new();
    fs::write(site.path("data/file"), "").unwrap();
    let data = site.open(None);
    let opened: Vec<OpenFile> = (0..1000).map_while(|_| file(&data, "file", READ).ok()).collect();
    assert_eq!(opened.len(), 255);
    assert_eq!(errno(file(&data, "file", READ)), Some(Errno::MFILE));
    assert_eq!(errno(data.list()), Some(Errno::MFILE));
    site.folders.of(&"other".into()).open(&site.grant(None, true)).unwrap();
    drop(opened);
    file(&data, "file", READ).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_files_of_one_plugin_leave_threads_to_others() {
    let site = Site::new();
    let (slow, release) = (site.plugin(), Arc::new(std::sync::Barrier::new(9)));
    let (begun, mut running) = tokio::sync::mpsc::unbounded_channel();
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (slow, release, begun) = (Arc::clone(&slow), Arc::clone(&release), begun.clone());
            tokio::spawn(async move {
                slow.run(move || {
                    begun.send(()).unwrap();
                    release.wait();
                    Ok(())
                })
                .await
            })
        })
        .collect();
    for _ in 0..8 {
        running.recv().await.unwrap();
    }
    // A call that is given up keeps its thread until the disk answers.
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    let waiting = tokio::time::timeout(Duration::from_millis(200), slow.run(|| Ok(()))).await;
    assert!(waiting.is_err(), "a ninth thread");
    assert!(running.try_recv().is_err(), "a ninth thread");
    site.folders.of(&"other".into()).run(|| Ok(())).await.unwrap();
    tokio::task::spawn_blocking(move || release.wait()).await.unwrap();
    slow.run(|| Ok(())).await.unwrap();
}

#[test]
fn a_name_that_changes_under_a_call_leads_nowhere_else() {
    let site = Site::new();
    let data = site.open(Some(1 << 20));
    fs::create_dir(site.path("data/folder")).unwrap();
    fs::write(site.path("data/folder/secret"), "inside").unwrap();
    symlink("..", site.path("data/link")).unwrap();
    site.fifo("data/fifo");
    fs::write(site.path("data/file"), "inside").unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let swap = |names: [&str; 2], door: &str| {
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            for name in names {
                let (name, door) = (site.path("data").join(name), site.path("data").join(door));
                fs::rename(&name, &door).unwrap();
                fs::rename(&door, &name).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| swap(["folder", "link"], "door"));
        scope.spawn(|| swap(["file", "fifo"], "other-door"));
        // The threads end in any case: what is wrong is said after them.
        let (mut read, mut wrong) = (0, Vec::new());
        let begun = Instant::now();
        while (read < 100 || begun.elapsed() < Duration::from_millis(300)) && begun.elapsed() < Duration::from_secs(20)
        {
            for path in ["door/secret", "other-door"] {
                let found = file(&data, path, READ).and_then(|file| file.read_at(99, 0));
                match found.as_deref() {
                    Ok(b"inside") => read += 1,
                    Ok(other) => wrong.push(String::from_utf8_lossy(other).into_owned()),
                    Err(_) => {}
                }
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(wrong, Vec::<String>::new());
        assert!(read >= 100, "{read}");
    });
}
