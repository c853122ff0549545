//! `tools/list` and the other lists as text that is kept: a client gets a slice of it, for nothing but the copy that the
//! kernel makes.
//!
//! Invariant: the text of a list goes with the revisions of its catalog, which change whenever a client would see another
//! list. It has everything in the catalog, which is that of one view, in the form of one era; a person gets the items that they may see, as the
//! runs of neighbours between those that they may not. So there is one text for all people, whatever their scopes, and
//! however many read it slowly.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use rmcp::ErrorData;
use rmcp::model::{RequestId, Tool};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::discovery::Discovery;
use super::introduction::Introductions;
use super::listing::shows;
use super::message::{Era, Message};
use super::{answer, listing, plain_call};
use crate::plugins::catalog::{Catalog, Revisions};
use crate::plugins::served::Served;
use crate::principal::Principal;
use crate::view::View;

/// The most slices of which an answer is sent; one of more is copied together.
const MAX_RUNS: usize = 16;

/// Views whose texts are kept. Those that are gone are forgotten with all others when there are more.
const MAX_VIEWS: usize = 100;

/// A list of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// The lists of a server.
pub(super) struct Lists {
    /// The most items of one answer.
    page: usize,
    /// The server's own tools, which end the list.
    own: Texts,
    introductions: Arc<Introductions>,
    kept: Mutex<Arc<Kept>>,
    /// The same of views, by their names.
    of_views: Mutex<BTreeMap<String, Arc<Kept>>>,
}

/// The texts of one catalog, each made when it is first asked for.
#[derive(Default)]
struct Kept {
    revisions: Revisions,
    texts: [[OnceLock<Result<Texts, ErrorData>>; 2]; 4],
}

/// JSON items, separated by commas.
#[derive(Debug, Default)]
struct Texts {
    text: Bytes,
    /// The end of each.
    ends: Vec<usize>,
}

/// A part of a list: slices of its text, and the cursor of the part after it.
struct Page {
    slices: Vec<Bytes>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

impl List {
    fn of(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::Templates),
            _ => None,
        }
    }

    /// The member of the result that has the items.
    fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// Each item's key, by which the list is ordered, and its plugin.
    fn entries(self, catalog: &Catalog) -> Vec<(&str, &Served)> {
        match self {
            Self::Tools => catalog.tools().iter().map(|tool| (&*tool.name, &tool.served)).collect(),
            Self::Prompts => catalog.prompts().iter().map(|prompt| (&*prompt.name, &prompt.served)).collect(),
            Self::Resources => catalog.resources().iter().map(|it| (it.uri(), &it.served)).collect(),
            Self::Templates => catalog.templates().iter().map(|it| (it.uri_template(), &it.served)).collect(),
        }
    }

    fn texts(self, catalog: &Catalog, is_modern: bool) -> Result<Texts, ErrorData> {
        let json = |item: serde_json::Result<Vec<u8>>| item.map_err(|_| ErrorData::internal_error("a list", None));
        match self {
            Self::Tools => Texts::of(
                catalog.tools().iter().map(|it| json(serde_json::to_vec(&for_era(listing::tool(it), is_modern)))),
            ),
            Self::Prompts => {
                Texts::of(catalog.prompts().iter().map(|it| json(serde_json::to_vec(&listing::prompt(it)?))))
            }
            Self::Resources => {
                Texts::of(catalog.resources().iter().map(|it| json(serde_json::to_vec(&listing::resource(it)?))))
            }
            Self::Templates => {
                Texts::of(catalog.templates().iter().map(|it| json(serde_json::to_vec(&listing::template(it)?))))
            }
        }
    }

    /// The beginning of a cursor of this list at a view.
    fn mark(self, view: &View) -> String {
        match view.name() {
            None => format!("{}\n", self.member()),
            Some(view) => format!("{}/{view}\n", self.member()),
        }
    }

    /// The place in this list after an item, as clients send it back.
    fn cursor(self, view: &View, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mark(view) + key)
    }

    /// The key of the last item before a cursor.
    fn key(self, view: &View, cursor: &str) -> Result<String, ErrorData> {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|text| String::from_utf8(text).ok());
        let key = text.as_deref().and_then(|text| text.strip_prefix(&*self.mark(view)));
        let unknown = || ErrorData::invalid_params("unknown cursor: list again from the beginning", None);
        key.map(str::to_owned).ok_or_else(unknown)
    }
}

/// Clients of the older era know output schemas of objects only.
fn for_era(mut tool: Tool, is_modern: bool) -> Tool {
    if !is_modern {
        tool.output_schema.take_if(|schema| schema.get("type").and_then(Value::as_str) != Some("object"));
    }
    tool
}

impl Texts {
    fn of(items: impl Iterator<Item = Result<Vec<u8>, ErrorData>>) -> Result<Self, ErrorData> {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for item in items {
            if !ends.is_empty() {
                text.push(b',');
            }
            text.append(&mut item?);
            ends.push(text.len());
        }
        text.shrink_to_fit();
        Ok(Self { text: text.into(), ends })
    }

    /// The text of neighbours.
    fn slice(&self, items: &Range<usize>) -> Bytes {
        let start = if items.start == 0 { 0 } else { self.ends[items.start - 1] + 1 };
        self.text.slice(start..self.ends[items.end - 1])
    }
}

impl Lists {
    /// Lists that are sent in answers of `page` items.
    pub(super) fn new(discovery: Discovery, introductions: Arc<Introductions>, page: usize) -> Self {
        let own = Texts::of(discovery.tools().map(|tool| Ok(serde_json::to_vec(&tool).expect("tools are JSON"))));
        let (kept, of_views) = Default::default();
        Self { page, own: own.unwrap_or_default(), introductions, kept, of_views }
    }

