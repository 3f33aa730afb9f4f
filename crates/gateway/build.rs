//! Compiles the Protocol Buffers of the gRPC API, in Rust alone.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTO: &str = "kumo/sequencer/v1/sequencer.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/{PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    // What reflection tells.
    let encoded = prost::Message::encode_to_vec(&descriptors);
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("sequencer.fds"), encoded)?;
    tonic_prost_build::configure().build_transport(false).bytes(".").compile_fds(descriptors)?;
    Ok(())
}
