//! Only recipients read a file, all of it or nothing, exactly as it was written.

use super::*;
use crate::testing::{SeededRandom, content};
use proptest::prelude::*;

const SIZES: [usize; 7] = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 1_048_577];

struct Fixture {
    secret: SecretKey,
    key: FileKey,
    file: Vec<u8>,
    header_bytes: usize,
}

fn encrypt(plaintext: &[u8]) -> Fixture {
    let mut rng = SeededRandom::new("crypt");
    let secret = SecretKey::random(&mut rng);
    let key = FileKey::random(&mut rng);
    let encryptor = Encryptor::new(&key, &[secret.public()], &mut rng).unwrap();
    let header_bytes = encryptor.encrypted_bytes(0) as usize - 16;
    let file = run(encryptor, plaintext, 10_000);
    Fixture { secret, key, file, header_bytes }
}

fn run(mut encryptor: Encryptor, plaintext: &[u8], step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    plaintext.chunks(step).for_each(|part| out.extend(encryptor.push(part)));
    out.extend(encryptor.finish());
    out
}

fn decrypt_by(mut decryptor: Decryptor, file: &[u8], step: usize) -> Result<Vec<u8>, CryptError> {
    let mut out = Vec::new();
    for part in file.chunks(step) {
        out.extend(decryptor.push(part)?);
    }
    out.extend(decryptor.finish()?);
    Ok(out)
}

impl Fixture {
    fn decrypt(&self, file: &[u8]) -> Result<Vec<u8>, CryptError> {
        decrypt_by(Decryptor::with_secret(&self.secret), file, 50_000)
    }
}

#[test]
fn every_size_round_trips_with_secret_and_with_file_key() {
    for size in SIZES {
        let plaintext = content("plaintext", size);
        let fixture = encrypt(&plaintext);
        assert!(fixture.decrypt(&fixture.file).unwrap() == plaintext, "{size} bytes");
        let by_key = decrypt_by(Decryptor::with_key(&fixture.key), &fixture.file, 999).unwrap();
        assert!(by_key == plaintext, "{size} bytes");
    }
}

#[test]
fn the_cut_of_input_and_output_does_not_matter() {
    let plaintext = content("cut", 3 * CHUNK_BYTES);
    let mut rng = SeededRandom::new("cut");
    let secret = SecretKey::random(&mut rng);
    let encryptor = Encryptor::new(&FileKey::random(&mut rng), &[secret.public()], &mut rng).unwrap();
    let whole = run(encryptor.clone(), &plaintext, plaintext.len());
    for step in [777, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
        assert!(run(encryptor.clone(), &plaintext, step) == whole, "step {step}");
    }
    let small = run(encryptor, b"small", 1);
    for step in [1, 2, 100] {
        assert_eq!(decrypt_by(Decryptor::with_secret(&secret), &small, step).unwrap(), b"small");
    }
}

#[test]
fn sizes_are_foretold_both_ways() {
    for size in SIZES {
        let fixture = encrypt(&content("size", size));
        let payload = (fixture.file.len() - fixture.header_bytes) as u64;
        assert_eq!(payload_bytes(size as u64), payload, "{size} bytes");
        assert_eq!(plaintext_bytes(payload), Some(size as u64));
    }
    assert_eq!(plaintext_bytes(15), None);
    assert_eq!(plaintext_bytes(SEALED_CHUNK_BYTES as u64 + 16), None, "a last chunk without content is not written");
    assert_eq!(plaintext_bytes(SEALED_CHUNK_BYTES as u64 + 17), Some(CHUNK_BYTES as u64 + 1));
}

#[test]
fn every_recipient_reads_and_nobody_else() {
    let mut rng = SeededRandom::new("recipients");
    let secrets: Vec<SecretKey> = (0..3).map(|_| SecretKey::random(&mut rng)).collect();
    let recipients: Vec<PublicKey> = secrets.iter().map(SecretKey::public).collect();
    let encryptor = Encryptor::new(&FileKey::random(&mut rng), &recipients, &mut rng).unwrap();
    let file = run(encryptor, b"for three", 100);
    for secret in &secrets {
        assert_eq!(decrypt_by(Decryptor::with_secret(secret), &file, 100).unwrap(), b"for three");
    }
    let stranger = SecretKey::random(&mut rng);
    let error = decrypt_by(Decryptor::with_secret(&stranger), &file, 100).unwrap_err();
    assert_eq!(error, CryptError::NotARecipient { key: stranger.public(), recipients: 3 });
    let other_key = FileKey::random(&mut rng);
    assert_eq!(decrypt_by(Decryptor::with_key(&other_key), &file, 100), Err(CryptError::HeaderCheck));
}

