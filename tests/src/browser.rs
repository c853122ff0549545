//! A person with a browser, as far as a login needs one: cookies, redirects, forms, and the headers by which a server tells a
//! navigation from an attack.
//!
//! [`page`]: pages and their forms. [`jar`]: cookies.

pub mod jar;
pub mod page;

use std::collections::HashMap;

use url::Url;

use crate::http::{Answer, Request};
use jar::Jar;
use page::{Form, Page};

/// More redirects than a login has; browsers give up as well.
const MAX_REDIRECTS: usize = 20;

/// More pages than a login has.
const MAX_PAGES: usize = 6;

/// The end of a navigation.
#[derive(Clone, Debug)]
pub enum Landing {
    /// At a page.
    Page(Page),
    /// On the way to a client: its redirect URI, which is not followed.
    Client(Url),
}

/// A browser and the person in front of it. Clones are other browsers with the same cookies.
#[derive(Clone)]
pub struct Browser {
    /// The name that the person gives when a page asks for it.
    pub name: String,
    /// True for a person who approves clients.
    pub approves: bool,
    /// True for a person who goes on at the provider.
    pub logs_in: bool,
    /// The cookies.
    pub jar: Jar,
    /// Every hop: method, URL and status.
    pub history: Vec<String>,
    /// Origin of the page that is shown.
    shown: Option<Url>,
    /// Redirect URIs of clients, at which a redirect leaves the browser.
    clients: Vec<Url>,
}

