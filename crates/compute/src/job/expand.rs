//! Expand the matrix: every task for every combination of values.
//!
//! Names are taken in alphabetical order, the last one changing fastest, so that task numbers are predictable.

use super::Task;
use super::error::JobError;
use super::limits::{MATRIX_NAMES_MAX, MATRIX_VALUES_MAX, TASKS_MAX};
use protocol::job::{Scalar, Spec, TaskSpec};
use std::collections::{BTreeMap, BTreeSet};

/// The tasks of `spec` with all arguments and environment values, placeholders replaced.
pub(super) fn tasks(spec: &Spec, errors: &mut Vec<JobError>) -> Vec<Task> {
    let one = [TaskSpec::default()];
    let templates = if spec.tasks.is_empty() { &one } else { spec.tasks.as_slice() };
    let before = errors.len();
    let combinations = count(&spec.matrix, errors);
    let tasks = templates.len().saturating_mul(combinations);
    if tasks > TASKS_MAX {
        let path = if spec.matrix.is_empty() { "spec.tasks" } else { "spec.matrix" };
        errors.push(JobError::TooMany { path: path.into(), count: tasks, what: "tasks", max: TASKS_MAX });
    }
    if errors.len() > before {
        return Vec::new();
    }
    let wasm = &spec.run.wasm;
    let whole = templates.iter().map(|template| Task {
        args: wasm.args.iter().chain(&template.args).map(|arg| arg.0.clone()).collect(),
        env: wasm.env.iter().chain(&template.env).map(|(name, value)| (name.clone(), value.0.clone())).collect(),
    });
    if spec.matrix.is_empty() {
        return whole.collect();
    }
    let whole: Vec<Task> = whole.collect();
    check_names(&spec.matrix, &whole, errors);
    whole.iter().flat_map(|task| (0..combinations).map(|i| fill(task, &combination(&spec.matrix, i)))).collect()
}

fn count(matrix: &BTreeMap<String, Vec<Scalar>>, errors: &mut Vec<JobError>) -> usize {
    if matrix.len() > MATRIX_NAMES_MAX {
        let path = "spec.matrix".into();
        errors.push(JobError::TooMany { path, count: matrix.len(), what: "names", max: MATRIX_NAMES_MAX });
    }
    let mut combinations = 1usize;
    for (name, values) in matrix {
        let path = format!("spec.matrix.{name}");
        if values.is_empty() {
            errors.push(JobError::Missing { path, expected: "at least one value".into() });
        } else if values.len() > MATRIX_VALUES_MAX {
            errors.push(JobError::TooMany { path, count: values.len(), what: "values", max: MATRIX_VALUES_MAX });
        }
        combinations = combinations.saturating_mul(values.len().max(1));
    }
    combinations
}

/// The values of combination `index`, the last name changing fastest.
fn combination(matrix: &BTreeMap<String, Vec<Scalar>>, mut index: usize) -> BTreeMap<&str, &str> {
    let mut chosen = BTreeMap::new();
    for (name, values) in matrix.iter().rev() {
        chosen.insert(name.as_str(), values[index % values.len()].as_str());
        index /= values.len();
    }
    chosen
}

fn fill(task: &Task, values: &BTreeMap<&str, &str>) -> Task {
    let fill = |text: &String| -> String {
        let value = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Name(name) => values.get(name).copied().unwrap_or_default(),
        };
        pieces(text).map(value).collect()
    };
    Task {
        args: task.args.iter().map(fill).collect(),
        env: task.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
    }
}

/// Every placeholder must have values, and every name must be used.
fn check_names(matrix: &BTreeMap<String, Vec<Scalar>>, tasks: &[Task], errors: &mut Vec<JobError>) {
    let mut used = BTreeSet::new();
    for text in tasks.iter().flat_map(|task| task.args.iter().chain(task.env.values())) {
        for piece in pieces(text) {
            let Piece::Name(name) = piece else { continue };
            if !matrix.contains_key(name) && used.insert(name) {
                let names: Vec<&str> = matrix.keys().map(String::as_str).collect();
                let expected = format!("a name of spec.matrix ({}), or $${{ for a literal ${{", names.join(", "));
                errors.push(JobError::NotAccepted { path: "spec.run".into(), value: format!("${{{name}}}"), expected });
            }
            used.insert(name);
        }
    }
    for name in matrix.keys().filter(|name| !used.contains(name.as_str())) {
        let expected = format!("a name that an argument or environment value uses as ${{{name}}}");
        errors.push(JobError::NotAccepted { path: "spec.matrix".into(), value: name.clone(), expected });
    }
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Splits at `${name}`; `$${` is a literal `${`, and a `${` that is never closed is text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix("$${") {
            let piece = &rest[1..3];
            rest = after;
            return Some(Piece::Text(piece));
        }
        if let Some((name, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')) {
            rest = after;
            return Some(Piece::Name(name));
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[first..].find('$').map_or(rest.len(), |at| at + first);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn placeholders_and_literals_are_told_apart() {
        let all = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(all("a${b}c"), [Piece::Text("a"), Piece::Name("b"), Piece::Text("c")]);
        assert_eq!(all("$${b}"), [Piece::Text("${"), Piece::Text("b}")]);
        assert_eq!(all("${open"), [Piece::Text("${open")]);
        assert_eq!(all("5$"), [Piece::Text("5"), Piece::Text("$")]);
    }

    proptest! {
        #[test]
        fn text_without_placeholders_is_unchanged(text in "[a-z$ ü}]{0,20}") {
            prop_assume!(!text.contains("${"));
            let whole: String = pieces(&text).map(|p| match p { Piece::Text(t) | Piece::Name(t) => t }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
