//! `StorageProofs`: many challenges about stored data at a time.

use super::call::{Call, Stop};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use proof::possession::{CHALLENGES_MAX, PossessionError, Proof, draw};
use protocol::abi::{IStorageProofs, IStorageProofs::IStorageProofsCalls};

/// Gas of understanding the call.
const BASE_GAS: u64 = 100;
/// Gas of 32 bytes of calldata, which are copied, decoded and hashed.
const WORD_GAS: u64 = 3;
/// Gas of a leaf or a hash of the path, each of which takes one hash to join the others.
const HASH_GAS: u64 = 12;

/// Answers a call.
pub(super) fn run(call: &mut Call<'_>) -> Result<Bytes, Stop> {
    call.charge(BASE_GAS + WORD_GAS * call.len().div_ceil(32))?;
    match call.decode::<IStorageProofsCalls>()? {
        IStorageProofsCalls::draw(question) => draw_leaves(call, &question),
        IStorageProofsCalls::verifyBatch(claim) => verify(call, &claim),
    }
}

fn draw_leaves(call: &mut Call<'_>, question: &IStorageProofs::drawCall) -> Result<Bytes, Stop> {
    let IStorageProofs::drawCall { seed, size, count } = *question;
    let refused = || Stop::error(IStorageProofs::ChallengeOutOfRange { size, challenges: count });
    let count = usize::try_from(count).ok().filter(|count| *count <= CHALLENGES_MAX).ok_or_else(refused)?;
    call.charge(HASH_GAS * count as u64)?;
    let indices = draw(seed, size, count).map_err(|_| refused())?;
    Ok(IStorageProofs::drawCall::abi_encode_returns(&indices).into())
}

fn verify(call: &mut Call<'_>, claim: &IStorageProofs::verifyBatchCall) -> Result<Bytes, Stop> {
    let IStorageProofs::verifyBatchCall { root, size, indices, leaves, path } = claim;
    let hashes = (indices.len() + path.len()) as u64;
    call.charge(HASH_GAS * hashes)?;
    let proof = Proof { root: *root, size: *size, indices, leaves, path };
    match proof.verify() {
        Err(PossessionError::Size(_) | PossessionError::Challenges(_)) => {
            let challenges = U256::from(indices.len());
            Err(Stop::error(IStorageProofs::ChallengeOutOfRange { size: *size, challenges }))
        }
        outcome => Ok(outcome.is_ok().abi_encode().into()),
    }
}
