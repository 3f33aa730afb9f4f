//! Edits of a specification before it is parsed: `--set spec.resources.memory=2Gi`.
//!
//! A path names fields by `.` and list entries by their number; the value is read as YAML, so `[1, 2]` is a list. An edit
//! makes what the file could have said, and is checked like the file.

use serde_json::Value;
use std::str::FromStr;

/// Deepest path of an edit.
const DEPTH_MAX: usize = 16;

/// One edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    path: Vec<String>,
    value: Value,
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No `=`, or no path before it.
    #[error("{0:?} is not PATH=VALUE, for example spec.resources.memory=2Gi")]
    NotAnEdit(String),
    /// Longer than any field is deep.
    #[error("path {0:?} has more than {DEPTH_MAX} parts")]
    TooDeep(String),
    /// The value is not YAML.
    #[error("value of {path} is not YAML: {reason}")]
    Value {
        /// The path.
        path: String,
        /// What the parser says.
        reason: String,
    },
    /// A field below something that has no fields.
    #[error("{path} cannot be set: {parent} is neither a table nor a list with that entry")]
    NoSuchPlace {
        /// The path.
        path: String,
        /// The part of it that exists.
        parent: String,
    },
}

impl FromStr for Edit {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_an_edit = || EditError::NotAnEdit(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(not_an_edit)?;
        let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
        if parts.iter().any(String::is_empty) {
            return Err(not_an_edit());
        }
        if parts.len() > DEPTH_MAX {
            return Err(EditError::TooDeep(path.to_owned()));
        }
        let wrong = |reason: String| EditError::Value { path: path.to_owned(), reason };
        let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(value).map_err(|e| wrong(e.to_string()))?;
        let value = serde_json::to_value(value).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { path: parts, value })
    }
}

impl Edit {
    /// Makes the edit in `document`; fields that do not exist yet are added.
    pub fn apply(&self, document: &mut Value) -> Result<(), EditError> {
        let mut place = document;
        for (depth, part) in self.path.iter().enumerate() {
            let no_such_place = || EditError::NoSuchPlace {
                path: self.path.join("."),
                parent: if depth == 0 { "the document".to_owned() } else { self.path[..depth].join(".") },
            };
            if place.is_null() {
                *place = Value::Object(Default::default());
            }
            place = match place {
                Value::Object(fields) => fields.entry(part.clone()).or_insert(Value::Null),
                Value::Array(entries) => {
                    let entry = part.parse::<usize>().ok().and_then(|index| entries.get_mut(index));
                    entry.ok_or_else(no_such_place)?
                }
                _ => return Err(no_such_place()),
            };
        }
        *place = self.value.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(edit: &str) -> Result<Value, EditError> {
        let mut document = json!({"spec": {"tasks": [{"args": ["a"]}, {}], "memory": "1Gi"}});
        edit.parse::<Edit>()?.apply(&mut document)?;
        Ok(document)
    }

    #[test]
    fn fields_are_replaced_and_added() {
        assert_eq!(edited("spec.memory=2Gi").unwrap()["spec"]["memory"], "2Gi");
        assert_eq!(edited("spec.verify.audit=5%").unwrap()["spec"]["verify"], json!({"audit": "5%"}));
        assert_eq!(edited("spec.tasks.1.args=[x, 2]").unwrap()["spec"]["tasks"][1]["args"], json!(["x", 2]));
        assert_eq!(edited("spec.tasks.0.args.0=b=c").unwrap()["spec"]["tasks"][0]["args"][0], "b=c");
    }

    #[test]
    fn what_is_no_edit_is_refused_with_an_example() {
        for text in ["spec.memory", "=1", "spec..memory=1", ".=1"] {
            assert_eq!(edited(text), Err(EditError::NotAnEdit(text.into())));
        }
        let deep = format!("{}=1", vec!["a"; DEPTH_MAX + 1].join("."));
        assert!(matches!(edited(&deep), Err(EditError::TooDeep(_))));
        assert!(matches!(edited("spec.memory=[1"), Err(EditError::Value { .. })));
    }

    #[test]
    fn places_that_do_not_exist_are_named() {
        let error = edited("spec.memory.unit=1").unwrap_err();
        assert_eq!(error, EditError::NoSuchPlace { path: "spec.memory.unit".into(), parent: "spec.memory".into() });
        let error = edited("spec.tasks.2.args=1").unwrap_err();
        assert_eq!(error, EditError::NoSuchPlace { path: "spec.tasks.2.args".into(), parent: "spec.tasks".into() });
    }
}
