//! The rest of a response whose client was cut off, for another server than the one that runs the call.
//!
//! The server that the client comes back to gives the rest a name, and tells it to the others with the last event that the
//! client has got. The one that has the stream reads on for it, and lays down one piece after the other on the person's
//! shelf, each once the other one says that it has taken the one before: a client that reads slowly slows down the call, as
//! it would there. Pieces have numbers, and are laid down and looked at again and again until they are taken: what is said
//! or written twice, or lost on the way, costs time and no event. The first piece has no event, and says whose they are:
//! without it nobody has the stream, and the response ends empty, at which a client tries again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use rmcp::model::{
    CustomNotification, CustomRequest, CustomResult, JsonRpcMessage, JsonRpcNotification, JsonRpcRequest,
    JsonRpcResponse, ServerJsonRpcMessage, ServerNotification, ServerRequest, ServerResult,
};
use rmcp::transport::streamable_http_server::session::ServerSseMessage;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mcp::event_stream::Reader;
use crate::mcp::shelf::{Kind, Person, Place, Shelf, ShelfError, person_hex};
use crate::replicas::{Hint, RestHint};

/// Time within which the server that has a stream says so.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// Time between two looks for what nobody has told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Time for which a piece is there if nobody takes it away.
const PIECE_KEPT: Duration = Duration::from_secs(60);

/// Time without a take after which the server that asked is taken to be gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(45);

/// Time between two tries of a store that is away, and the time after which there is no further one.
const TRY_EVERY: Duration = Duration::from_secs(1);
const TRIED_FOR: Duration = Duration::from_secs(30);

/// The most events of one piece.
const EVENTS: usize = 16;

/// A piece of a rest. The next one takes its place when it was taken.
#[derive(Serialize, Deserialize)]
struct Piece {
    /// The server that has the stream.
    of: String,
    /// Counted from 1.
    number: u64,
    events: Vec<Event>,
    /// The stream has ended with them.
    is_last: bool,
}

#[derive(Serialize, Deserialize)]
struct Event {
    /// As the server that has the stream gives it.
    id: String,
    message: Value,
}

/// The rests that are under way between this server and others.
#[derive(Clone)]
pub(super) struct Rests {
    shelf: Shelf,
    tracker: TaskTracker,
    under_way: Arc<Mutex<UnderWay>>,
}

/// By their names.
#[derive(Default)]
struct UnderWay {
    /// Asked for here.
    asked: HashMap<String, Arc<Asking>>,
    /// Read here for others.
    read: HashMap<String, Arc<Reading>>,
}

/// A rest that this server asks for.
#[derive(Default)]
struct Asking {
    /// There is more.
    more: Notify,
    /// The other server reads it no longer.
    is_over: AtomicBool,
}

/// A rest that is read for another server.
#[derive(Default)]
struct Reading {
    /// The number of the last piece that the other server has taken.
    taken: AtomicU64,
    /// That is another one.
    changed: Notify,
    /// Its client is gone.
    left: CancellationToken,
}

impl Reading {
    async fn is_taken(&self, number: u64) {
        while self.taken.load(Ordering::Acquire) < number {
            self.changed.notified().await;
        }
    }
}

impl Rests {
    pub(super) fn new(shelf: Shelf, tracker: TaskTracker) -> Self {
        Self { shelf, tracker, under_way: Arc::default() }
    }

