//! Groth16 over BN254, for circuits of some hundred constraints: polynomials are handled in quadratic time.
//!
//! The setup knows its own secrets, as they follow from a label: a key for tests and nothing else.
//! Source: Groth, On the Size of Pairing-based Non-interactive Arguments (2016), section 3.2.

use alloy_primitives::{B256, Bytes, keccak256};
use ark_bn254::{Bn254, Fq, Fr, G1Affine, G1Projective as G1, G2Affine, G2Projective as G2};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{BigInteger, Field, One, PrimeField, Zero};

/// Variables with factors.
pub type Linear = Vec<(usize, Fr)>;

/// Constraints `left · right = out`; variable 0 is one, then come public inputs, then the others.
pub struct R1cs {
    public: usize,
    variables: usize,
    constraints: Vec<[Linear; 3]>,
}

impl R1cs {
    pub fn new(public: usize) -> Self {
        Self { public, variables: 1 + public, constraints: vec![] }
    }

    /// A new variable that is the product, with its value.
    pub fn multiply(&mut self, values: &mut Vec<Fr>, left: &Linear, right: &Linear) -> Linear {
        values.push(Fr::zero());
        self.variables += 1;
        self.multiply_into(values, left, right, self.variables - 1)
    }

    /// The same for a variable that exists.
    pub fn multiply_into(&mut self, values: &mut [Fr], left: &Linear, right: &Linear, out: usize) -> Linear {
        values[out] = value(left, values) * value(right, values);
        let product = vec![(out, Fr::one())];
        self.constraints.push([left.clone(), right.clone(), product.clone()]);
        product
    }
}

fn value(linear: &Linear, values: &[Fr]) -> Fr {
    linear.iter().map(|(variable, factor)| values[*variable] * factor).sum()
}

/// Everything that proving and checking needs.
pub struct Key {
    public: usize,
    alpha: G1,
    beta: (G1, G2),
    gamma: G2,
    delta: (G1, G2),
    /// For each variable its polynomials at the secret point: left in G1, right in both.
    left: Vec<G1>,
    right: Vec<(G1, G2)>,
    /// Over gamma for constant and public inputs, over delta for the others.
    sums: Vec<G1>,
    /// Powers of the secret point times the vanishing polynomial over delta.
    powers: Vec<G1>,
}

/// A proof.
pub struct Proof {
    a: G1Affine,
    b: G2Affine,
    c: G1Affine,
}

impl Key {
    /// A key whose secrets follow from `label`.
    pub fn setup(r1cs: &R1cs, label: &[u8]) -> Self {
        let secret = |name: &[u8]| Fr::from_be_bytes_mod_order(keccak256([label, name].concat()).as_slice());
        let [alpha, beta, gamma, delta, tau] = [b"alpha".as_slice(), b"beta", b"gamma", b"delta", b"tau"].map(secret);
        let size = r1cs.constraints.len();
        let vanishing = (1..=size as u64).map(|point| tau - Fr::from(point)).product::<Fr>();
        let basis: Vec<Fr> = (1..=size as u64)
            .map(|point| vanishing / (tau - Fr::from(point)) / derivative(point, size as u64))
            .collect();
        let mut at = vec![[Fr::zero(); 3]; r1cs.variables];
        for (constraint, weight) in r1cs.constraints.iter().zip(&basis) {
            for (side, linear) in constraint.iter().enumerate() {
                linear.iter().for_each(|(variable, factor)| at[*variable][side] += *factor * weight);
            }
        }
        let (g1, g2) = (G1::generator(), G2::generator());
        let over = |place: usize| if place <= r1cs.public { gamma } else { delta };
        let sum = |(place, [u, v, w]): (usize, &[Fr; 3])| g1 * ((beta * u + alpha * v + w) / over(place));
        let powers = (0..size as u64 - 1).map(|power| g1 * (tau.pow([power]) * vanishing / delta)).collect();
        Self {
            public: r1cs.public,
            alpha: g1 * alpha,
            beta: (g1 * beta, g2 * beta),
            gamma: g2 * gamma,
            delta: (g1 * delta, g2 * delta),
            left: at.iter().map(|[u, _, _]| g1 * u).collect(),
            right: at.iter().map(|[_, v, _]| (g1 * v, g2 * v)).collect(),
            sums: at.iter().enumerate().map(sum).collect(),
            powers,
        }
    }

