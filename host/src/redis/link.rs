//! The connection: to one server, to a cluster, or to the primary that sentinels name.
//!
//! It is one for the whole process, which sends many requests at once over it. It comes back by itself. What takes too
//! long fails, and the connection with it: a server that is gone without a word would be waited for otherwise.

use std::error::Error as _;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, ServerErrorKind, TlsCertificates, TlsMode, Value,
};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::Mutex;

use super::address::Address;
use super::fault::Fault;
use super::primary::Primary;
use super::script::{Reply, Script, Step};
use crate::config::state_url::{Form, Node};

/// Time for one request and its answer.
const ANSWER_MAX: Duration = Duration::from_millis(1500);

/// Time for a new connection, handshake and all.
const CONNECT_MAX: Duration = Duration::from_millis(1000);

/// Time for everything that one step takes: waiting for a connection, and the answer.
const STEP_MAX: Duration = Duration::from_secs(2);

/// Longest pause between two tries to connect, so that a server which is back is used at once.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// The shortest.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(20);

/// Requests that wait to be sent, beyond which callers wait.
const BUFFERED: usize = 1024;

/// The connection.
pub(super) struct Link {
    way: Way,
    /// The connection in use; none until the first request, and after a failure.
    current: StdMutex<Option<Numbered>>,
    connecting: Mutex<()>,
}

/// How the server that writes is found.
enum Way {
    /// It is always the same.
    Node(Box<Client>),
    /// Sentinels know it: without credentials for them, and with the ones of Redis.
    Sentinels(Box<Mutex<[SentinelClient; 2]>>),
    /// A cluster has several, each with its part of the keys. Those that are named are asked for subscriptions.
    Cluster(Box<::redis::cluster::ClusterClient>, Vec<Client>),
}

/// A connection with its number: each is another one.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: Connection,
}

