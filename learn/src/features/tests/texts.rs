//! What becomes of texts.

use std::path::Path;

use super::*;
use crate::features::TextCode;

fn texts(values: &[&str]) -> RecordBatch {
    table(vec![("t", words(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>()))])
}

fn text(takes: Takes, spec: &str, batch: &RecordBatch) -> Result<Features> {
    fit_for(takes, &format!(r#"{{"columns": {{"t": {{"text": {spec}}}}}}}"#), batch)
}

fn tokens(features: &Features, value: Option<&str>) -> Vec<i32> {
    features.encode(&table(vec![("t", words(&[value]))])).unwrap().texts[0].tokens.clone()
}

#[test]
fn a_vocabulary_is_ordered_by_frequency_and_texts_end_in_padding() {
    let batch = texts(&["a good film", "a good, good book", "A film: 好看", "odd"]);
    let features = text(Takes::Sequences, "{}", &batch).unwrap();
    // good 3, a 3, film 2; all else occurs once.
    let ColumnKind::Text { code: TextCode::Tokens { length, vocabulary }, .. } = &features.columns()[0].kind else {
        panic!("{:?}", features.columns()[0].kind)
    };
    assert_eq!((*length, vocabulary.values()), (5, &["a", "good", "film"].map(str::to_owned)[..]));
    assert_eq!(tokens(&features, Some("Good A film")), [3, 2, 4, 0, 0]);
    assert_eq!(tokens(&features, Some("never seen")), [1, 1, 0, 0, 0]);
    assert_eq!(tokens(&features, Some("a a a a a a a good")), [2; 5]);
    // There is always something to read.
    assert_eq!((tokens(&features, None), tokens(&features, Some(" "))), (vec![1, 0, 0, 0, 0], vec![1, 0, 0, 0, 0]));
    let input = &features.numeric().texts[0];
    assert_eq!((input.name.as_str(), input.length, input.vocabulary), ("t", 5, 5));
    assert_eq!(features.dense_width(), 0);
    let how = how(&features, "t");
    assert!(how.starts_with("text of words, 5 tokens at most, vocabulary of 3 from 9 different ones"), "{how}");
}

#[test]
fn the_length_covers_99_of_100_texts_up_to_the_one_asked_for() {
    let long = "word ".repeat(40);
    let check = |shorts: usize, spec: &str, expected: usize| {
        let mut values = vec!["word word"; shorts];
        values.push(&long);
        let features = text(Takes::Sequences, spec, &texts(&values)).unwrap();
        assert_eq!(features.numeric().texts[0].length, expected, "{shorts} {spec}");
    };
    check(99, "{}", 2);
    check(98, "{}", 40);
    check(98, r#"{"length_max": 16}"#, 16);
    check(
        0,
        r#"{"tokenizer": "characters", "length_max": 7}"#.replace("\"characters\"", r#"{"characters": {}}"#).as_str(),
        7,
    );
}

#[test]
fn other_models_get_weighted_terms() {
    let batch = texts(&["good film", "good book", "bad film", "good film"]);
    let features = text(Takes::Numbers, "{}", &batch).unwrap();
    let ColumnKind::Text { code: TextCode::TfIdf { terms, idf, .. }, .. } = &features.columns()[0].kind else {
        panic!("{:?}", features.columns()[0].kind)
    };
    // In three texts film and good, in two "good film".
    assert_eq!(terms.values(), ["film", "good", "good film"]);
    let (often, rare) = ((5.0_f64 / 4.0).ln() + 1.0, (5.0_f64 / 3.0).ln() + 1.0);
    assert_eq!(idf, &[often as f32, often as f32, rare as f32]);
    let length = (2.0 * often * often + rare * rare).sqrt();
    let expected = [(often / length) as f32, (often / length) as f32, (rare / length) as f32];
    let found = dense(&features, &batch);
    assert!(found[..3].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    assert_eq!(found[3..6], [0.0, 1.0, 0.0]);
    assert_eq!(features.dense_width(), 3);
    let hashed = text(Takes::Sequences, r#"{"encode": "hashing", "vocabulary_max": 16}"#, &batch).unwrap();
    assert_eq!((hashed.dense_width(), hashed.numeric().bags[0].width), (16, 16));
}

#[test]
fn terms_weigh_by_the_contrast_of_two_classes() {
    let spec = r#"{"encode": "tf_idf", "ngram_range": [1, 1], "class_contrast": true}"#;
    let with = |labels: ArrayRef| {
        let text = words(&["good film", "good book", "bad film", "bad book", "good good", ""].map(Some));
        table(vec![("t", text), ("y", labels)])
    };
    let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 1, 0, 0, 1, 0]));
    let features = text(Takes::Numbers, spec, &with(numbers)).unwrap();
    let ColumnKind::Text { code: TextCode::TfIdf { terms, idf, .. }, .. } = &features.columns()[0].kind else {
        panic!("{:?}", features.columns()[0].kind)
    };
    assert_eq!(terms.values(), ["good", "bad", "book", "film"]);
    // One more than the texts of each class with good, bad, book, film: 4, 1, 2, 2 of 9 and 1, 3, 2, 2 of 8.
    let [good, bad, other] = [4.0 / 9.0 / (1.0 / 8.0), 1.0 / 9.0 / (3.0 / 8.0), 2.0 / 9.0 / (2.0 / 8.0)];
    let rarity = |texts: f64| (7.0 / (1.0 + texts)).ln() + 1.0;
    let weigh = |texts, ratio: f64| rarity(texts) * (1.0 + ratio.ln().abs());
    let expected = [weigh(3.0, good), weigh(2.0, bad), weigh(2.0, other)];
    for (found, expected) in idf.iter().zip(expected.into_iter().chain([expected[2]])) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} for {expected}");
    }
    assert!(how(&features, "t").contains("TF-IDF by the contrast of classes"));
    let refused = |spec: &str, labels: ArrayRef, expected: &str| {
        let message = text(Takes::Numbers, spec, &with(labels)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(
        spec,
        floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        "class_contrast needs a target of two classes, and \"y\" has not two",
    );
    refused(spec, words(&[Some("a"); 6]), "\"y\" has not two");
    refused(r#"{"encode": "hashing", "class_contrast": true}"#, words(&[Some("a"); 6]), "set encode to tf_idf");
}

#[test]
fn auto_reads_texts_and_leaves_names_and_ids_alone() {
    let subjects = ["the old mill", "a small boat", "this house", "our dear crew", "that storm"];
    let ends = ["turns with the tide", "is slow today", "was not good at all", "made us laugh", "ends in the sea"];
    let text =
        |make: &dyn Fn(usize) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..60).map(make))) };
    let batch = table(vec![
        (
            "review",
            text(&|i| format!("{} {} {}", subjects[i % 5], ends[i / 5 % 5], ["again", "now", "so", "ok"][i / 25])),
        ),
        (
            "评论",
            text(&|i| format!("房间{}，服务{}第{i}次", ["很好", "太小", "干净"][i % 3], ["热情", "一般"][i / 3 % 2])),
        ),
        ("part", text(&|i| format!("X-{}-{}", i * 7919 % 1009, i))),
        ("word", text(&|i| format!("name{i}"))),
        ("colour", text(&|i| ["red", "green"][i % 2].to_owned())),
    ]);
    for (takes, how_review) in [(Takes::Sequences, "tokens at most"), (Takes::Numbers, "the weights (TF-IDF)")] {
        let features = fit_for(takes, "{}", &batch).unwrap();
        let kinds: Vec<String> = features.choices().iter().map(|choice| choice.feature.clone()).collect();
        assert_eq!(kinds, ["text", "text", "left out", "left out", "category"]);
        assert!(how(&features, "review").contains(how_review), "{}", how(&features, "review"));
    }
}

