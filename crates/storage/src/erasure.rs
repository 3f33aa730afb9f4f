//! Systematic Reed–Solomon code over GF(2^8): `n` shards, any `k` of which rebuild the data.
//!
//! The first `k` shards are the data itself, so a reader that gets those decodes nothing. The matrix is the
//! Vandermonde matrix made systematic, over the field of polynomial 0x11d: byte for byte the code of Plank's tutorial
//! as used by Backblaze's JavaReedSolomon and by `reed-solomon-erasure`, so that independent programs read our shards.
//! Source: Plank, "A Tutorial on Reed-Solomon Coding for Fault-Tolerance in RAID-like Systems" (1997), and its 2003
//! correction.

mod field;
mod kernel;
mod matrix;

use matrix::Matrix;

/// Most data shards.
pub const K_MAX: usize = 64;
/// Most shards: the field has 255 points besides zero.
pub const N_MAX: usize = 255;

/// Bytes of each shard that are coded at once, so that all shards of a stripe stay in the cache.
const STRIPE_BYTES: usize = 16 * 1024;

/// Why shards cannot be coded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErasureError {
    /// `k` and `n` are out of range.
    #[error("code {k} of {n} is out of range: 1 <= k <= n, k <= {K_MAX}, n <= {N_MAX}")]
    Code {
        /// Data shards.
        k: usize,
        /// All shards.
        n: usize,
    },
    /// Another number of shards than the code has.
    #[error("{given} shards given, {expected} expected")]
    Shards {
        /// Number given.
        given: usize,
        /// Number that the code has.
        expected: usize,
    },
    /// Shards differ in length.
    #[error("shard {index} has {bytes} bytes, the first one {expected}")]
    Length {
        /// Position of the shard.
        index: usize,
        /// Its length.
        bytes: usize,
        /// Length of the first shard.
        expected: usize,
    },
    /// Too few shards to rebuild the others.
    #[error("{present} shards present, {needed} needed")]
    TooFew {
        /// Shards present.
        present: usize,
        /// Shards needed.
        needed: usize,
    },
}

/// A code with `k` data shards of `n`.
#[derive(Clone, Debug)]
pub struct Code {
    k: usize,
    n: usize,
    /// `n` rows of `k` coefficients; the first `k` rows are the identity.
    matrix: Matrix,
}

impl Code {
    /// The code with these parameters: `1 <= k <= n`, `k <= 64`, `n <= 255`.
    pub fn new(k: usize, n: usize) -> Result<Self, ErasureError> {
        if k == 0 || k > n || k > K_MAX || n > N_MAX {
            return Err(ErasureError::Code { k, n });
        }
        Ok(Self { k, n, matrix: Matrix::systematic_vandermonde(n, k) })
    }

    /// Shards that rebuild the data.
    pub fn k(&self) -> usize {
        self.k
    }

    /// All shards.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The `n - k` parity shards of `k` data shards of equal length.
    pub fn encode<S: AsRef<[u8]>>(&self, data: &[S]) -> Result<Vec<Vec<u8>>, ErasureError> {
        if data.len() != self.k {
            return Err(ErasureError::Shards { given: data.len(), expected: self.k });
        }
        let data: Vec<&[u8]> = data.iter().map(AsRef::as_ref).collect();
        equal_length(data.iter().enumerate().map(|(i, s)| (i, s.len())))?;
        let rows: Vec<&[u8]> = (self.k..self.n).map(|row| self.matrix.row(row)).collect();
        Ok(combine(&rows, &data))
    }

    /// Rebuilds every shard that is `None` from any `k` that are present.
    pub fn reconstruct(&self, shards: &mut [Option<Vec<u8>>]) -> Result<(), ErasureError> {
        let missing: Vec<usize> = (0..shards.len()).filter(|i| shards[*i].is_none()).collect();
        let present: Vec<(usize, &[u8])> =
            shards.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_deref()?))).collect();
        let rebuilt = self.rebuild(shards.len(), &present, &missing)?;
        for (index, shard) in missing.into_iter().zip(rebuilt) {
            shards[index] = Some(shard);
        }
        Ok(())
    }

    /// The data shards that are not among `present`, with their positions, from any `k` shards with theirs.
    pub fn missing_data<S: AsRef<[u8]>>(&self, present: &[(usize, S)]) -> Result<Vec<(usize, Vec<u8>)>, ErasureError> {
        let present: Vec<(usize, &[u8])> = present.iter().map(|(i, s)| (*i, s.as_ref())).collect();
        let missing: Vec<usize> = (0..self.k).filter(|i| !present.iter().any(|(at, _)| at == i)).collect();
        let rebuilt = self.rebuild(self.n, &present, &missing)?;
        Ok(missing.into_iter().zip(rebuilt).collect())
    }

    /// The shards at `missing`, from those `present`.
    fn rebuild(
        &self,
        given: usize,
        present: &[(usize, &[u8])],
        missing: &[usize],
    ) -> Result<Vec<Vec<u8>>, ErasureError> {
        let out_of_range = present.iter().any(|(i, _)| *i >= self.n);
        if given != self.n || out_of_range {
            return Err(ErasureError::Shards { given, expected: self.n });
        }
        equal_length(present.iter().map(|(i, s)| (*i, s.len())))?;
        let mut used: Vec<(usize, &[u8])> = present.to_vec();
        used.sort_by_key(|(i, _)| *i);
        used.dedup_by_key(|(i, _)| *i);
        used.truncate(self.k);
        if used.len() < self.k {
            return Err(ErasureError::TooFew { present: used.len(), needed: self.k });
        }
        let indices: Vec<usize> = used.iter().map(|(i, _)| *i).collect();
        let inverse = self.matrix.rows(&indices).inverse().expect("any k rows of the code are independent");
        let wanted = self.matrix.rows(missing).times(&inverse);
        let rows: Vec<&[u8]> = (0..missing.len()).map(|row| wanted.row(row)).collect();
        let inputs: Vec<&[u8]> = used.iter().map(|(_, shard)| *shard).collect();
        Ok(combine(&rows, &inputs))
    }
}

fn equal_length(lengths: impl Iterator<Item = (usize, usize)>) -> Result<(), ErasureError> {
    let mut first = None;
    for (index, bytes) in lengths {
        let expected = *first.get_or_insert(bytes);
        if bytes != expected {
            return Err(ErasureError::Length { index, bytes, expected });
        }
    }
    Ok(())
}

/// One output per row: the sum of the inputs, each times its coefficient.
fn combine(rows: &[&[u8]], inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let bytes = inputs.first().map_or(0, |shard| shard.len());
    let mut outputs = vec![vec![0; bytes]; rows.len()];
    for from in (0..bytes).step_by(STRIPE_BYTES) {
        let to = bytes.min(from + STRIPE_BYTES);
        for (column, input) in inputs.iter().enumerate() {
            kernel::add_products(&input[from..to], |row| rows[row][column], &mut outputs, from);
        }
    }
    outputs
}

#[cfg(test)]
mod tests;
