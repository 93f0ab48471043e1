//! Answers with one field changed, for tests of how they are read.

use serde_json::{Value, json};

/// Returns the answer with one field after the other, at any depth, removed or replaced by a value of
/// every kind; each with the JSON pointer of the field.
pub fn mutations(answer: &Value) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    collect(answer, "", &mut fields);
    let others = [json!(null), json!(7), json!(-1.5), json!("x"), json!([]), json!([7, null])];
    let others = others.into_iter().chain([json!({}), json!(true), json!(1e300)]);
    let others: Vec<_> = others.map(Some).chain([None]).collect();
    let each = |field: &String| {
        others
            .iter()
            .map(|other| (field.clone(), changed(answer, field, other.as_ref())))
            .collect::<Vec<_>>()
    };
    fields.iter().flat_map(each).collect()
}

fn collect(value: &Value, path: &str, found: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let path = format!("{path}/{name}");
        collect(value, &path, found);
        found.push(path);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value));
        }
        _ => {}
    }
}

/// The answer with another value at this place, or without the field.
fn changed(answer: &Value, place: &str, other: Option<&Value>) -> Value {
    let mut answer = answer.clone();
    if let Some(other) = other {
        *answer.pointer_mut(place).expect("a place of the answer") = other.clone();
        return answer;
    }
    let (parent, name) = place.rsplit_once('/').expect("a pointer");
    match answer.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(name)),
        Some(Value::Array(items)) => drop(items.remove(name.parse().expect("an index"))),
        _ => unreachable!("the parent of a field"),
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_changed_in_every_way() {
        let answer = json!({"a": {"b": 1}, "c": [2]});
        let all = mutations(&answer);
        // a/b, a, c/0, c: nine other values and none.
        assert_eq!(all.len(), 4 * 10);
        for expected in [json!({"a": {}, "c": [2]}), json!({"a": {"b": 1}, "c": [null]})] {
            assert!(all.iter().any(|(_, mutated)| *mutated == expected), "{expected}");
        }
        assert!(all.contains(&("/c/0".to_owned(), json!({"a": {"b": 1}, "c": []}))));
    }
}
