//! Promises of the job specification: every problem is reported, and a job has one digest.

use super::*;
use proptest::prelude::*;
use protocol::content::raw_cid;

const DIGITS: &str = include_str!("../../../../examples/digits/job.yaml");

/// The example job.
pub(crate) fn digits() -> Job {
    Job::parse_yaml(DIGITS).unwrap()
}

fn resolved() -> Job {
    let mut job = digits();
    let cid = |path: &Path| (path.to_path_buf(), raw_cid(path.to_str().unwrap().as_bytes()));
    let stored = job.local_paths().into_iter().map(cid).collect();
    job.resolve(&stored);
    job
}

/// The problems of the example after a replacement, one line each.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert!(DIGITS.contains(from), "{from:?} is not in the example");
    let errors = Job::parse_yaml(&DIGITS.replace(from, to)).expect_err("the change must be refused");
    errors.0.iter().map(ToString::to_string).collect()
}

fn problem(from: &str, to: &str) -> String {
    let mut lines = problems(from, to);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.pop().unwrap()
}

#[test]
fn the_example_and_the_template_pass() {
    let job = digits();
    assert_eq!(job.task_count(), 8);
    assert_eq!(job.audit, Bps(10_000));
    assert_eq!(job.inputs[0].mount, "digits.csv");
    let template = Job::parse_yaml(TEMPLATE).unwrap();
    assert_eq!((template.task_count(), template.resources.memory), (4, MEMORY_DEFAULT));
}

#[test]
fn what_is_not_said_has_a_default() {
    let text = "{apiVersion: kumo/v1, kind: Job, metadata: {name: a}, \
                spec: {run: {wasm: {module: ./a.wasm}}, budget: {perTask: 1 wei}}}";
    let job = Job::parse_yaml(text).unwrap();
    assert_eq!(job.tasks, [Task { args: vec![], env: BTreeMap::new() }]);
    assert_eq!(job.resources.fuel, FUEL_DEFAULT);
    assert_eq!(job.audit, AUDIT_DEFAULT);
    assert_eq!(job.schedule, Schedule { bid_seconds: 2, task_seconds: 120, job_seconds: 600, attempts: 3 });
}

#[test]
fn an_unknown_field_is_named_with_what_was_meant() {
    assert_eq!(problem("{memory:", "{memroy:"), "spec.resources.memroy: unknown field, did you mean \"memory\"?");
    assert_eq!(
        problem("verify: {audit", "verify: {potatoes: 1, audit"),
        "spec.verify.potatoes: unknown field, accepted: audit, keys"
    );
}

#[test]
fn a_missing_field_is_named_with_what_belongs_there() {
    assert_eq!(
        problem("  budget: {perTask: \"0.5 AKE\", max: \"4 AKE\"}\n", ""),
        "spec.budget: missing, expected what a task may cost"
    );
    assert_eq!(problem("kind: Job\n", ""), "kind: missing, expected Job");
    assert_eq!(
        problem("      module: ./digits.wasm\n", ""),
        "spec.run.wasm.module: missing, expected a path such as ./task.wasm, or a CID"
    );
}

#[test]
fn a_value_over_the_limit_is_named_with_the_limit() {
    assert_eq!(problem("64Mi", "8Ti"), "spec.resources.memory: \"8Ti\" is over the limit of 4Gi");
    assert_eq!(problem("64Mi", "1Ki"), "spec.resources.memory: \"1Ki\" is under the least of 64Ki");
    assert_eq!(problem("bidWindow: 2s", "bidWindow: 2d"), "spec.scheduling.bidWindow: \"2d\" is over the limit of 1h");
    assert_eq!(
        problem("bidWindow: 2s", "bidWindow: 1500ms"),
        "spec.scheduling.bidWindow: \"1500ms\" is not accepted, expected whole seconds"
    );
    assert_eq!(
        problem("attempts: 3", "attempts: 6"),
        "spec.scheduling.attempts: \"6\" is not accepted, expected a number from 1 to 5"
    );
    assert_eq!(
        problem("wall: 60s", "wall: 61s"),
        "spec.resources.wall: \"61s\" is over the limit of 1m (spec.scheduling.taskTimeout)"
    );
    assert_eq!(
        problem("jobTimeout: 10m", "jobTimeout: 59s"),
        "spec.scheduling.taskTimeout: \"1m\" is over the limit of 59s (spec.scheduling.jobTimeout)"
    );
    assert_eq!(problem("audit: 100%", "audit: 101%"), "spec.verify.audit: \"101%\" is over the limit of 100%");
    assert_eq!(
        problem("max: \"4 AKE\"", "max: \"3 AKE\""),
        "spec.budget.max: 8 tasks at 0.5 AKE are 4 AKE, over the limit of 3 AKE"
    );
    assert_eq!(
        problem("\"0.5 AKE\"", "\"0 wei\""),
        "spec.budget.perTask: \"0 wei\" is under the least of 0.000000000000000001 AKE"
    );
}

