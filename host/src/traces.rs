//! Spans of calls, for OTLP: which calls have one is decided here, by a share of them, and by nobody else.
//!
//! A client may name the trace that it is in (`traceparent` in `_meta`, SEP-414): a call that has a span anyway is then a
//! part of that trace. Neither its flags nor its `tracestate` or `baggage` are read.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::metrics::{Outcome, Times, names};

/// The handle. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracing>>);

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

struct Tracing {
    tracer: SdkTracer,
    /// Calls have a span whose number, of all 32 bits, is below this.
    below: u64,
}

/// The span of a client in which it made a call (W3C Trace Context, §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
}

/// A call for its span.
pub struct TracedCall<'a> {
    /// The client's span.
    pub parent: Option<TraceParent>,
    /// The method of the protocol.
    pub method: &'static str,
    /// The plugin.
    pub plugin: &'a str,
    /// The tool.
    pub tool: Option<&'a str>,
    /// The time of its arrival.
    pub began: SystemTime,
    /// Its times.
    pub times: Times,
    /// Its end.
    pub outcome: Outcome,
}

impl Traces {
    /// Spans of this share of calls, between 0 and 1.
    pub fn new(tracer: SdkTracer, share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
        let below = (share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Self((below > 0).then(|| Arc::new(Tracing { tracer, below })))
    }

    /// Decides whether a call that begins now has a span.
    pub fn samples(&self) -> bool {
        self.0.as_ref().is_some_and(|tracing| u64::from(rand::random::<u32>()) < tracing.below)
    }

    /// True if some calls have a span.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Makes the span of a call that is over.
    pub fn record(&self, call: &TracedCall<'_>) {
        let Some(tracing) = &self.0 else { return };
        let name = match call.tool {
            Some(tool) => format!("{} {tool}", call.method),
            None => call.method.to_owned(),
        };
        let mut attributes = vec![
            KeyValue::new(names::METHOD, call.method),
            KeyValue::new(names::TRANSPORT, "tcp"),
            KeyValue::new("tinymcp.plugin", call.plugin.to_owned()),
            KeyValue::new("tinymcp.outcome", call.outcome.word()),
            in_seconds("tinymcp.part.waiting", call.times.waiting),
            in_seconds("tinymcp.part.instantiating", call.times.instantiating),
            in_seconds("tinymcp.part.egress", call.times.egress),
        ];
        if let Some(tool) = call.tool {
            attributes.push(KeyValue::new(names::TOOL, tool.to_owned()));
            attributes.push(KeyValue::new(names::OPERATION, "execute_tool"));
        }
        attributes.extend(call.outcome.error().map(|error| KeyValue::new(names::ERROR, error)));
        let status = match call.outcome.error() {
            Some(error) => Status::error(error),
            None => Status::Unset,
        };
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(call.began)
            .with_attributes(attributes);
        let context = match call.parent {
            Some(TraceParent { trace, span }) => Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(trace),
                SpanId::from_bytes(span),
                TraceFlags::default(),
                true,
                TraceState::NONE,
            )),
            None => Context::new(),
        };
        let mut span = tracing.tracer.build_with_context(builder, &context);
        opentelemetry::trace::Span::set_status(&mut span, status);
        opentelemetry::trace::Span::end_with_timestamp(&mut span, call.began + call.times.total);
    }
}

fn in_seconds(name: &'static str, time: Duration) -> KeyValue {
    KeyValue::new(name, time.as_secs_f64())
}

impl TraceParent {
    /// Reads a `traceparent`. One that is not as it should be counts as none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let _: ([u8; 1], [u8; 1]) = (hex(version)?, hex(flags)?);
        let (trace, span) = (hex(trace)?, hex(span)?);
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span })
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    is_hex.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_only_as_the_standard_writes_it() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(good).unwrap();
        assert_eq!((parent.trace[0], parent.span[7]), (0x4b, 0xb7));
        assert!(TraceParent::parse(&good.replace("00-4", "01-4")).is_some());
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_off() {
        assert!(!Traces::default().samples() && !Traces::default().is_on());
    }
}
