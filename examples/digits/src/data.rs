//! The data set: rows of 64 pixels (0..=16) and one label (0..=9).

/// Pixels of an image.
pub const PIXELS: usize = 64;
/// Classes.
pub const CLASSES: usize = 10;
/// Largest value of a pixel.
const PIXEL_MAX: u8 = 16;

/// One image, its pixels scaled to 0..=1.
#[derive(Clone, Debug, PartialEq)]
pub struct Digit {
    /// Row by row.
    pub pixels: [f32; PIXELS],
    /// 0..=9.
    pub label: usize,
}

/// All images, in file order.
#[derive(Debug)]
pub struct Digits(Vec<Digit>);

impl Digits {
    /// Reads comma-separated rows; a problem names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let digits: Vec<Digit> =
            rows.map(|(i, line)| row(line).map_err(|e| format!("line {}: {e}", i + 1))).collect::<Result<_, _>>()?;
        if digits.is_empty() { Err("the data set is empty".into()) } else { Ok(Self(digits)) }
    }

    /// Training and test set of fold `fold` of `folds`, after one shuffle that depends on `seed` alone.
    pub fn split(&self, fold: usize, folds: usize, seed: u64) -> (Vec<Digit>, Vec<Digit>) {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        Random(seed).shuffle(&mut order);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (position, &index) in order.iter().enumerate() {
            let side = if position % folds == fold { &mut test } else { &mut train };
            side.push(self.0[index].clone());
        }
        (train, test)
    }
}

fn row(line: &str) -> Result<Digit, String> {
    let mut pixels = [0.0; PIXELS];
    let mut fields = line.trim().split(',');
    for pixel in &mut pixels {
        *pixel = f32::from(field(fields.next(), PIXEL_MAX)?) / f32::from(PIXEL_MAX);
    }
    let label = usize::from(field(fields.next(), CLASSES as u8 - 1)?);
    match fields.next() {
        None => Ok(Digit { pixels, label }),
        Some(_) => Err(format!("more than {} fields", PIXELS + 1)),
    }
}

fn field(text: Option<&str>, max: u8) -> Result<u8, String> {
    let text = text.ok_or(format!("fewer than {} fields", PIXELS + 1))?;
    match text.trim().parse::<u8>() {
        Ok(value) if value <= max => Ok(value),
        _ => Err(format!("{text:?} is not 0..={max}")),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// Next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1.
    pub fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str) -> String {
        format!("{},{label}", vec!["16"; PIXELS].join(","))
    }

    #[test]
    fn rows_are_scaled_and_labelled() {
        let digits = Digits::parse(&line("7")).unwrap();
        assert_eq!(digits.0, [Digit { pixels: [1.0; PIXELS], label: 7 }]);
    }

    #[test]
    fn a_wrong_row_names_its_line() {
        let text = format!("{}\n{}", line("7"), line("10"));
        assert_eq!(Digits::parse(&text).unwrap_err(), "line 2: \"10\" is not 0..=9");
        assert_eq!(Digits::parse("1,2").unwrap_err(), "line 1: fewer than 65 fields");
        assert_eq!(Digits::parse(&line("7,7")).unwrap_err(), "line 1: more than 65 fields");
        assert_eq!(Digits::parse("\n").unwrap_err(), "the data set is empty");
    }

    #[test]
    fn folds_cover_every_image_once() {
        let text: Vec<String> = (0..23).map(|i| line(&(i % 10).to_string())).collect();
        let digits = Digits::parse(&text.join("\n")).unwrap();
        let tested: usize = (0..5).map(|fold| digits.split(fold, 5, 9).1.len()).sum();
        assert_eq!(tested, 23);
        let (train, test) = digits.split(2, 5, 9);
        assert_eq!(train.len() + test.len(), 23);
    }
}
