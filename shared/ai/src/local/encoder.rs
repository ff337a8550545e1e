//! BERT (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019), the encoder alone.
//!
//! Texts of a batch stand in one matrix, one token a row, without padding: only attention looks at texts one by one,
//! everything else is a few large products. Written on `ndarray`, whose products are `matrixmultiply`'s, and not on a
//! tensor framework: the whole model is eight operations, and a framework would cost every build minutes.

use std::ops::Range;

use ndarray::{Array1, Array2, Axis, Slice, concatenate, linalg::general_mat_mul};
use serde::Deserialize;

use super::weights::Weights;

/// What `config.json` says of the network.
#[derive(Deserialize)]
pub(super) struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu_by_name")]
    hidden_act: String,
    #[serde(default = "usual_epsilon")]
    layer_norm_eps: f32,
    #[serde(default)]
    pad_token_id: usize,
    position_embedding_type: Option<String>,
}

fn gelu_by_name() -> String {
    "gelu".to_owned()
}

fn usual_epsilon() -> f32 {
    1e-12
}

/// How a text's vector is made of its tokens'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// The first one's.
    First,
}

pub(super) struct Encoder {
    words: Array2<f32>,
    /// By position; the vector of the first segment is added already, since there is no second.
    positions: Array2<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    pooling: Pooling,
}

/// What the tensor of the words is called.
const WORDS: &str = "embeddings.word_embeddings.weight";

impl Encoder {
    /// Whether these are the weights of a BERT, which may be part of something larger.
    pub(super) fn is(weights: &mut Weights<'_>) -> bool {
        weights.under_prefix_of(WORDS)
    }

    /// `tokens` is one more than the highest number that the tokenizer gives.
    pub(super) fn read(
        weights: &Weights<'_>,
        config: &Config,
        tokens: usize,
        pooling: Pooling,
    ) -> Result<Self, String> {
        let first_position = config.check()?;
        let hidden = Some(config.hidden_size);
        let words = weights.matrix(WORDS, None, hidden)?;
        if words.nrows() < tokens {
            return Err(format!("tokenizer.json has {tokens} tokens, the model knows {}", words.nrows()));
        }
        let positions =
            weights.matrix("embeddings.position_embeddings.weight", Some(config.max_position_embeddings), hidden)?;
        let segments = weights.matrix("embeddings.token_type_embeddings.weight", None, hidden)?;
        let first = segments.outer_iter().next().ok_or("the model has no segment embeddings")?;
        let layers = (0..config.num_hidden_layers).map(|number| Layer::read(weights, config, number));
        Ok(Self {
            words,
            positions: &positions.slice_axis(Axis(0), Slice::from(first_position..)) + &first,
            norm: Norm::read(weights, "embeddings.LayerNorm", config)?,
            layers: layers.collect::<Result<_, _>>()?,
            heads: config.num_attention_heads,
            pooling,
        })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.words.ncols()
    }

    /// The most tokens a text may have.
    pub(super) fn most_tokens(&self) -> usize {
        self.positions.nrows()
    }

    /// One vector per text, not normalised; zeros for a text without tokens.
    pub(super) fn vectors(&self, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let mut texts: Vec<Range<usize>> = Vec::with_capacity(sequences.len());
        for tokens in sequences {
            let start = texts.last().map_or(0, |before| before.end);
            texts.push(start..start + tokens.len());
        }
        let mut states = Array2::zeros((texts.last().map_or(0, |last| last.end), self.dimensions()));
        let tokens = sequences.iter().flat_map(|tokens| tokens.iter().enumerate());
        for (mut state, (position, token)) in states.outer_iter_mut().zip(tokens) {
            state += &self.words.row(*token as usize);
            state += &self.positions.row(position);
        }
        self.norm.apply(&mut states);
        for layer in &self.layers {
            states = layer.apply(&states, &texts, self.heads);
        }
        texts.into_iter().map(|text| self.pool(&states, text)).collect()
    }

