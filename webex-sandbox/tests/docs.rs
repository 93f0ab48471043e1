//! docs/sandbox.md matches the code: its table of controls is generated from the code, and the
//! control API accepts each of its `curl` calls.

mod common;

use std::{fmt::Write as _, path::PathBuf};

use common::Client;
use http::Method;
use serde_json::Value;
use webex_sandbox::Sandbox;

const BEGIN: &str = "<!-- controls: from the code, by `WEBEX_SANDBOX_DOCS=write cargo test -p webex-sandbox --test docs` -->\n";
const END: &str = "<!-- end of controls -->\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/sandbox.md")
}

fn page() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// The fields of a shape: `a.b`, or `a` (`one`, `two`) for a choice of words.
fn fields(shape: &Value, prefix: &str, found: &mut Vec<String>) {
    match shape {
        Value::Object(inner) => {
            for (name, shape) in inner {
                let dot = if prefix.is_empty() { "" } else { "." };
                fields(shape, &format!("{prefix}{dot}{name}"), found);
            }
        }
        Value::Array(words) => {
            let words: Vec<_> =
                words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
            let words = words.join(", ");
            found.push(if prefix.is_empty() { words } else { format!("`{prefix}` ({words})") });
        }
        _ if prefix.is_empty() => {}
        _ => found.push(format!("`{prefix}`")),
    }
}

#[tokio::test]
async fn the_table_of_controls_is_that_of_the_code() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let controls = Client::new(&sandbox).get("/sandbox/controls").await.json();
    let mut table = String::from("| Control | Call | Takes |\n|---|---|---|\n");
    for (name, control) in controls.as_object().unwrap() {
        let calls: Vec<_> =
            control["calls"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        assert!(!calls.is_empty(), "{name} has no call of its own");
        let mut takes = Vec::new();
        fields(&control["takes"], "", &mut takes);
        writeln!(table, "| `{name}` | `{}` | {} |", calls.join("`, `"), takes.join(", ")).unwrap();
    }
    let page = page();
    let (before, rest) = page.split_once(BEGIN).expect("the table's place");
    let (there, after) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("WEBEX_SANDBOX_DOCS").is_some_and(|value| value == "write") {
        std::fs::write(path(), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(there, table, "docs/sandbox.md is out of date; see the comment above its table");
}

#[tokio::test]
async fn the_calls_of_the_page_are_accepted() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    let mut calls = 0;
    for line in page().lines().filter(|line| line.starts_with("s ")) {
        let line = line.split(" # ").next().unwrap().replace("'\"$ID\"'", &client.user_id);
        let line = line.replace("'$ID'", &client.user_id).replace("$ID", &client.user_id);
        let (path, rest) = line[2..].trim().split_once(' ').unwrap_or((line[2..].trim(), ""));
        let path = path.trim_matches('"');
        let body: Option<Value> = rest.split_once("-d ").map(|(_, body)| {
            let text = body.trim().trim_matches('\'');
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        let method = match rest.split_once("-X ") {
            Some((_, method)) => method.split(' ').next().unwrap().parse().unwrap(),
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        if path == "/events" || path.starts_with("/wait") {
            continue;
        }
        let answer = client.send(method, &format!("/sandbox{path}"), body).await;
        // The target of a call need not exist, but the call itself must.
        assert!(answer.status < 300 || answer.status == 404, "{line}: {answer:?}");
        assert!(!answer.text.contains("no such call"), "{line}: {answer:?}");
        calls += 1;
    }
    assert!(calls > 40, "{calls} calls were found");
}
