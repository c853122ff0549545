//! The rest of a response whose client was cut off, for another server than the one that runs the call.
//!
//! The server that the client comes back to gives the rest a name, and tells it to the others with the last event that the
//! client has got. The one that has the stream reads on for it, and lays down one piece after the other on the person's
//! shelf. The first piece says whose they are: without it nobody has the stream, and the response ends empty, at which a
//! client tries again. What servers tell each other is a reason to look, so that a lost word costs a moment only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
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
use crate::replicas::ClientHint;

/// Time within which the server that has a stream says so.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// Time between two looks for pieces that nobody has told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Time for which a piece waits for the server that asked for it.
const PIECE_KEPT: Duration = Duration::from_secs(60);

/// Events that wait for the client here. What waits in the store is bounded there.
const EVENTS: usize = 1;

/// A piece of a rest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Piece {
    /// This server has the stream.
    Of(String),
    /// An event.
    Event {
        /// Its id, as the server that has the stream gives it.
        id: String,
        message: Value,
    },
    /// The end of the stream.
    End,
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
    /// Read here for others: ends that.
    read: HashMap<String, CancellationToken>,
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
        let (events, mut stream) = mpsc::channel(EVENTS);
        let asked = Asked { rests: self.clone(), person, name: format!("rest.{:016x}", rand::random::<u64>()) };
        let hint = ClientHint::Resumed {
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
        let left = CancellationToken::new();
        self.under_way().read.insert(name.to_owned(), left.clone());
        let (rests, name) = (self.clone(), name.to_owned());
        self.tracker.spawn(async move {
            if let Some(Err(error)) = left.run_until_cancelled(rests.lay_down(&person, &name, reader)).await {
                tracing::debug!(%error, "the rest of a stream could not be laid down for another server");
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

    /// Another server's client is gone.
    pub(super) fn left(&self, name: &str) {
        if let Some(left) = self.under_way().read.get(name) {
            left.cancel();
        }
    }

    async fn lay_down(&self, person: &Person, name: &str, reader: Reader) -> Result<(), ShelfError> {
        let first = Piece::Of(self.shelf.replicas().own_name());
        let events = reader.filter_map(|event| async {
            let message = serde_json::to_value(event.message?).ok()?;
            Some(Piece::Event { id: event.event_id?, message })
        });
        let pieces = futures::stream::iter([first]).chain(events).chain(futures::stream::iter([Piece::End]));
        let mut pieces = std::pin::pin!(pieces.enumerate());
        while let Some((number, piece)) = pieces.next().await {
            let piece = serde_json::to_vec(&piece).expect("a piece is JSON");
            let place = Place { person, kind: Kind::Letter, name: &format!("{name}.{number:08}") };
            self.shelf.put(place, &piece, PIECE_KEPT).await?;
            self.shelf.tell(ClientHint::Rest(name.to_owned())).await?;
        }
        Ok(())
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
    async fn fetch(self, hint: ClientHint, events: mpsc::Sender<ServerSseMessage>) -> Result<(), ShelfError> {
        let shelf = &self.rests.shelf;
        let more = Arc::new(Notify::new());
        self.rests.under_way().asked.insert(self.name.clone(), Arc::clone(&more));
        shelf.tell(hint).await?;
        let mut of = None;
        let mut next_look = FOUND_WITHIN;
        let unread = ClientHint::RestUnread(self.name.clone());
        loop {
            tokio::select! {
                () = events.closed() => return shelf.tell(unread).await,
                _ = tokio::time::timeout(next_look, more.notified()) => {}
            }
            for name in self.pieces().await? {
                let Ok(room) = events.reserve().await else { return shelf.tell(unread).await };
                match self.take(&name).await? {
                    Some(Piece::Of(server)) => of = Some(server),
                    Some(Piece::Event { id, message }) => room.send(event(id, message)),
                    Some(Piece::End) => return Ok(()),
                    // It has made room for a newer one.
                    None => {}
                }
            }
            match &of {
                Some(server) if !shelf.replicas().is_gone(server) => next_look = LOOK_EVERY,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The names of the pieces that are there, the first one first.
    async fn pieces(&self) -> Result<Vec<String>, ShelfError> {
        let ledger = self.rests.shelf.ledger(&self.person).await?;
        let own = ledger.names(Kind::Letter).filter(|name| name.starts_with(self.name.as_str()));
        let mut names: Vec<String> = own.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn take(&self, name: &str) -> Result<Option<Piece>, ShelfError> {
        let taken = self.rests.shelf.take(Place { person: &self.person, kind: Kind::Letter, name }).await?;
        Ok(taken.and_then(|piece| serde_json::from_slice(&piece).ok()))
    }
}

fn event(id: String, message: Value) -> ServerSseMessage {
    let mut event = ServerSseMessage::default();
    event.event_id = Some(id);
    event.message = as_it_is(message).map(Arc::new);
    event
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
    use super::*;

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
