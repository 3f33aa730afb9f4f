//! GF(2^8) with polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d) and generator 2.

/// The polynomial without its leading term: what is added when a product leaves eight bits.
pub(super) const REDUCTION: u8 = 0x1d;

const TABLES: ([u8; 256], [u8; 510]) = tables();

const fn tables() -> ([u8; 256], [u8; 510]) {
    let (mut log, mut exp) = ([0u8; 256], [0u8; 510]);
    let (mut x, mut i) = (1u8, 0);
    while i < 255 {
        log[x as usize] = i as u8;
        exp[i] = x;
        exp[i + 255] = x;
        x = (x << 1) ^ if x & 0x80 != 0 { REDUCTION } else { 0 };
        i += 1;
    }
    (log, exp)
}

/// Product.
pub(super) fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    TABLES.1[usize::from(TABLES.0[usize::from(a)]) + usize::from(TABLES.0[usize::from(b)])]
}

/// Inverse of `a`, which is not zero.
pub(super) fn inverse(a: u8) -> u8 {
    assert!(a != 0, "zero has no inverse");
    TABLES.1[255 - usize::from(TABLES.0[usize::from(a)])]
}

/// `a` to the power `n`; zero to the power zero is one.
pub(super) fn power(a: u8, n: usize) -> u8 {
    match (a, n) {
        (_, 0) => 1,
        (0, _) => 0,
        _ => TABLES.1[usize::from(TABLES.0[usize::from(a)]) * n % 255],
    }
}
