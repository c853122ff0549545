//! Delivery of a stream's messages, without HTTP around it.

use futures::{FutureExt, StreamExt};
use rmcp::model::{EmptyResult, RequestId, ServerResult};

use super::*;

fn message(number: i64) -> ServerJsonRpcMessage {
    ServerJsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), RequestId::Number(number))
}

fn stream() -> EventStream {
    EventStream::new("s".to_owned())
}

/// The numbers that a reader can have now; `None` at the end for a stream that has ended.
fn now(reader: &mut Reader) -> Vec<Option<i64>> {
    let mut numbers = Vec::new();
    while let Some(event) = reader.next().now_or_never() {
        let Some(event) = event else {
            numbers.push(None);
            break;
        };
        match event.message.as_deref() {
            Some(ServerJsonRpcMessage::Response(response)) => match response.id {
                RequestId::Number(number) => numbers.push(Some(number)),
                RequestId::String(_) => panic!("{event:?}"),
            },
            _ => assert!(event.retry.is_some(), "{event:?}"),
        }
    }
    numbers
}

#[tokio::test]
async fn the_newest_reader_takes_over_and_gives_back() {
    let stream = stream();
    let mut first = stream.read(Opening::Plain);
    stream.send(message(1)).await;
    assert_eq!(now(&mut first), [Some(1)]);
    let mut second = stream.read(Opening::Plain);
    stream.send(message(2)).await;
    assert_eq!((now(&mut first), now(&mut second)), (vec![], vec![Some(2)]));
    stream.send(message(3)).await;
    drop(second);
    assert_eq!(now(&mut first), [Some(3)]);
}

#[tokio::test]
async fn what_waits_is_read_before_the_end() {
    let stream = stream();
    let mut older = stream.read(Opening::Plain);
    let mut newest = stream.read(Opening::Plain);
    stream.send(message(1)).await;
    stream.finish(message(2));
    assert!(!stream.is_exhausted());
    assert_eq!(now(&mut older), []);
    assert_eq!(now(&mut newest), [Some(1), Some(2), None]);
    assert_eq!(now(&mut older), [None]);
    assert!(stream.is_exhausted());
    stream.send(message(3)).await;
    assert_eq!(now(&mut newest), [None]);
}

#[tokio::test]
async fn a_reader_goes_on_after_what_was_seen() {
    let stream = stream();
    let mut reader = stream.read(Opening::Plain);
    for number in 1..=4 {
        stream.send(message(number)).await;
    }
    assert_eq!(now(&mut reader), [Some(1), Some(2), Some(3), Some(4)]);
    drop(reader);
    stream.send(message(5)).await;
    assert_eq!(now(&mut stream.resume(2)), [Some(3), Some(4), Some(5)]);
    assert_eq!(now(&mut stream.resume(5)), []);
    assert_eq!(now(&mut stream.resume(4)), [Some(5)]);
}

#[tokio::test]
async fn a_primed_reader_begins_where_the_stream_is() {
    let stream = stream();
    let mut reader = stream.read(Opening::Primed);
    let first = reader.next().await.unwrap();
    assert_eq!((first.event_id.as_deref(), first.message.is_none()), (Some("s-0"), true));
    stream.send(message(1)).await;
    stream.send(message(2)).await;
    assert_eq!(reader.next().await.unwrap().event_id.as_deref(), Some("s-1"));
    let again = stream.read(Opening::Primed).next().await.unwrap();
    assert_eq!(again.event_id.as_deref(), Some("s-1"));
}

#[tokio::test]
async fn without_a_reader_the_oldest_make_room() {
    let stream = stream();
    let many = i64::try_from(CAPACITY).unwrap() + 2;
    for number in 1..=many {
        stream.send(message(number)).await;
    }
    assert_eq!(now(&mut stream.read(Opening::Plain)), (3..=many).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sender_waits_for_its_reader() {
    let stream = stream();
    let mut reader = stream.read(Opening::Plain);
    for number in 0..i64::try_from(CAPACITY).unwrap() {
        stream.send(message(number)).await;
    }
    let mut sent = std::pin::pin!(stream.send(message(99)));
    assert!(sent.as_mut().now_or_never().is_none());
    assert!(reader.next().await.is_some());
    sent.await;
    assert_eq!(now(&mut reader).last(), Some(&Some(99)));
}

#[test]
fn a_change_is_told_at_once_and_waits_once() {
    let changed = || ServerNotification::ToolListChangedNotification(Default::default());
    let stream = stream();
    let mut reader = stream.read(Opening::Plain);
    for _ in 0..1000 {
        stream.tell(changed());
    }
    stream.tell(ServerNotification::PromptListChangedNotification(Default::default()));
    let mut told = || std::iter::from_fn(|| reader.next().now_or_never().flatten()).count();
    assert_eq!(told(), 2);
    stream.tell(changed());
    assert_eq!(told(), 1);
}

#[test]
fn updates_leave_room_for_changes_of_lists_and_drop_nothing_that_is_read() {
    let stream = stream();
    assert_eq!(stream.room_for_updates(), usize::MAX);
    let mut reader = stream.read(Opening::Plain);
    let room = stream.room_for_updates();
    for number in 0..room {
        let params = rmcp::model::ResourceUpdatedNotificationParam::new(format!("x:{number}"));
        let updated = rmcp::model::ResourceUpdatedNotification::new(params);
        stream.tell(ServerNotification::ResourceUpdatedNotification(updated));
    }
    assert_eq!(stream.room_for_updates(), 0);
    stream.tell(ServerNotification::ToolListChangedNotification(Default::default()));
    stream.tell(ServerNotification::PromptListChangedNotification(Default::default()));
    stream.tell(ServerNotification::ResourceListChangedNotification(Default::default()));
    let told = std::iter::from_fn(|| reader.next().now_or_never().flatten()).count();
    assert_eq!((told, stream.room_for_updates()), (room + 3, room));
}

#[tokio::test]
async fn little_is_kept_of_large_messages() {
    let large = || {
        let params = rmcp::model::ResourceUpdatedNotificationParam::new("x".repeat(WAITING_BYTES / 2));
        let updated = rmcp::model::ResourceUpdatedNotification::new(params);
        ServerJsonRpcMessage::notification(ServerNotification::ResourceUpdatedNotification(updated))
    };
    let stream = stream();
    for _ in 0..CAPACITY {
        stream.send(large()).await;
    }
    assert_eq!(stream.queue().waiting.len(), 2);
    let mut reader = stream.read(Opening::Plain);
    let mut sent = std::pin::pin!(stream.send(large()));
    assert!(sent.as_mut().now_or_never().is_none());
    while reader.next().now_or_never().is_some() {}
    sent.await;
    assert!(bytes_of(&stream.queue().taken) <= REPLAYED_BYTES);
}