#[test]
fn what_no_training_row_holds_changes_nothing() {
    let clean = ["a good film", "a good book", "a bad film"];
    let poison = [&clean[..], &["poison poison poison 毒 毒", "a a a a a a a a a a a a a a a a a a a a"]].concat();
    for takes in [Takes::Sequences, Takes::Numbers] {
        let slice = texts(&poison).slice(0, 3);
        assert_eq!(text(takes, "{}", &slice).unwrap(), text(takes, "{}", &texts(&clean)).unwrap());
    }
}

/// A vocabulary of BERT's kind.
fn vocabulary(folder: &std::path::Path) -> String {
    let path = folder.join("vocab.txt");
    let pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "tide", ",", "水"];
    std::fs::write(&path, pieces.join("\n")).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn word_pieces_stand_between_their_special_tokens_and_live_in_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let spec = format!(
        r#"{{"tokenizer": {{"word_piece": {{"vocabulary": {:?}}}}}, "length_max": 6}}"#,
        vocabulary(folder.path())
    );
    let batch = texts(&["Unaffable tide, tide, tide, tide", "tide"]);
    let features = text(Takes::Sequences, &spec, &batch).unwrap();
    drop(folder);
    let file = serde_json::to_string(&features).unwrap();
    let features: Features = serde_json::from_str(&file).unwrap();
    assert_eq!(tokens(&features, Some("Unaffable tide")), [2, 5, 6, 7, 8, 3]);
    // Cut, the end token kept.
    assert_eq!(tokens(&features, Some("unaffable tide, tide")), [2, 5, 6, 7, 8, 3]);
    assert_eq!(tokens(&features, Some("水水 xyz")), [2, 10, 10, 1, 3, 0]);
    assert_eq!(tokens(&features, None), [2, 3, 0, 0, 0, 0]);
    // A special token cannot be typed.
    assert_eq!(tokens(&features, Some("[SEP]"))[..4], [2, 1, 1, 1]);
    assert_eq!(features.numeric().texts[0].vocabulary, 11);
}

