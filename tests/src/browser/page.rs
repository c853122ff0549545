//! Pages: forms, texts, and automatic redirects.

use std::fmt;

use url::Url;

use crate::encoding::unescape;
use crate::http::Answer;

/// A page as it came.
#[derive(Clone)]
pub struct Page {
    /// Its URL.
    pub url: Url,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: http::HeaderMap,
    /// The body of the answer.
    pub html: String,
}

/// A form of a page.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Its target.
    pub action: String,
    /// Its inputs with their values, hidden ones included.
    pub fields: Vec<(String, String)>,
    /// The names of the inputs that a person can fill in.
    pub texts: Vec<String>,
    /// Its buttons.
    pub buttons: Vec<(String, String)>,
}

impl Page {
    pub(super) fn new(url: Url, answer: Answer) -> Self {
        let html = answer.text();
        Self { url, status: answer.status, headers: answer.headers, html }
    }

    /// A header's value; empty without the header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Its text as people read it: without tags, and with single spaces.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut rest = self
            .html
            .split_once("<body")
            .map_or(self.html.as_str(), |(_, body)| body.split_once('>').map_or("", |(_, body)| body));
        while let Some((before, after)) = rest.split_once('<') {
            text.push_str(before);
            text.push(' ');
            rest = after.split_once('>').map_or("", |(_, rest)| rest);
        }
        text.push_str(rest);
        unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Its forms.
    pub fn forms(&self) -> Vec<Form> {
        let mut forms = Vec::new();
        for tag in tags(&self.html) {
            match (tag.name.as_str(), forms.last_mut()) {
                ("form", _) => {
                    forms.push(Form { action: tag.attribute("action").unwrap_or_default(), ..Form::default() });
                }
                ("input", Some(form)) => form.add(&tag),
                ("button", Some(form)) => {
                    let name = tag.attribute("name").unwrap_or_default();
                    form.buttons.push((name, tag.attribute("value").unwrap_or_default()));
                }
                _ => {}
            }
        }
        forms
    }

    /// The form with a button.
    ///
    /// # Panics
    /// When there is none.
    pub fn form_with_button(&self, name: &str, value: &str) -> Form {
        let has = |form: &Form| form.buttons.iter().any(|button| *button == (name.to_owned(), value.to_owned()));
        self.forms().into_iter().find(has).unwrap_or_else(|| panic!("no button {name}={value}: {self:#?}"))
    }

    /// The form with a field that a person can fill in.
    ///
    /// # Panics
    /// When there is none.
    pub fn form_with_text(&self) -> Form {
        let has = |form: &Form| !form.texts.is_empty();
        self.forms().into_iter().find(has).unwrap_or_else(|| panic!("nothing to fill in: {self:#?}"))
    }

    /// True for a page that asks for a name.
    pub fn asks_for_a_name(&self) -> bool {
        self.forms().iter().any(|form| !form.texts.is_empty())
    }

    /// True for a page that asks for a decision.
    pub fn asks_for_consent(&self) -> bool {
        let decides = |form: &Form| form.buttons.iter().any(|(name, _)| name == "decision");
        !self.asks_for_a_name() && self.forms().iter().any(decides)
    }

    /// The seconds after which it leads on by itself, and the URL.
    pub fn refresh(&self) -> Option<(u32, Url)> {
        let is_refresh =
            |tag: &Tag| tag.attribute("http-equiv").is_some_and(|kind| kind.eq_ignore_ascii_case("refresh"));
        let content =
            tags(&self.html).into_iter().find(|tag| tag.name == "meta" && is_refresh(tag))?.attribute("content")?;
        let (seconds, target) = content.split_once(';')?;
        let target = target.trim().strip_prefix("url=").or_else(|| target.trim().strip_prefix("URL="))?;
        Some((seconds.trim().parse().ok()?, Url::parse(target.trim_matches(['\'', '"'])).ok()?))
    }

    /// The targets of its links.
    pub fn links(&self) -> Vec<String> {
        tags(&self.html).iter().filter(|tag| tag.name == "a").filter_map(|tag| tag.attribute("href")).collect()
    }

    /// The target of its one link away from this server: a client that is only a click away.
    pub fn way_back(&self) -> Option<Url> {
        let links = self.links().into_iter().filter_map(|link| self.url.join(&link).ok());
        let mut away =
            links.filter(|link| (link.scheme(), link.authority()) != (self.url.scheme(), self.url.authority()));
        away.next().filter(|_| away.next().is_none())
    }

    /// The names of all elements on it.
    pub fn elements(&self) -> Vec<String> {
        tags(&self.html).into_iter().map(|tag| tag.name).collect()
    }

    /// True if its requests carry a `Referer`.
    pub(super) fn has_referrer(&self) -> bool {
        self.header("referrer-policy") != "no-referrer"
    }
}

impl Form {
    fn add(&mut self, input: &Tag) {
        let Some(name) = input.attribute("name") else { return };
        let kind = input.attribute("type").unwrap_or_else(|| "text".to_owned());
        match kind.as_str() {
            "submit" => return self.buttons.push((name, input.attribute("value").unwrap_or_default())),
            "hidden" => {}
            _ => self.texts.push(name.clone()),
        }
        self.fields.push((name, input.attribute("value").unwrap_or_default()));
    }

    /// A field's value; empty without the field.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.url, self.text())
    }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// The start tags of a page. It is no parser for pages of strangers: comments and scripts are not known to it.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        let is_start = after.starts_with(|first: char| first.is_ascii_alphabetic());
        if is_start {
            let (tag, after) = read_tag(after);
            tags.push(tag);
            rest = after;
        }
    }
    tags
}

fn read_tag(text: &str) -> (Tag, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(text.len());
    let mut tag = Tag { name: text[..end].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (tag, rest.get(1..).unwrap_or_default());
        }
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len());
        let name = rest[..end.max(1)].to_ascii_lowercase();
        rest = rest[end.max(1)..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                _ => after.split_at(after.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(after.len())),
            };
        }
        tag.attributes.push((name, unescape(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        let url = "http://localhost/".parse().unwrap();
        Page { url, status: 200, headers: http::HeaderMap::new(), html: html.to_owned() }
    }

    #[test]
    fn forms_have_fields_texts_and_buttons() {
        let page = page(
            "<body><form method=post action=\"/go?a=1&amp;b=2\"><input type='hidden' name=request value='a&#38;b&quot;'>\
             <input name=\"name\" autofocus required><button name=decision value=approve>Yes</button></form>",
        );
        let form = page.form_with_button("decision", "approve");
        assert_eq!((form.action.as_str(), form.field("request")), ("/go?a=1&b=2", "a&b\""));
        assert_eq!(form.texts, ["name"]);
        assert!(page.asks_for_a_name() && !page.asks_for_consent());
    }

    #[test]
    fn pages_lead_on() {
        let page =
            page("<meta http-equiv=\"refresh\" content=\"0; url=cursor://x/y?code=1&amp;state=2\"><body>A<b>B</b>");
        let (seconds, url) = page.refresh().unwrap();
        assert_eq!((seconds, url.as_str()), (0, "cursor://x/y?code=1&state=2"));
        assert_eq!(page.text(), "A B");
    }
}
