use serde_json::json;

use super::*;

fn problems(text: &str) -> Vec<String> {
    let problems = parse(Path::new("t.toml"), text).expect_err(text);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_case_is_what_it_says() {
    let text = r#"
        [[case]]
        name = "adds"
        tool = "add"
        arguments = { a = 2, b = 3.5, note = "${HOME}" }
        result = { sum = 5.5 }

        [[case]]
        name = "fails"
        tool = "add"
        arguments = '{"a": null}'
        error = "a"
        as = "Ada"
        scopes = ["read"]

        [[case.http]]
        url = "https://API.example.com:443/x?y=1"
        answer = { status = 404, json = ["gone"] }
    "#;
    let cases = parse(Path::new("t.toml"), text).unwrap();
    assert_eq!(Json::Object(cases[0].arguments.0.clone()), json!({ "a": 2, "b": 3.5, "note": "${HOME}" }));
    assert_eq!(cases[0].expected(), Expected::Result(&json!({ "sum": 5.5 })));
    assert_eq!(Json::Object(cases[1].arguments.0.clone()), json!({ "a": null }));
    assert_eq!(cases[1].expected(), Expected::Error("a"));
    let stand_in = &cases[1].http[0];
    assert_eq!(
        (stand_in.method.0.as_str(), stand_in.target().to_string()),
        ("GET", "https://api.example.com".to_owned())
    );
    assert_eq!(stand_in.answer.status.0, 404);
}

#[test]
fn what_is_wrong_has_its_line_and_the_nearest_key() {
    let case = |more: &str| format!("[[case]]\nname = \"x\"\ntool = \"y\"\n{more}");
    for (text, expected) in [
        (case("argumnets = {}\nerror = \"\""), "t.toml:4: case.argumnets: unknown key; did you mean `arguments`?"),
        (case(""), "t.toml:1: case.result: case `x` says one of"),
        (case("error = \"\"\ncontains = \"\""), "t.toml:1: case.result: case `x` says one of"),
        (case("error = 1"), "t.toml:4: case.error: expected a string, got integer 1"),
        (case("error = \"\"\nscopes = []"), "t.toml:1: case.scopes: a token with scopes is somebody's"),
        (case("result_json = \"{\""), "t.toml:4: case.result_json: \"{\": not JSON"),
        (case("result = 1979-05-27"), "t.toml:4: case.result: expected anything but a datetime"),
        (case("error = \"\"\n[[case.http]]\nurl = \"api.example.com\""), "t.toml:6: case.http.url"),
        (case("error = \"\"\n[[case.http]]\nurl = \"https://a.example/#b\""), "t.toml:6: case.http.url"),
        (
            case("error = \"\"\n[[case.http]]\nurl = \"https://a.example/\"\nmethod = \"get\""),
            "t.toml:7: case.http.method",
        ),
        (
            case("error = \"\"\n[[case.http]]\nurl = \"https://a.example/\"\nanswer = { statsu = 1 }"),
            "t.toml:7: case.http.answer.statsu: unknown key; did you mean `status`?",
        ),
        (
            case("error = \"\"\n[[case.http]]\nurl = \"https://a.example/\"\nanswer = { status = 101 }"),
            "t.toml:7: case.http.answer.status: 101: the status of an answer is from 200 to 599",
        ),
        (case("error = \"\"\n[case.dirs]\ndata = \"x\""), "t.toml:6: case.dirs.data: it begins with `/`"),
        (
            format!("{}{}", case("error = \"\"\n"), case("error = \"\"")),
            "t.toml:5: case.name: `x` is the name of another",
        ),
        ("[[csae]]\nname = \"x\"".to_owned(), "t.toml:1: csae: unknown key; did you mean `case`?"),
        ("name = ".to_owned(), "t.toml:1: not valid TOML"),
    ] {
        let problems = problems(&text);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{problems:#?}");
    }
}
