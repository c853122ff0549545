//! A server on loopback that answers as a test says, byte by byte, and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The rest of a connection, once a request has come.
#[derive(Debug, Clone)]
pub enum Script {
    /// These bytes; then the next request.
    Answer(Vec<u8>),
    /// These bytes, and the end of the connection.
    Last(Vec<u8>),
    /// These bytes, and then nothing for as long as the other side waits.
    Stall(Vec<u8>),
    /// The first bytes, and the second ones again and again.
    Drip(Vec<u8>, Vec<u8>, Duration),
}

impl Script {
    /// An answer with a text.
    pub fn text(text: &str) -> Self {
        Self::with(200, "", text)
    }

    /// An answer with a status, further lines of the head (each with its end) and a text.
    pub fn with(status: u16, lines: &str, text: &str) -> Self {
        let length = text.len();
        Self::Answer(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{lines}\r\n{text}").into_bytes())
    }
}

/// The server. It ends with the runtime of its test.
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

impl Peer {
    /// A server that answers each request by its text: head and body.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("it is bound");
        let (seen, script) = (Arc::<Seen>::default(), Arc::new(script));
        let remembered = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&remembered), Arc::clone(&script));
                tokio::spawn(async move {
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    seen.open.fetch_add(1, Ordering::SeqCst);
                    // A client that goes away is what many tests are about.
                    let _ = serve(stream, &seen, &*script).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was sent: head and body of each request, names of headers in small letters.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The connections that are open.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Seen,
    script: &(impl Fn(&str) -> Script + Send + Sync),
) -> std::io::Result<()> {
    loop {
        let request = read(&mut stream).await?;
        seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        match script(&request) {
            Script::Answer(bytes) => stream.write_all(&bytes).await?,
            Script::Last(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Script::Stall(bytes) => {
                stream.write_all(&bytes).await?;
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
                return Ok(());
            }
            Script::Drip(begin, piece, every) => {
                stream.write_all(&begin).await?;
                let (mut reader, mut writer) = stream.split();
                let drip = async {
                    loop {
                        tokio::time::sleep(every).await;
                        writer.write_all(&piece).await?;
                    }
                };
                let mut rest = Vec::new();
                return tokio::select! {
                    dripped = drip => dripped,
                    gone = reader.read_to_end(&mut rest) => gone.map(drop),
                };
            }
        }
    }
}

/// Reads one request: until its length, or until the last chunk.
async fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let all = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let head = small(head);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let is_whole = match length {
            Some(length) => body.len() >= length,
            None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
            None => true,
        };
        if is_whole {
            return Ok(format!("{head}\r\n\r\n{body}"));
        }
    }
}

/// The head with the names of its headers in small letters.
fn small(head: &str) -> String {
    let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}
