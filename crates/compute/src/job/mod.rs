//! A job that has been checked, and what is made of it: tasks, limits, the block that the chain names, contract terms.
//!
//! [`Job::parse_yaml`] and [`Job::check`] report every problem at once. A checked job has its matrix expanded and every
//! default filled in; written back as a [`JobSpec`] in canonical JSON it is the specification block.

mod check;
mod error;
mod expand;
mod limits;
mod shape;
mod template;
#[cfg(test)]
pub(crate) mod tests;

pub use error::{JobError, JobErrors};
pub use limits::*;
pub use template::TEMPLATE;

use crate::executor::{Limits, OUTPUT_FILES_MAX};
use alloy_primitives::B256;
use alloy_primitives::aliases::U96;
use cid::Cid;
use protocol::abi::IJobMarket;
use protocol::content::sha256;
use protocol::job::{
    API_VERSION, Budget, Input, JobSpec, KIND, Metadata, Resources, Run, SPEC_BYTES_MAX, Scheduling, Spec, TaskSpec,
    Verify, WasmRun, document,
};
use protocol::units::{Bps, ByteSize, Fuel, Millis, Wei};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A checked job; only [`Job::check`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// What people call it.
    pub name: String,
    /// The WebAssembly module.
    pub module: Content,
    /// Files below `/in`, sorted by mount.
    pub inputs: Vec<Mount>,
    /// Tasks (1..=[`TASKS_MAX`]).
    pub tasks: Vec<Task>,
    /// Limits of each task.
    pub resources: CheckedResources,
    /// Windows, deadlines, attempts.
    pub schedule: Schedule,
    /// The most that a task may cost (1 wei and up, below 2^96).
    pub price_max: Wei,
    /// The most that all tasks may cost together.
    pub budget_max: Option<Wei>,
    /// Probability of an audit.
    pub audit: Bps,
    /// Digest of the key bundle; set before the job is sent, so that a false bundle is recognised.
    pub keys: Option<B256>,
}

/// Content of a job, before or after it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of the consumer, relative to the folder of `job.yaml`.
    Local(PathBuf),
    /// A stored file.
    Stored(Cid),
}

impl Content {
    /// The path, if not stored yet.
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Stored(_) => None,
        }
    }

    /// The CID, if stored.
    pub fn cid(&self) -> Option<Cid> {
        match self {
            Self::Local(_) => None,
            Self::Stored(cid) => Some(*cid),
        }
    }
}

/// An input file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The file.
    pub content: Content,
    /// Path below `/in`.
    pub mount: String,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// All its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
}

/// Limits of each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedResources {
    /// Linear memory.
    pub memory: ByteSize,
    /// Work.
    pub fuel: Fuel,
    /// Bytes below `/out`.
    pub output: ByteSize,
    /// Bytes of stdout and stderr.
    pub logs: ByteSize,
    /// Time on the clock.
    pub wall: Millis,
}

/// Windows and deadlines in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Bid window.
    pub bid_seconds: u32,
    /// From assignment to receipt.
    pub task_seconds: u32,
    /// From the end of the bid window.
    pub job_seconds: u32,
    /// Times that one task may be assigned.
    pub attempts: u8,
}

impl Job {
    /// Reads and checks `job.yaml` (or the same as JSON); reports every problem, not only the first.
    pub fn parse_yaml(text: &str) -> Result<Self, JobErrors> {
        let tree = document(text).map_err(|e| JobErrors::one(JobError::Document { reason: e.to_string() }))?;
        let (pruned, mut errors) = shape::survey(tree);
        match serde_json::from_value::<JobSpec>(pruned) {
            Ok(spec) => match Self::check(&spec) {
                Ok(job) if errors.is_empty() => return Ok(job),
                Ok(_) => {}
                Err(more) => errors.extend(more.0),
            },
            Err(e) if errors.is_empty() => errors.push(JobError::Document { reason: e.to_string() }),
            Err(_) => {}
        }
        Err(JobErrors(errors))
    }

    /// Checks a specification; reports every problem, not only the first.
    pub fn check(spec: &JobSpec) -> Result<Self, JobErrors> {
        check::check(spec)
    }

    /// Reads a specification block. Only what [`Self::to_block`] writes is accepted, so a job has exactly one digest.
    pub fn from_block(bytes: &[u8]) -> Result<Self, JobErrors> {
        let document = |reason: String| JobErrors::one(JobError::Document { reason });
        if bytes.len() > SPEC_BYTES_MAX {
            return Err(document(format!("block has {} bytes, over the limit of {SPEC_BYTES_MAX}", bytes.len())));
        }
        let spec: JobSpec = serde_json::from_slice(bytes).map_err(|e| document(e.to_string()))?;
        let job = Self::check(&spec)?;
        if job.to_block()? != bytes {
            return Err(document("block is not in canonical form".into()));
        }
        Ok(job)
    }

    /// The specification block: canonical JSON, at most [`SPEC_BYTES_MAX`] bytes. Its raw CID is the job's name on
    /// chain. Fails while a local path is not resolved.
    pub fn to_block(&self) -> Result<Vec<u8>, JobErrors> {
        let mut errors: Vec<JobError> = Vec::new();
        for (path, content) in self.contents() {
            if let Content::Local(local) = content {
                errors.push(JobError::Unresolved { path, value: local.display().to_string() });
            }
        }
        let block = serde_json::to_vec(&self.to_spec()).expect("a specification has string keys only");
        if block.len() > SPEC_BYTES_MAX {
            errors.push(JobError::BlockTooLong { bytes: block.len() });
        }
        if errors.is_empty() { Ok(block) } else { Err(JobErrors(errors)) }
    }

