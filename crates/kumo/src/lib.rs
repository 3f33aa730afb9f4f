//! The program: choose roles from configuration, connect the engines, start and stop them.
