//! `local/hashed-ngrams-512` seen from outside: near means related, and the same text is the same vector forever.

use gristmill_ai::{Embedder, HashedNgrams};
use xxhash_rust::xxh64::xxh64;

fn cosine(a: &str, b: &str) -> f32 {
    let (a, b) = (HashedNgrams.vector(a), HashedNgrams.vector(b));
    a.iter().zip(&b).map(|(x, y)| x * y).sum()
}

/// A sentence, one that says much the same with other endings and in another order, and one on something else.
const TRIPLES: [(&str, &str, &str); 8] = [
    (
        "The engine failed because the bearing overheated.",
        "Overheating bearings cause engine failures.",
        "Quarterly revenue grew in the northern region.",
    ),
    (
        "How do I reset my password?",
        "Password resets are done on the account page.",
        "The museum is closed on Mondays.",
    ),
    (
        "Photosynthesis turns sunlight into chemical energy.",
        "Plants store the energy of sunlight by photosynthesising.",
        "The parliament voted on the new budget yesterday.",
    ),
    (
        "Interest rates were raised by the central bank.",
        "The central bank is raising its interest rate again.",
        "A new species of frog was found in the rain forest.",
    ),
    (
        "The contract may be terminated with thirty days' notice.",
        "Termination of contracts requires notice of thirty days.",
        "Mix the flour with the eggs and let the dough rest.",
    ),
    (
        "Postgres indexes speed up queries on large tables.",
        "Indexing a large table makes a query in PostgreSQL faster.",
        "The patient was given antibiotics for ten days.",
    ),
    (
        "Die Maschinen wurden gestern gewartet.",
        "Wartung der Maschine ist gestern erfolgt.",
        "Das Wetter bleibt am Wochenende sonnig.",
    ),
    ("機械学習のモデルを訓練する", "モデルの訓練と機械学習", "今日の天気は晴れです"),
];

#[test]
fn related_sentences_are_nearer_than_unrelated_ones() {
    for (sentence, related, unrelated) in TRIPLES {
        let (near, far) = (cosine(sentence, related), cosine(sentence, unrelated));
        assert!(near > far + 0.15, "{sentence:?}: related {near:.3}, unrelated {far:.3}");
        assert!(near > 0.2 && far < 0.1, "{sentence:?}: related {near:.3}, unrelated {far:.3}");
    }
}

#[test]
fn a_question_finds_its_paragraph_among_others() {
    let paragraphs = [
        "Vacuuming reclaims the space of rows that were deleted or updated. Autovacuum does so in the background once \
         enough rows of a table have changed, and it also keeps transaction ids from wrapping around.",
        "A replica follows its primary by replaying the write-ahead log. Synchronous replication makes a commit wait \
         for a replica; asynchronous replication may lose the last commits when the primary fails.",
        "An index is a sorted copy of some columns. It speeds up reading and slows down writing, and one that no query \
         uses only costs space.",
        "Connections are processes in this server, so thousands of clients need a pool in front that shares a few \
         connections among them.",
    ];
    for (question, wanted) in [
        ("when does autovacuum run on deleted rows", 0),
        ("can replication lose a commit if the primary fails?", 1),
        ("do unused indexes cost space", 2),
        ("how to pool client connections", 3),
    ] {
        let best = (0..paragraphs.len())
            .max_by(|a, b| cosine(question, paragraphs[*a]).total_cmp(&cosine(question, paragraphs[*b])));
        assert_eq!(best, Some(wanted), "{question}");
    }
}

#[test]
fn every_vector_has_length_one_even_of_nothing() {
    for text in
        ["", "  \n", "!!! ---", "to be or not to be", "x", "a longer text about mills and grist", "日本語", "\u{0}"]
    {
        let vector = HashedNgrams.vector(text);
        assert_eq!(vector.len(), 512);
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{text:?}: {length}");
    }
}

#[test]
fn form_does_not_matter() {
    let plain = HashedNgrams.vector("the firm's efficient cafe");
    assert_eq!(HashedNgrams.vector("The FIRM’s  e\u{FB03}cient\ncafe."), plain);
}

/// Stored vectors are compared with new ones for years. If this fails, the model changed and needs a new name.
#[test]
fn the_vectors_are_golden() {
    for (text, fingerprint) in [
        ("", 0x878e_d315_c427_ff18),
        ("to be or not to be", 0x4ce1_0ace_c04f_883b),
        ("Gristmill grinds documents, feeds and Größe into knowledge.", 0xab1f_7792_22b5_f4a4),
    ] {
        let bytes: Vec<u8> = HashedNgrams.vector(text).iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(xxh64(&bytes, 0), fingerprint, "{text:?}");
    }
    let vector = HashedNgrams.vector("Gristmill grinds documents, feeds and Größe into knowledge.");
    let largest: Vec<(usize, f32)> =
        vector.iter().copied().enumerate().filter(|(_, value)| value.abs() > 0.16).collect();
    assert_eq!(largest, [(221, -0.216_904_21), (263, -0.204_853_98), (471, 0.180_753_51), (489, -0.301_255_85)]);
}

#[tokio::test]
async fn a_batch_gives_the_same_vectors_in_order_whatever_its_size() {
    let embedder: &dyn Embedder = &HashedNgrams;
    assert_eq!((embedder.model(), embedder.dimensions()), ("local/hashed-ngrams-512", 512));
    for count in [0, 3, 2_000] {
        let texts: Vec<String> = (0..count).map(|n| format!("text number {n} of the batch")).collect();
        let vectors = embedder.embed(&texts).await.unwrap();
        assert_eq!(vectors.len(), count);
        for (text, vector) in texts.iter().zip(&vectors).step_by(499) {
            assert_eq!(vector, &HashedNgrams.vector(text));
        }
    }
}
