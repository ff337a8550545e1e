//! Tiny models, whose every number follows from the name of its tensor, in directories that end with the test.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

const VOCABULARY: [&str; 22] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "mill", "grinds", "wheat", "and", "rye", "fan", "##s", "run",
    "at", "night", "silo", "grain", "dries", "slow", "##ly", ".",
];
const HIDDEN: usize = 8;
const INNER: usize = 16;
const POSITIONS: usize = 10;

/// A directory called `tiny` with a model in it.
pub(crate) struct Directory {
    _folder: TempDir,
    path: PathBuf,
}

impl Directory {
    /// A BERT of two layers, two heads and eight dimensions.
    pub(crate) fn bert() -> Self {
        let it = Self::with(&bert());
        it.write(
            "config.json",
            &json!({
                "model_type": "bert", "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": INNER, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                "max_position_embeddings": POSITIONS, "vocab_size": 22, "type_vocab_size": 2, "pad_token_id": 0,
            }),
        );
        it
    }

    /// A static table that reads five tokens of a text.
    pub(crate) fn table() -> Self {
        let it = Self::with(&[Tensor::made("embeddings", &[22, 6], 2.0, 0.0)]);
        it.write("config.json", &json!({ "model_type": "model2vec", "normalize": true, "max_length": 5 }));
        it
    }

    /// A static table of four rows in half precision, which tokens share and have weights of their own.
    pub(crate) fn quantised_table() -> Self {
        let it = Self::with(&[
            Tensor::made("embeddings", &[4, 6], 2.0, 0.0).into_f16(),
            Tensor::made("weights", &[22], 0.5, 1.0).into_f64(),
            Tensor::mapping(22, 4),
        ]);
        it.write("config.json", &json!({ "model_type": "model2vec", "normalize": true }));
        it
    }

    fn with(tensors: &[Tensor]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny");
        fs::create_dir(&path).unwrap();
        let it = Self { _folder: folder, path };
        it.weights(tensors);
        it.write("tokenizer.json", &tokenizer());
        it
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn weights(&self, tensors: &[Tensor]) {
        let views = tensors.iter().map(|tensor| {
            (tensor.name.clone(), TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
        });
        self.write_bytes("model.safetensors", &safetensors::serialize(views, None).unwrap());
    }

    pub(crate) fn write(&self, name: &str, json: &Value) {
        self.write_bytes(name, json.to_string().as_bytes());
    }

    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Changes one setting of `config.json`.
    pub(crate) fn configure(&self, name: &str, value: Value) {
        let mut config: Value = serde_json::from_slice(&fs::read(self.path.join("config.json")).unwrap()).unwrap();
        config[name] = value;
        self.write("config.json", &config);
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path.join(name)).unwrap();
    }
}

/// A tensor as a file holds it.
pub(crate) struct Tensor {
    pub(crate) name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// Numbers between `shift - scale / 2` and `shift + scale / 2`.
    pub(crate) fn made(name: &str, shape: &[usize], scale: f32, shift: f32) -> Self {
        let count = u32::try_from(shape.iter().product::<usize>()).unwrap();
        let bytes = (0..count).flat_map(|place| (number(name, place) * scale + shift).to_le_bytes()).collect();
        Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Each of `count` tokens on the row that is its number modulo `rows`.
    pub(crate) fn mapping(count: i64, rows: i64) -> Self {
        let bytes = (0..count).flat_map(|token| (token % rows).to_le_bytes()).collect();
        Self { name: "mapping".to_owned(), dtype: Dtype::I64, shape: vec![usize::try_from(count).unwrap()], bytes }
    }

    /// The same numbers under another name.
    pub(crate) fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn numbers(&self) -> impl Iterator<Item = f32> {
        self.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    fn into_f16(self) -> Self {
        let bytes = self.numbers().flat_map(|number| half::f16::from_f32(number).to_le_bytes()).collect();
        Self { dtype: Dtype::F16, bytes, ..self }
    }

    fn into_f64(self) -> Self {
        let bytes = self.numbers().flat_map(|number| f64::from(number).to_le_bytes()).collect();
        Self { dtype: Dtype::F64, bytes, ..self }
    }
}

/// A number between -0.5 and 0.5: FNV-1a of the name, mixed with the place.
fn number(name: &str, place: u32) -> f32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut mixed = hash.wrapping_add(place.wrapping_mul(2_654_435_761));
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x045d_9f3b);
    mixed ^= mixed >> 16;
    (f64::from(mixed) / 4_294_967_296.0 - 0.5) as f32
}

/// The weights of the BERT, that of the words first.
pub(crate) fn bert() -> Vec<Tensor> {
    let mut tensors = vec![
        Tensor::made("embeddings.word_embeddings.weight", &[VOCABULARY.len(), HIDDEN], 2.0, 0.0),
        Tensor::made("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN], 1.0, 0.0),
        Tensor::made("embeddings.token_type_embeddings.weight", &[2, HIDDEN], 0.5, 0.0),
    ];
    let norm = |name: &str| {
        [
            Tensor::made(&format!("{name}.weight"), &[HIDDEN], 0.6, 1.0),
            Tensor::made(&format!("{name}.bias"), &[HIDDEN], 0.4, 0.0),
        ]
    };
    let linear = |name: &str, out: usize, from: usize| {
        [
            Tensor::made(&format!("{name}.weight"), &[out, from], 1.6, 0.0),
            Tensor::made(&format!("{name}.bias"), &[out], 0.4, 0.0),
        ]
    };
    tensors.extend(norm("embeddings.LayerNorm"));
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["query", "key", "value"] {
            tensors.extend(linear(&name(&format!("attention.self.{part}")), HIDDEN, HIDDEN));
        }
        tensors.extend(linear(&name("attention.output.dense"), HIDDEN, HIDDEN));
        tensors.extend(norm(&name("attention.output.LayerNorm")));
        tensors.extend(linear(&name("intermediate.dense"), INNER, HIDDEN));
        tensors.extend(linear(&name("output.dense"), HIDDEN, INNER));
        tensors.extend(norm(&name("output.LayerNorm")));
    }
    tensors
}

/// A WordPiece tokenizer. It says that texts are cut at four tokens and padded to sixteen, as those of published models
/// often do; neither holds.
fn tokenizer() -> Value {
    let special = |place: usize| {
        json!({ "id": place, "content": VOCABULARY[place], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let vocabulary: HashMap<&str, usize> =
        VOCABULARY.iter().enumerate().map(|(place, token)| (*token, place)).collect();
    let around = |name: &str, id: usize| (name.to_owned(), json!({ "id": name, "ids": [id], "tokens": [name] }));
    json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 16 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                        "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "[CLS]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                       { "SpecialToken": { "id": "[SEP]", "type_id": 0 } }],
            "pair": [],
            "special_tokens": serde_json::Map::from_iter([around("[CLS]", 2), around("[SEP]", 3)]),
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 100, "vocab": vocabulary },
    })
}
