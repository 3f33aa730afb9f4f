//! What `job init` writes.

/// A commented `job.yaml` that passes the check.
pub const TEMPLATE: &str = r#"# A job for Kumo. Check it with `kumo job validate FILE`, see its price with `kumo job quote FILE`.
apiVersion: kumo/v1
kind: Job
metadata:
  name: my-job                    # a-z, 0-9 and -

spec:
  run:
    wasm:
      module: ./task.wasm         # built for wasm32-wasip1; or the CID of a stored file
      args: ["--seed", "${seed}"] # placeholders are filled from the matrix below
      # env: {MODE: fast}

  # Files that every task sees, read-only, below /in. Local files are encrypted and stored when the job is sent.
  # inputs:
  #   - {path: ./data.csv, mount: data.csv}
  #   - {cid: bafy…, mount: other.csv}

  # One task for each combination. Or list them: tasks: [{args: ["--seed", "1"]}, {args: ["--seed", "2"]}]
  matrix:
    seed: [1, 2, 3, 4]

  # Limits of each task. What a task writes below /out and logs is returned encrypted to you.
  resources: {memory: 256Mi, fuel: 50G, output: 16Mi, logs: 64Ki, wall: 60s}
  scheduling: {bidWindow: 2s, taskTimeout: 120s, jobTimeout: 10m, attempts: 3}

  # The most a task may cost; providers bid below it. What is not used is refunded.
  budget: {perTask: "0.5 AKE"}

  # How often a result is run again by another provider, drawn after it was committed.
  verify: {audit: 5%}
"#;
