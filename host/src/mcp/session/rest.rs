//! The rest of a response whose client was cut off, for another server than the one that runs the call.
//!
//! The server that the client comes back to gives the rest a name, and tells it to the others with the last event that the
//! client has got. The one that has the stream reads on for it, and lays down one piece after the other on the person's
//! shelf, each once the one before it was taken: a client that reads slowly slows down the call, as it would there. The
//! first piece has no event, and says whose they are: without it nobody has the stream, and the response ends empty, at
//! which a client tries again. What servers tell each other is a reason to look, so that a lost word costs a moment only;
//! a store that is away for a moment costs that moment.

use std::collections::HashMap;
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

/// Time for which a piece waits for the server that asked for it.
const PIECE_KEPT: Duration = Duration::from_secs(60);

/// Time without a take after which that server is taken to be gone. Shorter: a piece that has expired is not there either.
const TAKEN_WITHIN: Duration = Duration::from_secs(45);

/// Time between two tries of a store that is away, and the time after which there is no further one.
const TRY_EVERY: Duration = Duration::from_secs(1);
const TRIED_FOR: Duration = Duration::from_secs(30);

/// The most events of one piece.
const EVENTS: usize = 16;

/// A piece of a rest. The next one is there when it was taken.
#[derive(Serialize, Deserialize)]
struct Piece {
    /// The server that has the stream.
    of: String,
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
    /// Asked for here: wakes who looks for pieces.
    asked: HashMap<String, Arc<Notify>>,
    /// Read here for others.
    read: HashMap<String, Arc<Reading>>,
}

/// A rest that is read for another server.
#[derive(Default)]
struct Reading {
    /// The other server has taken a piece.
    taken: Notify,
    /// Its client is gone.
    left: CancellationToken,
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
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "the rest of a stream could not be laid down for another server");
                }
                // Nobody takes what may lie there.
                None => drop(rests.shelf.take(place).await),
            }
            rests.under_way().read.remove(&name);
        });
    }

    /// Another server says that there is more of a rest.
    pub(super) fn told(&self, name: &str) {
        if let Some(asked) = self.under_way().asked.get(name) {
            asked.notify_one();
        }
    }

    /// Another server says that it has taken a piece.
    pub(super) fn taken(&self, name: &str) {
        if let Some(reading) = self.under_way().read.get(name) {
            reading.taken.notify_one();
        }
    }

    /// Another server's client is gone.
    pub(super) fn left(&self, name: &str) {
        if let Some(reading) = self.under_way().read.get(name) {
            reading.left.cancel();
        }
    }

    async fn lay_down(&self, place: Place<'_>, reading: &Reading, reader: Reader) -> Result<(), ShelfError> {
        let events = reader.filter_map(|event| async {
            Some(Event { id: event.event_id?, message: serde_json::to_value(event.message?).ok()? })
        });
        let mut pieces = std::pin::pin!(events.ready_chunks(EVENTS));
        let mut piece = Piece { of: self.shelf.replicas().own_name(), events: Vec::new(), is_last: false };
        loop {
            let bytes = serde_json::to_vec(&piece).expect("a piece is JSON");
            tried(|| self.shelf.put(place, &bytes, PIECE_KEPT).boxed()).await?;
            // Whoever is not told looks by itself.
            let _ = self.tell(RestHint::More(place.name.to_owned())).await;
            if piece.is_last || !self.is_taken(place, reading).await? {
                return Ok(());
            }
            let events = pieces.next().await;
            piece.is_last = events.is_none();
            piece.events = events.unwrap_or_default();
        }
    }

    /// Waits until a piece was taken; false if nobody does.
    async fn is_taken(&self, place: Place<'_>, reading: &Reading) -> Result<bool, ShelfError> {
        let since = Instant::now();
        while tried(|| self.shelf.get(place).boxed()).await?.is_some() {
            if since.elapsed() > TAKEN_WITHIN {
                return Ok(false);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, reading.taken.notified()).await;
        }
        Ok(true)
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
        let more = Arc::new(Notify::new());
        rests.under_way().asked.insert(self.name.clone(), Arc::clone(&more));
        rests.tell(hint).await?;
        let mut of = None;
        let mut next_look = FOUND_WITHIN;
        let unread = RestHint::Unread(self.name.clone());
        loop {
            tokio::select! {
                () = events.closed() => return rests.tell(unread).await,
                _ = tokio::time::timeout(next_look, more.notified()) => {}
            }
            if let Some(piece) = tried(|| shelf.take(place).boxed()).await? {
                let Ok(piece) = serde_json::from_slice::<Piece>(&piece) else { return rests.tell(unread).await };
                for event in piece.events {
                    if events.send(event.into()).await.is_err() {
                        return rests.tell(unread).await;
                    }
                }
                if piece.is_last {
                    return Ok(());
                }
                of = Some(piece.of);
                // Whoever is not told looks by itself.
                let _ = rests.tell(RestHint::Taken(self.name.clone())).await;
            }
            match &of {
                Some(server) if !shelf.replicas().is_gone(server) => next_look = LOOK_EVERY,
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
        let next = async || loop {
            if let Some(piece) = shelf.take(place).await.unwrap() {
                rests.taken(NAME);
                return serde_json::from_slice::<Piece>(&piece).unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        };
        sleep(Duration::from_millis(200)).await;
        assert_eq!(shelf.ledger(&person).await.unwrap().names(Kind::Letter).collect::<Vec<_>>(), [NAME]);
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
