//! Whether a provider signed a receipt.
//!
//! The digest is the one `JobMarket` computes: EIP-712 over `Receipt` in the domain of [`abi::receipt_domain`]. The rules
//! for a signature are the contract's too (65 bytes `r ‖ s ‖ v`, `s` in the lower half, `v` 27 or 28), so that nothing is
//! believed here that the chain refuses.

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::SolStruct;
use protocol::abi::{self, IJobMarket::Receipt};

/// Length of a signature, `r ‖ s ‖ v`.
pub const SIGNATURE_BYTES: usize = 65;

/// Why a receipt is not what the provider signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not `r ‖ s ‖ v`.
    #[error("signature has {0} bytes, a receipt's has {SIGNATURE_BYTES}")]
    SignatureSize(usize),
    /// `v` is neither 27 nor 28.
    #[error("recovery byte of the signature is {0}, allowed are 27 and 28")]
    RecoveryByte(u8),
    /// `s` lies in the upper half of the group order (EIP-2).
    #[error("signature is malleable: s lies in the upper half of the group order")]
    Malleable,
    /// No public key fits the signature.
    #[error("no key belongs to this signature over digest {0}")]
    Unrecoverable(B256),
    /// The receipt names somebody else.
    #[error("receipt names provider {named}, expected {expected}")]
    OtherProvider {
        /// Provider in the receipt.
        named: Address,
        /// Provider that the caller expected.
        expected: Address,
    },
    /// Another account signed, or a field was changed after signing.
    #[error("receipt was signed by {signer}, expected {expected}")]
    OtherSigner {
        /// Account that the signature belongs to.
        signer: Address,
        /// Provider that the caller expected.
        expected: Address,
    },
}

/// EIP-712 digest of `receipt` on chain `chain_id`: what the provider signs.
pub fn digest(chain_id: u64, receipt: &Receipt) -> B256 {
    receipt.eip712_signing_hash(&abi::receipt_domain(chain_id))
}

/// `Ok` when `signature` is `expected`'s over exactly this receipt on chain `chain_id`.
pub fn verify(chain_id: u64, receipt: &Receipt, signature: &[u8], expected: Address) -> Result<(), ReceiptError> {
    if receipt.provider != expected {
        return Err(ReceiptError::OtherProvider { named: receipt.provider, expected });
    }
    let signature = parse(signature)?;
    let digest = digest(chain_id, receipt);
    let signer = signature.recover_address_from_prehash(&digest).map_err(|_| ReceiptError::Unrecoverable(digest))?;
    if signer != expected {
        return Err(ReceiptError::OtherSigner { signer, expected });
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<Signature, ReceiptError> {
    let bytes: &[u8; SIGNATURE_BYTES] = bytes.try_into().map_err(|_| ReceiptError::SignatureSize(bytes.len()))?;
    let parity = match bytes[64] {
        27 => false,
        28 => true,
        other => return Err(ReceiptError::RecoveryByte(other)),
    };
    let signature = Signature::from_bytes_and_parity(&bytes[..64], parity);
    if signature.normalize_s().is_some() {
        return Err(ReceiptError::Malleable);
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, b256, keccak256};
    use alloy_signer::SignerSync;
    use alloy_signer_local::PrivateKeySigner;
    use alloy_sol_types::SolValue;

    const CHAIN: u64 = 5886;

    fn signer() -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap()
    }

    fn receipt() -> Receipt {
        Receipt {
            jobId: U256::from(7),
            task: 3,
            attempt: 1,
            provider: signer().address(),
            commitment: B256::repeat_byte(1),
            output: B256::repeat_byte(2),
            log: B256::repeat_byte(3),
            fuel: 1_000,
            memoryBytes: 65_536,
            wallMillis: 12,
            exitCode: -1,
        }
    }

    fn sign(receipt: &Receipt) -> Vec<u8> {
        signer().sign_hash_sync(&digest(CHAIN, receipt)).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn the_providers_own_signature_is_believed() {
        let receipt = receipt();
        assert_eq!(verify(CHAIN, &receipt, &sign(&receipt), receipt.provider), Ok(()));
    }

    #[test]
    fn changing_any_field_breaks_the_signature() {
        let signature = sign(&receipt());
        let changes: [fn(&mut Receipt); 10] = [
            |r| r.jobId += U256::from(1),
            |r| r.task += 1,
            |r| r.attempt += 1,
            |r| r.commitment = B256::ZERO,
            |r| r.output = B256::ZERO,
            |r| r.log = B256::ZERO,
            |r| r.fuel += 1,
            |r| r.memoryBytes += 1,
            |r| r.wallMillis += 1,
            |r| r.exitCode = 0,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = receipt();
            change(&mut changed);
            let outcome = verify(CHAIN, &changed, &signature, changed.provider);
            assert!(
                matches!(outcome, Err(ReceiptError::OtherSigner { .. } | ReceiptError::Unrecoverable(_))),
                "change {index} gave {outcome:?}"
            );
        }
    }

    #[test]
    fn another_chain_is_another_digest() {
        let receipt = receipt();
        assert!(verify(CHAIN + 1, &receipt, &sign(&receipt), receipt.provider).is_err());
    }

    #[test]
    fn a_receipt_that_names_somebody_else_is_refused() {
        let receipt = receipt();
        let expected = Address::repeat_byte(9);
        let named = receipt.provider;
        assert_eq!(
            verify(CHAIN, &receipt, &sign(&receipt), expected),
            Err(ReceiptError::OtherProvider { named, expected })
        );
    }

    #[test]
    fn signatures_the_contract_refuses_are_refused() {
        let receipt = receipt();
        let good = sign(&receipt);
        let check = |bytes: &[u8]| verify(CHAIN, &receipt, bytes, receipt.provider);
        assert_eq!(check(&good[..64]), Err(ReceiptError::SignatureSize(64)));
        assert_eq!(check(&[good.as_slice(), &[0]].concat()), Err(ReceiptError::SignatureSize(66)));

        let mut parity = good.clone();
        parity[64] = 29;
        assert_eq!(check(&parity), Err(ReceiptError::RecoveryByte(29)));

        // The twin signature (r, n - s, flipped v) belongs to the same key, and is refused all the same.
        let order = U256::from_be_bytes(b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0);
        let s = U256::from_be_slice(&good[32..64]);
        let twin = [&good[..32], &(order - s).to_be_bytes::<32>(), &[55 - good[64]]].concat();
        assert_eq!(check(&twin), Err(ReceiptError::Malleable));

        let zero = [[0; 64].as_slice(), &[27]].concat();
        assert_eq!(check(&zero), Err(ReceiptError::Unrecoverable(digest(CHAIN, &receipt))));
    }

    #[test]
    fn digest_follows_the_text_of_eip_712() {
        let receipt = receipt();
        let kind = keccak256(
            "Receipt(uint256 jobId,uint32 task,uint8 attempt,address provider,bytes32 commitment,bytes32 output,\
             bytes32 log,uint64 fuel,uint64 memoryBytes,uint64 wallMillis,int32 exitCode)",
        );
        let fields = receipt.abi_encode();
        let hash = keccak256([kind.as_slice(), &fields].concat());
        let domain_kind =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        let domain = keccak256(
            (domain_kind, keccak256("Kumo JobMarket"), keccak256("1"), U256::from(CHAIN), abi::JOB_MARKET).abi_encode(),
        );
        let expected = keccak256([[0x19, 0x01].as_slice(), domain.as_slice(), hash.as_slice()].concat());
        assert_eq!(digest(CHAIN, &receipt), expected);
    }
}