#[test]
fn a_wrong_unit_is_named_with_what_is_accepted() {
    assert_eq!(
        problem("64Mi", "256 potatoes"),
        "spec.resources.memory: \"256 potatoes\": expected bytes such as 64Ki, 256Mi, 1Gi"
    );
    assert_eq!(
        problem("\"0.5 AKE\"", "0.5"),
        "spec.budget.perTask: \"0.5\": expected an amount such as \"0.5 AKE\" or \"500 wei\""
    );
    assert_eq!(problems("[0.05, 0.2]", "{a: 1}")[0], "spec.matrix.rate: expected a list, found fields");
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = DIGITS
        .replace("64Mi", "8Ti")
        .replace("fuel:", "fule:")
        .replace("name: digits", "name: Digits!")
        .replace("mount: digits.csv", "mount: ../digits.csv");
    let lines: Vec<String> = Job::parse_yaml(&text).unwrap_err().0.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].contains("fule") && lines[1].contains("Digits!"), "{lines:#?}");
    assert!(lines[2].contains("../digits.csv") && lines[3].contains("8Ti"), "{lines:#?}");
}

#[test]
fn inputs_are_one_file_each_below_in() {
    for (mount, accepted) in
        [("a/b.csv", true), ("/a", false), ("a//b", false), ("a/../b", false), ("", false), (".", false)]
    {
        let text = DIGITS.replace("mount: digits.csv", &format!("mount: {mount:?}"));
        assert_eq!(Job::parse_yaml(&text).is_ok(), accepted, "{mount:?}");
    }
    let twice = "    - {path: ./x, mount: digits.csv/x}\n  matrix:";
    assert!(problem("  matrix:", twice).contains("\"digits.csv\" is not accepted, expected a mount that is no other"));
    assert!(problem("    - path: ./digits.csv", "    - cid: bafyrubbish").contains("spec.inputs[0].cid"));
    assert!(problem("    - path: ./digits.csv\n", "    - \n").contains("either path or cid"));
    let unnamed = Job::parse_yaml(&DIGITS.replace("      mount: digits.csv\n", "")).unwrap();
    assert_eq!(unnamed.inputs[0].mount, "digits.csv");
}

#[test]
fn the_matrix_makes_every_combination_once() {
    let job = digits();
    let lines: BTreeSet<String> = job.tasks.iter().map(|task| task.args.join(" ")).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(job.tasks[0].args[..6], ["--rate", "0.05", "--hidden", "16", "--fold", "0"]);
    assert_eq!(
        job.tasks[1].args[..6],
        ["--rate", "0.2", "--hidden", "16", "--fold", "0"],
        "the last name, rate, is fastest"
    );
    assert_eq!(job.argv(0).unwrap()[0], "digits");
    assert_eq!(job.argv(8), None);
}

#[test]
fn a_matrix_must_be_used_and_bounded() {
    assert!(problem("matrix:", "matrix:\n    colour: [red]").contains("\"colour\" is not accepted"));
    let lines = problems("${rate}", "${ratio}");
    assert!(
        lines[0].contains("\"${ratio}\" is not accepted, expected a name of spec.matrix (fold, hidden, rate)"),
        "{lines:?}"
    );
    let many: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    let many = format!("fold: [{}]", many.join(","));
    let lines = problems("fold: [0, 1]", &many.replace("63", "63,64"));
    assert_eq!(
        lines,
        ["spec.matrix.fold: 65 values, over the limit of 64", "spec.matrix: 260 tasks, over the limit of 256"]
    );
    assert!(
        Job::parse_yaml(&DIGITS.replace("fold: [0, 1]", &many).replace(", max: \"4 AKE\"", "")).is_ok(),
        "256 tasks are accepted"
    );
    let more = format!("{many}\n    extra: [1, 2]");
    let text = DIGITS.replace("fold: [0, 1]", &more).replace("\"5\"", "\"${extra}\"");
    assert_eq!(Job::parse_yaml(&text).unwrap_err().to_string(), "spec.matrix: 512 tasks, over the limit of 256");
    assert_eq!(problem("fold: [0, 1]", "fold: []"), "spec.matrix.fold: missing, expected at least one value");
}

#[test]
fn tasks_and_matrix_multiply_and_task_environment_wins() {
    let text = "{apiVersion: kumo/v1, kind: Job, metadata: {name: a}, spec: {budget: {perTask: 1 wei}, \
                run: {wasm: {module: ./a.wasm, args: [x], env: {A: 1, B: 1}}}, \
                tasks: [{args: [one, '${n}']}, {args: [two], env: {B: '${n}'}}], matrix: {n: [7, 8]}}}";
    let job = Job::parse_yaml(text).unwrap();
    let lines: Vec<String> = job.tasks.iter().map(|task| format!("{} {:?}", task.args.join(" "), task.env)).collect();
    assert_eq!(
        lines,
        [
            r#"x one 7 {"A": "1", "B": "1"}"#,
            r#"x one 8 {"A": "1", "B": "1"}"#,
            r#"x two {"A": "1", "B": "7"}"#,
            r#"x two {"A": "1", "B": "8"}"#,
        ]
    );
}

