//! Sends requests as it is told: the guest of the tests about `http`, and of the benchmark.

use std::mem::forget;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

wit_bindgen::generate!({ world: "fetch", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

const PIECE_BYTES: u64 = 64 * 1024;

const NANOSECONDS: u64 = 1_000_000;

struct Fetch;

impl Guest for Fetch {
    fn fetch(method: String, url: String, headers: Vec<Header>, body: Option<String>) -> Result<Answer, String> {
        let request = request(&method, &url, &headers)?;
        let pending = match body {
            None => handle(request, None).map_err(text)?,
            Some(text_of_body) => {
                let body = request.body().map_err(|()| "the body is taken")?;
                let pending = handle(request, None).map_err(text)?;
                send(&body, text_of_body.len() as u64, |range| text_of_body.as_bytes()[range].to_vec())?;
                OutgoingBody::finish(body, None).map_err(text)?;
                pending
            }
        };
        answer(wait(&pending).map_err(text)?)
    }

    fn fetch_within(url: String, timeouts: Timeouts) -> Result<Answer, String> {
        let options = RequestOptions::new();
        let set = |result: Result<(), ()>| result.map_err(|()| "the timeout is not supported");
        set(options.set_connect_timeout(Some(u64::from(timeouts.connect_ms) * NANOSECONDS)))?;
        set(options.set_first_byte_timeout(Some(u64::from(timeouts.first_byte_ms) * NANOSECONDS)))?;
        set(options.set_between_bytes_timeout(Some(u64::from(timeouts.between_bytes_ms) * NANOSECONDS)))?;
        let pending = handle(request("GET", &url, &[])?, Some(options)).map_err(text)?;
        answer(wait(&pending).map_err(text)?)
    }

    fn fetch_all(urls: Vec<String>) -> Vec<String> {
        let send = |url: &String| handle(request("GET", url, &[])?, None).map_err(text);
        let pending: Vec<Result<FutureIncomingResponse, String>> = urls.iter().map(send).collect();
        let read = |sent: Result<FutureIncomingResponse, String>| {
            let answer = answer(wait(&sent?).map_err(text)?)?;
            Ok(answer.status.to_string())
        };
        pending.into_iter().map(|sent| read(sent).unwrap_or_else(|error: String| error)).collect()
    }

    fn upload(url: String, bytes: u64, trailer: bool) -> Result<u16, String> {
        let request = request("POST", &url, &[])?;
        let body = request.body().map_err(|()| "the body is taken")?;
        let pending = handle(request, None).map_err(text)?;
        let sent = send(&body, bytes, |range| vec![b'x'; range.len()]);
        let trailers = trailer.then(|| {
            let fields = Fields::new();
            fields.append("x-trailer", b"x").expect("it is a header");
            fields
        });
        let finished = OutgoingBody::finish(body, trailers).map_err(text);
        let response = wait(&pending).map_err(text)?;
        sent.and(finished)?;
        Ok(response.status())
    }

    fn download(url: String) -> Result<u64, String> {
        let response = wait(&handle(request("GET", &url, &[])?, None).map_err(text)?).map_err(text)?;
        let body = response.consume().map_err(|()| "the body is taken")?;
        let stream = body.stream().map_err(|()| "the stream is taken")?;
        let mut count = 0;
        match read(&stream, |piece| count += piece.len() as u64) {
            Ok(()) => Ok(count),
            Err(error) => Err(format!("{error} after {count} bytes")),
        }
    }

    fn leave(url: String) -> Result<u64, String> {
        let response = wait(&handle(request("GET", &url, &[])?, None).map_err(text)?).map_err(text)?;
        let body = response.consume().map_err(|()| "the body is taken")?;
        let stream = body.stream().map_err(|()| "the stream is taken")?;
        let first = stream.blocking_read(1).map_err(|error| error.to_string())?;
        // Nothing is dropped: the host has to let go of it.
        forget((stream, body, response));
        Ok(first.len() as u64)
    }

    fn panic_at(url: String) -> u16 {
        let sent = handle(request("GET", &url, &[]).expect("it can be written"), None).expect("it is sent");
        wait(&sent).expect("this request is granted").status()
    }
}

fn request(method: &str, url: &str, headers: &[Header]) -> Result<OutgoingRequest, String> {
    let fields = Fields::new();
    for Header { name, value } in headers {
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
    }
    let (scheme, rest) = url.split_once("//").ok_or("the URL has no `//`")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let scheme = match scheme.trim_end_matches(':') {
        "" => None,
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        other => Some(Scheme::Other(other.to_owned())),
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(fields);
    request.set_method(&method).map_err(|()| "method refused")?;
    request.set_scheme(scheme.as_ref()).map_err(|()| "scheme refused")?;
    request.set_authority(Some(authority)).map_err(|()| "authority refused")?;
    request.set_path_with_query(Some(path)).map_err(|()| "path refused")?;
    Ok(request)
}

fn send(body: &OutgoingBody, bytes: u64, piece: impl Fn(std::ops::Range<usize>) -> Vec<u8>) -> Result<(), String> {
    let stream = body.write().map_err(|()| "the stream is taken")?;
    let ready = stream.subscribe();
    let mut sent = 0;
    while sent < bytes {
        ready.block();
        let room = stream.check_write().map_err(|error| error.to_string())?.min(PIECE_BYTES).min(bytes - sent);
        if room > 0 {
            stream.write(&piece(sent as usize..(sent + room) as usize)).map_err(|error| error.to_string())?;
            sent += room;
        }
    }
    Ok(())
}

fn wait(pending: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    pending.subscribe().block();
    let got = pending.get().expect("the response is there once its pollable is ready");
    got.expect("a response is taken only once")
}

fn answer(response: IncomingResponse) -> Result<Answer, String> {
    let status = response.status();
    let headers = listed(&response.headers());
    let body = response.consume().map_err(|()| "the body is taken")?;
    let mut bytes = Vec::new();
    {
        let stream = body.stream().map_err(|()| "the stream is taken")?;
        read(&stream, |piece| bytes.extend_from_slice(piece))?;
    }
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = match trailers.get() {
        Some(Ok(Ok(Some(fields)))) => listed(&fields),
        Some(Ok(Err(error))) => return Err(text(error)),
        _ => Vec::new(),
    };
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { status, headers, body, trailers })
}

fn read(stream: &InputStream, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) => take(&piece),
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(code.map_or_else(|| error.to_debug_string(), text));
            }
        }
    }
}

fn listed(fields: &Fields) -> Vec<Header> {
    let entries = fields.entries().into_iter();
    entries.map(|(name, value)| Header { name, value: String::from_utf8_lossy(&value).into_owned() }).collect()
}

fn text(error: ErrorCode) -> String {
    error.to_string()
}

export!(Fetch);
