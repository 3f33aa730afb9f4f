//! A rollup with the smallest circuit that is one: its state is a running hash of what was ordered, and a Groth16 proof shows that a
//! new state follows. Made for tests of `RollupInbox` and `Groth16Verifier`; prints key, new state and proof as JSON.
//!
//! ```sh
//! cargo run -p proof --example groth16 -- NAMESPACE HEIGHT STATE_ROOT INPUTS NEW_INPUTS STATE_DIFF_HASH
//! ```

mod circuit;
mod groth16;

use circuit::Transition;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Transition::parse(&words) {
        Some(transition) => println!("{:#}", circuit::statement(&transition)),
        None => {
            eprintln!(
                "needs NAMESPACE HEIGHT STATE_ROOT INPUTS NEW_INPUTS STATE_DIFF_HASH, hashes as 0x and 64 digits"
            );
            std::process::exit(2);
        }
    }
}
