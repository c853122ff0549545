//! A web site on loopback that answers as a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Whole answers, by path.
type Answers = Arc<Mutex<HashMap<String, String>>>;

/// The site. Other paths are 404.
pub(crate) struct Site {
    /// Its URL, without a slash at the end.
    pub(crate) url: String,
    answers: Answers,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers::default();
        let serving = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&serving)));
            }
        });
        Self { url, answers }
    }

    /// Answers a path with this status, these header lines and this body.
    pub(crate) fn says(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }
}

async fn answer(mut connection: TcpStream, answers: Answers) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                let path = head.split([' ', '?']).nth(1).unwrap_or_default();
                let found = answers.lock().unwrap().get(path).cloned();
                let found = found
                    .unwrap_or_else(|| "HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
                let _ = connection.write_all(found.as_bytes()).await;
                return;
            }
        }
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}
