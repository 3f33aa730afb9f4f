//! The job specification as written (`job.yaml`).
//!
//! Quantities stay the text that the person typed; `compute::Job` is the checked form. The same shape, with every
//! default filled in and every quantity in canonical spelling, is the JSON block whose SHA-256 the chain keeps, so a
//! job travels as one type and one digest.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The only accepted `apiVersion`.
pub const API_VERSION: &str = "kumo/v1";
/// The only accepted `kind`.
pub const KIND: &str = "Job";
/// Largest text of a specification that is read, and largest specification block, in bytes.
pub const SPEC_BYTES_MAX: usize = 256 * 1024;

/// `job.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always [`KIND`].
    pub kind: String,
    /// What people call the job.
    pub metadata: Metadata,
    /// What to run, on what, within which limits, for how much.
    pub spec: Spec,
}

/// What people call the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// 1 to 64 characters of `a-z`, `0-9` and `-`; begins and ends with a letter or a digit.
    pub name: String,
}

/// What to run, on what, within which limits, for how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The program.
    pub run: Run,
    /// Files that every task sees, read-only, below `/in`; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// The tasks; one without arguments of its own if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskSpec>,
    /// Every task is repeated for each combination of these values, which replace `${name}` in arguments and
    /// environment values (`$${` stands for a literal `${`). At most 8 names of at most 64 values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Vec<Scalar>>,
    /// Limits of each task.
    #[serde(default)]
    pub resources: Resources,
    /// Windows, deadlines, attempts.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// What it may cost.
    pub budget: Budget,
    /// How results are checked.
    #[serde(default)]
    pub verify: Verify,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// A WebAssembly module with WASI preview 1.
    pub wasm: WasmRun,
}

/// A WebAssembly module with WASI preview 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WasmRun {
    /// A path beginning with `./`, `../` or `/` (read on the consumer's machine), or the CID of a stored file.
    pub module: String,
    /// Arguments before each task's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Scalar>,
    /// Environment of every task; a task's own values win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Scalar>,
}

/// A file that tasks see below `/in`: exactly one of `path` and `cid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Path on the consumer's machine; encrypted and stored when the job is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// CID of a stored file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// Path below `/in`; the file name of `path` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Arguments after those of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Scalar>,
    /// Environment over that of the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Scalar>,
}

/// Limits of each task. A task beyond one of the first four ends with a documented exit code and is paid for: the same
/// happens on every machine. Beyond `wall` the attempt is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Linear memory (64Ki to 4Gi; default 256Mi).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Scalar>,
    /// Work (1K to 1000T; default 50G).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<Scalar>,
    /// Bytes of all files below `/out` (0 to 256Mi; default 16Mi).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Scalar>,
    /// Bytes of stdout and stderr together (0 to 16Mi; default 64Ki).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Scalar>,
    /// Time on the clock of the provider (100ms to 24h, not above `taskTimeout`; default 60s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Scalar>,
}

/// Windows, deadlines, attempts. Times are whole seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scheduling {
    /// How long bids are taken (1s to 1h; default 2s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid_window: Option<Scalar>,
    /// From assignment to receipt (1s to 1d; default 120s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_timeout: Option<Scalar>,
    /// From the end of the bid window; later no task is assigned again (1s to 7d; default 10m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timeout: Option<Scalar>,
    /// Times that one task may be assigned (1 to 5; default 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Scalar>,
}

/// What it may cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// The most that a task may cost, `"0.5 AKE"` or `"500 wei"`; above 0.
    pub per_task: Scalar,
    /// The most that all tasks may cost together, audits not counted; a job over it is refused before anything is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Scalar>,
}

/// How results are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// Probability that a receipt is re-executed by another provider (0% to 100% in steps of 0.01%; default 5%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Scalar>,
    /// SHA-256 of the job's key bundle: `0x` and 64 hex digits. Written by the SDK, so that nobody who hands the bundle on
    /// can hand a provider or an auditor another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// A string, or a number or boolean that is taken as the string it is written as. YAML reads `0.10` as the number 0.1:
/// quote it where the difference matters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scalar(pub String);

impl Scalar {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: fmt::Display> From<T> for Scalar {
    fn from(value: T) -> Self {
        Self(value.to_string())
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(value.into())
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(value.into())
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(value.into())
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(value.into())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(value.into())
    }
}

/// Why a text is not even a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// More bytes than are read.
    #[error("specification has {bytes} bytes, over the limit of {SPEC_BYTES_MAX}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// Neither YAML nor JSON.
    #[error("not a YAML document: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// YAML that JSON cannot say, for example a key that is a list.
    #[error("not a document of plain fields: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads YAML (or JSON, which is YAML) into a tree whose shape is not checked yet. Duplicate keys, tags and endlessly
/// repeated aliases are refused.
pub fn document(text: &str) -> Result<serde_json::Value, DocumentError> {
    if text.len() > SPEC_BYTES_MAX {
        return Err(DocumentError::TooLong { bytes: text.len() });
    }
    let tree: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)?;
    Ok(serde_json::to_value(tree)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
apiVersion: kumo/v1
kind: Job
metadata: {name: digits}
spec:
  run: {wasm: {module: ./digits.wasm, args: [--rate, 0.5], env: {DEBUG: true}}}
  inputs: [{path: ./digits.csv, mount: digits.csv}]
  matrix: {fold: [0, 1]}
  budget: {perTask: 0.5 AKE}
";

    #[test]
    fn plain_yaml_is_read_as_written() {
        let spec: JobSpec = serde_json::from_value(document(TEXT).unwrap()).unwrap();
        assert_eq!(spec.spec.run.wasm.args, ["--rate".into(), "0.5".into()]);
        assert_eq!(spec.spec.run.wasm.env["DEBUG"], "true".into());
        assert_eq!(spec.spec.matrix["fold"], ["0".into(), "1".into()]);
        assert_eq!(spec.spec.resources, Resources::default());
    }

    #[test]
    fn json_is_read_too_and_written_the_same_way() {
        let spec: JobSpec = serde_json::from_value(document(TEXT).unwrap()).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        let again: JobSpec = serde_json::from_value(document(&json).unwrap()).unwrap();
        assert_eq!(spec, again);
    }

    #[test]
    fn unknown_and_duplicate_fields_are_refused() {
        let unknown = TEXT.replace("kind: Job", "kind: Job\nkindness: 1");
        assert!(serde_json::from_value::<JobSpec>(document(&unknown).unwrap()).is_err());
        assert!(document("a: 1\na: 2").is_err());
    }

    #[test]
    fn hostile_documents_are_refused_quickly() {
        assert!(matches!(document(&" ".repeat(SPEC_BYTES_MAX + 1)), Err(DocumentError::TooLong { .. })));
        assert!(document(&"[".repeat(100_000)).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..20 {
            let refs = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert!(document(&bomb).is_err());
    }
}