#[test]
fn the_number_of_recipients_is_limited() {
    let mut rng = SeededRandom::new("limits");
    let key = FileKey::random(&mut rng);
    let one = SecretKey::random(&mut rng).public();
    assert_eq!(Encryptor::new(&key, &[], &mut rng).unwrap_err(), CryptError::Recipients(0));
    assert!(Encryptor::new(&key, &[one; RECIPIENTS_MAX], &mut rng).is_ok());
    let beyond = Encryptor::new(&key, &[one; RECIPIENTS_MAX + 1], &mut rng).unwrap_err();
    assert_eq!(beyond.to_string(), "257 recipients, allowed are 1 to 256");
    let unusable = Encryptor::new(&key, &[PublicKey([0; 32])], &mut rng).unwrap_err();
    assert_eq!(unusable, CryptError::PublicKey(PublicKey([0; 32])));
}

#[test]
fn a_header_with_all_recipients_is_read() {
    let mut rng = SeededRandom::new("full");
    let secret = SecretKey::random(&mut rng);
    let mut recipients = vec![SecretKey::random(&mut rng).public(); RECIPIENTS_MAX];
    recipients[RECIPIENTS_MAX - 1] = secret.public();
    let file = run(Encryptor::new(&FileKey::random(&mut rng), &recipients, &mut rng).unwrap(), b"x", 1);
    assert_eq!(decrypt_by(Decryptor::with_secret(&secret), &file, 4096).unwrap(), b"x");
}

#[test]
fn a_change_anywhere_in_a_small_file_is_found() {
    let fixture = encrypt(b"a secret");
    for at in 0..fixture.file.len() {
        for bit in [1, 0x80] {
            let mut changed = fixture.file.clone();
            changed[at] ^= bit;
            assert!(fixture.decrypt(&changed).is_err(), "byte {at}");
            assert!(
                decrypt_by(Decryptor::with_key(&fixture.key), &changed, 64).is_err(),
                "byte {at} with the file key"
            );
        }
    }
}

#[test]
fn each_part_of_a_file_is_defended_by_name() {
    let fixture = encrypt(&content("parts", 2 * CHUNK_BYTES + 5));
    let error = |at: usize| {
        let mut changed = fixture.file.clone();
        changed[at] ^= 1;
        fixture.decrypt(&changed).unwrap_err()
    };
    let header = fixture.header_bytes;
    assert_eq!(error(0), CryptError::Magic);
    assert_eq!(error(7), CryptError::Version(0));
    assert!(matches!(error(8), CryptError::HeaderLength { .. }));
    assert_eq!(error(header - 1), CryptError::HeaderCheck, "check value");
    assert!(matches!(error(header - 33), CryptError::Sealed { bytes: 80 }), "wrapped key");
    assert_eq!(error(header), CryptError::Chunk { index: 0 });
    assert_eq!(error(header + SEALED_CHUNK_BYTES - 1), CryptError::Chunk { index: 0 }, "tag of the first chunk");
    assert_eq!(error(header + SEALED_CHUNK_BYTES), CryptError::Chunk { index: 1 });
    assert_eq!(error(fixture.file.len() - 1), CryptError::Chunk { index: 2 });
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let fixture = encrypt(&content("short", 300));
    for end in 0..fixture.file.len() {
        assert!(fixture.decrypt(&fixture.file[..end]).is_err(), "cut at {end}");
    }
    let fixture = encrypt(&content("long", 3 * CHUNK_BYTES));
    for chunks in 0..3 {
        let end = fixture.header_bytes + chunks * SEALED_CHUNK_BYTES;
        let error = fixture.decrypt(&fixture.file[..end]).unwrap_err();
        assert_eq!(error, CryptError::Truncated { bytes: end as u64 }, "cut behind chunk {chunks}");
    }
}

