//! The stand-in's HTTP: reads requests, lets faults happen, remembers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::endpoints::answer;
use super::{Fault, RecordedRequest, Shared};

/// A body that is larger than anybody should read.
const HUGE_BYTES: usize = 8 * 1024 * 1024;

/// A request with its whole body.
pub(super) struct IncomingRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Parameters,
    pub(super) form: Parameters,
    pub(super) headers: HeaderMap,
}

/// Names and values, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A value; `None` without it, or when it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// A name that is there twice.
    pub(super) fn repeated(&self) -> Option<&str> {
        let is_repeated =
            |(at, (name, _)): &(usize, &(String, String))| self.0[..*at].iter().any(|(key, _)| key == name);
        self.0.iter().enumerate().find(is_repeated).map(|(_, (name, _))| name.as_str())
    }
}

/// An answer.
pub(super) type Reply = Response<Full<Bytes>>;

pub(super) fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).expect("a status of ours");
    reply.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a type of ours"));
    reply
}

pub(super) fn json(status: u16, body: &Value) -> Reply {
    let mut reply = reply(status, "application/json", body.to_string());
    reply.headers_mut().insert("cache-control", "no-store".parse().expect("a header of ours"));
    reply
}

pub(super) fn html(status: u16, body: String) -> Reply {
    reply(status, "text/html; charset=utf-8", body)
}

pub(super) fn redirect(to: &str) -> Reply {
    let mut reply = reply(302, "text/plain", "");
    reply.headers_mut().insert("location", to.parse().expect("a URL is a header's value"));
    reply
}

/// Answers connections until the task is ended.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        if shared.state().is_down {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&shared), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error of the service makes hyper cut the connection.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Cut> {
    if shared.state().is_down {
        return Err(Cut);
    }
    let asked = read(request).await.map_err(|_| Cut)?;
    let fault = shared.state().faults.iter().find(|(path, _)| asked.path.starts_with(path)).map(|(_, fault)| *fault);
    if let Some(Fault::Slow(delay)) = fault {
        shared.state().held += 1;
        tokio::time::sleep(delay).await;
    }
    let reply = match fault {
        None | Some(Fault::Slow(_)) => Ok(answer(&shared, &asked)),
        Some(Fault::Cut) => Err(Cut),
        Some(fault) => Ok(failed(fault)),
    };
    let headers = asked.headers.iter();
    shared.state().sent.push(RecordedRequest {
        method: asked.method.to_string(),
        path: asked.path.clone(),
        parameters: asked.query.0.iter().chain(&asked.form.0).cloned().collect(),
        headers: headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned())).collect(),
        status: reply.as_ref().map_or(0, |reply| reply.status().as_u16()),
    });
    reply
}

async fn read(request: Request<Incoming>) -> Result<IncomingRequest, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_form = crate::http::content_type(&head.headers) == "application/x-www-form-urlencoded";
    Ok(IncomingRequest {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: Parameters::parse(head.uri.query().unwrap_or_default().as_bytes()),
        form: if is_form { Parameters::parse(&body) } else { Parameters::default() },
        headers: head.headers,
    })
}

fn failed(fault: Fault) -> Reply {
    match fault {
        Fault::Status(status) => html(status, "<h1>Something is wrong here</h1>".to_owned()),
        Fault::TooMany => {
            let mut reply = json(429, &serde_json::json!({ "error": "too_many_requests" }));
            reply.headers_mut().insert(RETRY_AFTER, "7".parse().expect("a header of ours"));
            reply
        }
        Fault::Garbage => reply(200, "application/json", "{\"access_token\": \"cut sho"),
        Fault::Huge => reply(200, "application/json", vec![b' '; HUGE_BYTES]),
        Fault::Slow(_) | Fault::Cut => unreachable!("these have no answer of their own"),
    }
}
