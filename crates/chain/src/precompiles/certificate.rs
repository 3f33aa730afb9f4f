//! `CertificateVerifier`: whether a committee finalised a block, for light clients on this chain.

use super::call::{Call, Stop};
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use proof::certificate::{CertificateError, Claim, Header};
use protocol::abi::{ICertificateVerifier, ICertificateVerifier::ICertificateVerifierCalls};

/// Gas of understanding the call.
const BASE_GAS: u64 = 100;
/// Gas of 32 bytes of calldata, which are copied, decoded and hashed.
const WORD_GAS: u64 = 3;
/// Gas of a signature.
const SIGNATURE_GAS: u64 = 3_600;

/// Answers a call.
pub(super) fn run(call: &mut Call<'_>) -> Result<Bytes, Stop> {
    call.charge(BASE_GAS + WORD_GAS * call.len().div_ceil(32))?;
    let ICertificateVerifierCalls::verify(question) = call.decode()?;
    let ICertificateVerifier::verifyCall { chainId, committee, header, certificate } = &question;
    let claim = Claim::decode(*chainId, committee, header, certificate).map_err(refusal)?;
    call.charge(SIGNATURE_GAS * claim.signatures() as u64)?;
    let header = claim.verify().map_err(refusal)?;
    Ok(ICertificateVerifier::verifyCall::abi_encode_returns(&answer(&header)).into())
}

fn answer(header: &Header) -> ICertificateVerifier::FinalHeader {
    ICertificateVerifier::FinalHeader {
        digest: header.digest,
        parent: header.parent,
        height: header.height,
        consensusView: header.view,
        timestampMillis: header.timestamp_millis,
        randomness: header.randomness,
        namespacesRoot: header.namespaces_root,
        erasureRoot: header.erasure_root,
        bundlesRoot: header.bundles_root,
        commitmentHash: header.commitment_hash,
    }
}

fn refusal(error: CertificateError) -> Stop {
    use ICertificateVerifier as Contract;
    use alloy_primitives::U256;
    match error {
        CertificateError::Committee(size) => Stop::error(Contract::CommitteeMalformed { size: U256::from(size) }),
        CertificateError::Header(length) => Stop::error(Contract::HeaderMalformed { length: U256::from(length) }),
        CertificateError::Certificate(length) => {
            Stop::error(Contract::CertificateMalformed { length: U256::from(length) })
        }
        CertificateError::Unrelated(height) => Stop::error(Contract::CertificateUnrelated { height }),
        CertificateError::Quorum(height) => Stop::error(Contract::QuorumMissing { height }),
    }
}