#[test]
fn arguments_are_bounded() {
    let long = "x".repeat(ARG_BYTES_MAX + 1);
    assert!(
        problems("\"40\"", &format!("\"{long}\""))[0]
            .ends_with("4097 bytes in one argument or value, over the limit of 4096")
    );
    let many = vec!["a"; ARGS_MAX + 1].join(",");
    assert!(problems("args: [", &format!("args: [{many}, "))[0].contains("arguments, over the limit of 128"));
    assert!(problems("\"40\"", "\"4\\00\"")[0].contains("text without NUL"));
}

#[test]
fn a_job_cannot_be_sent_before_its_files_are_stored() {
    let job = digits();
    let paths: Vec<&Path> = job.local_paths().into_iter().collect();
    assert_eq!(paths, [Path::new("./digits.csv"), Path::new("./digits.wasm")]);
    let errors = job.to_block().unwrap_err();
    assert_eq!(
        errors.0[0].to_string(),
        "spec.run.wasm.module: \"./digits.wasm\" is a local file, it must be stored first"
    );
    assert_eq!(errors.0.len(), 2);
    assert!(resolved().to_block().is_ok());
}

#[test]
fn a_block_reads_back_as_the_same_job() {
    let job = resolved();
    let block = job.to_block().unwrap();
    assert_eq!(Job::from_block(&block), Ok(job));
    let text = String::from_utf8(block).unwrap();
    assert!(text.starts_with(r#"{"apiVersion":"kumo/v1","kind":"Job","metadata":{"name":"digits"},"spec":{"run":"#));
}

#[test]
fn only_the_canonical_block_is_a_job() {
    let block = String::from_utf8(resolved().to_block().unwrap()).unwrap();
    for (from, to) in [
        ("\"64Mi\"", "\"65536Ki\""),
        ("\"kind\"", " \"kind\""),
        ("\"fuel\":\"20G\",", ""),
        ("\"attempts\":\"3\"", "\"attempts\":3"),
    ] {
        assert!(block.contains(from), "{from}");
        let errors = Job::from_block(block.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(errors.to_string(), "block is not in canonical form", "{from}");
    }
    let unresolved = serde_json::to_vec(&digits().to_spec()).unwrap();
    assert!(Job::from_block(&unresolved).unwrap_err().to_string().contains("is a local file"));
    assert!(
        Job::from_block(&vec![b' '; SPEC_BYTES_MAX + 1]).unwrap_err().to_string().contains("over the limit of 262144")
    );
    assert!(Job::from_block(b"not json").is_err());
}

#[test]
fn the_digest_of_the_key_bundle_travels_in_the_block() {
    let mut job = resolved();
    job.keys = Some(B256::repeat_byte(0xab));
    assert_eq!(Job::from_block(&job.to_block().unwrap()).unwrap().keys, job.keys);
    let line = problem("verify: {audit", "verify: {keys: \"0xAB\", audit");
    assert!(line.starts_with("spec.verify.keys: \"0xAB\""), "{line}");
}

#[test]
fn the_terms_carry_what_money_depends_on() {
    let job = resolved();
    let spec = protocol::content::sha256(&job.to_block().unwrap());
    let terms = job.terms(spec, B256::repeat_byte(7));
    assert_eq!((terms.tasks, terms.auditBps, terms.attemptsMax), (8, 10_000, 3));
    assert_eq!((terms.bidSeconds, terms.taskSeconds, terms.jobSeconds), (2, 60, 600));
    assert_eq!(terms.priceMax, U96::from(500_000_000_000_000_000u128));
    assert_eq!((terms.spec, terms.consumerKey), (spec, B256::repeat_byte(7)));
}

#[test]
fn seeds_differ_between_tasks_and_specifications_only() {
    let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
    assert_eq!(Job::seed(a, 0), Job::seed(a, 0));
    assert_ne!(Job::seed(a, 0), Job::seed(a, 1));
    assert_ne!(Job::seed(a, 0), Job::seed(b, 0));
}

#[test]
fn the_table_of_fields_knows_every_field_of_the_types() {
    let text = serde_json::to_string(&digits().to_spec()).unwrap();
    assert_eq!(Job::parse_yaml(&text), Ok(digits()), "whatever is written is read");
    let cid_input =
        DIGITS.replace("path: ./digits.csv", "cid: bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    assert!(Job::parse_yaml(&cid_input).is_ok());
}

#[test]
fn other_documents_are_refused_with_a_reason() {
    for text in ["", "null", "[]", "42", "\"text\"", "spec: 1"] {
        let errors = Job::parse_yaml(text).unwrap_err();
        assert!(!errors.to_string().is_empty(), "{text}");
    }
    assert_eq!(Job::parse_yaml("[]").unwrap_err().to_string(), "document: expected fields, found a list");
}

proptest! {
    #[test]
    fn any_text_gives_a_job_or_reasons(text in "(?s).{0,200}") {
        if let Err(errors) = Job::parse_yaml(&text) {
            prop_assert!(!errors.0.is_empty());
        }
    }

    #[test]
    fn any_damage_to_a_job_gives_a_job_or_reasons(at in 0usize..1200, byte in any::<u8>()) {
        let mut bytes = DIGITS.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Err(errors) = Job::parse_yaml(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!errors.0.is_empty());
        }
    }
}
