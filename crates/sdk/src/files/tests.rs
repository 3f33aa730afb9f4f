use super::*;
use crate::gateway::tests::FakeGateway;
use protocol::content::raw_cid;

fn wallet(byte: u8) -> Wallet {
    Wallet::from_private_key(&B256::repeat_byte(byte)).unwrap()
}

/// Bytes that no two blocks of share.
fn sample(length: usize) -> Vec<u8> {
    (0..length as u64 / 8 + 1)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .take(length)
        .collect()
}

struct Fixture {
    files: Files,
    gateway: Arc<FakeGateway>,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, state) = FakeGateway::default().serve().await;
    Fixture { files: Files::new(gateway, folder.path().to_owned()), gateway: state, folder }
}

impl Fixture {
    async fn put(&self, length: usize, protection: &Protection) -> Stored {
        self.files.put_bytes(sample(length), protection).await.unwrap()
    }

    async fn get(&self, cid: &Cid, unlock: &Unlock<'_>) -> Result<Vec<u8>, FilesError> {
        self.files.get_bytes(cid, unlock, 64 << 20).await
    }

    fn lie(&self, change: impl Fn(Vec<(Cid, Bytes)>) -> Vec<(Cid, Bytes)> + Send + Sync + 'static) {
        *self.gateway.change.lock().unwrap() = Some(Box::new(change));
    }
}

#[tokio::test]
async fn files_come_back_as_they_were() {
    let fixture = fixture().await;
    let wallet = wallet(1);
    for length in [0, 1, 6, 7, 8, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        for protection in [Protection::Plain, Protection::owner(&wallet)] {
            let stored = fixture.put(length, &protection).await;
            assert_eq!(stored.file_bytes, length as u64);
            assert_eq!(stored.key.is_some(), protection != Protection::Plain);
            let bytes = fixture.get(&stored.cid, &Unlock::Wallet(&wallet)).await.unwrap();
            assert!(bytes == sample(length), "{length} bytes, {protection:?}");
        }
    }
}

#[tokio::test]
async fn a_file_on_disk_and_its_bytes_have_one_plain_cid() {
    let fixture = fixture().await;
    let path = fixture.folder.path().join("data");
    std::fs::write(&path, sample(2_000_000)).unwrap();
    let from_file = fixture.files.put(&path, &Protection::Plain).await.unwrap();
    assert_eq!(from_file.cid, fixture.put(2_000_000, &Protection::Plain).await.cid);
    let small = fixture.put(100, &Protection::Plain).await;
    assert_eq!(small.cid, raw_cid(&sample(100)), "what fits one block is named by its own hash");
}

#[tokio::test]
async fn the_gateway_never_sees_the_content_of_an_encrypted_file() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::owner(&wallet(1))).await;
    let again = fixture.put(3 << 20, &Protection::owner(&wallet(1))).await;
    assert_ne!(stored.cid, again.cid, "every file has a key of its own");
    let (plain, length) = (sample(3 << 20), 24);
    for block in fixture.gateway.blocks.lock().unwrap().values() {
        assert!(!block.windows(length).any(|window| window == &plain[65_536..65_536 + length]));
    }
}

#[tokio::test]
async fn who_is_not_a_reader_learns_so() {
    let fixture = fixture().await;
    let stored = fixture.put(1000, &Protection::owner(&wallet(1))).await;
    let stranger = wallet(2);
    let error = fixture.get(&stored.cid, &Unlock::Wallet(&stranger)).await.unwrap_err();
    assert!(matches!(error, FilesError::Crypt { source: CryptError::NotARecipient { recipients: 1, .. }, .. }));
    let error = fixture.files.file_key(&stored.cid, &stranger).await.unwrap_err();
    assert!(matches!(error, FilesError::Crypt { source: CryptError::NotARecipient { .. }, .. }), "{error}");
}

#[tokio::test]
async fn every_reader_and_every_holder_of_the_file_key_can_read() {
    let fixture = fixture().await;
    let (owner, reader) = (wallet(1), wallet(2));
    let both = Protection::Encrypted(vec![owner.exchange_public(), reader.exchange_public()]);
    let stored = fixture.put(100_000, &both).await;
    let key = fixture.files.file_key(&stored.cid, &owner).await.unwrap().unwrap();
    assert_eq!(Some(&key), stored.key.as_ref());
    for unlock in [Unlock::Wallet(&owner), Unlock::Wallet(&reader), Unlock::Key(key)] {
        assert!(fixture.get(&stored.cid, &unlock).await.unwrap() == sample(100_000));
    }
    let wrong = Unlock::Key(FileKey::from_bytes([9; 32]));
    let error = fixture.get(&stored.cid, &wrong).await.unwrap_err();
    assert!(matches!(error, FilesError::Crypt { source: CryptError::HeaderCheck, .. }), "{error}");
}