impl Browser {
    /// A new browser of somebody who agrees to everything.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            approves: true,
            logs_in: true,
            jar: Jar::default(),
            history: Vec::new(),
            shown: None,
            clients: Vec::new(),
        }
    }

    /// Somebody who denies what clients ask for.
    pub fn denying(name: &str) -> Self {
        Self { approves: false, ..Self::of(name) }
    }

    /// Goes to a URL as if it were typed in. When it asks for an authorization, its redirect URI is the client's.
    pub async fn open(&mut self, url: &str) -> Landing {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let query: HashMap<_, _> = url.query_pairs().collect();
        self.clients.extend(query.get("redirect_uri").and_then(|uri| Url::parse(uri).ok()));
        self.shown = None;
        self.navigate("GET", url, None).await
    }

    /// Sends a form of the page, with the button that is pressed.
    pub async fn press(&mut self, page: &Page, form: &Form, button: Option<(&str, &str)>) -> Landing {
        let mut parameters = form.fields.clone();
        parameters.extend(button.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.submit(page, form, &parameters).await
    }

    /// Sends a form of the page with other contents.
    pub async fn submit(&mut self, page: &Page, form: &Form, parameters: &[(String, String)]) -> Landing {
        self.shown = Some(page.url.clone());
        let target = page.url.join(&form.action).expect("a form has somewhere to go");
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        // Fetch, "append a request Origin header": a page without referrer does not say where it is from.
        let origin = if page.has_referrer() { page.url.origin().ascii_serialization() } else { "null".to_owned() };
        self.navigate("POST", target, Some((body, origin))).await
    }

    /// Presses a button of the consent page.
    pub async fn decide(&mut self, page: &Page, decision: &str) -> Landing {
        let form = page.form_with_button("decision", decision);
        self.press(page, &form, Some(("decision", decision))).await
    }

    /// Gives the person's name, at the provider's page or at the built-in one.
    pub async fn log_in(&mut self, page: &Page) -> Landing {
        let form = page.form_with_text();
        let mut parameters = form.fields.clone();
        for (name, value) in &mut parameters {
            if form.texts.contains(name) {
                value.clone_from(&self.name);
            }
        }
        // To go on comes first, everywhere.
        let button = if self.logs_in { form.buttons.first() } else { form.buttons.last() };
        parameters.extend(button.cloned());
        self.submit(page, &form, &parameters).await
    }

    /// Fills in the page: decides, or logs in.
    ///
    /// # Errors
    /// The page, if there is nothing to fill in.
    pub async fn answer(&mut self, page: Page) -> Result<Landing, Page> {
        if page.asks_for_a_name() {
            return Ok(self.log_in(&page).await);
        }
        if page.asks_for_consent() {
            let decision = if self.approves { "approve" } else { "deny" };
            return Ok(self.decide(&page, decision).await);
        }
        Err(page)
    }

    /// Reads an answer that another client received.
    ///
    /// # Panics
    /// If it is no page and no redirect.
    pub fn see(&self, url: Url, answer: Answer) -> Landing {
        match answer.header("location") {
            "" => Landing::Page(Page::new(url, answer)),
            location => Landing::Client(location.parse().unwrap_or_else(|error| panic!("{location}: {error}"))),
        }
    }

    /// Goes through a whole authorization. Returns the URL at which the client is called back, or the page at which it stops.
    pub async fn walk(&mut self, url: &str) -> Landing {
        let landing = self.open(url).await;
        self.walk_on(landing).await
    }

    /// Goes on from somewhere in an authorization to its end.
    pub async fn walk_on(&mut self, mut landing: Landing) -> Landing {
        for _ in 0..MAX_PAGES {
            landing = match landing {
                Landing::Client(_) => return landing,
                Landing::Page(page) => match self.answer(page).await {
                    Ok(landing) => landing,
                    Err(page) => return Landing::Page(page),
                },
            };
        }
        panic!("a login of too many pages: {:#?}", self.history);
    }

    /// Sends a request and follows what comes.
    async fn navigate(&mut self, method: &str, url: Url, body: Option<(String, String)>) -> Landing {
        let (mut method, mut url, mut body) = (method.to_owned(), url, body);
        // `Sec-Fetch-Site` is the worst of all hops.
        let mut is_same_origin = self.shown.as_ref().is_none_or(|shown| shown.origin() == url.origin());
        for _ in 0..MAX_REDIRECTS {
            let answer = self.send(&method, &url, body.as_ref(), is_same_origin).await;
            self.history.push(format!("{method} {url}: {}", answer.status));
            self.jar.take(&url, &answer);
            let location = Some(answer.header("location")).filter(|_| (300..400).contains(&answer.status));
            let Some(location) = location.filter(|location| !location.is_empty()) else {
                self.shown = Some(url.clone());
                return Landing::Page(Page::new(url, answer));
            };
            let target = url.join(location).unwrap_or_else(|error| panic!("{location}: {error}"));
            if self.is_of_client(&target) {
                return Landing::Client(target);
            }
            if !matches!(answer.status, 307 | 308) {
                (method, body) = ("GET".to_owned(), None);
            }
            is_same_origin &= target.origin() == url.origin();
            url = target;
        }
        panic!("too many redirects: {:#?}", self.history);
    }

    fn is_of_client(&self, target: &Url) -> bool {
        let is_http = matches!(target.scheme(), "http" | "https");
        let is_client = |client: &Url| {
            (client.scheme(), client.authority(), client.path()) == (target.scheme(), target.authority(), target.path())
        };
        !is_http || self.clients.iter().any(is_client)
    }

    async fn send(&self, method: &str, url: &Url, body: Option<&(String, String)>, is_same_origin: bool) -> Answer {
        let site = match &self.shown {
            None => "none",
            Some(_) if is_same_origin => "same-origin",
            Some(_) => "cross-site",
        };
        let mut request = Request::to(url, method)
            .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("user-agent", "Mozilla/5.0 (tinymcp-tests)");
        if let Some((body, origin)) = body {
            request = request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded");
            request = request.body(body.clone());
        }
        let cookies = self.jar.header(url);
        if cookies.is_empty() { request.send().await } else { request.header("cookie", &cookies).send().await }
    }
}

impl Landing {
    /// The page.
    ///
    /// # Panics
    /// When it has left for a client.
    pub fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Client(url) => panic!("not a page but the client: {url}"),
        }
    }

    /// The client's redirect URI with its parameters.
    ///
    /// # Panics
    /// When it is a page that does not lead there.
    pub fn client(self) -> Url {
        match self {
            Self::Client(url) => url,
            Self::Page(page) => match page.refresh() {
                Some((_, url)) => url,
                None => panic!("not the client but a page: {page:#?}"),
            },
        }
    }

    /// The client's redirect URI with its parameters, to which nothing but a click leads.
    ///
    /// # Panics
    /// When the browser goes there by itself, or there is no such link.
    pub fn clicked(self) -> Url {
        let page = self.page();
        assert_eq!((page.refresh(), page.header("refresh")), (None, ""), "{page:#?}");
        assert!(!page.elements().contains(&"script".to_owned()), "{page:#?}");
        page.way_back().unwrap_or_else(|| panic!("no way back: {page:#?}"))
    }

    /// The parameters that the client is called back with.
    pub fn told(self) -> HashMap<String, String> {
        self.client().query_pairs().into_owned().collect()
    }
}
