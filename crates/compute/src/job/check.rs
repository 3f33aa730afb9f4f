//! Turn a specification into a checked job, collecting every problem on the way.

use super::error::{JobError, JobErrors};
use super::limits::*;
use super::{CheckedResources, Content, Job, Mount, Schedule, Task, expand};
use alloy_primitives::B256;
use cid::Cid;
use protocol::content::digest_of_cid;
use protocol::job::{API_VERSION, Budget, Input, JobSpec, KIND, Resources, Scalar, Scheduling, Verify};
use protocol::units::{Bps, ByteSize, Millis, UnitError, Wei};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

pub(super) fn check(written: &JobSpec) -> Result<Job, JobErrors> {
    let mut checker = Checker { errors: Vec::new() };
    let spec = &written.spec;
    checker.constant("apiVersion", &written.api_version, API_VERSION);
    checker.constant("kind", &written.kind, KIND);
    checker.name(&written.metadata.name);
    let module = checker.module(&spec.run.wasm.module);
    let inputs = checker.inputs(&spec.inputs);
    let tasks = expand::tasks(spec, &mut checker.errors);
    checker.tasks(&tasks);
    let resources = checker.resources(&spec.resources);
    let schedule = checker.scheduling(&spec.scheduling, resources.wall);
    let (price_max, budget_max) = checker.budget(&spec.budget, tasks.len());
    let audit = checker.verify(&spec.verify);
    let keys = checker.keys(&spec.verify);
    let Checker { errors } = checker;
    match module {
        Some(module) if errors.is_empty() => {
            let name = written.metadata.name.clone();
            Ok(Job { name, module, inputs, tasks, resources, schedule, price_max, budget_max, audit, keys })
        }
        _ => Err(JobErrors(errors)),
    }
}

struct Checker {
    errors: Vec<JobError>,
}

impl Checker {
    fn reject(&mut self, path: &str, value: &str, expected: impl Into<String>) {
        self.errors.push(JobError::NotAccepted { path: path.into(), value: value.into(), expected: expected.into() });
    }

    fn at_most(&mut self, path: &str, count: usize, what: &'static str, max: usize) {
        if count > max {
            self.errors.push(JobError::TooMany { path: path.into(), count, what, max });
        }
    }

    fn constant(&mut self, path: &str, value: &str, accepted: &str) {
        if value != accepted {
            self.reject(path, value, accepted);
        }
    }

    fn name(&mut self, name: &str) {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let plain = name.chars().all(|c| edge(c) || c == '-') && name.starts_with(edge) && name.ends_with(edge);
        if !plain || name.len() > NAME_BYTES_MAX {
            let expected = format!("1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, a letter or digit at both ends");
            self.reject("metadata.name", name, expected);
        }
    }

    fn module(&mut self, module: &str) -> Option<Content> {
        let path = "spec.run.wasm.module";
        if ["./", "../", "/"].iter().any(|prefix| module.starts_with(prefix)) {
            return Some(Content::Local(module.into()));
        }
        let cid = stored_cid(module);
        if cid.is_none() {
            self.reject(path, module, "a path beginning with ./, ../ or /, or the CID of a stored file");
        }
        cid.map(Content::Stored)
    }

    fn inputs(&mut self, inputs: &[Input]) -> Vec<Mount> {
        self.at_most("spec.inputs", inputs.len(), "inputs", INPUTS_MAX);
        let mut mounts: Vec<Mount> =
            inputs.iter().take(INPUTS_MAX).enumerate().filter_map(|(i, input)| self.input(i, input)).collect();
        mounts.sort_by(|a, b| a.mount.cmp(&b.mount));
        for (i, mount) in mounts.iter().enumerate() {
            let inside =
                |other: &&Mount| other.mount.strip_prefix(&mount.mount).is_some_and(|rest| rest.starts_with('/'));
            if mounts[i + 1..].iter().any(|other| other.mount == mount.mount || inside(&other)) {
                self.reject("spec.inputs", &mount.mount, "a mount that is no other input's mount or folder");
            }
        }
        mounts
    }