    fn pool(&self, states: &Array2<f32>, text: Range<usize>) -> Vec<f32> {
        match (text.is_empty(), self.pooling) {
            (true, _) => vec![0.0; self.dimensions()],
            (false, Pooling::First) => states.row(text.start).to_vec(),
            (false, Pooling::Mean) => {
                let count = text.len() as f32;
                (states.slice_axis(Axis(0), Slice::from(text)).sum_axis(Axis(0)) / count).to_vec()
            }
        }
    }
}

impl Config {
    /// Where the positions begin, if this is a network that is computed here.
    fn check(&self) -> Result<usize, String> {
        let first_position = match self.model_type.as_str() {
            "bert" => 0,
            // RoBERTa counts positions from after the padding's number.
            "roberta" | "xlm-roberta" => self.pad_token_id + 1,
            other => {
                return Err(format!("config.json: the model type is {other}, expected bert, roberta or xlm-roberta"));
            }
        };
        let expected = |what: &str| Err(format!("config.json: {what}"));
        if self.hidden_act != "gelu" {
            return expected("the activation (hidden_act) is not gelu");
        }
        if self.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return expected("positions (position_embedding_type) are not absolute");
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return expected("hidden_size is not a multiple of num_attention_heads");
        }
        if self.max_position_embeddings <= first_position {
            return expected("max_position_embeddings leaves no room for a text");
        }
        Ok(first_position)
    }
}

struct Layer {
    /// Queries, keys and values side by side. Queries are scaled already.
    attention: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

impl Layer {
    fn read(weights: &Weights<'_>, config: &Config, number: usize) -> Result<Self, String> {
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, from, to| Linear::read(weights, &name(part), from, to);
        let mut query = linear("attention.self.query", hidden, hidden)?;
        let scale = ((hidden / config.num_attention_heads) as f32).sqrt().recip();
        query.weight *= scale;
        query.bias *= scale;
        let parts =
            [query, linear("attention.self.key", hidden, hidden)?, linear("attention.self.value", hidden, hidden)?];
        Ok(Self {
            attention: Linear::side_by_side(&parts)?,
            attention_out: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: Norm::read(weights, &name("attention.output.LayerNorm"), config)?,
            up: linear("intermediate.dense", hidden, inner)?,
            down: linear("output.dense", inner, hidden)?,
            norm: Norm::read(weights, &name("output.LayerNorm"), config)?,
        })
    }

    fn apply(&self, states: &Array2<f32>, texts: &[Range<usize>], heads: usize) -> Array2<f32> {
        let attended = attend(&self.attention.apply(states), texts, heads);
        let mut attended = self.attention_out.apply(&attended) + states;
        self.attention_norm.apply(&mut attended);
        let mut inner = self.up.apply(&attended);
        inner.mapv_inplace(gelu);
        let mut states = self.down.apply(&inner) + &attended;
        self.norm.apply(&mut states);
        states
    }
}

/// Scaled dot-product attention, text by text and head by head.
fn attend(queries_keys_values: &Array2<f32>, texts: &[Range<usize>], heads: usize) -> Array2<f32> {
    let hidden = queries_keys_values.ncols() / 3;
    let width = hidden / heads;
    let mut attended = Array2::zeros((queries_keys_values.nrows(), hidden));
    for text in texts {
        let rows = queries_keys_values.slice_axis(Axis(0), Slice::from(text.clone()));
        let mut out = attended.slice_axis_mut(Axis(0), Slice::from(text.clone()));
        for head in 0..heads {
            let columns = |of: usize| Slice::from(of * hidden + head * width..of * hidden + (head + 1) * width);
            let part = |of: usize| rows.slice_axis(Axis(1), columns(of));
            let mut scores = part(0).dot(&part(1).t());
            scores.outer_iter_mut().for_each(|mut row| softmax(row.as_slice_mut().unwrap_or_default()));
            general_mat_mul(1.0, &scores, &part(2), 0.0, &mut out.slice_axis_mut(Axis(1), columns(0)));
        }
    }
    attended
}

struct Linear {
    /// One row per output.
    weight: Array2<f32>,
    bias: Array1<f32>,
}

impl Linear {
    fn read(weights: &Weights<'_>, name: &str, from: usize, to: usize) -> Result<Self, String> {
        let weight = weights.matrix(&format!("{name}.weight"), Some(to), Some(from))?;
        Ok(Self { weight, bias: weights.vector(&format!("{name}.bias"), to)? })
    }

