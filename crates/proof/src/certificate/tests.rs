use super::*;
use alloy_primitives::Bytes;
use proptest::prelude::*;

const NO_BYTES: &[u8] = &[];

fn encoded_header(height: u64) -> Vec<u8> {
    let mut bytes = vec![7; 32];
    [height, 3, 9_000].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    bytes.push(u8::from(height != 0));
    bytes.extend(vec![5; if height == 0 { 0 } else { REVEAL_BYTES }]);
    bytes.extend([1; SUFFIX_BYTES]);
    bytes
}

/// A block that three of four finalised through a descendant two blocks later, as the sequencer made it.
struct Vector {
    chain_id: u64,
    committee: Vec<B256>,
    header: Bytes,
    certificate: Bytes,
    digest: B256,
}

fn vector() -> Vector {
    let json: serde_json::Value = serde_json::from_str(include_str!("../../vectors/certificate.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    Vector {
        chain_id: json["chain_id"].as_u64().unwrap(),
        committee: json["committee"].as_array().unwrap().iter().map(|key| text(key).parse().unwrap()).collect(),
        header: text(&json["header"]).parse().unwrap(),
        certificate: text(&json["certificate"]).parse().unwrap(),
        digest: text(&json["digest"]).parse().unwrap(),
    }
}

#[test]
fn what_the_sequencer_certified_is_final() {
    let Vector { chain_id, committee, header, certificate, digest } = vector();
    let claim = Claim::decode(chain_id, &committee, &header, &certificate).unwrap();
    assert_eq!((claim.signatures(), claim.quorum()), (3, 3));
    let header = claim.verify().unwrap();
    assert_eq!((header.digest, header.height), (digest, 2));
}

#[test]
fn another_chain_or_committee_finalised_nothing() {
    let Vector { chain_id, committee, header, certificate, .. } = vector();
    let no_quorum = Err(CertificateError::Quorum(2));
    assert_eq!(verify(chain_id + 1, &committee, &header, &certificate), no_quorum);
    let more = [committee.as_slice(), &[B256::repeat_byte(0xff)]].concat();
    assert_eq!(verify(chain_id, &more, &header, &certificate), no_quorum);
    let fewer = verify(chain_id, &committee[..3], &header, &certificate);
    assert!(matches!(fewer, Err(CertificateError::Certificate(_))), "{fewer:?}");
    let mut strangers = committee.clone();
    strangers[0] = B256::with_last_byte(1);
    assert_eq!(verify(chain_id, &strangers, &header, &certificate), no_quorum);
    let mut other = header.to_vec();
    other[40] ^= 1;
    assert_eq!(verify(chain_id, &committee, &other, &certificate), Err(CertificateError::Unrelated(2)));
}

#[test]
fn a_header_has_one_encoding() {
    let bytes = encoded_header(4);
    let header = Header::decode(&bytes).unwrap();
    assert_eq!((header.height, header.view, header.timestamp_millis), (4, 3, 9_000));
    assert_eq!(header.parent, B256::repeat_byte(7));
    assert!(Header::decode(&encoded_header(0)).is_some(), "genesis has no reveal");
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(Header::decode(&longer).is_none() && Header::decode(&bytes[1..]).is_none());
    let mut other_flag = bytes.clone();
    other_flag[56] = 2;
    assert!(Header::decode(&other_flag).is_none());
    let mut revealing_genesis = bytes;
    revealing_genesis[32..40].fill(0);
    assert!(Header::decode(&revealing_genesis).is_none());
}

#[test]
fn a_committee_is_a_bounded_ascending_list() {
    let keys = |count: usize| (1..=count).map(|n| B256::from(alloy_primitives::U256::from(n))).collect::<Vec<_>>();
    let decode = |committee: &[B256]| Claim::decode(1, committee, &encoded_header(1), NO_BYTES).err();
    assert_eq!(decode(&[]), Some(CertificateError::Committee(0)));
    assert_eq!(decode(&keys(257)), Some(CertificateError::Committee(257)));
    assert_eq!(decode(&keys(256)), Some(CertificateError::Certificate(0)));
    let (mut swapped, mut doubled) = (keys(3), keys(3));
    swapped.swap(0, 1);
    doubled[1] = doubled[0];
    assert_eq!(decode(&swapped), Some(CertificateError::Committee(3)));
    assert_eq!(decode(&doubled), Some(CertificateError::Committee(3)));
}

#[test]
fn oversized_certificates_are_refused_before_they_are_decoded() {
    let committee = [B256::ZERO];
    let certificate = vec![0; CERTIFICATE_BYTES_MAX + 1];
    let error = verify(1, &committee, &encoded_header(1), &certificate);
    assert_eq!(error, Err(CertificateError::Certificate(CERTIFICATE_BYTES_MAX + 1)));
}

#[test]
fn numbers_have_one_form() {
    let read = |mut bytes: &[u8]| varint(&mut bytes).filter(|_| bytes.is_empty());
    assert_eq!(read(&[0]), Some(0));
    assert_eq!(read(&[0xac, 0x02]), Some(300));
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Some(u64::MAX));
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None, "over 64 bits");
    assert_eq!(read(&[0x80, 0x00]), None, "padded");
    assert_eq!(read(&[0x80]), None, "cut");
}

#[test]
fn a_bitmap_has_no_bits_beyond_its_length() {
    let read = |length: u64, bits: &[u8]| {
        let bytes = [&length.to_be_bytes(), bits].concat();
        bitmap(&mut bytes.as_slice(), 16)
    };
    assert_eq!(read(4, &[0b1011]), Some((4, vec![0, 1, 3])));
    assert_eq!(read(9, &[0x80, 1]), Some((9, vec![7, 8])));
    assert_eq!(read(4, &[0b1_0000]), None);
    assert_eq!(read(17, &[0, 0, 0]), None, "more than the committee");
    assert_eq!(read(9, &[1]), None, "cut");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(header: Vec<u8>, certificate: Vec<u8>, members in 1u8..9) {
        let committee: Vec<B256> = (0..members).map(B256::with_last_byte).collect();
        prop_assert!(verify(1, &committee, &header, &certificate).is_err());
        prop_assert!(verify(1, &committee, &encoded_header(1), &certificate).is_err());
    }
}
