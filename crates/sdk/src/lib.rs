//! Do everything a user can do, from Rust; encrypt and verify on the user's side.