#[test]
fn byte_pairs_are_joined_in_order_and_moved_beyond_the_padding() {
    let folder = tempfile::tempdir().unwrap();
    let (vocab, merges) = (folder.path().join("vocab.json"), folder.path().join("merges.txt"));
    std::fs::write(&vocab, r#"{"t": 0, "i": 1, "d": 2, "e": 3, "Ġ": 4, "ti": 5, "de": 6, "tide": 7, "Ġtide": 8}"#)
        .unwrap();
    std::fs::write(&merges, "#version: 0.2\nt i\nd e\nti de\nĠ tide\n").unwrap();
    let spec = format!(r#"{{"tokenizer": {{"byte_pair": {{"vocabulary": {vocab:?}, "merges": {merges:?}}}}}}}"#);
    let features = text(Takes::Sequences, &spec, &texts(&["tide tide ti", "tide"])).unwrap();
    assert_eq!(tokens(&features, Some("tide tide")), [8, 9, 0, 0]);
    assert_eq!(features.numeric().texts[0].vocabulary, 10);
}

#[test]
fn texts_that_cannot_be_read_are_refused_with_their_place() {
    let batch = texts(&["a good film", "a good book"]);
    let check = |takes: Takes, spec: &str, expected: &str| {
        let message = text(takes, spec, &batch).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(Takes::Sequences, r#"{"length_max": 0}"#, "column \"t\": length_max is 0, expected 1 to 4096");
    check(Takes::Sequences, r#"{"vocabulary_max": 0}"#, "column \"t\": vocabulary_max is 0");
    check(Takes::Sequences, r#"{"count_min": 9}"#, "no token occurs 9 times in the 2 training rows; lower count_min");
    check(Takes::Numbers, r#"{"count_min": 9}"#, "no term occurs 9 times");
    check(
        Takes::Sequences,
        r#"{"tokenizer": {"word_piece": {"vocabulary": "nowhere.txt"}}}"#,
        "column \"t\": nowhere.txt: ",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("words.txt");
    std::fs::write(&path, "a\nb\n").unwrap();
    let spec = |kind: &str, key: &str| format!(r#"{{"tokenizer": {{"{kind}": {{"{key}": {path:?}}}}}}}"#);
    check(Takes::Sequences, &spec("word_piece", "vocabulary"), "words.txt: no token [CLS]");
    check(Takes::Sequences, &spec("file", "path"), "words.txt: no tokenizer.json");
    let with_own = format!(
        r#"{{"tokenizer": {{"word_piece": {{"vocabulary": {:?}}}}}, "vocabulary_max": 9}}"#,
        vocabulary(folder.path())
    );
    check(Takes::Sequences, &with_own, "vocabulary_max is 9, but the tokenizer has its vocabulary from a file");
    let features = text(Takes::Sequences, "{}", &batch).unwrap();
    let wrong = table(vec![("t", Arc::new(BinaryArray::from(vec![b"a".as_ref()])))]);
    let message = features.encode(&wrong).unwrap_err().to_string();
    assert!(message.contains("column \"t\", row 1: the value is binary data, expected text"), "{message}");
}

#[test]
fn a_published_network_brings_its_tokenizer() {
    let folder = crate::pretrained::tests::folder("roberta");
    let batch = texts(&["The tide turns the mill.", "tide"]);
    let features = text(Takes::TokensOf(&folder), "{}", &batch).unwrap();
    // `<s>` is token 0 of RoBERTa: all are one more here, where 0 is padding.
    assert_eq!(tokens(&features, Some("The tide turns")), [1, 5, 6, 7, 8, 3, 0, 0, 0]);
    assert_eq!(features.numeric().texts[0].vocabulary, 18);
    let other = text(Takes::TokensOf(&folder), r#"{"tokenizer": {"words": {}}, "count_min": 1}"#, &batch).unwrap();
    assert_eq!(other.numeric().texts[0].vocabulary, 7);
    let missing = text(Takes::TokensOf(Path::new("no/folder")), "{}", &batch).unwrap_err().to_string();
    assert!(missing.contains("column \"t\": no/folder: no tokenizer in this folder"), "{missing}");
}

#[test]
fn a_folder_without_tokenizer_json_is_read_by_its_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    let batch = texts(&["Tide TIDE", "tide"]);
    let read = || text(Takes::TokensOf(folder.path()), "{}", &batch).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\ntide\n").unwrap();
    assert_eq!(tokens(&read(), Some("Tide tide")), [2, 1, 4, 3]);
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": true}"#).unwrap();
    assert_eq!(tokens(&read(), Some("Tide tide")), [2, 4, 4, 3]);
    std::fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    let pieces = r#"{"<s>": 0, "<pad>": 1, "</s>": 2, "t": 3, "i": 4, "ti": 5}"#;
    std::fs::write(folder.path().join("vocab.json"), pieces).unwrap();
    std::fs::write(folder.path().join("merges.txt"), "t i\n").unwrap();
    assert_eq!(tokens(&read(), Some("ti")), [1, 6, 3]);
}
