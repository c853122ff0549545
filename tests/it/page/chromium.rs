//! A real Chromium at the page. Each run ends with its complaints: an error in the console, or anything that the content
//! security policy or Trusted Types stopped, fails it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tinymcp_tests::command::{CommandOutput, finish, report};
use tinymcp_tests::guests::{guest, kept_dir, tests_dir};
use tinymcp_tests::until;

use super::{Server, Site, World, local, with_shown};

/// Does these things in a browser. Returns the details of each, after all were ok.
async fn browse(url: &str, actions: &[&str]) -> Vec<Value> {
    let mut command = Command::new(tests_dir().join(".tools/node/node_modules/.bin/node"));
    command.arg(tests_dir().join("clients/chromium.mjs")).arg(url).args(actions).stdin(Stdio::null());
    let finished: CommandOutput = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    report(&finished);
    finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn base(server: &Server) -> String {
    format!("http://localhost:{}/", server.address.port())
}

/// Where a picture goes, for people to look at.
fn shot(name: &str) -> String {
    format!("shot:{}", pictures().join(format!("{name}.png")).display())
}

fn pictures() -> PathBuf {
    kept_dir("page")
}

/// Opens a tool, whose parts are then reached by [`of`].
fn open(tool: &str) -> String {
    format!("click:details[data-tool={tool}] > summary")
}

fn of(tool: &str, action: &str, selector: &str) -> String {
    format!("{action}:details[data-tool={tool}] {selector}")
}

const RUN: &str = "form[aria-label] button.first";

/// A login by the built-in page, on the way from the page at `/` and back.
const LOG_IN: [&str; 5] = [
    "click:a[href='/login?to=/']",
    "wait:/local/authorize",
    "type:input[name=name]=alice",
    "enter",
    "wait:Logged in as alice",
];

#[tokio::test]
async fn a_tool_is_tried_with_progress_messages_and_a_question() {
    let world = World::of(with_shown(local())).await;
    let (open, run) = (open("shown_steps"), of("shown_steps", "click", RUN));
    let choose = "select:.question select=green";
    let mut actions = LOG_IN.to_vec();
    actions.extend([
        open.as_str(),
        &run,
        "has:progress",
        "wait:step 3",
        "wait:message 3",
        "wait:The tool asks",
        choose,
        "type:.question textarea=a note",
        "axe",
        "click:.question button.first",
        "wait:accepted colour=green note=a note",
        "wait:Done after",
        &run,
        "wait:The tool asks",
        "click:.question button:nth-of-type(2)",
        "wait:declined",
    ]);
    browse(world.base.as_str(), &actions).await;
}

#[tokio::test]
async fn an_answer_is_whatever_the_form_has() {
    let server = with_shown(Site::new()).start().await;
    let (open, run) = (open("shown_fields"), of("shown_fields", "click", RUN));
    let field = |number: u32, text: &str| {
        format!("type:details[data-tool=shown_fields] .trial .field:nth-of-type({number}) :is(input, textarea)={text}")
    };
    let (text, count, exact) = (field(1, "two\nlines"), field(2, "7"), field(3, "12345678901234567890"));
    let actions = [
        open.as_str(),
        &run,
        "wait:A whole number belongs here.",
        &text,
        &count,
        &exact,
        "select:details[data-tool=shown_fields] .trial select=high",
        "click:details[data-tool=shown_fields] .trial fieldset label.check",
        &run,
        "wait:Structured output",
        "value:document.querySelector('[data-tool=shown_fields] .outcome pre').textContent",
    ];
    let done = browse(&base(&server), &actions).await;
    let shown = done.iter().find(|report| report["check"].as_str().unwrap().starts_with("value:")).unwrap();
    let entered: Value = serde_json::from_str(shown["detail"].as_str().unwrap()).unwrap();
    assert_eq!((&entered["text"], &entered["count"]), (&"two\nlines".into(), &7.into()), "{entered}");
    assert_eq!((&entered["level"], &entered["colours"]), (&"high".into(), &serde_json::json!(["red"])), "{entered}");
    assert_eq!((&entered["sure"], &entered["ratio"]), (&true.into(), &0.5.into()), "{entered}");
    assert!(entered.get("place").is_none() && entered.get("tags").is_none(), "{entered}");
}

#[tokio::test]
async fn an_argument_travels_in_its_header_too() {
    let site = Site::new().plugin("everything", &guest("everything"));
    let server = site.config("[plugin.everything]\nprefix = \"\"\n").start().await;
    let (open, run) = (open("test_header_parameter"), of("test_header_parameter", "click", RUN));
    let field = of("test_header_parameter", "type", ".trial textarea=Grüße in 中文");
    browse(&base(&server), &[open.as_str(), &field, &run, "wait:Done after"]).await;
}

#[tokio::test]
async fn a_new_plugin_appears_and_what_was_entered_stays() {
    let server = with_shown(Site::new()).start().await;
    let signal = pictures().join(format!("signal-{}", std::process::id()));
    let touch = format!("touch:{}", signal.display());
    let (open, field) = (open("shown_fields"), of("shown_fields", "type", ".trial textarea=kept"));
    let actions = [
        "wait:6 tools of 1 plugin",
        open.as_str(),
        &field,
        &touch,
        "wait:8 tools of 2 plugins",
        "has:details[data-tool=greeter_v1_greet]",
        "value:document.querySelector('[data-tool=shown_fields] .trial textarea').value",
        "axe",
    ];
    let url = base(&server);
    let put = async {
        until("the page", async || signal.exists()).await;
        server.site().put("greeter-v1.wasm", &guest("greeter-v1"));
    };
    let (done, ()) = tokio::join!(browse(&url, &actions), put);
    std::fs::remove_file(signal).unwrap();
    let value = done.iter().find(|report| report["check"].as_str().unwrap().starts_with("value:")).unwrap();
    assert_eq!(value["detail"], "kept");
}

#[tokio::test]
async fn hostile_texts_are_texts() {
    let server = with_shown(Site::new()).start().await;
    let (open, run) = (open("shown_hostile"), of("shown_hostile", "click", RUN));
    let actions = [
        open.as_str(),
        &run,
        "wait:Done after",
        "value:document.title",
        "value:document.querySelectorAll('.outcome img').length",
        "value:document.querySelectorAll('.outcome script, .outcome iframe, .outcome svg, .outcome b').length",
        "value:[...document.querySelectorAll('.outcome a')].map((a) => a.href).join(' ')",
        "value:document.querySelector('.outcome').textContent.includes('user\\\\u{202e}gnp.exe')",
        "value:document.querySelector('.outcome').textContent.length < 60000",
        "value:[...document.querySelectorAll('a')].every((a) => ['http:', 'https:', 'cursor:', 'vscode:'].includes(a.protocol))",
        "axe",
        "size:360x800",
        "fits",
    ];
    let done = browse(&base(&server), &actions).await;
    let values: Vec<&Value> = done
        .iter()
        .filter(|report| report["check"].as_str().unwrap().starts_with("value:"))
        .map(|report| &report["detail"])
        .collect();
    let expected = serde_json::json!(["TinyMCP", 1, 0, "https://example.com/page", true, true, true]);
    assert_eq!(serde_json::to_value(&values).unwrap(), expected);
}

#[tokio::test]
async fn what_may_destroy_something_is_asked_again() {
    let server = with_shown(Site::new()).start().await;
    let (open, run) = (open("shown_delete"), of("shown_delete", "click", RUN));
    let actions = [
        open.as_str(),
        &run,
        "wait:This may destroy something",
        "axe",
        "key:Escape",
        "gone:dialog",
        &run,
        "wait:This may destroy something",
        "click:dialog button[value=no]",
        "gone:dialog",
        "gone:.outcome",
        &run,
        "click:dialog button[value=yes]",
        "wait:all is gone",
    ];
    browse(&base(&server), &actions).await;
}

#[tokio::test]
async fn a_page_to_visit_is_named_and_a_failure_is_told() {
    let server = with_shown(Site::new()).start().await;
    let (visit, run_visit) = (open("shown_visit"), of("shown_visit", "click", RUN));
    let (long, run_long) = (open("shown_long"), of("shown_long", "click", RUN));
    let actions = [
        visit.as_str(),
        &run_visit,
        "wait:It wants you to open a page of pay.example.com",
        "axe",
        "click:.question button.first",
        "wait:it was visited",
        &long,
        &run_long,
        "wait:It failed after",
        "wait:it went wrong",
    ];
    browse(&base(&server), &actions).await;
}

#[tokio::test]
async fn keys_are_enough() {
    let server = with_shown(Site::new()).start().await;
    let (summary, run) = ("reach:details[data-tool=shown_delete] > summary", of("shown_delete", "reach", RUN));
    let actions = [
        "key:Tab",
        "value:document.activeElement.textContent",
        summary,
        "enter",
        &run,
        "enter",
        "wait:This may destroy something",
        "key:Tab",
        "reach:dialog button[value=yes]",
        "enter",
        "wait:all is gone",
        "reach:input[name=client]",
        "wait:Add to Cursor",
        "key:ArrowRight",
        "wait:claude mcp add",
    ];
    let done = browse(&base(&server), &actions).await;
    assert_eq!(done[2]["detail"], "Skip to the tools");
}

#[tokio::test]
async fn a_text_is_copied() {
    let server = Server::with(&[]).await;
    let copy = "click:pre.endpoint + button";
    let actions = [
        "clipboard",
        copy,
        "wait:Copied",
        "value:navigator.clipboard.readText().then((text) => document.title = text) && 1",
    ];
    browse(&base(&server), &[&actions[..], &["wait:/mcp", "page"]].concat()).await;
}

#[tokio::test]
async fn without_script_everything_is_there_but_trying() {
    let site = with_shown(Site::new());
    site.put("broken.wasm", b"\0asm nonsense");
    let server = site.start().await;
    let url = base(&server);
    let again = format!("open:{url}?");
    let open = open("shown_fields");
    let actions = [
        "noscript",
        again.as_str(),
        "wait:6 tools of 1 plugin; 1 file did not load",
        "wait:broken.wasm",
        "wait:shown_delete",
        &open,
        "wait:whole number, 0 to 1000",
        "wait:Trying it here needs JavaScript.",
        "click:label[for=client-cursor]",
        "wait:Add to Cursor",
        "click:label[for=client-codex]",
        "wait:[mcp_servers.tinymcp]",
    ];
    browse(&url, &actions).await;
}

#[tokio::test]
async fn axe_finds_nothing_by_day_and_by_night_on_a_desk_and_on_a_phone() {
    let config = "[auth]\nprovider = \"local\"\noperators = [\"sub:alice\"]\n";
    let site = with_shown(local().auth(config));
    site.put("broken.wasm", b"\0asm nonsense");
    let world = World::of(site).await;
    let (fields, hostile) = (open("shown_fields"), open("shown_hostile"));
    let pictures = ["stranger", "desk", "desk-dark", "phone", "phone-dark"].map(shot);
    let [stranger, desk, desk_dark, phone, phone_dark] = &pictures;
    let mut actions = vec!["size:1100x900", "axe", "fits", stranger.as_str()];
    actions.extend(LOG_IN);
    actions.extend([
        fields.as_str(),
        &hostile,
        "axe",
        "fits",
        desk,
        "dark",
        "axe",
        desk_dark,
        "size:360x800",
        "axe",
        "fits",
        phone_dark,
        "light",
        "axe",
        phone,
    ]);
    browse(world.base.as_str(), &actions).await;
    assert!(Path::new(pictures[0].trim_start_matches("shot:")).exists());
}

#[tokio::test]
async fn an_operator_approves_without_a_script_by_day_and_by_night() {
    let site = super::approving::site();
    let views = "[server]\ntitle = \"Acme tools\"\ndescription = \"Greetings for everybody at Acme.\"\n\
        website = \"https://acme.example/tools\"\nicon = \"icon.png\"\n\
        [view.ops]\nplugins = [\"shown\"]\ntitle = \"Operations\"\ndescription = \"What changes something.\"\n\
        [view.small]\nplugins = [\"shown\"]\ntools = [\"shown_fields\"]\n[plugin.shown]\napprove = false\n\
        [plugins]\napprove = true\n";
    let site = site.plugin("shown", &guest("shown")).config(views);
    // One red dot.
    let picture = "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de00\
        00000c49444154789c6338636c0c0003010133c4c27b130000000049454e44ae426082";
    let bytes = (0..picture.len()).step_by(2).map(|at| u8::from_str_radix(&picture[at..at + 2], 16).unwrap());
    std::fs::write(site.path().join("icon.png"), bytes.collect::<Vec<u8>>()).unwrap();
    let world = World::of(site).await;
    let [day, night, phone, phone_night, front, front_night, front_phone, none] = [
        "approval",
        "approval-dark",
        "approval-phone",
        "approval-phone-dark",
        "views",
        "views-dark",
        "views-phone",
        "approval-none",
    ]
    .map(shot);
    let mut actions = vec!["size:1100x900", "clipboard"];
    actions.extend(LOG_IN);
    actions.extend([
        "wait:Waiting for your approval",
        "value:document.querySelector('.picture').naturalWidth",
        "click:details[data-view=ops] > summary",
        "click:details[data-view=ops] .schema > summary",
        "axe",
        "fits",
        &front,
        "dark",
        "axe",
        &front_night,
        "size:360x800",
        "fits",
        "axe",
        &front_phone,
        "click:details[data-view=ops] pre[aria-label='The command for Codex and the view ops'] + button",
        "wait:Copied",
        "value:navigator.clipboard.readText().then((text) => document.title = text) && 1",
        "wait:tinymcp connect codex --view ops",
        "page",
        "click:#waiting a",
        "wait:Approve exactly this",
        "fits",
        "axe",
        &phone_night,
        "light",
        "axe",
        &phone,
        "size:1100x900",
        "axe",
        &day,
        "dark",
        "axe",
        &night,
        "value:document.scripts.length",
        "double:button.first",
        "wait:It is approved",
        "wait:is served since",
        "light",
        "axe",
        &none,
        "back",
        "wait:reeter",
    ]);
    let done = browse(world.base.as_str(), &actions).await;
    let page = done.iter().find(|report| report["check"] == "page").unwrap();
    assert_eq!(page["detail"]["title"], "tinymcp connect codex --view ops", "{page}");
    let width = done.iter().find(|report| report["check"].as_str().unwrap().contains("naturalWidth")).unwrap();
    assert_eq!(width["detail"], 1);
    let scripts = done.iter().find(|report| report["check"] == "value:document.scripts.length").unwrap();
    assert_eq!(scripts["detail"], 0);
}
