//! Applies faults to answers.

use std::collections::BTreeSet;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HeaderName, LOCATION},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::reply::{Payload, Reply, merge_patch};
use crate::state::fault::{Entries, Fault, Redirect};

/// Header by which services redirect when the client asks for no HTTP redirects.
const CISCO_LOCATION: HeaderName = HeaderName::from_static("cisco-location");

/// Most entries that [`Entries`] makes.
const MAX_ENTRIES: usize = 1_000_000;

/// Returns the answer that a fault sends instead of the service's, if it has one.
pub(super) fn replacement(fault: &Fault, sent: &HeaderMap, body: &Bytes) -> Option<Reply> {
    let status = fault
        .status
        .map(|status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if let Some(redirect) = &fault.redirect {
        return Some(redirected(redirect, status));
    }
    if fault.quote || fault.portal {
        let quoted = if fault.quote { echo(sent, body) } else { String::new() };
        return Some(if fault.portal {
            let page = PORTAL.replace("{}", &quoted);
            let status = status.unwrap_or(StatusCode::OK);
            Reply { payload: Payload::Html(page), ..Reply::status(status) }
        } else {
            let mut answer = json!({
                "error": "invalid_request",
                "error_description": quoted,
                "message": quoted,
                "errors": [{"description": quoted}],
            });
            if let Some(body) = &fault.body {
                merge_patch(&mut answer, body);
            }
            Reply::json(answer).with_status(status.unwrap_or(StatusCode::BAD_REQUEST))
        });
    }
    let status = status?;
    Some(match &fault.body {
        Some(Value::String(text)) => {
            Reply { payload: Payload::Text(text.clone()), ..Reply::status(status) }
        }
        Some(body) => Reply::json(body.clone()).with_status(status),
        None => Reply::status(status),
    })
}

/// Applies what a fault changes about any answer, replaced or not.
pub(super) fn change(fault: &Fault, reply: &mut Reply) {
    for (name, value) in &fault.headers {
        if let Ok(name) = HeaderName::try_from(name.as_str()) {
            reply.replace_header(name, value);
        }
    }
    let is_success = reply.status.is_success();
    if let Payload::Json(value) = &mut reply.payload {
        change_json(fault, value, is_success);
    }
    reply.fill = fault.fill;
}

/// Applies what a fault changes about the JSON of an answer or frame.
pub(crate) fn change_json(fault: &Fault, value: &mut Value, is_success: bool) {
    if let Some(patch) = fault.merge.as_ref().filter(|_| is_success) {
        merge_patch(value, patch);
    }
    for (pointer, new) in &fault.set {
        let path: Vec<_> = pointer
            .split('/')
            .skip(1)
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect();
        set(value, &path, new);
    }
    if let Some(authority) = &fault.foreign {
        let mut known = BTreeSet::new();
        authorities(value, &mut known);
        move_to(value, authority, &known);
    }
    if let Some(entries) = &fault.entries {
        multiply(value, entries);
    }
}

fn redirected(redirect: &Redirect, status: Option<StatusCode>) -> Reply {
    let not_found = |body| Reply::json(body).with_status(status.unwrap_or(StatusCode::NOT_FOUND));
    match redirect {
        Redirect::Status(to) => {
            Reply::status(status.unwrap_or(StatusCode::TEMPORARY_REDIRECT)).header(LOCATION, to)
        }
        Redirect::Header(to) => Reply::json(json!({}))
            .with_status(status.unwrap_or(StatusCode::OK))
            .header(CISCO_LOCATION, to),
        Redirect::Locus(to) => not_found(json!({"errorCode": 2_000_002, "location": to})),
        Redirect::Site(to) => not_found(json!({"code": 404_100, "data": {"siteFullUrl": to}})),
    }
}

/// The page of a captive portal.
const PORTAL: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to the hotel</title></head>\n\
                      <body><h1>Sign in to use the network</h1><form method=\"post\">\
                      <input name=\"room\"><button>Accept</button></form><pre>{}</pre></body></html>\n";

/// Returns everything secret that the client may have sent, plain, percent-encoded and in base64.
fn echo(sent: &HeaderMap, body: &Bytes) -> String {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    if let Some(value) = sent.get(AUTHORIZATION) {
        parts.push(value.as_bytes().to_vec());
        let text = value.to_str().unwrap_or_default();
        let credentials = text.split_once(' ').map_or(text, |(_, credentials)| credentials);
        parts.push(credentials.as_bytes().to_vec());
        if let Ok(decoded) = BASE64_STANDARD.decode(credentials) {
            let colon = decoded.iter().position(|byte| *byte == b':');
            parts.push(decoded[colon.map_or(0, |at| at + 1)..].to_vec());
            parts.push(decoded);
        }
    }
    parts.push(body.to_vec());
    parts.extend(form_urlencoded::parse(body).map(|(_, value)| value.into_owned().into_bytes()));
    if let Ok(json) = serde_json::from_slice(body) {
        texts(&json, &mut parts);
    }
    let forms = |part: &Vec<u8>| {
        [
            String::from_utf8_lossy(part).into_owned(),
            form_urlencoded::byte_serialize(part).collect(),
            BASE64_STANDARD.encode(part),
            BASE64_URL_SAFE_NO_PAD.encode(part),
        ]
        .join(" ")
    };
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).map(forms).collect();
    format!("Not understood: {}", parts.join(" "))
}