    /// A proof that these values meet all constraints.
    pub fn prove(&self, r1cs: &R1cs, values: &[Fr]) -> Proof {
        // Without fresh randomness a proof hides nothing; there is nothing to hide.
        let [r, s] = [b"r".as_slice(), b"s"].map(|name| Fr::from_be_bytes_mod_order(keccak256(name).as_slice()));
        let a = self.alpha + sum(values, self.left.iter().copied()) + self.delta.0 * r;
        let b1 = self.beta.0 + sum(values, self.right.iter().map(|(one, _)| *one)) + self.delta.0 * s;
        let b2 = self.beta.1 + sum(values, self.right.iter().map(|(_, two)| *two)) + self.delta.1 * s;
        let hidden = sum(&values[self.public + 1..], self.sums[self.public + 1..].iter().copied());
        let quotient = sum(&quotient(r1cs, values), self.powers.iter().copied());
        let c = hidden + quotient + a * s + b1 * r - self.delta.0 * (r * s);
        Proof { a: a.into_affine(), b: b2.into_affine(), c: c.into_affine() }
    }

    /// Whether a proof shows that values with these public ones, the constant first, meet the constraints.
    #[allow(dead_code, reason = "the example only proves")]
    pub fn verify(&self, public: &[Fr], proof: &Proof) -> bool {
        let inputs = sum(public, self.sums[..=self.public].iter().copied());
        let right = Bn254::multi_pairing([self.alpha, inputs, proof.c.into()], [self.beta.1, self.gamma, self.delta.1]);
        Bn254::pairing(proof.a, proof.b) == right
    }

    /// Coordinates as the precompiles of Ethereum take them: alpha, beta, gamma, delta, constant and public inputs.
    pub fn words(&self) -> Vec<B256> {
        let mut words = one(&self.alpha.into_affine()).to_vec();
        [self.beta.1, self.gamma, self.delta.1].iter().for_each(|point| words.extend(two(&point.into_affine())));
        self.sums[..=self.public].iter().for_each(|point| words.extend(one(&point.into_affine())));
        words
    }
}

impl Proof {
    /// The three points, 256 bytes.
    pub fn encode(&self) -> Bytes {
        let words = [one(&self.a).as_slice(), &two(&self.b), &one(&self.c)].concat();
        words.iter().flat_map(|word| word.0).collect()
    }
}

fn sum<G: PrimeGroup<ScalarField = Fr>>(factors: &[Fr], points: impl Iterator<Item = G>) -> G {
    factors.iter().zip(points).map(|(factor, point)| point * factor).sum()
}

/// Of the polynomial that vanishes at `1..=size`, at one of these points.
fn derivative(point: u64, size: u64) -> Fr {
    (1..=size).filter(|other| *other != point).map(|other| Fr::from(point) - Fr::from(other)).product()
}

/// Coefficients of `(left · right − out) / vanishing`.
fn quotient(r1cs: &R1cs, values: &[Fr]) -> Vec<Fr> {
    let size = r1cs.constraints.len();
    let mut vanishing = vec![Fr::one()];
    (1..=size as u64).for_each(|point| vanishing = multiply(&vanishing, &[-Fr::from(point), Fr::one()]));
    let [left, right, out] = std::array::from_fn(|side| {
        let mut polynomial = vec![Fr::zero(); size];
        for (constraint, point) in r1cs.constraints.iter().zip(1u64..) {
            let weight = value(&constraint[side], values) / derivative(point, size as u64);
            for (sum, term) in polynomial.iter_mut().zip(without(&vanishing, Fr::from(point))) {
                *sum += weight * term;
            }
        }
        polynomial
    });
    let mut rest = multiply(&left, &right);
    rest.iter_mut().zip(out).for_each(|(term, out)| *term -= out);
    let mut quotient = vec![Fr::zero(); size - 1];
    for place in (0..quotient.len()).rev() {
        let factor = rest[place + size];
        quotient[place] = factor;
        vanishing.iter().enumerate().for_each(|(at, term)| rest[place + at] -= factor * term);
    }
    assert!(rest.iter().all(Fr::is_zero), "the values do not meet the constraints");
    quotient
}

/// A polynomial over `X − root`, which divides it.
fn without(polynomial: &[Fr], root: Fr) -> Vec<Fr> {
    let mut quotient = vec![Fr::zero(); polynomial.len() - 1];
    let mut carried = Fr::zero();
    for place in (0..quotient.len()).rev() {
        carried = polynomial[place + 1] + carried * root;
        quotient[place] = carried;
    }
    quotient
}

fn multiply(left: &[Fr], right: &[Fr]) -> Vec<Fr> {
    let mut product = vec![Fr::zero(); left.len() + right.len() - 1];
    for (place, factor) in left.iter().enumerate() {
        right.iter().enumerate().for_each(|(at, term)| product[place + at] += *factor * term);
    }
    product
}

fn word(number: Fq) -> B256 {
    B256::from_slice(&number.into_bigint().to_bytes_be())
}

fn one(point: &G1Affine) -> [B256; 2] {
    let (x, y) = point.xy().unwrap_or_default();
    [word(x), word(y)]
}

fn two(point: &G2Affine) -> [B256; 4] {
    let (x, y) = point.xy().unwrap_or_default();
    [word(x.c1), word(x.c0), word(y.c1), word(y.c0)]
}