    fn side_by_side(parts: &[Self]) -> Result<Self, String> {
        let weight: Vec<_> = parts.iter().map(|part| part.weight.view()).collect();
        let bias: Vec<_> = parts.iter().map(|part| part.bias.view()).collect();
        let weight = concatenate(Axis(0), &weight).map_err(|error| error.to_string())?;
        Ok(Self { weight, bias: concatenate(Axis(0), &bias).map_err(|error| error.to_string())? })
    }

    fn apply(&self, states: &Array2<f32>) -> Array2<f32> {
        let mut out = Array2::zeros((states.nrows(), self.bias.len()));
        out += &self.bias;
        general_mat_mul(1.0, states, &self.weight.t(), 1.0, &mut out);
        out
    }
}

struct Norm {
    weight: Array1<f32>,
    bias: Array1<f32>,
    epsilon: f32,
}

impl Norm {
    fn read(weights: &Weights<'_>, name: &str, config: &Config) -> Result<Self, String> {
        let part = |part: &str| weights.vector(&format!("{name}.{part}"), config.hidden_size);
        Ok(Self { weight: part("weight")?, bias: part("bias")?, epsilon: config.layer_norm_eps })
    }

    /// Mean 0 and variance 1 in each row, then scaled and shifted.
    fn apply(&self, states: &mut Array2<f32>) {
        let count = self.weight.len() as f32;
        for mut row in states.outer_iter_mut() {
            let mean = row.sum() / count;
            row -= mean;
            let variance = row.dot(&row) / count;
            row *= (variance + self.epsilon).sqrt().recip();
            row *= &self.weight;
            row += &self.bias;
        }
    }
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = exp(*value - most));
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

/// e to the power of a number that is not positive, within 3 parts in 10⁷: two to the whole part of the exponent, put
/// where a float keeps it, times the series of the rest. Without a branch, so that the compiler computes several at once.
fn exp(x: f32) -> f32 {
    /// What is added so that a float of this size has its last bit at 1, and rounds.
    const ROUNDING: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let whole = shifted - ROUNDING;
    // ln 2 in two parts, of which the first has few bits: its product with the whole part is exact.
    let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let series = 1.0
        + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest / 720.0)))));
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// x · Φ(x), by the error function of Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.28, which is
/// within 3 in 10⁷ and, having no branch, computed for several numbers at once.
fn gelu(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).abs();
    let series = 1.0
        + z * (0.070_523_078
            + z * (0.042_282_01
                + z * (0.009_270_527 + z * (0.000_152_014_3 + z * (0.000_276_567_2 + z * 0.000_043_063_8)))));
    let power = series * series;
    let power = power * power;
    let power = power * power;
    let power = power * power;
    let tail = 1.0 / power;
    // Φ(-|x|) is half the tail; for positive x the rest to 1.
    let share = if x < 0.0 { 0.5 * tail } else { 1.0 - 0.5 * tail };
    x * share
}

#[cfg(test)]
mod tests {
    use super::{exp, gelu};

    #[test]
    fn the_exponential_is_exact_enough_over_all_it_is_asked() {
        for step in 0..=8_700_u16 {
            let x = -f32::from(step) / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn the_activation_is_exact_enough() {
        // Φ from the tables of the same handbook, 26.1.
        for (x, share) in [(0.0, 0.5), (0.5, 0.691_462_46), (1.0, 0.841_344_8), (2.0, 0.977_249_87), (3.0, 0.998_650_1)]
        {
            assert!((gelu(x) - x * share).abs() < 1e-6, "{x}");
            assert!((gelu(-x) + x * (1.0 - share)).abs() < 1e-6, "-{x}");
        }
        assert_eq!((gelu(40.0), gelu(-40.0)), (40.0, 0.0));
    }
}
