//! Small dense matrices over the field.

use super::field::{inverse, mul, power};

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    columns: usize,
    cells: Vec<u8>,
}

impl Matrix {
    /// The `rows` × `columns` Vandermonde matrix (`row` to the power `column`) times the inverse of its top square:
    /// the identity above, and every choice of `columns` rows independent.
    pub(super) fn systematic_vandermonde(rows: usize, columns: usize) -> Self {
        let cells = (0..rows).flat_map(|r| (0..columns).map(move |c| power(r as u8, c))).collect();
        let vandermonde = Self { columns, cells };
        let top: Vec<usize> = (0..columns).collect();
        vandermonde.times(&vandermonde.rows(&top).inverse().expect("distinct points make it invertible"))
    }

    /// One row.
    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.cells[row * self.columns..(row + 1) * self.columns]
    }

    /// The matrix of the rows named, in that order.
    pub(super) fn rows(&self, rows: &[usize]) -> Self {
        Self { columns: self.columns, cells: rows.iter().flat_map(|r| self.row(*r)).copied().collect() }
    }

    /// Matrix product.
    pub(super) fn times(&self, other: &Self) -> Self {
        let height = self.cells.len() / self.columns;
        let cell =
            |r: usize, c: usize| self.row(r).iter().enumerate().fold(0, |sum, (i, a)| sum ^ mul(*a, other.row(i)[c]));
        let cells =
            (0..height).flat_map(|r| (0..other.columns).map(move |c| (r, c))).map(|(r, c)| cell(r, c)).collect();
        Self { columns: other.columns, cells }
    }

    /// Inverse of a square matrix by Gauss–Jordan elimination; `None` if it has none.
    pub(super) fn inverse(&self) -> Option<Self> {
        let size = self.columns;
        let mut left: Vec<Vec<u8>> = (0..size).map(|r| self.row(r).to_vec()).collect();
        let mut right: Vec<Vec<u8>> = (0..size).map(|r| (0..size).map(|c| u8::from(r == c)).collect()).collect();
        for pivot in 0..size {
            let swap = (pivot..size).find(|r| left[*r][pivot] != 0)?;
            left.swap(pivot, swap);
            right.swap(pivot, swap);
            let scale = inverse(left[pivot][pivot]);
            for cells in [&mut left, &mut right] {
                cells[pivot].iter_mut().for_each(|x| *x = mul(*x, scale));
            }
            for row in (0..size).filter(|r| *r != pivot) {
                let factor = left[row][pivot];
                for cells in [&mut left, &mut right] {
                    let source = cells[pivot].clone();
                    cells[row].iter_mut().zip(source).for_each(|(x, s)| *x ^= mul(s, factor));
                }
            }
        }
        Some(Self { columns: size, cells: right.concat() })
    }
}