    /// Answers a message that asks for a list in its plainest form; the others are rmcp's.
    pub(super) fn serve(
        &self,
        message: &Message<'_>,
        body: &[u8],
        catalog: &Catalog,
        principal: &Principal,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let list = List::of(&message.method)?;
        let id = message.id.as_ref()?;
        let is_known = matches!(message.era, Era::Modern | Era::Session(_) | Era::Sessionless);
        if !is_known || !message.is_versioned || !plain_call::fits(message, None, headers) {
            return None;
        }
        let Request { params } = serde_json::from_slice(body).ok()?;
        let cursor = params.and_then(|params| params.cursor);
        let is_modern = message.era.is_modern();
        let page = self.page(list, cursor.as_deref(), is_modern, catalog, principal).ok()?;
        let start = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{}"#,
            id_json(id),
            self.start(list, &page, is_modern, principal)
        );
        let mut response = answer::json_response(page.body(start, "]}}"));
        // rmcp says so in all answers of the older protocol.
        if !is_modern {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        Some(response)
    }

    /// A list as rmcp takes it.
    ///
    /// # Errors
    /// -32602 for an unknown cursor.
    pub(super) fn result<T: DeserializeOwned>(
        &self,
        list: List,
        cursor: Option<&str>,
        is_modern: bool,
        catalog: &Catalog,
        principal: &Principal,
    ) -> Result<T, ErrorData> {
        let page = self.page(list, cursor, is_modern, catalog, principal)?;
        let mut text = self.start(list, &page, is_modern, principal).into_bytes();
        text.extend(page.slices.iter().flatten());
        text.extend_from_slice(b"]}");
        serde_json::from_slice(&text).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// The text of a result before its items.
    fn start(&self, list: List, page: &Page, is_modern: bool, principal: &Principal) -> String {
        let introduction = is_modern.then(|| self.introductions.of(principal.view()));
        let modern = introduction.as_ref().map_or("", |introduction| &introduction.of_lists);
        let next = page.next.as_ref().map(|cursor| format!(r#""nextCursor":"{cursor}","#)).unwrap_or_default();
        format!(r#"{{{modern}{next}"{}":["#, list.member())
    }

    fn page(
        &self,
        list: List,
        cursor: Option<&str>,
        is_modern: bool,
        catalog: &Catalog,
        principal: &Principal,
    ) -> Result<Page, ErrorData> {
        let entries = list.entries(catalog);
        let view = principal.view();
        let kept = self.kept(view, catalog.revisions());
        let texts = kept.texts[list as usize][usize::from(is_modern)].get_or_init(|| list.texts(catalog, is_modern));
        let texts = texts.as_ref().map_err(Clone::clone)?;
        if texts.ends.len() != entries.len() {
            return Err(ErrorData::internal_error("the list has changed: ask again", None));
        }
        let begin = match cursor {
            None => 0,
            Some(cursor) => {
                let key = list.key(view, cursor)?;
                entries.partition_point(|(other, _)| *other <= key.as_str())
            }
        };
        let (mut runs, mut count, mut next) = (Vec::<Range<usize>>::new(), 0, None);
        for (at, (_, served)) in entries.iter().enumerate().skip(begin) {
            if !shows(served, principal) {
                continue;
            }
            if count == self.page {
                let last = runs.last().map_or(0, |run| run.end - 1);
                next = Some(list.cursor(view, entries[last].0));
                break;
            }
            count += 1;
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        let mut slices: Vec<Bytes> = runs.iter().map(|run| texts.slice(run)).collect();
        if list == List::Tools && next.is_none() && !self.own.ends.is_empty() {
            slices.push(self.own.text.clone());
        }
        // Commas between the slices.
        let commas = (1..slices.len()).rev().collect::<Vec<_>>();
        for at in commas {
            slices.insert(at, Bytes::from_static(b","));
        }
        Ok(Page { slices, next })
    }

    /// The texts of the catalog of these revisions at a view.
    fn kept(&self, view: &View, revisions: Revisions) -> Arc<Kept> {
        let Some(view) = view.name() else {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return Arc::clone(of_revisions(&mut kept, revisions));
        };
        let mut of_views = self.of_views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = of_views.get_mut(view) {
            return Arc::clone(of_revisions(kept, revisions));
        }
        if of_views.len() >= MAX_VIEWS {
            of_views.clear();
        }
        Arc::clone(of_revisions(of_views.entry(view.to_owned()).or_default(), revisions))
    }
}

/// These texts, or new ones if they are of another catalog.
fn of_revisions(kept: &mut Arc<Kept>, revisions: Revisions) -> &Arc<Kept> {
    if kept.revisions != revisions {
        *kept = Arc::new(Kept { revisions, ..Kept::default() });
    }
    kept
}

fn id_json(id: &RequestId) -> String {
    serde_json::to_string(id).expect("ids are JSON")
}

impl Page {
    /// The whole answer: `start`, the items, `end`.
    fn body(self, start: String, end: &'static str) -> Body {
        let mut slices = VecDeque::from(self.slices);
        if slices.len() > MAX_RUNS {
            slices = VecDeque::from([Bytes::from(slices.make_contiguous().concat())]);
        }
        slices.push_front(start.into());
        slices.push_back(Bytes::from_static(end.as_bytes()));
        Body::new(Slices(slices))
    }
}

/// A body of slices, of a length that is known.
struct Slices(VecDeque<Bytes>);

impl http_body::Body for Slices {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|slice| slice.len() as u64).sum())
    }
}
