//! Names that mean something else each time, and answers that are not all alike.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::grants::origin::Origin;

/// Gives each of these answers once, and counts how often it was asked.
#[derive(Debug, Default)]
struct Changing {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
    is_silent: bool,
}

impl Changing {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parsed).collect()), ..Self::default() })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Resolve for Changing {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        self.answers.lock().unwrap().pop_front().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn own_listener() -> Surroundings {
    let base_url = Some((Host::parse("mcp.example.com").unwrap(), 443));
    Surroundings { own: vec!["0.0.0.0:8000".parse().unwrap()], base_url, ..Surroundings::default() }
}

async fn look_up(resolver: &Arc<Changing>, entry: &str) -> Result<Vec<String>, AddressRefusal> {
    let look_up_timeout = if resolver.is_silent { Duration::from_millis(20) } else { LOOK_UP_TIMEOUT };
    let resolver: Arc<dyn Resolve> = Arc::clone(resolver) as Arc<dyn Resolve>;
    let settings = Settings { surroundings: own_listener(), ..Settings::default() };
    let mut egress = Egress::new(settings, resolver);
    Arc::get_mut(&mut egress.0).unwrap().look_up_timeout = look_up_timeout;
    let (is_private, entry) = entry.strip_prefix("private ").map_or((false, entry), |entry| (true, entry));
    let entry: Origin = entry.parse().unwrap();
    let reach = Reach { host: entry.host(), is_private };
    let text = entry.host().to_string();
    let host = Host::parse(&text.replace('*', "any")).unwrap();
    let found = egress.look_up(&"plugin".into(), &host, entry.port(), reach).await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_what_was_judged_is_what_is_dialled() {
    let resolver = Changing::of(&[&["8.8.8.8"], &["127.0.0.1"]]);
    assert_eq!(look_up(&resolver, "https://api.example.com").await.unwrap(), ["8.8.8.8:443"]);
    assert_eq!(resolver.asked(), 1);
    let refusal = look_up(&resolver, "https://api.example.com").await.unwrap_err();
    assert_eq!(refusal, AddressRefusal::Loopback(LOCALHOST[0]));
}

#[tokio::test]
async fn one_bad_address_among_ten_refuses_all() {
    let mut answers: Vec<String> = (1..10).map(|last| format!("8.8.8.{last}")).collect();
    answers.push("169.254.169.254".to_owned());
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let refusal = look_up(&Changing::of(&[&answers]), "https://*.example.com").await.unwrap_err();
    assert!(matches!(refusal, AddressRefusal::Special { .. }), "{refusal}");
}

#[tokio::test]
async fn a_resolver_that_says_nothing_is_not_waited_for() {
    let silent = Arc::new(Changing { is_silent: true, ..Changing::default() });
    assert_eq!(look_up(&silent, "https://api.example.com").await, Err(AddressRefusal::Unanswered));
    assert_eq!(look_up(&Changing::of(&[]), "https://api.example.com").await, Err(AddressRefusal::None));
    assert_eq!(look_up(&Changing::of(&[&[]]), "https://api.example.com").await, Err(AddressRefusal::None));
}

/// Answers at once, but for names of `silent.example`.
#[derive(Debug, Default)]
struct Half(AtomicUsize);

#[async_trait::async_trait]
impl Resolve for Half {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.ends_with("silent.example") {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Ok(vec!["8.8.8.8".parse().unwrap()])
    }
}

#[tokio::test]
async fn look_ups_without_an_answer_leave_places_to_other_plugins() {
    let resolver = Arc::new(Half::default());
    let mut egress = Egress::new(Settings::default(), Arc::clone(&resolver) as Arc<dyn Resolve>);
    Arc::get_mut(&mut egress.0).unwrap().look_up_timeout = Duration::from_millis(100);
    let answers = async |plugin: &str, name: &str| egress.answers(&plugin.into(), &Host::parse(name).unwrap()).await;
    let names: Vec<String> = (0..200).map(|number| format!("{number}.silent.example")).collect();
    let silent = futures::future::join_all(names.iter().map(|name| answers("greedy", name))).await;
    assert!(silent.iter().all(|answer| *answer == Err(AddressRefusal::Unanswered)));
    assert_eq!(
        resolver.0.load(Ordering::Relaxed),
        LOOK_UPS_MAX / 2,
        "their threads are held when nobody waits any more"
    );
    assert_eq!(answers("greedy", "quick.example").await, Err(AddressRefusal::Unanswered));
    assert!(answers("other", "quick.example").await.is_ok());
}

#[tokio::test]
async fn names_and_addresses_of_this_machine_are_nobodys_to_answer() {
    let resolver = Changing::of(&[]);
    assert_eq!(look_up(&resolver, "http://localhost:9200").await.unwrap(), ["127.0.0.1:9200", "[::1]:9200"]);
    assert_eq!(look_up(&resolver, "http://127.0.0.1:9200").await.unwrap(), ["127.0.0.1:9200"]);
    assert_eq!(resolver.asked(), 0);
}

#[tokio::test]
async fn the_proxy_is_reached_by_no_spelling() {
    let url = Url::parse("http://127.0.0.1:3128").unwrap();
    let proxy = Some(Proxy { url, resolves: false, direct: Direct::default() });
    let egress = Egress::new(Settings { proxy, ..Settings::default() }, Changing::of(&[]));
    for entry in ["http://127.0.0.1:3128", "http://localhost:3128", "http://[::1]:3128", "http://127.0.0.2:3128"] {
        let entry: Origin = entry.parse().unwrap();
        let host = Host::parse(&entry.host().to_string()).unwrap();
        let reach = Reach { host: entry.host(), is_private: false };
        assert_eq!(egress.look_up(&"plugin".into(), &host, 3128, reach).await, Err(AddressRefusal::Own), "{host}");
        assert!(egress.look_up(&"plugin".into(), &host, 3129, reach).await.is_ok(), "{host}");
    }
}

#[tokio::test]
async fn the_server_itself_is_never_reached() {
    let resolver = Changing::of(&[&["127.0.0.1"]]);
    for entry in
        ["http://localhost:8000", "http://127.0.0.1:8000", "https://mcp.example.com", "https://mcp.example.com:1"]
    {
        assert_eq!(look_up(&resolver, entry).await, Err(AddressRefusal::Own), "{entry}");
    }
    assert_eq!(resolver.asked(), 0);
}
