//! One event stream of a session of the older era: its messages, and the responses that read them.
//!
//! A stream is not its HTTP response. A response breaks, and the client comes back for the rest; or the server does not
//! notice, and the client opens another. So messages wait here, and the newest open response takes them. The older ones
//! stay open and silent: a client whose response is closed opens another at once, and two of them would close each
//! other forever. After the end of the newest, the one before it goes on.
//!
//! A stream holds little for a client that does not read: few messages, and few bytes beyond the newest of them. The
//! sender of a call's messages waits for room a moment; who tells of changes never waits, so that no slow reader delays
//! another.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use rmcp::model::{ServerJsonRpcMessage, ServerNotification};
use rmcp::transport::streamable_http_server::session::ServerSseMessage;
use tokio::sync::Notify;

/// The most messages that wait for a reader. Then the sender waits, or, without a reader, the oldest are dropped.
const CAPACITY: usize = 16;

/// The places among these that updates of resources leave to changes of the three lists.
const LISTS: usize = 3;

/// The most bytes of messages that wait, beside one that is larger by itself.
const WAITING_BYTES: usize = 256 * 1024;

/// The most messages that a client can ask for again after they were sent.
const REPLAYED: usize = 16;

/// The most bytes of these.
const REPLAYED_BYTES: usize = 64 * 1024;

/// The most responses of one stream; the oldest end. A client has one, and some that broke unnoticed.
const MAX_READERS: usize = 32;

/// The most bytes that are kept of a stream that has ended, for a client that was cut off from it.
const REST_BYTES: usize = 64 * 1024;

/// Time for which a message waits for a client that does not read; then the oldest makes room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after which a client that is cut off should come back.
const RETRY: Duration = Duration::from_secs(3);

/// Handles to one stream.
#[derive(Clone)]
pub(super) struct EventStream(Arc<Shared>);

struct Shared {
    /// The beginning of its events' ids.
    name: String,
    queue: Mutex<Queue>,
    /// Signals that a message was taken, or that nobody reads any more.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    /// Messages that were taken by a response, newest last.
    taken: VecDeque<Event>,
    /// Messages that wait.
    waiting: VecDeque<Event>,
    last_index: u64,
    /// Open responses, newest last.
    readers: Vec<Place>,
    last_reader: u64,
    has_ended: bool,
}

#[derive(Clone)]
struct Event {
    /// Counted from 1.
    index: u64,
    /// The length of its JSON; 0 for the last message of a stream, which has its own bound.
    bytes: usize,
    content: Arc<ServerJsonRpcMessage>,
}

/// A response in the order of readers.
struct Place {
    reader: u64,
    waker: Option<Waker>,
}

/// The beginning of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// With its first message.
    Plain,
    /// With an event without data, from whose id the stream can be resumed (2025-11-25, basic/transports, Sending
    /// Messages to the Server). Older clients take it for a broken message.
    Primed,
}

/// One response: the stream as one HTTP response reads it.
pub(super) struct Reader {
    stream: EventStream,
    reader: u64,
    opening: Opening,
}

impl EventStream {
    /// Makes a stream whose events' ids begin with this name and a `-`.
    pub(super) fn new(name: String) -> Self {
        Self(Arc::new(Shared { name, queue: Mutex::default(), room: Notify::new() }))
    }

    /// A further response, which is the newest from now on.
    pub(super) fn read(&self, opening: Opening) -> Reader {
        self.add_reader(&mut self.queue(), opening)
    }

    /// A further response for a client that has seen everything up to this index.
    pub(super) fn resume(&self, last_index: u64) -> Reader {
        let mut queue = self.queue();
        while queue.taken.back().is_some_and(|message| message.index > last_index) {
            if let Some(again) = queue.taken.pop_back() {
                queue.waiting.push_front(again);
            }
        }
        self.add_reader(&mut queue, Opening::Plain)
    }

    fn add_reader(&self, queue: &mut Queue, opening: Opening) -> Reader {
        if queue.readers.len() >= MAX_READERS {
            // Its next look finds that it has no place any more.
            queue.readers.remove(0).wake();
        }
        queue.last_reader += 1;
        let reader = queue.last_reader;
        queue.readers.push(Place { reader, waker: None });
        Reader { stream: self.clone(), reader, opening }
    }

    /// Adds a message; waits while there are many and somebody reads.
    pub(super) async fn send(&self, message: ServerJsonRpcMessage) {
        let _ = tokio::time::timeout(PATIENCE, self.room()).await;
        self.push(message);
    }

    /// Adds a message, in the place of the oldest if many wait.
    fn push(&self, message: ServerJsonRpcMessage) {
        let bytes = json_bytes(&message);
        let mut queue = self.queue();
        if queue.has_ended {
            return;
        }
        while queue.is_full() {
            queue.waiting.pop_front();
        }
        queue.add(message, bytes);
    }

    /// Tells of a change without waiting, unless the same waits to be told.
    pub(super) fn tell(&self, change: ServerNotification) {
        let is_told = |event: &Event| {
            matches!(&*event.content, ServerJsonRpcMessage::Notification(waiting)
                if is_same_change(&waiting.notification, &change))
        };
        if !self.queue().waiting.iter().any(is_told) {
            self.push(ServerJsonRpcMessage::notification(change));
        }
    }