    fn input(&mut self, index: usize, input: &Input) -> Option<Mount> {
        let path = format!("spec.inputs[{index}]");
        let content = match (&input.path, &input.cid) {
            (Some(local), None) if !local.is_empty() => Content::Local(local.into()),
            (None, Some(cid)) => match stored_cid(cid) {
                Some(cid) => Content::Stored(cid),
                None => {
                    self.reject(&format!("{path}.cid"), cid, "a CIDv1 with SHA-256, such as bafy…");
                    return None;
                }
            },
            (Some(local), Some(_)) => {
                self.reject(&path, local, "either path or cid, not both");
                return None;
            }
            _ => {
                self.errors.push(JobError::Missing { path, expected: "either path or cid".into() });
                return None;
            }
        };
        let mount = self.mount(&path, input)?;
        Some(Mount { content, mount })
    }

    fn mount(&mut self, path: &str, input: &Input) -> Option<String> {
        let file_name = |local: &String| Some(Path::new(local).file_name()?.to_str()?.to_string());
        let Some(mount) = input.mount.clone().or_else(|| input.path.as_ref().and_then(file_name)) else {
            let (path, expected) = (format!("{path}.mount"), "a path below /in, such as data.csv".into());
            self.errors.push(JobError::Missing { path, expected });
            return None;
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
        let parts = mount.split('/').count();
        if mount.len() > MOUNT_BYTES_MAX || parts > MOUNT_PARTS_MAX || !mount.split('/').all(plain) {
            let expected = format!(
                "a relative path of at most {MOUNT_BYTES_MAX} bytes and {MOUNT_PARTS_MAX} parts, without . and .."
            );
            self.reject(&format!("{path}.mount"), &mount, expected);
            return None;
        }
        Some(mount)
    }

    fn tasks(&mut self, tasks: &[Task]) {
        for (i, task) in tasks.iter().enumerate() {
            let path = format!("spec.tasks[{i}]");
            self.at_most(&format!("{path}.args"), task.args.len(), "arguments", ARGS_MAX);
            self.at_most(&format!("{path}.env"), task.env.len(), "values", ENV_MAX);
            let texts = || task.args.iter().chain(task.env.keys()).chain(task.env.values());
            let longest = texts().map(String::len).max().unwrap_or(0);
            self.at_most(&path, longest, "bytes in one argument or value", ARG_BYTES_MAX);
            self.at_most(&path, texts().map(String::len).sum(), "bytes of arguments and values", ARGS_BYTES_MAX);
            if let Some(text) = texts().find(|text| text.contains('\0')) {
                self.reject(&path, text, "text without NUL");
            }
            if let Some(name) = task.env.keys().find(|name| name.is_empty() || name.contains('=')) {
                self.reject(&format!("{path}.env"), name, "a name without =");
            }
        }
    }

    fn resources(&mut self, written: &Resources) -> CheckedResources {
        let at = |name: &str| format!("spec.resources.{name}");
        CheckedResources {
            memory: self.quantity(&at("memory"), &written.memory, MEMORY_DEFAULT, MEMORY_MIN, MEMORY_MAX),
            fuel: self.quantity(&at("fuel"), &written.fuel, FUEL_DEFAULT, FUEL_MIN, FUEL_MAX),
            output: self.quantity(&at("output"), &written.output, OUTPUT_DEFAULT, ByteSize(0), OUTPUT_MAX),
            logs: self.quantity(&at("logs"), &written.logs, LOGS_DEFAULT, ByteSize(0), LOGS_MAX),
            wall: self.quantity(&at("wall"), &written.wall, WALL_DEFAULT, WALL_MIN, WALL_MAX),
        }
    }

    fn scheduling(&mut self, written: &Scheduling, wall: Millis) -> Schedule {
        let at = |name: &str| format!("spec.scheduling.{name}");
        let bid_seconds = self.seconds(&at("bidWindow"), &written.bid_window, BID_WINDOW_DEFAULT, BID_WINDOW_MAX);
        let task_seconds =
            self.seconds(&at("taskTimeout"), &written.task_timeout, TASK_TIMEOUT_DEFAULT, TASK_TIMEOUT_MAX);
        let job_seconds = self.seconds(&at("jobTimeout"), &written.job_timeout, JOB_TIMEOUT_DEFAULT, JOB_TIMEOUT_MAX);
        let task = Millis(u64::from(task_seconds) * 1000);
        if wall > task {
            let (value, max) = (wall.to_string(), format!("{task} (spec.scheduling.taskTimeout)"));
            self.errors.push(JobError::Over { path: "spec.resources.wall".into(), value, max });
        }
        if task_seconds > job_seconds {
            let (value, max) =
                (task.to_string(), format!("{} (spec.scheduling.jobTimeout)", Millis(u64::from(job_seconds) * 1000)));
            self.errors.push(JobError::Over { path: at("taskTimeout"), value, max });
        }
        let attempts = self.attempts(&at("attempts"), &written.attempts);
        Schedule { bid_seconds, task_seconds, job_seconds, attempts }
    }

    fn attempts(&mut self, path: &str, written: &Option<Scalar>) -> u8 {
        let Some(Scalar(text)) = written else { return ATTEMPTS_DEFAULT };
        match text.parse::<u8>() {
            Ok(attempts @ 1..=ATTEMPTS_MAX) => attempts,
            _ => {
                self.reject(path, text, format!("a number from 1 to {ATTEMPTS_MAX}"));
                ATTEMPTS_DEFAULT
            }
        }
    }

    fn budget(&mut self, written: &Budget, tasks: usize) -> (Wei, Option<Wei>) {
        let (least, most) = (Wei(1), Wei(PRICE_MAX));
        let per_task = self.quantity("spec.budget.perTask", &Some(written.per_task.clone()), least, least, most);
        let path = "spec.budget.max";
        let max = written.max.is_some().then(|| self.quantity(path, &written.max, most, least, Wei(u128::MAX)));
        let total = Wei(per_task.0.saturating_mul(tasks as u128));
        if let Some(max) = max.filter(|max| total > *max) {
            let (per_task, total, max) = (per_task.to_string(), total.to_string(), max.to_string());
            self.errors.push(JobError::OverBudget { path: path.into(), tasks, per_task, total, max });
        }
        (per_task, max)
    }

    fn verify(&mut self, written: &Verify) -> Bps {
        self.quantity("spec.verify.audit", &written.audit, AUDIT_DEFAULT, Bps(0), Bps(10_000))
    }

    fn keys(&mut self, written: &Verify) -> Option<B256> {
        let text = written.keys.as_ref()?;
        let digest = text.parse::<B256>().ok().filter(|digest| digest.to_string() == *text);
        if digest.is_none() {
            self.reject("spec.verify.keys", text, "0x and 64 lower-case hex digits; leave it out, the SDK writes it");
        }
        digest
    }

    /// A window or timeout of whole seconds.
    fn seconds(&mut self, path: &str, written: &Option<Scalar>, default: Millis, max: Millis) -> u32 {
        let time = self.quantity(path, written, default, SECONDS_MIN, max);
        let Some(seconds) = time.whole_seconds() else {
            self.reject(path, &time.to_string(), "whole seconds");
            return 0;
        };
        u32::try_from(seconds).expect("every limit of a timeout is below 2^32 seconds")
    }

    /// The quantity in `written`, or `default`; on a problem too, so that the check can go on.
    fn quantity<T>(&mut self, path: &str, written: &Option<Scalar>, default: T, min: T, max: T) -> T
    where
        T: FromStr<Err = UnitError> + PartialOrd + Display,
    {
        let Some(Scalar(text)) = written else { return default };
        let (path, value) = (path.to_string(), text.clone());
        self.errors.push(match text.parse::<T>() {
            Err(source) => JobError::Quantity { path, source },
            Ok(asked) if asked > max => JobError::Over { path, value, max: max.to_string() },
            Ok(asked) if asked < min => JobError::Under { path, value, min: min.to_string() },
            Ok(asked) => return asked,
        });
        default
    }
}

/// A CIDv1 with SHA-256 in its canonical spelling.
fn stored_cid(text: &str) -> Option<Cid> {
    let cid = Cid::try_from(text).ok()?;
    (cid.version() == cid::Version::V1 && digest_of_cid(&cid).is_some() && cid.to_string() == text).then_some(cid)
}