#[tokio::test]
async fn a_plain_file_has_no_key() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::Plain).await;
    assert!(fixture.files.file_key(&stored.cid, &wallet(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn as_stored_means_the_ciphertext() {
    let fixture = fixture().await;
    let stored = fixture.put(1000, &Protection::owner(&wallet(1))).await;
    let bytes = fixture.get(&stored.cid, &Unlock::AsStored).await.unwrap();
    assert!(bytes.starts_with(MAGIC));
    assert_eq!(raw_cid(&bytes), stored.cid);
}

#[tokio::test]
async fn a_gateway_that_stored_something_else_is_caught() {
    let fixture = fixture().await;
    for claim in [raw_cid(b"other").to_string(), "nonsense".to_owned()] {
        *fixture.gateway.claim.lock().unwrap() = Some(claim.clone());
        let error = fixture.files.put_bytes(sample(10), &Protection::Plain).await.unwrap_err();
        assert!(matches!(error, FilesError::OtherRoot { ref theirs, .. } if *theirs == claim), "{error}");
    }
}

#[tokio::test]
async fn a_changed_block_is_caught() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::Plain).await;
    fixture.lie(|mut blocks| {
        let last = blocks.last_mut().unwrap();
        let mut bytes = last.1.to_vec();
        bytes[0] ^= 1;
        last.1 = bytes.into();
        blocks
    });
    let error = fixture.get(&stored.cid, &Unlock::AsStored).await.unwrap_err();
    assert!(matches!(error, FilesError::Archive { source: CarError::Block { .. }, .. }), "{error}");
}

#[tokio::test]
async fn a_whole_other_file_is_caught() {
    let fixture = fixture().await;
    let stored = fixture.put(1000, &Protection::Plain).await;
    fixture.lie(|_| vec![(raw_cid(b"evil"), Bytes::from_static(b"evil"))]);
    let error = fixture.get(&stored.cid, &Unlock::AsStored).await.unwrap_err();
    assert!(matches!(error, FilesError::Foreign { block, .. } if block == raw_cid(b"evil")), "{error}");
}

#[tokio::test]
async fn blocks_that_were_left_out_are_missed() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::Plain).await;
    fixture.lie(|mut blocks| {
        blocks.remove(1);
        blocks
    });
    let error = fixture.get(&stored.cid, &Unlock::AsStored).await.unwrap_err();
    assert!(matches!(error, FilesError::Incomplete { missing: 1, .. }), "{error}");
}

#[tokio::test]
async fn nothing_that_nobody_asked_for_is_taken() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::Plain).await;
    fixture.lie(|mut blocks| {
        blocks.insert(1, (raw_cid(b"filler"), Bytes::from_static(b"filler")));
        blocks
    });
    let error = fixture.get(&stored.cid, &Unlock::AsStored).await.unwrap_err();
    assert!(matches!(error, FilesError::Foreign { .. }), "{error}");
    fixture.lie(|mut blocks| {
        blocks.push(blocks[1].clone());
        blocks
    });
    assert!(fixture.get(&stored.cid, &Unlock::AsStored).await.is_ok(), "a repeated block does no harm");
}

#[tokio::test]
async fn an_unknown_cid_is_the_gateways_problem() {
    let fixture = fixture().await;
    let error = fixture.get(&raw_cid(b"nobody has this"), &Unlock::AsStored).await.unwrap_err();
    assert!(matches!(error, FilesError::Gateway(ref error) if error.status() == Some(404)), "{error}");
}

#[tokio::test]
async fn a_failed_download_leaves_nothing_behind() {
    let fixture = fixture().await;
    let stored = fixture.put(3 << 20, &Protection::owner(&wallet(1))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    std::fs::write(&path, b"what was there before").unwrap();
    let outcome = fixture.files.get_to_file(&stored.cid, &Unlock::Wallet(&wallet(2)), &path).await;
    assert!(outcome.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"what was there before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no scratch file is left");
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 0, "and none of the archive");
    let fetched = fixture.files.get_to_file(&stored.cid, &Unlock::Wallet(&wallet(1)), &path).await.unwrap();
    assert_eq!(fetched, Fetched { bytes: 3 << 20, encrypted: true });
    assert!(std::fs::read(&path).unwrap() == sample(3 << 20));
}

#[tokio::test]
async fn a_file_longer_than_the_caller_takes_is_refused() {
    let fixture = fixture().await;
    let stored = fixture.put(1001, &Protection::Plain).await;
    let error = fixture.files.get_bytes(&stored.cid, &Unlock::AsStored, 1000).await.unwrap_err();
    assert!(matches!(error, FilesError::TooLong { max: 1000, .. }), "{error}");
    assert!(fixture.files.get_bytes(&stored.cid, &Unlock::AsStored, 1001).await.is_ok());
}

#[tokio::test]
async fn a_missing_source_is_named() {
    let fixture = fixture().await;
    let error = fixture.files.put("no/such/file".as_ref(), &Protection::Plain).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read no/such/file"), "{error}");
    let error = fixture.files.put_bytes(sample(1), &Protection::Encrypted(vec![])).await.unwrap_err();
    assert!(matches!(error, FilesError::Encrypt(CryptError::Recipients(0))), "{error}");
}

#[tokio::test]
async fn a_block_is_checked_too() {
    let fixture = fixture().await;
    let cid = raw_cid(b"true");
    fixture.gateway.blocks.lock().unwrap().insert(cid, Bytes::from_static(b"false"));
    let error = fixture.files.block(&cid).await.unwrap_err();
    assert!(matches!(error, FilesError::Block(BlockError::Mismatch { .. })), "{error}");
}