#[test]
fn chunks_cannot_be_moved_doubled_dropped_or_added() {
    let fixture = encrypt(&content("order", 3 * CHUNK_BYTES));
    let (header, payload) = fixture.file.split_at(fixture.header_bytes);
    let chunks: Vec<&[u8]> = payload.chunks(SEALED_CHUNK_BYTES).collect();
    let assemble = |order: &[usize]| {
        let mut file = header.to_vec();
        order.iter().for_each(|i| file.extend_from_slice(chunks[*i]));
        fixture.decrypt(&file)
    };
    assert!(assemble(&[0, 1, 2]).is_ok());
    for (order, index) in [(&[1, 0, 2][..], 0), (&[0, 0, 1, 2], 1), (&[0, 2], 1), (&[0, 1, 2, 2], 2), (&[2], 0)] {
        assert_eq!(assemble(order), Err(CryptError::Chunk { index }), "{order:?}");
    }
    let trailing = [&fixture.file[..], b"x"].concat();
    assert_eq!(fixture.decrypt(&trailing), Err(CryptError::Chunk { index: 2 }));
}

#[test]
fn a_header_does_not_fit_another_file() {
    let a = encrypt(b"first");
    let mut rng = SeededRandom::new("another");
    let b = run(Encryptor::new(&a.key, &[a.secret.public()], &mut rng).unwrap(), b"other", 9);
    let mixed = [&a.file[..a.header_bytes], &b[a.header_bytes..]].concat();
    assert_eq!(a.decrypt(&mixed), Err(CryptError::Chunk { index: 0 }), "same file key, other header");
}

#[test]
fn any_chunk_opens_by_itself() {
    let plaintext = content("seek", 2 * CHUNK_BYTES + 100);
    let fixture = encrypt(&plaintext);
    let opened = open_header(&fixture.file, &fixture.secret).unwrap();
    assert_eq!((&opened.key, opened.header_bytes), (&fixture.key, fixture.header_bytes));
    let key = PayloadKey::of(&opened);
    let sealed: Vec<&[u8]> = fixture.file[opened.header_bytes..].chunks(SEALED_CHUNK_BYTES).collect();
    assert!(key.open_chunk(1, false, sealed[1]).unwrap() == plaintext[CHUNK_BYTES..2 * CHUNK_BYTES]);
    assert!(key.open_chunk(2, true, sealed[2]).unwrap() == plaintext[2 * CHUNK_BYTES..]);
    assert_eq!(key.open_chunk(1, true, sealed[1]), Err(CryptError::Chunk { index: 1 }));
    assert_eq!(key.open_chunk(2, false, sealed[2]), Err(CryptError::Chunk { index: 2 }));
}

#[test]
fn the_length_of_a_header_is_known_from_its_first_bytes() {
    let fixture = encrypt(b"");
    for end in 0..PREFIX_BYTES {
        assert_eq!(header_length(&fixture.file[..end]), Ok(None), "{end} bytes");
    }
    assert_eq!(header_length(&fixture.file), Ok(Some(fixture.header_bytes)));
    assert_eq!(header_length(b"PK"), Err(CryptError::Magic));
    let long = [&MAGIC[..], &[1], &(HEADER_BYTES_MAX as u32 + 1).to_be_bytes()].concat();
    assert_eq!(header_length(&long), Err(CryptError::HeaderLength { bytes: HEADER_BYTES_MAX + 1 }));
}

