//! A static table: a text's vector is the mean of its tokens' rows. The format of model2vec, also in the layouts with
//! a weight per token and with several tokens on one row.

use ndarray::Array2;

use super::weights::Weights;

pub(super) struct Table {
    rows: Array2<f32>,
    /// How much each token counts.
    weights: Option<Vec<f32>>,
    /// The row of each token, where that is not the token's own number.
    mapping: Option<Vec<usize>>,
    /// The token for words outside the vocabulary, which says nothing of them.
    unknown: Option<u32>,
}

/// What the tensor of the rows is called: by model2vec, and by sentence-transformers.
const NAMES: [&str; 2] = ["embeddings", "embedding.weight"];

impl Table {
    /// Whether these are the weights of a table.
    pub(super) fn is(weights: &Weights<'_>) -> bool {
        NAMES.iter().any(|name| weights.has(name))
    }

    /// `tokens` is one more than the highest number that the tokenizer gives.
    pub(super) fn read(weights: &Weights<'_>, tokens: usize, unknown: Option<u32>) -> Result<Self, String> {
        let name = if weights.has(NAMES[0]) { NAMES[0] } else { NAMES[1] };
        let rows = weights.matrix(name, None, None)?;
        let mapping = if weights.has("mapping") { Some(weights.indices("mapping")?) } else { None };
        let scale = if weights.has("weights") {
            let scale = weights.vector("weights", mapping.as_ref().map_or(rows.nrows(), Vec::len))?;
            Some(scale.to_vec())
        } else {
            None
        };
        let known = mapping.as_ref().map_or(rows.nrows(), Vec::len);
        if known < tokens {
            return Err(format!("tokenizer.json has {tokens} tokens, model.safetensors rows for {known} of them"));
        }
        if let Some(outside) = mapping.iter().flatten().find(|row| **row >= rows.nrows()) {
            return Err(format!("the tensor mapping names row {outside} of {}", rows.nrows()));
        }
        if rows.is_empty() {
            return Err(format!("the tensor {name} is empty"));
        }
        Ok(Self { rows, weights: scale, mapping, unknown })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.rows.ncols()
    }

    /// The sum of the tokens' rows, which has the direction of their mean.
    pub(super) fn vector(&self, tokens: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.rows.ncols()];
        for token in tokens.iter().filter(|token| Some(**token) != self.unknown) {
            let token = *token as usize;
            let row = self.mapping.as_ref().map_or(token, |mapping| mapping[token]);
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[token]);
            for (total, value) in sum.iter_mut().zip(self.rows.row(row)) {
                *total += weight * value;
            }
        }
        sum
    }
}
