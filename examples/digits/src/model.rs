//! A classifier with at most one hidden layer, trained by stochastic gradient descent.
//!
//! Rectified linear units, softmax output, cross-entropy loss, batches of 16. Every sum is taken in a fixed order, so
//! that the result is the same bit for bit wherever IEEE 754 holds.

use crate::data::{CLASSES, Digit, PIXELS, Random};

/// Images per step.
const BATCH: usize = 16;

/// Sizes of the layers.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Hidden units; 0 connects pixels to classes directly.
    pub hidden: usize,
}

/// Weights and biases.
#[derive(Debug)]
pub struct Model {
    layers: Vec<Layer>,
}

/// One fully connected layer.
#[derive(Debug)]
struct Layer {
    inputs: usize,
    /// One row of `inputs` weights per output.
    weights: Vec<f32>,
    biases: Vec<f32>,
    weight_steps: Vec<f32>,
    bias_steps: Vec<f32>,
}

impl Model {
    /// Small random weights (He et al. 2015), the same for the same seed.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut random = Random(seed);
        let sizes: &[(usize, usize)] =
            if shape.hidden == 0 { &[(PIXELS, CLASSES)] } else { &[(PIXELS, shape.hidden), (shape.hidden, CLASSES)] };
        Self { layers: sizes.iter().map(|&(inputs, outputs)| Layer::new(inputs, outputs, &mut random)).collect() }
    }

    /// One pass over `images` in an order given by `seed`; returns the mean loss before each step.
    pub fn train_epoch(&mut self, images: &[Digit], rate: f32, seed: u64) -> f32 {
        let mut order: Vec<usize> = (0..images.len()).collect();
        Random(seed).shuffle(&mut order);
        let mut loss = 0.0;
        for batch in order.chunks(BATCH) {
            for &index in batch {
                loss += self.learn(&images[index]);
            }
            let step = rate / batch.len() as f32;
            self.layers.iter_mut().for_each(|layer| layer.step(step));
        }
        loss / images.len() as f32
    }

    /// Share of `images` whose likeliest class is right; 0 if there are none.
    pub fn accuracy(&self, images: &[Digit]) -> f32 {
        let right = images.iter().filter(|image| self.classify(&image.pixels) == image.label).count();
        if images.is_empty() { 0.0 } else { right as f32 / images.len() as f32 }
    }

    /// The likeliest class.
    pub fn classify(&self, pixels: &[f32; PIXELS]) -> usize {
        let scores = self.forward(pixels).pop().expect("a model has a layer");
        (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("there are classes")
    }

    /// Layers as JSON: `{"layers":[{"inputs":64,"weights":[…],"biases":[…]},…]}`.
    pub fn to_json(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(Layer::to_json).collect();
        format!("{{\"layers\":[{}]}}\n", layers.join(","))
    }

    /// Outputs of every layer; all but the last are rectified.
    fn forward(&self, pixels: &[f32]) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let mut values = layer.apply(outputs.last().map_or(pixels, Vec::as_slice));
            if i + 1 < self.layers.len() {
                values.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            outputs.push(values);
        }
        outputs
    }

    /// Adds the gradient of one image to the steps; returns its loss.
    fn learn(&mut self, image: &Digit) -> f32 {
        let outputs = self.forward(&image.pixels);
        let mut error = softmax(outputs.last().expect("a model has a layer"));
        let loss = -error[image.label].max(f32::MIN_POSITIVE).ln();
        error[image.label] -= 1.0;
        for i in (0..self.layers.len()).rev() {
            let below: &[f32] = if i == 0 { &image.pixels } else { &outputs[i - 1] };
            self.layers[i].add_gradient(below, &error);
            if i > 0 {
                error = self.layers[i].pull_back(&error, below);
            }
        }
        loss
    }
}

impl Layer {
    fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let spread = (6.0 / inputs as f32).sqrt();
        Self {
            inputs,
            weights: (0..inputs * outputs).map(|_| random.symmetric() * spread).collect(),
            biases: vec![0.0; outputs],
            weight_steps: vec![0.0; inputs * outputs],
            bias_steps: vec![0.0; outputs],
        }
    }

    fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks_exact(self.inputs);
        rows.zip(&self.biases).map(|(row, bias)| bias + dot(row, input)).collect()
    }

    fn add_gradient(&mut self, input: &[f32], error: &[f32]) {
        for ((row, bias), &e) in self.weight_steps.chunks_exact_mut(self.inputs).zip(&mut self.bias_steps).zip(error) {
            row.iter_mut().zip(input).for_each(|(w, x)| *w += e * x);
            *bias += e;
        }
    }

    /// Error at the inputs: zero where the rectifier was off.
    fn pull_back(&self, error: &[f32], input: &[f32]) -> Vec<f32> {
        let mut below = vec![0.0; self.inputs];
        for (row, &e) in self.weights.chunks_exact(self.inputs).zip(error) {
            below.iter_mut().zip(row).for_each(|(b, w)| *b += e * w);
        }
        below.iter_mut().zip(input).filter(|(_, x)| **x <= 0.0).for_each(|(b, _)| *b = 0.0);
        below
    }

    fn step(&mut self, rate: f32) {
        let weights = self.weights.iter_mut().zip(&mut self.weight_steps);
        for (value, step) in weights.chain(self.biases.iter_mut().zip(&mut self.bias_steps)) {
            *value -= rate * *step;
            *step = 0.0;
        }
    }

    fn to_json(&self) -> String {
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let (inputs, weights, biases) = (self.inputs, list(&self.weights), list(&self.biases));
        format!("{{\"inputs\":{inputs},\"weights\":[{weights}],\"biases\":[{biases}]}}")
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Digits;

    fn digits() -> Digits {
        Digits::parse(include_str!("../digits.csv")).unwrap()
    }

    #[test]
    fn nine_of_ten_digits_are_read() {
        let (train, test) = digits().split(0, 5, 1);
        for hidden in [0, 32] {
            let mut model = Model::new(Shape { hidden }, 1);
            let losses: Vec<f32> = (0..15).map(|epoch| model.train_epoch(&train, 0.2, epoch)).collect();
            assert!(losses[14] < losses[0] / 2.0, "{losses:?}");
            assert!(model.accuracy(&test) > 0.9, "{hidden} hidden units: {}", model.accuracy(&test));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_model() {
        let (train, _) = digits().split(1, 5, 1);
        let model = |seed| {
            let mut model = Model::new(Shape { hidden: 8 }, seed);
            model.train_epoch(&train, 0.2, 3);
            model.to_json()
        };
        assert_eq!(model(4), model(4));
        assert_ne!(model(4), model(5));
    }

    #[test]
    fn probabilities_sum_to_one_even_for_huge_scores() {
        let p = softmax(&[1e30, -1e30, 1e30]);
        assert_eq!(p, [0.5, 0.0, 0.5]);
    }
}
