//! What lies in a model's directory, checked before anything is computed with it: what is wrong shows at start-up.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{Tokenizer, TruncationParams};

use super::encoder::{self, Encoder, Pooling};
use super::table::Table;
use super::weights::Weights;
use super::{Model, Network};

/// Tokens that model2vec takes of a text unless its configuration says otherwise.
const TABLE_TOKENS: usize = 512;

/// Reads the model in `directory`, or says in a sentence without a subject what is wrong with which file.
pub(super) fn open(directory: &Path) -> Result<Model, String> {
    let canonical = directory.canonicalize().map_err(|error| error.to_string())?;
    let name = canonical.file_name().unwrap_or_default().to_string_lossy();
    let bytes =
        std::fs::read(canonical.join("model.safetensors")).map_err(|error| unread("model.safetensors", &error))?;
    let tokenizer_json =
        std::fs::read(canonical.join("tokenizer.json")).map_err(|error| unread("tokenizer.json", &error))?;
    let mut tokenizer = Tokenizer::from_bytes(&tokenizer_json)
        .map_err(|error| format!("tokenizer.json cannot be understood ({error})"))?;
    tokenizer.with_padding(None);
    let highest = tokenizer.get_vocab(true).values().max().map_or(0, |highest| *highest as usize + 1);
    let mut weights = Weights::read(&bytes)?;
    let (network, limits) = if Table::is(&weights) {
        table(&canonical, &weights, &tokenizer, &tokenizer_json, highest)?
    } else if Encoder::is(&mut weights) {
        encoder(&canonical, &weights, highest)?
    } else {
        let expected = "a table (embeddings) nor a BERT (embeddings.word_embeddings.weight)";
        return Err(format!("model.safetensors holds neither {expected}"));
    };
    let truncation = limits.tokens.map(|max_length| TruncationParams { max_length, ..TruncationParams::default() });
    tokenizer.with_truncation(truncation).map_err(|error| format!("tokenizer.json cannot be used ({error})"))?;
    let name = format!("local/{name}-{}", network.dimensions());
    Ok(Model { name, tokenizer, most_chars: limits.chars, lower_case: limits.lower_case, network })
}

/// What becomes of a text before the network sees it.
#[derive(Default)]
struct Limits {
    tokens: Option<usize>,
    chars: Option<usize>,
    lower_case: bool,
}

fn table(
    directory: &Path,
    weights: &Weights<'_>,
    tokenizer: &Tokenizer,
    tokenizer_json: &[u8],
    highest: usize,
) -> Result<(Network, Limits), String> {
    let config: Option<Value> = optional(directory, "config.json")?;
    let tokens = match config.as_ref().and_then(|config| config.get("max_length")) {
        None => Some(TABLE_TOKENS),
        Some(Value::Null) => None,
        Some(most) => {
            let most = most.as_u64().and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
            Some(most.ok_or("config.json: max_length is no number above 0")?)
        }
    };
    let table = Table::read(weights, highest, unknown(tokenizer, tokenizer_json))?;
    // As the format's own library does; it also bounds what is read of a text of any length.
    let chars = tokens.map(|tokens| tokens.saturating_mul(median_length(tokenizer)));
    Ok((Network::Table(table), Limits { tokens, chars, lower_case: false }))
}

/// The token for words outside the vocabulary: by name, or by number as Unigram has it.
fn unknown(tokenizer: &Tokenizer, tokenizer_json: &[u8]) -> Option<u32> {
    let json: Value = serde_json::from_slice(tokenizer_json).ok()?;
    let model = json.get("model")?;
    let by_name = model.get("unk_token").and_then(Value::as_str).and_then(|name| tokenizer.token_to_id(name));
    by_name.or_else(|| model.get("unk_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()))
}

/// The median of the tokens' lengths in characters, rounded down.
fn median_length(tokenizer: &Tokenizer) -> usize {
    let mut lengths: Vec<usize> = tokenizer.get_vocab(true).keys().map(|token| token.chars().count()).collect();
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    match lengths.len() {
        0 => 1,
        even if even.is_multiple_of(2) => (lengths[middle - 1] + lengths[middle]) / 2,
        _ => lengths[middle],
    }
}

/// `1_Pooling/config.json`, as sentence-transformers writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

/// A line of `modules.json`: what is applied one after another.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

fn encoder(directory: &Path, weights: &Weights<'_>, highest: usize) -> Result<(Network, Limits), String> {
    let config: encoder::Config = required(directory, "config.json")?;
    for Module { kind } in optional::<Vec<Module>>(directory, "modules.json")?.unwrap_or_default() {
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !matches!(name, "Transformer" | "Pooling" | "Normalize") {
            return Err(format!("modules.json: a module {name} is not supported"));
        }
    }
    let encoder = Encoder::read(weights, &config, highest, pooling(directory)?)?;
    let sentence: SentenceConfig = optional(directory, "sentence_bert_config.json")?.unwrap_or_default();
    let most = encoder.most_tokens();
    let tokens = sentence.max_seq_length.map_or(most, |tokens| tokens.min(most));
    // The first and the last token of each text are not the text's.
    if tokens < 3 {
        return Err(format!("sentence_bert_config.json: max_seq_length is {tokens}, which leaves no room for a text"));
    }
    let limits = Limits { tokens: Some(tokens), chars: None, lower_case: sentence.do_lower_case };
    Ok((Network::Encoder(encoder), limits))
}

fn pooling(directory: &Path) -> Result<Pooling, String> {
    let Some(config) = optional::<PoolingConfig>(directory, "1_Pooling/config.json")? else {
        return Ok(Pooling::Mean);
    };
    let others = config.pooling_mode_max_tokens
        || config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    match (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, others) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::First),
        _ => {
            Err("1_Pooling/config.json: expected either pooling_mode_mean_tokens or pooling_mode_cls_token".to_owned())
        }
    }
}

fn required<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<T, String> {
    optional(directory, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn optional<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, String> {
    match std::fs::read(directory.join(name)) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{name} is not what was expected ({error})")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unread(name, &error)),
    }
}

fn unread(name: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        format!("{name} is missing")
    } else {
        format!("{name} cannot be read ({error})")
    }
}
