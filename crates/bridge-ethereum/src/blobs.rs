//! What a node of an L1 wants to see with blobs: commitments, and a proof for each of their cells.
//!
//! Source: EIP-4844 for the transaction and the names of blobs, EIP-7594 for the proofs, which is what nodes take since Fusaka.

use crate::l1::L1Error;
use alloy_eips::eip4844::{Blob, Bytes48};
use alloy_eips::eip7594::BlobTransactionSidecarEip7594;
use alloy_primitives::{B256, Bytes};
use sha2::{Digest as _, Sha256};

/// First byte of the name of a blob whose commitment is a KZG commitment.
const VERSION_KZG: u8 = 1;
/// Without tables for quicker proofs, which take longer to make than one proof.
const PRECOMPUTE: u64 = 0;

/// The name of the blob with this commitment.
pub fn versioned_hash(commitment: &[u8]) -> B256 {
    let mut hash: [u8; 32] = Sha256::digest(commitment).into();
    hash[0] = VERSION_KZG;
    hash.into()
}

/// The name of a blob.
///
/// # Errors
/// When it is not one: another size, or a field element beyond the modulus.
pub fn name(blob: &[u8]) -> Result<B256, L1Error> {
    let settings = c_kzg::ethereum_kzg_settings(PRECOMPUTE);
    let commitment = settings.blob_to_kzg_commitment(&read(blob)?).map_err(refused)?;
    Ok(versioned_hash(commitment.to_bytes().as_slice()))
}

/// Everything that goes with the transaction, and the names of the blobs.
///
/// # Errors
/// When one of them is no blob.
pub fn sidecar(blobs: &[Bytes]) -> Result<(BlobTransactionSidecarEip7594, Vec<B256>), L1Error> {
    let settings = c_kzg::ethereum_kzg_settings(PRECOMPUTE);
    let mut sidecar = BlobTransactionSidecarEip7594::default();
    let mut names = Vec::with_capacity(blobs.len());
    for bytes in blobs {
        let blob = read(bytes)?;
        let commitment = settings.blob_to_kzg_commitment(&blob).map_err(refused)?.to_bytes().into_inner();
        let (_, proofs) = settings.compute_cells_and_kzg_proofs(&blob).map_err(refused)?;
        names.push(versioned_hash(&commitment));
        sidecar.blobs.push(Blob::from_slice(bytes));
        sidecar.commitments.push(Bytes48::new(commitment));
        sidecar.cell_proofs.extend(proofs.iter().map(|proof| Bytes48::new(proof.to_bytes().into_inner())));
    }
    Ok((sidecar, names))
}

fn read(bytes: &[u8]) -> Result<c_kzg::Blob, L1Error> {
    c_kzg::Blob::from_bytes(bytes).map_err(refused)
}

fn refused(error: c_kzg::Error) -> L1Error {
    L1Error::Refused(format!("not a blob: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_blob_has_the_name_of_the_point_at_infinity() {
        // The commitment to the zero polynomial is the point at infinity: 0xc0 and zeros.
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        let blob = Bytes::from(vec![0; 131_072]);
        let (sidecar, names) = sidecar(std::slice::from_ref(&blob)).unwrap();
        assert_eq!(sidecar.commitments, [Bytes48::new(infinity)]);
        assert_eq!((sidecar.cell_proofs.len(), names[0]), (128, versioned_hash(&infinity)));
        assert_eq!(name(&blob).unwrap(), names[0]);
        let expected = "010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014";
        assert_eq!(names[0], expected.parse::<B256>().unwrap());
    }

    #[test]
    fn bytes_that_are_no_blob_are_refused() {
        assert!(matches!(name(&[0; 131_071]), Err(L1Error::Refused(_))));
        let mut beyond = vec![0; 131_072];
        beyond[..32].fill(0xff);
        assert!(matches!(sidecar(&[beyond.into()]), Err(L1Error::Refused(_))));
    }
}
