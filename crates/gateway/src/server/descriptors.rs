//! Room for connections: each one is a file descriptor, and many systems start a process with 1,024 of them.

/// Raises the limit of open files of this process towards `wanted`, as far as the system allows without privileges, and
/// returns the limit that holds now; `None` when there is none. It never lowers the limit. Call it once, before
/// [`serve`](super::serve).
#[cfg(unix)]
pub fn raise_open_files(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let reachable = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if reachable <= current {
        return Some(current);
    }
    limit.current = Some(reachable);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => Some(reachable),
        Err(error) => {
            tracing::warn!(%error, current, reachable, "cannot raise the limit of open files");
            Some(current)
        }
    }
}

/// There is no such limit on this system.
#[cfg(not(unix))]
pub fn raise_open_files(_wanted: u64) -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let Some(before) = raise_open_files(0) else { return };
        let Some(raised) = raise_open_files(before + 1) else { return };
        assert!(raised >= before);
        assert_eq!(raise_open_files(1), Some(raised));
    }
}
