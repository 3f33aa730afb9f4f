//! Turn words typed by a person into SDK calls.