/// A connection to send a request over.
#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Link {
    /// Prepares a connection. Nothing is sent yet.
    pub(super) fn new(address: &Address) -> Result<Self, Fault> {
        let way = Way::new(address).map_err(|error| Fault::Refused(error.to_string()))?;
        Ok(Self { way, current: StdMutex::default(), connecting: Mutex::default() })
    }

    /// Runs a script.
    pub(super) async fn run(
        &self,
        script: &Script,
        mark_key: Vec<u8>,
        mark: &[u8],
        step: Step,
    ) -> Result<Reply, Fault> {
        let mut invocation = script.inner().prepare_invoke();
        invocation.key(mark_key).arg(mark);
        for key in step.keys {
            invocation.key(key);
        }
        for argument in step.arguments {
            invocation.arg(argument);
        }
        let answered = self.ask(async |connection| match connection {
            Connection::One(one) => invocation.invoke_async(one).await,
            Connection::Cluster(cluster) => invocation.invoke_async(cluster).await,
        });
        Reply::read(answered.await?)
    }

    /// Sends a command that changes nothing as it is, to see whether the user may send it. What is wrong with the command itself
    /// does not count.
    pub(super) async fn may(&self, command: &Cmd) -> Result<(), Fault> {
        let answered = self.ask(async |connection| {
            let answer = match connection {
                Connection::One(one) => command.query_async::<Value>(one).await,
                Connection::Cluster(cluster) => command.query_async::<Value>(cluster).await,
            };
            match answer {
                Err(error) if !matches!(error.code(), Some("ERR" | "NOSCRIPT")) => Err(error),
                _ => Ok(()),
            }
        });
        answered.await
    }

    /// The value of a key.
    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut command = Cmd::new();
        command.arg("GET").arg(key);
        self.send(&command).await
    }

    /// The values of several keys.
    pub(super) async fn get_each(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        futures::future::try_join_all(keys.iter().map(|key| self.get(key))).await
    }

    /// Sets a key that is not there.
    pub(super) async fn set_if_absent(&self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let mut command = Cmd::new();
        command.arg("SET").arg(key).arg(value).arg("NX");
        self.send::<Value>(&command).await.map(drop)
    }

    /// What each primary says of itself, of a section of `INFO`.
    pub(super) async fn info(&self, section: &str) -> Result<Vec<String>, Fault> {
        let mut command = Cmd::new();
        command.arg("INFO").arg(section);
        let answered = self.ask(async |connection| match connection {
            Connection::One(one) => {
                let answer = one.req_packed_command(&command).await?.extract_error()?;
                Ok(vec![String::from_redis_value(answer)?])
            }
            Connection::Cluster(cluster) => {
                let all = (MultipleNodeRoutingInfo::AllMasters, None::<ResponsePolicy>);
                let answers =
                    cluster.route_command(command.clone(), RoutingInfo::MultiNode(all)).await?.extract_error()?;
                let by_node: std::collections::HashMap<String, String> = FromRedisValue::from_redis_value(answers)?;
                Ok(by_node.into_values().collect())
            }
        });
        answered.await
    }

    /// Tells something on a channel.
    pub(super) async fn publish(&self, channel: &[u8], message: &[u8]) -> Result<(), Fault> {
        let mut command = Cmd::new();
        command.arg("PUBLISH").arg(channel).arg(message);
        self.send::<Value>(&command).await.map(drop)
    }

    /// The primaries of a cluster; none for one server.
    pub(super) async fn primaries_of_cluster(&self) -> Result<Option<Vec<Primary>>, Fault> {
        if !matches!(self.way, Way::Cluster(..)) {
            return Ok(None);
        }
        let infos = self.info("replication").await?;
        let id = |info: &String| {
            let id = info.lines().find_map(|line| line.strip_prefix("master_replid:"))?;
            Primary::of_replication_id(id.trim().as_bytes())
        };
        let mut primaries: Vec<Primary> = infos.iter().filter_map(id).collect();
        primaries.sort_unstable();
        Ok(Some(primaries))
    }

    /// Subscribes to channels over a connection of its own. Every server of a cluster hears what one is told.
    pub(super) async fn subscribe(&self, channels: &[Vec<u8>]) -> Result<BoxStream<'static, Vec<u8>>, Fault> {
        let subscribed = tokio::time::timeout(STEP_MAX, async {
            let clients = match &self.way {
                Way::Node(client) => vec![client.as_ref().clone()],
                Way::Sentinels(sentinels) => vec![primary_of(&mut *sentinels.lock().await).await?],
                Way::Cluster(_, nodes) => nodes.clone(),
            };
            let mut failed = no_node();
            for client in clients {
                match subscribed(&client, channels).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        });
        match subscribed.await {
            Ok(stream) => stream.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Unreachable("no answer to a subscription".to_owned())),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.ask(async |connection| match connection {
            Connection::One(one) => command.query_async(one).await,
            Connection::Cluster(cluster) => command.query_async(cluster).await,
        })
        .await
    }

    /// Asks over the connection, in time. A connection that does not answer, or leads to a server that may not write, is
    /// given up: the next request looks for the primary anew.
    async fn ask<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>) -> Result<T, Fault> {
        let mut used = None;
        let in_time = tokio::time::timeout(STEP_MAX, async {
            let Numbered { number, mut connection } = self.connection().await?;
            used = Some(number);
            work(&mut connection).await
        });
        let Ok(answer) = in_time.await else {
            self.give_up(used);
            return Err(Fault::Unreachable(format!("no answer within {} s", STEP_MAX.as_secs())));
        };
        answer.map_err(|error| {
            if leads_nowhere(&error) {
                self.give_up(used);
            }
            fault(&error)
        })
    }

    /// The connection in use, or a new one. One caller connects, the others wait for it.
    async fn connection(&self) -> Result<Numbered, RedisError> {
        let in_use = || lock(&self.current).clone();
        if let Some(connection) = in_use() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = in_use() {
            return Ok(connection);
        }
        let connection = match &self.way {
            Way::Node(client) => connected(client.as_ref().clone()).await?,
            Way::Sentinels(sentinels) => {
                let client = primary_of(&mut *sentinels.lock().await).await?;
                connected(client).await?
            }
            Way::Cluster(client, _) => Connection::Cluster(client.get_async_connection().await?),
        };
        let connection = Numbered { number: rand::random(), connection };
        *lock(&self.current) = Some(connection.clone());
        Ok(connection)
    }

    /// Takes a connection out of use, unless another one has taken its place. That of a cluster mends itself.
    fn give_up(&self, used: Option<u64>) {
        let mut current = lock(&self.current);
        let is_used = current.as_ref().is_some_and(|current| Some(current.number) == used);
        if is_used && !matches!(self.way, Way::Cluster(..)) {
            *current = None;
        }
    }
}

async fn subscribed(client: &Client, channels: &[Vec<u8>]) -> Result<BoxStream<'static, Vec<u8>>, RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    for channel in channels {
        subscription.subscribe(channel).await?;
    }
    let told = subscription.into_on_message();
    Ok(told.map(|message| message.get_payload_bytes().to_vec()).boxed())
}

async fn connected(client: Client) -> Result<Connection, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_min_delay(RECONNECT_PAUSE_MIN)
        .set_max_delay(RECONNECT_PAUSE_MAX)
        .set_number_of_retries(1)
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(ANSWER_MAX))
        .set_pipeline_buffer_size(BUFFERED);
    ConnectionManager::new_with_config(client, config).await.map(Connection::One)
}

fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the sentinels for the primary. Many run without a password of their own, and refuse one; others have Redis's.
async fn primary_of([open, guarded]: &mut [SentinelClient; 2]) -> Result<Client, RedisError> {
    match open.async_get_client().await {
        Err(error) if !error.is_io_error() => guarded.async_get_client().await.map_err(|_| error),
        found => found,
    }
}

