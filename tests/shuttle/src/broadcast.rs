//! `tokio::sync::broadcast`, as far as listeners use it, made of primitives of shuttle.

use std::sync::{Arc, PoisonError};

use shuttle::sync::Mutex;
use tokio::sync::watch;

pub(crate) mod error {
    #[derive(Debug)]
    #[allow(dead_code, reason = "nobody lags here, where everything is kept")]
    pub(crate) enum RecvError {
        Lagged(u64),
        Closed,
    }
}

#[derive(Clone)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    length: watch::Receiver<usize>,
    read: usize,
}

struct Shared<T> {
    sent: Mutex<Vec<T>>,
    length: watch::Sender<usize>,
}

impl<T: Clone> Sender<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { sent: Mutex::default(), length: watch::channel(0).0 }))
    }

    pub(crate) fn send(&self, value: T) {
        let length = {
            let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.push(value);
            sent.len()
        };
        self.0.length.send_replace(length);
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        let length = self.0.length.subscribe();
        let read = *length.borrow();
        Receiver { shared: Arc::clone(&self.0), length, read }
    }
}

impl<T: Clone> Receiver<T> {
    pub(crate) async fn recv(&mut self) -> Result<T, error::RecvError> {
        let read = self.read;
        drop(self.length.wait_for(|length| *length > read).await.map_err(|_| error::RecvError::Closed)?);
        self.read += 1;
        Ok(self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner)[read].clone())
    }
}
