//! Sentence models from a directory: the same vectors as the libraries that the formats come from, whatever texts stand
//! beside them, and a clear word about a directory that cannot be used.
//!
//! The models are made up here. What they should say was computed once with transformers 4.49 (`FlaxBertModel`) and
//! model2vec 0.10 from the same numbers.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod made_up;

use std::fs;
use std::path::Path;

use gristmill_ai::{Embedder, LocalModel};
use serde_json::json;

use made_up::{Directory, Tensor};

const TEXTS: [&str; 4] = [
    "The mill grinds wheat.",
    "fans run at night",
    "silo",
    "the grain dries slowly and the fans run at night and the mill grinds rye",
];

fn open(directory: &Directory) -> LocalModel {
    LocalModel::open(directory.path()).unwrap()
}

async fn embed(model: &LocalModel, texts: &[&str]) -> Vec<Vec<f32>> {
    model.embed(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).await.unwrap()
}

fn assert_near(found: &[Vec<f32>], expected: &[&[f32]], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(*expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= tolerance, "{found:?} is not {expected:?}");
    }
}

#[tokio::test]
async fn a_bert_gives_the_vectors_of_the_reference() {
    let directory = Directory::bert();
    let model = open(&directory);
    assert_eq!((model.model(), model.dimensions()), ("local/tiny-8", 8));
    let expected: [&[f32]; 4] = [
        &[-0.04123, 0.55045, 0.42168, -0.37519, -0.19988, 0.10732, -0.45086, 0.34925],
        &[0.51443, 0.42841, 0.39887, -0.32072, -0.32045, 0.00921, -0.41538, 0.12068],
        &[0.53376, -0.45135, 0.34924, -0.04381, 0.2305, 0.21477, -0.45846, -0.27938],
        // Longer than the model has positions: the reference cuts it likewise.
        &[0.44017, 0.55584, -0.01962, -0.4565, -0.31978, 0.21079, -0.32445, 0.1912],
    ];
    assert_near(&embed(&model, &TEXTS).await, &expected, 2e-5);

    // Words that no vocabulary has, and nothing at all.
    let expected: [&[f32]; 2] = [
        &[0.72938, 0.15086, 0.19907, -0.14104, -0.25442, 0.2688, -0.47653, -0.14717],
        &[0.57911, 0.57542, 0.02316, -0.2867, -0.38888, 0.18326, -0.21728, -0.137],
    ];
    assert_near(&embed(&model, &["Zeppelin", ""]).await, &expected, 2e-5);

    directory
        .write("1_Pooling/config.json", &json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false }));
    let expected: [&[f32]; 1] = [&[0.66048, 0.2449, 0.31368, -0.24315, -0.27913, 0.06667, -0.50254, 0.10656]];
    assert_near(&embed(&open(&directory), &TEXTS[..1]).await, &expected, 2e-5);
}

#[tokio::test]
async fn a_table_gives_the_vectors_of_the_reference() {
    let directory = Directory::table();
    let model = open(&directory);
    assert_eq!((model.model(), model.dimensions()), ("local/tiny-6", 6));
    let expected: [&[f32]; 4] = [
        // Cut within its last word, as the reference does: 20 characters are taken to be more than 5 tokens.
        &[0.49385, -0.00566, 0.1909, 0.17329, -0.51598, -0.65067],
        &[-0.03819, 0.41512, 0.42654, 0.71729, 0.32859, -0.14765],
        &[-0.67632, 0.38073, -0.20906, -0.1103, 0.3005, -0.50147],
        &[-0.53015, 0.05894, -0.62953, 0.29259, -0.47963, -0.05914],
    ];
    assert_near(&embed(&model, &TEXTS).await, &expected, 2e-5);

    let quantised = Directory::quantised_table();
    let expected: [&[f32]; 4] = [
        &[-0.2707, -0.731, -0.1384, -0.6017, -0.1043, -0.0174],
        &[-0.2255, -0.7143, 0.0206, -0.5573, -0.342, 0.1047],
        &[-0.0718, -0.6475, -0.4095, -0.3494, 0.4937, -0.2051],
        &[-0.1975, -0.7101, -0.0389, -0.6376, -0.2106, -0.0662],
    ];
    // Its rows are kept with 11 bits of precision, in which the reference also computes.
    assert_near(&embed(&open(&quantised), &TEXTS).await, &expected, 1e-3);

    // The layout of sentence-transformers names the same tensor otherwise, and needs no configuration.
    let other = Directory::table();
    other.weights(&[Tensor::made("embeddings", &[22, 6], 2.0, 0.0).called("embedding.weight")]);
    fs::remove_file(other.path().join("config.json")).unwrap();
    assert_eq!(embed(&open(&other), &TEXTS[1..3]).await, embed(&model, &TEXTS[1..3]).await);
}