impl Way {
    fn new(address: &Address) -> Result<Self, RedisError> {
        let url = &address.url;
        let certificates = || TlsCertificates { client_tls: None, root_cert: address.authorities.clone() };
        let client = |node: &Node| match url.is_tls {
            true => Client::build_with_tls(info(address, node)?, certificates()),
            false => Client::open(info(address, node)?),
        };
        Ok(match &url.form {
            Form::Single => {
                let Some(node) = url.nodes.first() else { return Err(no_node()) };
                Self::Node(Box::new(client(node)?))
            }
            Form::Cluster => {
                let nodes: Vec<ConnectionInfo> =
                    url.nodes.iter().map(|node| info(address, node)).collect::<Result<_, _>>()?;
                let mut builder = ClusterClientBuilder::new(nodes)
                    .connection_timeout(CONNECT_MAX)
                    .response_timeout(ANSWER_MAX)
                    .overall_response_timeout(Some(STEP_MAX))
                    .retries(3)
                    .min_retry_wait(ms(RECONNECT_PAUSE_MIN))
                    .max_retry_wait(ms(RECONNECT_PAUSE_MAX));
                if url.is_tls {
                    builder = builder.certs(certificates());
                }
                let clients = url.nodes.iter().map(client).collect::<Result<_, _>>()?;
                Self::Cluster(Box::new(builder.build()?), clients)
            }
            Form::Sentinel { service } => {
                let sentinels = |with_credentials: bool| {
                    let nodes = url.nodes.iter().map(|node| address_of(node, url.is_tls));
                    let mut builder = SentinelClientBuilder::new(nodes, service, SentinelServerType::Master)?
                        .set_client_to_redis_db(url.database.into());
                    if let Some(user) = &url.user {
                        builder = builder.set_client_to_redis_username(user);
                    }
                    if let Some(password) = &url.password {
                        builder = builder.set_client_to_redis_password(password.reveal());
                        if with_credentials {
                            builder = builder.set_client_to_sentinel_password(password.reveal());
                        }
                    }
                    if url.is_tls {
                        builder = builder
                            .set_client_to_redis_tls_mode(TlsMode::Secure)
                            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
                        if address.authorities.is_some() {
                            builder = builder
                                .set_client_to_redis_certificates(certificates())
                                .set_client_to_sentinel_certificates(certificates());
                        }
                    }
                    builder.build()
                };
                Self::Sentinels(Box::new(Mutex::new([sentinels(false)?, sentinels(true)?])))
            }
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn no_node() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no server is named").into()
}

fn address_of(node: &Node, is_tls: bool) -> ConnectionAddr {
    let (host, port) = (node.host.clone(), node.port);
    match is_tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

fn info(address: &Address, node: &Node) -> Result<ConnectionInfo, RedisError> {
    let url = &address.url;
    let mut redis = RedisConnectionInfo::default().set_db(url.database.into());
    if let Some(user) = &url.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &url.password {
        redis = redis.set_password(password.reveal());
    }
    Ok(address_of(node, url.is_tls).into_connection_info()?.set_redis_settings(redis))
}

/// What is wrong with the way to Redis itself, and stays so until somebody changes it: in words with the cure.
fn stays(error: &RedisError) -> Option<String> {
    let wrong_password = || "it does not take the user and password of `state.url`".to_owned();
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => return Some(wrong_password()),
        (_, Some("NOAUTH")) => {
            return Some("it demands a password: write it into `state.url`, redis://:PASSWORD@HOST:PORT".to_owned());
        }
        (_, Some("NOPERM")) => {
            let what = error.detail().unwrap_or("it does not say which");
            return Some(format!(
                "the user of `state.url` lacks a right ({what}): docs/replicas.md lists what it needs"
            ));
        }
        _ => {}
    }
    let inner = error.source()?.downcast_ref::<std::io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(reason) = inner.downcast_ref()? else { return None };
    Some(format!("its certificate is not taken ({reason:?}): name the authorities of your own in `state.ca_file`"))
}

/// True for an error after which the connection is of no use: the server is gone, is silent, or may not write any more.
fn leads_nowhere(error: &RedisError) -> bool {
    let is_other_server = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
    );
    is_other_server || error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

/// Says what went wrong. Texts of the server are short and have no secrets: they name commands, not arguments.
fn fault(error: &RedisError) -> Fault {
    if let Some(why) = stays(error) {
        return Fault::Refused(why);
    }
    let text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None => error.to_string(),
    };
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Fault::Unreachable(text),
        ErrorKind::Server(_)
        | ErrorKind::Extension
        | ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig => Fault::Refused(text),
        _ => Fault::Unreachable(text),
    }
}
