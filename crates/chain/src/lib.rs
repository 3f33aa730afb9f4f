//! Execute ordered blocks on the EVM and keep the resulting state.