#[test]
fn sealed_messages_open_only_with_key_purpose_and_circumstances() {
    let mut rng = SeededRandom::new("seal");
    let secret = SecretKey::random(&mut rng);
    let sealed = seal(&secret.public(), b"info", b"aad", b"bundle", &mut rng).unwrap();
    assert_eq!(sealed.len(), 6 + SEAL_OVERHEAD_BYTES);
    assert_eq!(open(&secret, b"info", b"aad", &sealed).unwrap(), b"bundle");
    let failed = Err(CryptError::Sealed { bytes: sealed.len() });
    assert_eq!(open(&SecretKey::random(&mut rng), b"info", b"aad", &sealed), failed);
    assert_eq!(open(&secret, b"other", b"aad", &sealed), failed);
    assert_eq!(open(&secret, b"info", b"other", &sealed), failed);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open(&secret, b"info", b"aad", &changed), failed, "byte {at}");
        assert!(open(&secret, b"info", b"aad", &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn sealing_is_the_hpke_of_the_rfc() {
    // RFC 9180 appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode, sequence 0.
    let hex = |text: &str| hex::decode(text).unwrap();
    let secret = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb").try_into().unwrap();
    let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
    let ciphertext = hex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
    let info = hex("4f6465206f6e2061204772656369616e2055726e");
    let aad = hex("436f756e742d30");
    let plaintext = open(&SecretKey::from_bytes(secret), &info, &aad, &[enc, ciphertext].concat()).unwrap();
    assert_eq!(plaintext, b"Beauty is truth, truth beauty");
}

#[test]
fn a_derived_key_depends_on_secret_and_purpose_alone() {
    let key = |secret: &[u8], purpose: &[u8]| SecretKey::derive(secret, purpose).public();
    assert_eq!(key(&[1; 32], b"files"), key(&[1; 32], b"files"));
    assert_ne!(key(&[1; 32], b"files"), key(&[2; 32], b"files"));
    assert_ne!(key(&[1; 32], b"files"), key(&[1; 32], b"jobs"));
    let restored = SecretKey::from_bytes(*SecretKey::derive(&[1; 32], b"files").to_bytes());
    assert_eq!(restored.public(), key(&[1; 32], b"files"));
}

#[test]
fn log_records_open_only_in_their_place() {
    let secret = [7; 32];
    let mut sealer = LogSealer::new(&secret, 1, 2, 3);
    let (first, second) = (sealer.seal(b"epoch 1"), sealer.seal(b"epoch 1"));
    assert_eq!((first.0, second.0), (0, 1));
    assert_ne!(first.1, second.1, "the same text twice does not show");
    assert_eq!(first.1.len(), 7 + LOG_TAG_BYTES);
    let opener = LogOpener::new(&secret, 1, 2, 3);
    assert_eq!(opener.open(0, &first.1).unwrap(), b"epoch 1");
    assert_eq!(opener.open(1, &first.1), Err(CryptError::Log { seq: 1 }));
    for (secret, job, task, attempt) in [([8; 32], 1, 2, 3), (secret, 2, 2, 3), (secret, 1, 3, 3), (secret, 1, 2, 4)] {
        assert!(LogOpener::new(&secret, job, task, attempt).open(0, &first.1).is_err());
    }
}

#[test]
fn nothing_printed_shows_a_key() {
    let secret = SecretKey::from_bytes([0xab; 32]);
    let key = FileKey::from_bytes([0xab; 32]);
    let encryptor = Encryptor::new(&key, &[secret.public()], &mut OsRandom).unwrap();
    let mut decryptor = Decryptor::with_secret(&secret);
    decryptor.push(&run(encryptor.clone(), b"x", 1)).unwrap();
    let opened = open_header(&run(encryptor.clone(), b"x", 1), &secret).unwrap();
    let printed = format!("{secret:?} {key:?} {encryptor:?} {decryptor:?} {opened:?} {:?}", PayloadKey::of(&opened));
    for form in ["abab", "171", "ab, ab", "AB"] {
        assert!(!printed.contains(form), "{printed}");
    }
}

#[test]
fn the_systems_randomness_differs_each_time() {
    assert_ne!(FileKey::random(&mut OsRandom), FileKey::random(&mut OsRandom));
}

proptest! {
    #[test]
    fn any_bytes_are_decrypted_without_panic(bytes: Vec<u8>, step in 1usize..64) {
        let _ = decrypt_by(Decryptor::with_key(&FileKey::from_bytes([1; 32])), &bytes, step);
        let _ = open(&SecretKey::from_bytes([1; 32]), b"", b"", &bytes);
    }

    #[test]
    fn any_header_is_read_without_panic(body: Vec<u8>) {
        let mut file = [&MAGIC[..], &[1], &(body.len() as u32).to_be_bytes(), &body[..]].concat();
        file.extend([0; 32]);
        prop_assert!(open_header(&file, &SecretKey::from_bytes([1; 32])).is_err());
    }
}
