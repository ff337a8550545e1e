//! `local/extractive` seen from outside: it picks what matters, quotes it exactly, and ends on any input.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gristmill_ai::{Summary, summarise};
use proptest::prelude::*;

/// Written for this test: a report with headings, a list, a table, abbreviations and a repeated sentence.
const REPORT: &str = "\
# Outage of the grain elevator on 3 March

## Summary

The grain elevator at the harbour stood still for eleven hours because the main bearing of its conveyor seized. The
bearing had run without lubricant since the maintenance in February, when Dr. Keller's team replaced the pump but did
not reopen the oil valve. No one was hurt.

## What happened

At 4.10 a.m. the conveyor drew more current than usual. The night shift noticed a smell of burning, but the control
room showed no alarm. At 4.52 a.m. the bearing seized and the conveyor stopped.

Two ships waited at the quay meanwhile. One of them, the Alma, left for Rotterdam without her load.

| Time | Event |
|------|-------|
| 4.10 | The current rises. |
| 4.52 | The conveyor stops. |

## Why it happened

The oil valve of the main bearing stayed closed after the maintenance in February, so the bearing ran without
lubricant for three weeks. The checklist for maintenance does not mention the valve. The temperature sensor of the
bearing would have raised an alarm, but it was disconnected in 2019 and never put back.

The weather was mild that night, and the canteen was closed for renovation.

## What will be done

The checklist for maintenance will name the oil valve, and a second person will sign for it. The temperature sensor
will be connected again, and the control room will test its alarm every month. No one was hurt.

- Order a spare bearing.
- Train the night shift.

```
valve.open();
```
";

fn slice(text: &str, start: usize, end: usize) -> String {
    text.chars().skip(start).take(end - start).collect()
}

fn assert_sane(text: &str, summary: &Summary, most: usize) {
    assert_eq!(summary.model, "local/extractive");
    assert!(summary.sentences.len() <= most);
    let mut seen = HashSet::new();
    let mut last = 0;
    for sentence in &summary.sentences {
        assert!(sentence.start >= last && sentence.end > sentence.start, "out of order: {sentence:?}");
        last = sentence.end;
        let quoted = slice(text, sentence.start, sentence.end);
        // A Markdown quotation goes on with a mark on every line, which is no part of the sentence.
        let unmarked = quoted
            .lines()
            .enumerate()
            .map(|(line, text)| if line == 0 { text } else { text.trim_start_matches(['>', ' ', '\t']) });
        let words: Vec<&str> = unmarked.flat_map(str::split_whitespace).collect();
        assert_eq!(words.join(" "), sentence.text);
        assert!(sentence.score > 0.0 && sentence.score <= 1.0, "{sentence:?}");
        assert!(seen.insert(sentence.text.to_lowercase()), "twice: {sentence:?}");
    }
}

#[test]
fn the_key_sentences_of_a_report_are_picked() {
    let summary = summarise(REPORT, 4);
    assert_sane(REPORT, &summary, 4);
    let all: String = summary.sentences.iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>().join("\n");
    assert_eq!(summary.sentences.len(), 4, "{all}");
    assert!(all.contains("stood still for eleven hours"), "{all}");
    assert!(all.contains("oil valve"), "{all}");
    assert!(all.contains("checklist for maintenance will name"), "{all}");
    for aside in ["canteen", "#", "Why it happened", "|", "valve.open", "Order a spare"] {
        assert!(!all.contains(aside), "{aside:?} in {all}");
    }
}

#[test]
fn asking_for_more_than_there_is_gives_each_sentence_once() {
    let summary = summarise(REPORT, 1_000);
    assert_sane(REPORT, &summary, 1_000);
    let hurt = summary.sentences.iter().filter(|sentence| sentence.text == "No one was hurt.").count();
    assert_eq!(hurt, 1);
    assert!(
        summary.sentences.iter().all(|sentence| !sentence.text.contains("Outage of") && !sentence.text.contains('|'))
    );
    assert!(
        summary
            .sentences
            .iter()
            .any(|sentence| sentence.text.starts_with("The bearing had run") && sentence.text.ends_with("oil valve."))
    );
}

#[test]
fn the_same_text_gives_the_same_summary() {
    assert_eq!(summarise(REPORT, 3), summarise(REPORT, 3));
    assert_eq!(summarise(&REPORT.replace('\n', "\r\n"), 3).sentences.len(), 3);
}

#[test]
fn texts_without_sentences_have_no_summary() {
    for text in [
        "",
        "\n\n",
        "# Only a heading",
        "Only a heading",
        "| a | b |\n| 1 | 2 |",
        "- milk\n- eggs",
        "1 2 3 4 5",
        "```\ncode here. And more code here.\n",
    ] {
        assert_eq!(summarise(text, 5).sentences, [], "{text:?}");
    }
    assert_eq!(summarise(REPORT, 0).sentences, []);
}

#[test]
fn offsets_count_characters() {
    let text = "Überschrift\n\n🌾 Die Mühle mahlt heute zwölf Tonnen Getreide. Morgen mahlt die Mühle nochmals zwanzig Tonnen Körner.\n";
    let summary = summarise(text, 5);
    assert_sane(text, &summary, 5);
    assert_eq!(summary.sentences.len(), 2);
}

proptest! {
    #[test]
    fn any_text_is_quoted_exactly(text in any_text(), most in 0_usize..6) {
        assert_sane(&text, &summarise(&text, most), most);
    }
}

/// Pieces that the reader of sentences treats specially, in any order, with anything between.
fn any_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "The mill grinds grain",
        "Größe und Maß",
        "Dr",
        "e.g",
        "U.S",
        "No",
        "7",
        "...",
        ". ",
        "? ",
        "。",
        "\n",
        "\r\n",
        "\n\n",
        "> ",
        "- ",
        "• ",
        "1) ",
        "# ",
        "|",
        " | ",
        "---",
        "```",
        "\t",
        "\u{2028}",
        "\u{a0}",
        "🌾",
        "机器学习的模型。",
        "”",
        "(",
        ")",
        " ",
    ]);
    let piece = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => "\\PC{0,8}"];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

#[test]
fn large_and_hostile_texts_end_soon() {
    let mut prose = String::new();
    for n in 0.. {
        if prose.len() > 10_000_000 {
            break;
        }
        prose.push_str(&format!(
            "Sentence {n} speaks of mill {} and of the grain number {} in it. ",
            n % 977,
            n % 5_003
        ));
        if n % 7 == 0 {
            prose.push_str("\n\n");
        }
    }
    let size = 2_000_000;
    let hostile = [
        prose,
        "a".repeat(size),
        "word ".repeat(size / 5),
        ". ".repeat(size / 2),
        "A. ".repeat(size / 3),
        "1 ".repeat(size / 2),
        "x.\n".repeat(size / 3),
        ".,".repeat(size / 2),
        "Dr. A ".repeat(size / 6),
        "> - ".repeat(size / 4),
        "short\nA longer line follows here\n".repeat(size / 33),
    ];
    for text in &hostile {
        let begun = Instant::now();
        let summary = summarise(text, 10);
        let took = begun.elapsed();
        assert_sane(text, &summary, 10);
        assert!(took < Duration::from_secs(60), "{:?}… took {took:?}", &text[..12]);
    }
}