    /// The job written back: matrix expanded, arguments complete in each task, defaults filled in, canonical units.
    pub fn to_spec(&self) -> JobSpec {
        let (resources, schedule) = (&self.resources, &self.schedule);
        let seconds = |n: u32| Some(Millis(u64::from(n) * 1000).into());
        let spec = Spec {
            run: Run { wasm: WasmRun { module: self.module.to_string(), args: Vec::new(), env: BTreeMap::new() } },
            inputs: self.inputs.iter().map(Mount::to_spec).collect(),
            tasks: self.tasks.iter().map(Task::to_spec).collect(),
            matrix: BTreeMap::new(),
            resources: Resources {
                memory: Some(resources.memory.into()),
                fuel: Some(resources.fuel.into()),
                output: Some(resources.output.into()),
                logs: Some(resources.logs.into()),
                wall: Some(resources.wall.into()),
            },
            scheduling: Scheduling {
                bid_window: seconds(schedule.bid_seconds),
                task_timeout: seconds(schedule.task_seconds),
                job_timeout: seconds(schedule.job_seconds),
                attempts: Some(schedule.attempts.into()),
            },
            budget: Budget { per_task: self.price_max.into(), max: self.budget_max.map(Into::into) },
            verify: Verify { audit: Some(self.audit.into()), keys: self.keys.map(|digest| digest.to_string()) },
        };
        let metadata = Metadata { name: self.name.clone() };
        JobSpec { api_version: API_VERSION.into(), kind: KIND.into(), metadata, spec }
    }

    /// Files of the consumer that must be stored before the job can be sent, each once.
    pub fn local_paths(&self) -> BTreeSet<&Path> {
        self.contents().into_iter().filter_map(|(_, content)| content.local()).collect()
    }

    /// Replaces local paths by the CIDs under which they were stored; paths that are not in `stored` stay.
    pub fn resolve(&mut self, stored: &BTreeMap<PathBuf, Cid>) {
        let contents = self.inputs.iter_mut().map(|input| &mut input.content);
        for content in contents.chain([&mut self.module]) {
            if let Content::Local(path) = content
                && let Some(cid) = stored.get(path)
            {
                *content = Content::Stored(*cid);
            }
        }
    }

    /// What the consumer signs up to on chain. `spec` is the SHA-256 of [`Self::to_block`].
    pub fn terms(&self, spec: B256, consumer_key: B256) -> IJobMarket::Terms {
        IJobMarket::Terms {
            spec,
            consumerKey: consumer_key,
            tasks: self.task_count(),
            priceMax: U96::from(self.price_max.0),
            bidSeconds: self.schedule.bid_seconds,
            taskSeconds: self.schedule.task_seconds,
            jobSeconds: self.schedule.job_seconds,
            auditBps: self.audit.0,
            attemptsMax: self.schedule.attempts,
        }
    }

    /// Number of tasks.
    pub fn task_count(&self) -> u32 {
        u32::try_from(self.tasks.len()).expect("a checked job has at most TASKS_MAX tasks")
    }

    /// Limits for [`crate::executor::Work`].
    pub fn limits(&self) -> Limits {
        Limits {
            fuel: self.resources.fuel.0,
            memory_bytes: self.resources.memory.0,
            wall: self.resources.wall.duration(),
            output_bytes: self.resources.output.0,
            log_bytes: self.resources.logs.0,
            files_max: OUTPUT_FILES_MAX,
        }
    }

    /// Arguments of task `index` for [`crate::executor::Work`], the job's name first; `None` if there is no such task.
    pub fn argv(&self, index: u32) -> Option<Vec<String>> {
        let task = self.tasks.get(index as usize)?;
        Some([&self.name].into_iter().chain(&task.args).cloned().collect())
    }

    /// What the random numbers of task `index` are made of: known to all, the same for the same specification.
    pub fn seed(spec: B256, index: u32) -> [u8; 32] {
        let mut bytes = b"kumo/task-seed/v1".to_vec();
        bytes.extend(spec);
        bytes.extend(index.to_be_bytes());
        sha256(&bytes).0
    }

    /// Every content with the path of its field.
    fn contents(&self) -> Vec<(String, &Content)> {
        let inputs = self.inputs.iter().enumerate().map(|(i, m)| (format!("spec.inputs[{i}].path"), &m.content));
        [("spec.run.wasm.module".to_string(), &self.module)].into_iter().chain(inputs).collect()
    }
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Stored(cid) => cid.fmt(f),
        }
    }
}

impl Mount {
    fn to_spec(&self) -> Input {
        let (path, cid) = match &self.content {
            Content::Local(path) => (Some(path.display().to_string()), None),
            Content::Stored(cid) => (None, Some(cid.to_string())),
        };
        Input { path, cid, mount: Some(self.mount.clone()) }
    }
}

impl Task {
    fn to_spec(&self) -> TaskSpec {
        TaskSpec {
            args: self.args.iter().map(Into::into).collect(),
            env: self.env.iter().map(|(name, value)| (name.clone(), value.into())).collect(),
        }
    }
}