/// Collects the texts in a JSON value.
fn texts(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.push(text.clone().into_bytes()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// Sets the value at a path; a missing last field is added.
fn set(value: &mut Value, path: &[String], new: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new.clone();
        return;
    };
    match value {
        Value::Object(fields) if first == "*" => {
            for field in fields.values_mut() {
                set(field, rest, new);
            }
        }
        Value::Array(items) if first == "*" => {
            for item in items {
                set(item, rest, new);
            }
        }
        Value::Object(fields) if rest.is_empty() => {
            fields.insert(first.clone(), new.clone());
        }
        Value::Object(fields) => {
            if let Some(field) = fields.get_mut(first) {
                set(field, rest, new);
            }
        }
        Value::Array(items) => {
            if let Some(item) = first.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                set(item, rest, new);
            }
        }
        _ => {}
    }
}

/// Splits a URL into scheme, authority and the rest.
fn url_parts(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// Collects the authorities of the URLs in a value.
fn authorities(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.extend(url_parts(text).map(|(_, authority, _)| authority.to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| authorities(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| authorities(field, found)),
        _ => {}
    }
}

/// Replaces each authority by `to`: in URLs, and where a text or name is an authority.
fn move_to(value: &mut Value, to: &str, known: &BTreeSet<String>) {
    let (plain, authority) = match to.strip_prefix("http://") {
        Some(authority) => (true, authority),
        None => (false, to),
    };
    match value {
        Value::String(text) => {
            if known.contains(text) {
                authority.clone_into(text);
            } else if let Some((scheme, _, rest)) = url_parts(text) {
                let scheme = match scheme {
                    "https" if plain => "http",
                    "wss" if plain => "ws",
                    scheme => scheme,
                };
                *text = format!("{scheme}://{authority}{rest}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_to(item, to, known)),
        Value::Object(fields) => {
            for (name, mut field) in std::mem::take(fields) {
                move_to(&mut field, to, known);
                let name = if known.contains(&name) { authority.to_owned() } else { name };
                fields.insert(name, field);
            }
        }
        _ => {}
    }
}

/// Fills up a list or object with copies of its entries, each with a number at the end of its
/// texts.
fn multiply(value: &mut Value, Entries { at, count }: &Entries) {
    let count = (*count).min(MAX_ENTRIES);
    match value.pointer_mut(at) {
        Some(Value::Array(items)) if !items.is_empty() => {
            let first = items.len();
            for number in first..count {
                let mut copy = items[number % first].clone();
                number_texts(&mut copy, number);
                items.push(copy);
            }
        }
        Some(Value::Object(fields)) => {
            let templates: Vec<_> =
                fields.iter().map(|(name, field)| (name.clone(), field.clone())).collect();
            for number in templates.len()..count {
                let Some((name, field)) = templates.get(number % templates.len().max(1)) else {
                    return;
                };
                let mut copy = field.clone();
                number_texts(&mut copy, number);
                fields.insert(format!("{name}{number}"), copy);
            }
        }
        _ => {}
    }
}

fn number_texts(value: &mut Value, number: usize) {
    match value {
        Value::String(text) => text.push_str(&number.to_string()),
        Value::Array(items) => items.iter_mut().for_each(|item| number_texts(item, number)),
        Value::Object(fields) => fields.values_mut().for_each(|field| number_texts(field, number)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Target;

    fn changed(fault: &Fault, mut value: Value) -> Value {
        change_json(fault, &mut value, true);
        value
    }

    #[test]
    fn a_value_can_be_set_at_any_path() {
        let mut fault = Fault::new(Target::Everything);
        fault.set.insert("/a/*/b".to_owned(), Value::Null);
        fault.set.insert("/c/0".to_owned(), json!(7));
        fault.set.insert("/new".to_owned(), json!({}));
        fault.set.insert("/not/there".to_owned(), json!(1));
        let value = json!({"a": {"x": {"b": 1}, "y": {"b": 2}}, "c": [1, 2]});
        let want = json!({"a": {"x": {"b": null}, "y": {"b": null}}, "c": [7, 2], "new": {}});
        assert_eq!(changed(&fault, value), want);
    }

    #[test]
    fn every_address_can_be_a_foreign_one() {
        let value = json!({
            "serviceLinks": {"wdm": "https://a.example:1/wdm?x=1", "m": "wss://a.example:1"},
            "hostCatalog": {"a.example:1": [{"host": "a.example:1", "ttl": -1}]},
        });
        let mut fault = Fault::new(Target::Everything);
        fault.foreign = Some("evil.example".to_owned());
        let want = json!({
            "serviceLinks": {"wdm": "https://evil.example/wdm?x=1", "m": "wss://evil.example"},
            "hostCatalog": {"evil.example": [{"host": "evil.example", "ttl": -1}]},
        });
        assert_eq!(changed(&fault, value.clone()), want);
        fault.foreign = Some("http://evil.example:2".to_owned());
        let moved = changed(&fault, value);
        assert_eq!(moved["serviceLinks"]["wdm"], "http://evil.example:2/wdm?x=1");
        assert_eq!(moved["serviceLinks"]["m"], "ws://evil.example:2");
    }

    #[test]
    fn lists_and_objects_can_be_made_long() {
        let mut fault = Fault::new(Target::Everything);
        fault.entries = Some(Entries { at: "/l".to_owned(), count: 4 });
        assert_eq!(changed(&fault, json!({"l": ["a", "b"]})), json!({"l": ["a", "b", "a2", "b3"]}));
        assert_eq!(
            changed(&fault, json!({"l": {"n": {"x": "a"}}}))["l"],
            json!({"n": {"x": "a"}, "n1": {"x": "a1"}, "n2": {"x": "a2"}, "n3": {"x": "a3"}})
        );
    }
}