    /// Asks the other servers for the rest of a stream after an event; empty if none of them has it.
    pub(super) fn ask(
        &self,
        person: Person,
        session: &str,
        event: String,
    ) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
        let (events, mut stream) = mpsc::channel(1);
        let asked = Asked { rests: self.clone(), person, name: format!("rest.{:016x}", rand::random::<u64>()) };
        let hint = RestHint::Asked {
            person: person_hex(&person),
            session: session.to_owned(),
            event,
            rest: asked.name.clone(),
        };
        self.tracker.spawn(async move {
            if let Err(error) = asked.fetch(hint, events).await {
                tracing::debug!(%error, "the rest of a stream could not be fetched from another server");
            }
        });
        futures::stream::poll_fn(move |context| stream.poll_recv(context))
    }

    /// Reads a stream for the server that asks for it by this name.
    pub(super) fn read(&self, person: Person, name: &str, reader: Reader) {
        let reading = Arc::new(Reading::default());
        self.under_way().read.insert(name.to_owned(), Arc::clone(&reading));
        let (rests, name) = (self.clone(), name.to_owned());
        self.tracker.spawn(async move {
            let place = Place { person: &person, kind: Kind::Letter, name: &name };
            match reading.left.run_until_cancelled(rests.lay_down(place, &reading, reader)).await {
                Some(Ok(Ended::Read)) | None => {}
                Some(Ok(Ended::Untaken)) => drop(rests.tell(RestHint::Over(name.clone())).await),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the rest of a stream could not be laid down for another server");
                    let _ = rests.tell(RestHint::Over(name.clone())).await;
                }
            }
            rests.under_way().read.remove(&name);
            let _ = rests.shelf.lift(place).await;
        });
    }

    /// Another server says that there is more of a rest.
    pub(super) fn told(&self, name: &str) {
        if let Some(asked) = self.under_way().asked.get(name) {
            asked.more.notify_one();
        }
    }

    /// Another server says that it reads a rest no longer.
    pub(super) fn over(&self, name: &str) {
        if let Some(asked) = self.under_way().asked.get(name) {
            asked.is_over.store(true, Ordering::Release);
            asked.more.notify_one();
        }
    }

    /// Another server says that it has taken pieces up to this number from a server. If that was this one, and it reads the
    /// rest no longer, the other one is to know.
    pub(super) fn taken(&self, name: &str, of: &str, number: u64) {
        if of != self.shelf.replicas().own_name() {
            return;
        }
        let reading = self.under_way().read.get(name).cloned();
        match reading {
            Some(reading) => {
                reading.taken.fetch_max(number, Ordering::Release);
                reading.changed.notify_one();
            }
            None => {
                let (rests, name) = (self.clone(), name.to_owned());
                self.tracker.spawn(async move { drop(rests.tell(RestHint::Over(name)).await) });
            }
        }
    }

    /// Another server's client is gone.
    pub(super) fn left(&self, name: &str) {
        if let Some(reading) = self.under_way().read.get(name) {
            reading.left.cancel();
        }
    }

    async fn lay_down(&self, place: Place<'_>, reading: &Reading, reader: Reader) -> Result<Ended, ShelfError> {
        let events = reader.filter_map(|event| async {
            Some(Event { id: event.event_id?, message: serde_json::to_value(event.message?).ok()? })
        });
        let mut pieces = std::pin::pin!(events.ready_chunks(EVENTS));
        let mut piece = Piece { of: self.shelf.replicas().own_name(), number: 1, events: Vec::new(), is_last: false };
        loop {
            if !self.is_taken(place, reading, &piece).await? {
                return Ok(Ended::Untaken);
            }
            if piece.is_last {
                return Ok(Ended::Read);
            }
            let events = pieces.next().await;
            piece.number += 1;
            piece.is_last = events.is_none();
            piece.events = events.unwrap_or_default();
        }
    }

    /// Lays a piece down until it is taken; false if nobody does.
    async fn is_taken(&self, place: Place<'_>, reading: &Reading, piece: &Piece) -> Result<bool, ShelfError> {
        let bytes = serde_json::to_vec(piece).expect("a piece is JSON");
        let since = Instant::now();
        while since.elapsed() < TAKEN_WITHIN {
            tried(|| self.shelf.lay(place, &bytes, PIECE_KEPT).boxed()).await?;
            // Whoever is not told looks by itself.
            let _ = self.tell(RestHint::More(place.name.to_owned())).await;
            if tokio::time::timeout(LOOK_EVERY, reading.is_taken(piece.number)).await.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the other servers.
    async fn tell(&self, hint: RestHint) -> Result<(), ShelfError> {
        // In a box of any future: what waits for it would be a type that is too deep for the compiler.
        let told = self.shelf.replicas().tell(Hint::Rest(hint)).boxed().await;
        told.map_err(|fault| ShelfError::Store(fault.into()))
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the reading of a stream for another server ended.
enum Ended {
    Read,
    /// The other server has not taken a piece for long.
    Untaken,
}

/// A rest that a client of this server asks for.
struct Asked {
    rests: Rests,
    person: Person,
    name: String,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.rests.under_way().asked.remove(&self.name);
    }
}

impl Asked {
    async fn fetch(self, hint: RestHint, events: mpsc::Sender<ServerSseMessage>) -> Result<(), ShelfError> {
        let rests = &self.rests;
        let shelf = &rests.shelf;
        let place = Place { person: &self.person, kind: Kind::Letter, name: &self.name };
        let asking = Arc::new(Asking::default());
        rests.under_way().asked.insert(self.name.clone(), Arc::clone(&asking));
        rests.tell(hint).await?;
        let (mut of, mut seen) = (None, 0);
        let mut next_look = FOUND_WITHIN;
        let unread = RestHint::Unread(self.name.clone());
        loop {
            tokio::select! {
                () = events.closed() => return rests.tell(unread).await,
                _ = tokio::time::timeout(next_look, asking.more.notified()) => {}
            }
            // Before the look: what was laid down before it was over is taken yet.
            let is_over = asking.is_over.load(Ordering::Acquire);
            let mut is_last = false;
            if let Some(piece) = tried(|| shelf.get(place).boxed()).await? {
                let Ok(piece) = serde_json::from_slice::<Piece>(&piece) else { return rests.tell(unread).await };
                if piece.number > seen {
                    for event in piece.events {
                        if events.send(event.into()).await.is_err() {
                            return rests.tell(unread).await;
                        }
                    }
                }
                (of, seen, is_last) = (Some(piece.of), seen.max(piece.number), piece.is_last);
            }
            // Also what was said before: it may have been lost, and whoever has given up the stream is to say so.
            if let Some(of) = &of {
                let taken = RestHint::Taken { rest: self.name.clone(), of: of.clone(), number: seen };
                let _ = rests.tell(taken).await;
            }
            if is_last {
                return shelf.lift(place).await;
            }
            match &of {
                Some(server) if !is_over && !shelf.replicas().is_gone(server) => next_look = LOOK_EVERY,
                // One that says so too late is not to wait for its piece to be taken.
                Some(_) | None => return rests.tell(unread).await,
            }
        }
    }
}

/// Asks the store again and again while it is away, for a while.
async fn tried<'a, T>(ask: impl Fn() -> BoxFuture<'a, Result<T, ShelfError>>) -> Result<T, ShelfError> {
    let since = Instant::now();
    loop {
        match ask().await {
            Err(error) if since.elapsed() > TRIED_FOR => return Err(error),
            Err(_) => tokio::time::sleep(TRY_EVERY).await,
            done => return done,
        }
    }
}

impl From<Event> for ServerSseMessage {
    fn from(Event { id, message }: Event) -> Self {
        let mut event = Self::default();
        event.event_id = Some(id);
        event.message = as_it_is(message).map(Arc::new);
        event
    }
}

/// A message of a server as another one has written it: nothing of it is read and written anew. Missing parameters become
/// an empty object, since rmcp writes `null` for none.
fn as_it_is(message: Value) -> Option<ServerJsonRpcMessage> {
    type Any = JsonRpcMessage<CustomRequest, CustomResult, CustomNotification>;
    Some(match serde_json::from_value(message).ok()? {
        Any::Request(JsonRpcRequest { jsonrpc, id, mut request }) => {
            request.params.get_or_insert_with(|| json!({}));
            let request = ServerRequest::CustomRequest(request);
            ServerJsonRpcMessage::Request(JsonRpcRequest { jsonrpc, id, request })
        }
        Any::Response(JsonRpcResponse { jsonrpc, id, result }) => {
            let result = ServerResult::CustomResult(result);
            ServerJsonRpcMessage::Response(JsonRpcResponse { jsonrpc, id, result })
        }
        Any::Notification(JsonRpcNotification { jsonrpc, mut notification }) => {
            notification.params.get_or_insert_with(|| json!({}));
            let notification = ServerNotification::CustomNotification(notification);
            ServerJsonRpcMessage::Notification(JsonRpcNotification { jsonrpc, notification })
        }
        Any::Error(error) => ServerJsonRpcMessage::Error(error),
    })
}

#[cfg(test)]
mod tests {
    use rmcp::model::{EmptyResult, RequestId};
    use tokio::time::sleep;

    use super::*;
    use crate::mcp::event_stream::EventStream;
    use crate::mcp::shelf::testing::shelves;

    /// Whoever does not take what lies there gets no more, and keeps no other letters of the person from the shelf.
    #[tokio::test]
    async fn one_piece_at_a_time_waits_for_who_takes_it() {
        const NAME: &str = "rest.1";
        let shelves = shelves().await;
        let shelf = &shelves.shelf;
        let rests = Rests::new(shelf.clone(), TaskTracker::new());
        let stream = EventStream::new("s".to_owned());
        let person = [7; 32];
        let place = Place { person: &person, kind: Kind::Letter, name: NAME };
        rests.read(person, NAME, stream.resume(0));
        let send = |number| {
            let result = ServerResult::EmptyResult(EmptyResult {});
            stream.send(ServerJsonRpcMessage::response(result, RequestId::Number(number)))
        };
        for number in 0..16 {
            send(number).await;
        }
        let of = shelf.replicas().own_name();
        let seen = std::cell::Cell::new(0);
        let next = async || loop {
            let piece = shelf.get(place).await.unwrap();
            let piece = piece.map(|piece| serde_json::from_slice::<Piece>(&piece).unwrap());
            if let Some(piece) = piece.filter(|piece| piece.number > seen.get()) {
                assert_eq!(seen.replace(piece.number) + 1, piece.number);
                sleep(Duration::from_millis(50)).await;
                let again = shelf.get(place).await.unwrap().unwrap();
                assert_eq!(
                    serde_json::from_slice::<Piece>(&again).unwrap().number,
                    piece.number,
                    "nobody has said a word"
                );
                rests.taken(NAME, &of, piece.number);
                // What is said twice counts once.
                rests.taken(NAME, &of, piece.number);
                return piece;
            }
            sleep(Duration::from_millis(10)).await;
        };
        let first = next().await;
        assert!(first.events.is_empty() && !first.is_last);
        let mut ids: Vec<String> = Vec::new();
        while ids.len() < 16 {
            let piece = next().await;
            assert!(!piece.events.is_empty() && piece.events.len() <= EVENTS && !piece.is_last);
            ids.extend(piece.events.into_iter().map(|event| event.id));
        }
        assert_eq!(ids, (1..=16).map(|number| format!("s-{number}")).collect::<Vec<_>>());
        stream.end();
        let last = next().await;
        assert!(last.events.is_empty() && last.is_last);
    }

    #[test]
    fn a_message_stays_as_it_is() {
        for message in [
            json!({ "jsonrpc": "2.0", "id": "7", "result": { "content": [{ "type": "new" }], "isError": false, "x": 1 } }),
            json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": [{ "name": "a", "future": null }] } }),
            json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32603, "message": "no", "data": [1] } }),
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progress": 1, "_meta": { "a": 1 } } }),
            json!({ "jsonrpc": "2.0", "id": 3, "method": "elicitation/create", "params": { "message": "?", "_meta": { "a": 1 } } }),
        ] {
            assert_eq!(serde_json::to_value(as_it_is(message.clone()).unwrap()).unwrap(), message);
        }
        let without = json!({ "jsonrpc": "2.0", "id": 3, "method": "roots/list" });
        assert_eq!(serde_json::to_value(as_it_is(without).unwrap()).unwrap()["params"], json!({}));
    }
}