    /// The number of updated resources that fit beside what waits for a reader. Without one, the newest replace the
    /// oldest.
    pub(super) fn room_for_updates(&self) -> usize {
        let queue = self.queue();
        match (queue.readers.is_empty(), queue.is_full()) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => (CAPACITY - LISTS).saturating_sub(queue.waiting.len()),
        }
    }

    async fn room(&self) {
        loop {
            let changed = self.0.room.notified();
            {
                let queue = self.queue();
                if !queue.is_full() || queue.readers.is_empty() || queue.has_ended {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Adds the last message, without waiting.
    pub(super) fn finish(&self, message: ServerJsonRpcMessage) {
        let mut queue = self.queue();
        if !queue.has_ended {
            queue.has_ended = true;
            queue.add(message, 0);
            queue.forget_much();
        }
    }

    /// Ends the stream after the messages that wait.
    pub(super) fn end(&self) {
        let mut queue = self.queue();
        queue.has_ended = true;
        queue.wake_all();
        drop(queue);
        self.0.room.notify_waiters();
    }

    /// True if it has ended and was read to its end.
    pub(super) fn is_exhausted(&self) -> bool {
        self.queue().is_exhausted()
    }

    /// True if nobody reads it.
    pub(super) fn is_alone(&self) -> bool {
        self.queue().readers.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event_id(&self, index: u64) -> String {
        format!("{}-{index}", self.0.name)
    }
}

/// True for two messages of which a client needs one.
fn is_same_change(one: &ServerNotification, other: &ServerNotification) -> bool {
    match (one, other) {
        (
            ServerNotification::ResourceUpdatedNotification(one),
            ServerNotification::ResourceUpdatedNotification(other),
        ) => one.params.uri == other.params.uri,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// The length of a message's JSON.
fn json_bytes(message: &ServerJsonRpcMessage) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, message).map_or(WAITING_BYTES, |()| counter.0)
}

impl Queue {
    fn add(&mut self, message: ServerJsonRpcMessage, bytes: usize) {
        self.last_index += 1;
        self.waiting.push_back(Event { index: self.last_index, bytes, content: Arc::new(message) });
        if let Some(newest) = self.readers.last_mut() {
            newest.wake();
        }
    }

    /// Waits for the next message, while this is the newest response.
    fn take(&mut self) -> Option<Event> {
        let message = self.waiting.pop_front()?;
        if self.is_exhausted() {
            // Nobody will ask for any of it again.
            self.taken.clear();
            self.wake_all();
        } else {
            self.taken.push_back(message.clone());
            while self.taken.len() > REPLAYED || bytes_of(&self.taken) > REPLAYED_BYTES {
                self.taken.pop_front();
            }
        }
        Some(message)
    }

    fn is_exhausted(&self) -> bool {
        self.has_ended && self.waiting.is_empty()
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= CAPACITY || bytes_of(&self.waiting) >= WAITING_BYTES
    }

    /// Drops the rest of an answer if it is large. A small one waits for a client that was cut off.
    fn forget_much(&mut self) {
        if !self.has_ended || !self.readers.is_empty() {
            return;
        }
        if self.waiting.iter().map(|event| json_bytes(&event.content)).sum::<usize>() > REST_BYTES {
            self.waiting.clear();
        }
    }

    fn last_taken(&self) -> u64 {
        self.waiting.front().map_or(self.last_index, |message| message.index - 1)
    }

    fn wake_all(&mut self) {
        self.readers.iter_mut().for_each(Place::wake);
    }
}

/// The bytes of these events; a few of them, so they are counted anew each time.
fn bytes_of(events: &VecDeque<Event>) -> usize {
    events.iter().map(|event| event.bytes).sum()
}

impl Place {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Stream for Reader {
    type Item = ServerSseMessage;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.stream.clone();
        let mut queue = stream.queue();
        if std::mem::replace(&mut self.opening, Opening::Plain) == Opening::Primed {
            return Poll::Ready(Some(ServerSseMessage::priming(stream.event_id(queue.last_taken()), RETRY)));
        }
        if queue.is_exhausted() {
            return Poll::Ready(None);
        }
        let Some(place) = queue.readers.iter().position(|place| place.reader == self.reader) else {
            return Poll::Ready(None);
        };
        let is_newest = place + 1 == queue.readers.len();
        if is_newest && let Some(Event { index, content, .. }) = queue.take() {
            drop(queue);
            stream.0.room.notify_waiters();
            let mut event = ServerSseMessage::default();
            event.event_id = Some(stream.event_id(index));
            event.message = Some(content);
            return Poll::Ready(Some(event));
        }
        queue.readers[place].waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut queue = self.stream.queue();
        queue.readers.retain(|place| place.reader != self.reader);
        if let Some(newest) = queue.readers.last_mut() {
            newest.wake();
        }
        queue.forget_much();
        drop(queue);
        self.stream.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