#[tokio::test]
async fn a_text_has_its_vector_whatever_stands_beside_it() {
    for directory in [Directory::bert(), Directory::table()] {
        let model = open(&directory);
        let many: Vec<&str> = TEXTS.iter().copied().cycle().take(400).collect();
        let together = embed(&model, &many).await;
        assert_eq!(together.len(), many.len());
        for (text, found) in many.iter().zip(&together).take(8) {
            assert_near(&embed(&model, &[text]).await, &[found], 1e-6);
        }
        let repeated = together.chunks(TEXTS.len()).all(|part| part == &together[..TEXTS.len()]);
        assert!(repeated, "a text's vector depends on its neighbours");
        assert!(embed(&model, &[]).await.is_empty());
    }
}

#[tokio::test]
async fn every_vector_has_length_one_and_a_direction() {
    for directory in [Directory::bert(), Directory::table()] {
        let model = open(&directory);
        let long = "the mill grinds rye and wheat at night ".repeat(10_000);
        for vector in embed(&model, &["", "Zeppelin", "\u{0}", "mill", &long]).await {
            let length: f32 = vector.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5, "{vector:?}");
        }
    }
}

#[tokio::test]
async fn a_long_text_is_cut_at_the_limit_of_the_model() {
    let directory = Directory::bert();
    // Two of the tokens are not the text's: the first and the last.
    directory.write("sentence_bert_config.json", &json!({ "max_seq_length": 5, "do_lower_case": false }));
    let model = open(&directory);
    let vectors = embed(&model, &["the mill grinds", "the mill grinds wheat at night", "the mill dries"]).await;
    assert_eq!(vectors[0], vectors[1]);
    assert_ne!(vectors[0], vectors[2]);

    let table = open(&Directory::table());
    let five = "the mill grinds wheat and";
    let vectors = embed(&table, &[five, &format!("{five} rye at night"), "the mill"]).await;
    assert_eq!(vectors[0], vectors[1]);
    assert_ne!(vectors[0], vectors[2]);
}

#[test]
fn a_model_within_a_larger_one_is_found() {
    let directory = Directory::bert();
    let renamed: Vec<Tensor> = made_up::bert()
        .into_iter()
        .map(|tensor| {
            let name = format!("bert.{}", tensor.name);
            tensor.called(&name)
        })
        .collect();
    directory.weights(&renamed);
    assert_eq!(open(&directory).dimensions(), 8);
}

#[test]
fn a_directory_that_cannot_be_used_is_told_with_file_and_reason() {
    let problem = |path: &Path| {
        let error = LocalModel::open(path).unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("model-unusable", false));
        error.to_string()
    };
    let said = problem(Path::new("/nowhere/model"));
    assert!(said.contains("/nowhere/model") && said.contains("No such file"), "{said}");

    type Damage = fn(&Directory);
    let cases: [(Damage, &str); 12] = [
        (|it| it.remove("model.safetensors"), "model.safetensors is missing"),
        (|it| it.remove("tokenizer.json"), "tokenizer.json is missing"),
        (|it| it.remove("config.json"), "config.json is missing"),
        (|it| it.write_bytes("model.safetensors", b"no tensors"), "model.safetensors is damaged"),
        (|it| it.write_bytes("tokenizer.json", b"{}"), "tokenizer.json cannot be understood"),
        (|it| it.write_bytes("config.json", b"{}"), "config.json is not what was expected"),
        (|it| it.weights(&made_up::bert()[1..]), "neither a table"),
        (|it| it.weights(&made_up::bert()[..9]), "has no tensor encoder.layer.0."),
        (|it| it.configure("model_type", json!("gpt2")), "the model type is gpt2"),
        (|it| it.configure("hidden_size", json!(9)), "hidden_size"),
        (|it| it.configure("intermediate_size", json!(4)), "has the shape"),
        (|it| it.write("1_Pooling/config.json", &json!({ "pooling_mode_max_tokens": true })), "1_Pooling/config.json"),
    ];
    for (damage, expected) in cases {
        let directory = Directory::bert();
        damage(&directory);
        let said = problem(directory.path());
        assert!(said.contains(expected), "{said}");
    }

    let table = Directory::table();
    table.weights(&[Tensor::made("embeddings", &[4, 6], 2.0, 0.0)]);
    assert!(problem(table.path()).contains("22 tokens"));
    let table = Directory::quantised_table();
    table.weights(&[Tensor::made("embeddings", &[2, 6], 2.0, 0.0), Tensor::mapping(22, 4)]);
    assert!(problem(table.path()).contains("names row"));
    let bert = Directory::bert();
    bert.write("modules.json", &json!([{ "type": "sentence_transformers.models.Dense" }]));
    assert!(problem(bert.path()).contains("Dense"));
}
