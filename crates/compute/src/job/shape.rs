//! The shape of a specification as a table: which fields exist, which must, and what belongs into each.
//!
//! Walking the document with the table finds every unknown, missing and ill-typed field in one pass, with its path.
//! What is wrong is cut out, so that the rest can still be checked.

use super::error::JobError;
use serde_json::{Map, Value};

/// Problems reported of the shape; a document with more is hopeless.
const PROBLEMS_MAX: usize = 64;
/// Most edits between a wrong name and the one that is suggested.
const EDITS_MAX: usize = 2;

enum Shape {
    /// A string, a number or a boolean.
    Text,
    List(&'static Shape),
    /// Any names.
    Table(&'static Shape),
    Fields(&'static [Field]),
}

struct Field {
    name: &'static str,
    /// What belongs there, if it must be there.
    required: Option<&'static str>,
    shape: Shape,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, required: None, shape }
}

const fn required(name: &'static str, expected: &'static str, shape: Shape) -> Field {
    Field { name, required: Some(expected), shape }
}

const ARGS: Shape = Shape::List(&Shape::Text);
const ENV: Shape = Shape::Table(&Shape::Text);

static JOB: Shape = Shape::Fields(&[
    required("apiVersion", "kumo/v1", Shape::Text),
    required("kind", "Job", Shape::Text),
    required("metadata", "the job's name", Shape::Fields(&[required("name", "a name such as digits", Shape::Text)])),
    required(
        "spec",
        "run, inputs, tasks, …",
        Shape::Fields(&[
            required("run", "the program", Shape::Fields(&[required("wasm", "a WebAssembly module", WASM)])),
            field("inputs", Shape::List(&INPUT)),
            field("tasks", Shape::List(&TASK)),
            field("matrix", Shape::Table(&ARGS)),
            field("resources", RESOURCES),
            field("scheduling", SCHEDULING),
            required("budget", "what a task may cost", BUDGET),
            field("verify", Shape::Fields(&[field("audit", Shape::Text), field("keys", Shape::Text)])),
        ]),
    ),
]);
const WASM: Shape = Shape::Fields(&[
    required("module", "a path such as ./task.wasm, or a CID", Shape::Text),
    field("args", ARGS),
    field("env", ENV),
]);
const INPUT: Shape =
    Shape::Fields(&[field("path", Shape::Text), field("cid", Shape::Text), field("mount", Shape::Text)]);
const TASK: Shape = Shape::Fields(&[field("args", ARGS), field("env", ENV)]);
const RESOURCES: Shape = Shape::Fields(&[
    field("memory", Shape::Text),
    field("fuel", Shape::Text),
    field("output", Shape::Text),
    field("logs", Shape::Text),
    field("wall", Shape::Text),
]);
const SCHEDULING: Shape = Shape::Fields(&[
    field("bidWindow", Shape::Text),
    field("taskTimeout", Shape::Text),
    field("jobTimeout", Shape::Text),
    field("attempts", Shape::Text),
]);
const BUDGET: Shape =
    Shape::Fields(&[required("perTask", "an amount such as \"0.5 AKE\"", Shape::Text), field("max", Shape::Text)]);

/// What is right in `tree`, and what is wrong with the rest.
pub(super) fn survey(tree: Value) -> (Value, Vec<JobError>) {
    let mut errors = Vec::new();
    let kept = keep(&JOB, tree, "", &mut errors).unwrap_or(Value::Null);
    errors.truncate(PROBLEMS_MAX);
    (kept, errors)
}

fn keep(shape: &Shape, value: Value, path: &str, errors: &mut Vec<JobError>) -> Option<Value> {
    match (shape, value) {
        (Shape::Text, value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Some(value),
        (Shape::List(item), Value::Array(values)) => {
            let kept = |(i, value)| keep(item, value, &format!("{path}[{i}]"), errors);
            Some(values.into_iter().enumerate().filter_map(kept).collect())
        }
        (Shape::Table(item), Value::Object(map)) => {
            let kept = |(name, value)| Some((String::clone(&name), keep(item, value, &join(path, &name), errors)?));
            Some(Value::Object(map.into_iter().filter_map(kept).collect()))
        }
        (Shape::Fields(fields), Value::Object(map)) => Some(keep_fields(fields, map, path, errors)),
        (shape, value) => {
            let path = if path.is_empty() { "document".into() } else { path.into() };
            errors.push(JobError::WrongType { path, expected: shape.describe(), found: describe(&value) });
            None
        }
    }
}

fn keep_fields(fields: &[Field], map: Map<String, Value>, path: &str, errors: &mut Vec<JobError>) -> Value {
    for field in fields {
        if let (Some(expected), false) = (field.required, map.contains_key(field.name)) {
            errors.push(JobError::Missing { path: join(path, field.name), expected: expected.into() });
        }
    }
    let mut kept = Map::new();
    for (name, value) in map {
        let path = join(path, &name);
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            errors.push(unknown(path, &name, fields));
            continue;
        };
        if let Some(value) = keep(&field.shape, value, &path, errors) {
            kept.insert(name, value);
        }
    }
    Value::Object(kept)
}

fn unknown(path: String, name: &str, fields: &[Field]) -> JobError {
    let names = fields.iter().map(|field| field.name);
    let nearest = names.clone().map(|candidate| (edits(name, candidate), candidate)).min();
    let suggestion = nearest.filter(|(edits, _)| *edits <= EDITS_MAX).map(|(_, candidate)| candidate.into());
    JobError::Unknown { path, suggestion, accepted: names.collect::<Vec<_>>().join(", ") }
}

/// Edits between two names, a swap of neighbours counting as one, case ignored (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase().into_bytes(), b.to_lowercase().into_bytes());
    if a.len().abs_diff(b.len()) > EDITS_MAX {
        return EDITS_MAX + 1;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

impl Shape {
    fn describe(&self) -> &'static str {
        match self {
            Self::Text => "a string or a number",
            Self::List(_) => "a list",
            Self::Table(_) | Self::Fields(_) => "fields",
        }
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a single value",
        Value::Array(_) => "a list",
        Value::Object(_) => "fields",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_are_one_edit() {
        assert_eq!(edits("memroy", "memory"), 1);
        assert_eq!(edits("BidWindow", "bidWindow"), 0);
        assert_eq!(edits("fule", "fuel"), 1);
        assert!(edits("potatoes", "memory") > EDITS_MAX);
    }
}
