//! A disk that takes no more, or takes nothing: the chain stops at the last whole block and says why.

use crate::load::{Random, advance, open};
use chain::ChainError;
use std::{
    path::Path,
    process::{Command, Output},
};

/// Where the process with a limit keeps its chain.
const DIR: &str = "KUMO_TEST_FULL_DIR";
/// Longest file that process may write, in blocks of 1,024 bytes.
const LIMIT_KIB: u32 = 3_000;
/// More blocks than fit.
const BLOCKS_MAX: u64 = 2_000;

/// Not a test by itself: the process whose disk is full at some block.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let chain = open(dir.as_ref()).unwrap();
    let mut random = Random(3);
    let error = (0..BLOCKS_MAX).find_map(|_| advance(&chain, &mut random).err()).expect("the disk is full at last");
    let head = chain.head();
    assert!(matches!(error, ChainError::WriteFailed { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("chain.redb") && text.contains(&format!("block {}", head.number() + 1)), "{text}");
    assert!(text.contains("large") || text.contains("space"), "it says what the system said: {text}");
    // Nothing goes on in memory: every further block is refused for the same reason.
    for _ in 0..3 {
        let again = advance(&chain, &mut random).unwrap_err();
        assert!(matches!(again, ChainError::WriteFailed { .. } | ChainError::Database(_)), "{again}");
        assert_eq!(chain.head().hash, head.hash);
    }
    eprintln!("stopped {} {}", head.number(), head.hash);
}

fn run_with_limit(dir: &Path) -> Output {
    let shell = format!("trap '' XFSZ; ulimit -f {LIMIT_KIB}; exec \"$0\" \"$@\"");
    Command::new("bash")
        .args(["-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::victim", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_stops_the_chain_at_its_last_block_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let output = run_with_limit(dir.path());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stdout));
    let stopped = log.lines().find_map(|line| line.strip_prefix("stopped ")).expect("it says where it stopped");
    // With room again, the same chain goes on.
    let found = chain::verify_directory(dir.path(), 4 << 20).unwrap();
    assert_eq!(format!("{} {}", found.head, found.hash), stopped);
    let chain = open(dir.path()).unwrap();
    advance(&chain, &mut Random(4)).unwrap();
}

/// Needs the right to mount; elsewhere it says that it was skipped.
#[test]
fn a_read_only_disk_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mount = |options: &[&str]| Command::new("mount").args(options).arg(dir.path()).arg(dir.path()).output();
    let mounted = mount(&["--bind"]).is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: this process may not mount");
        return;
    }
    let remounted = mount(&["-o", "remount,ro,bind"]).is_ok_and(|output| output.status.success());
    let opened = open(dir.path()).err();
    let unmounted = Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    if !remounted {
        println!("skipped: the mount cannot be made read-only");
        return;
    }
    let text = opened.expect("nothing can be written there").to_string();
    assert!(text.contains("chain.redb") && text.to_lowercase().contains("read-only"), "{text}");
    assert!(open(dir.path()).is_ok(), "nothing was changed");
}
