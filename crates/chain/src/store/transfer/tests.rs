use super::*;
use crate::{
    Chain, ChainConfig,
    test_support::{COUNTER_RUNTIME, TestChain, call, creation, deployer, genesis, signed, signer, transfer},
    verify_directory,
};
use alloy_primitives::Bytes;

const CACHE: usize = 4 << 20;

/// A closed chain with more blocks than a snapshot has, a contract with storage, and its head.
fn closed_chain() -> (tempfile::TempDir, u64, B256) {
    let test = TestChain::new();
    let counter = signer(1).address().create(0);
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    for nonce in 1..300 {
        match nonce % 50 {
            0 => test.advance(&[signed(2, transfer(nonce / 50 - 1, Address::with_last_byte(nonce as u8), 1))]),
            1..6 => {
                let next = test.chain.state(test.chain.head().number()).unwrap().nonce(signer(1).address()).unwrap();
                test.advance(&[signed(1, call(next, counter, Bytes::new()))])
            }
            _ => test.advance(&[]),
        };
    }
    let head = test.chain.head();
    let TestChain { dir, chain } = test;
    drop(chain);
    (dir, head.number(), head.hash)
}

fn open(dir: &Path) -> Result<Chain, ChainError> {
    Chain::open(dir, &genesis(), ChainConfig::default())
}

#[test]
fn an_imported_chain_goes_on_where_the_exported_one_stood() {
    let (dir, number, hash) = closed_chain();
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("snapshot");
    let exported = export_snapshot(dir.path(), &file, CACHE).unwrap();
    assert_eq!((exported.head, exported.hash), (number, hash));
    assert_eq!(exported.bytes, fs::metadata(&file).unwrap().len());
    let home = other.path().join("chain");
    let imported = import_snapshot(&file, &home, CACHE).unwrap();
    assert_eq!(imported, exported);

    let found = verify_directory(&home, CACHE).unwrap();
    assert_eq!((found.head, found.state_root, found.oldest_state), (number, exported.state_root, number));
    let (here, there) = (open(dir.path()).unwrap(), open(&home).unwrap());
    assert_eq!(here.head(), there.head());
    let counter = signer(1).address().create(0);
    let proof = |chain: &Chain| chain.proof(number, counter, &[B256::ZERO]).unwrap();
    assert_eq!(proof(&here), proof(&there));
    assert_eq!(there.block_by_number(number - 255).unwrap(), here.block_by_number(number - 255).unwrap());
    assert!(matches!(there.block_by_number(1), Err(ChainError::BlockPruned { number: 1, oldest: 45 })));
    assert!(matches!(there.state(number - 1), Err(ChainError::Pruned { oldest, .. }) if oldest == number));
    assert_eq!(there.block_by_number(0).unwrap(), here.block_by_number(0).unwrap());

    let nonce = there.state(number).unwrap().nonce(signer(1).address()).unwrap();
    let head = here.head();
    let attributes = crate::test_support::attributes(&head);
    let transactions = [signed(1, call(nonce, counter, Bytes::new()))];
    let proposed = here.propose(head.hash, attributes, &transactions).unwrap();
    let verified = there.verify(head.hash, attributes, &proposed.header_rlp, &transactions).unwrap();
    assert_eq!(there.finalize(verified).unwrap(), here.finalize(proposed.hash).unwrap());
    assert_eq!(there.proof(number, counter, &[]).unwrap(), here.proof(number, counter, &[]).unwrap());
}

#[test]
fn a_damaged_cut_or_hostile_file_is_refused_and_leaves_no_chain() {
    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let TestChain { dir, chain } = test;
    drop(chain);
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("snapshot");
    export_snapshot(dir.path(), &file, CACHE).unwrap();
    let whole = fs::read(&file).unwrap();
    let home = other.path().join("chain");
    let refuse = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        let error = import_snapshot(&file, &home, CACHE).expect_err(what);
        assert!(matches!(error, ChainError::BadSnapshot { .. }), "{what}: {error}");
        assert!(fs::read_dir(&home).unwrap().next().is_none(), "{what} leaves nothing");
        error.to_string()
    };
    for length in [0, 5, 16, 17, 40, whole.len() / 2, whole.len() - 33, whole.len() - 1] {
        refuse(&whole[..length], "cut");
    }
    for at in (16..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        refuse(&damaged, "damaged");
    }
    refuse(&[whole.as_slice(), b"x"].concat(), "something behind the end");
    let huge = [MAGIC.as_slice(), &[1, 8, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(refuse(&huge, "a huge value").contains("the limit is"));

    // A balance that was changed, with the checksum made right again: the state root tells.
    let changed = rewritten(&whole, |part, value| {
        if part == Part::Accounts as u8 {
            let mut account = decode_account(value).unwrap().unwrap();
            account.balance += U256::from(1);
            *value = encode_account(&account);
        }
    });
    assert!(refuse(&changed, "another balance").contains("hashes to"));
    fs::write(&file, &whole).unwrap();
    import_snapshot(&file, &home, CACHE).unwrap();
    let error = import_snapshot(&file, &home, CACHE).unwrap_err();
    assert!(matches!(error, ChainError::Io { .. }), "a chain is never replaced: {error}");
}

/// The same file with other values and the right checksum.
fn rewritten(whole: &[u8], change: impl Fn(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut rest = &whole[MAGIC.len()..];
    while rest.len() > 32 {
        let (part, key) = (rest[0], usize::from(rest[1]));
        let length = u32::from_be_bytes(rest[2..6].try_into().unwrap()) as usize;
        let mut value = rest[6 + key..6 + key + length].to_vec();
        change(part, &mut value);
        out.extend([part, key as u8]);
        out.extend((value.len() as u32).to_be_bytes());
        out.extend(&rest[6..6 + key]);
        out.extend(value);
        rest = &rest[6 + key + length..];
    }
    let hash = keccak256(&out);
    out.extend(hash);
    out
}

#[test]
fn there_is_nothing_to_export_or_verify_in_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let error = export_snapshot(dir.path(), &dir.path().join("out"), CACHE).unwrap_err();
    assert!(matches!(error, ChainError::NoChain { .. }), "{error}");
    assert!(matches!(verify_directory(dir.path(), CACHE), Err(ChainError::NoChain { .. })));
    assert!(!dir.path().join("chain.redb").exists());
}
