use serde_json::json;

use super::*;

fn parse(config: &Value) -> Result<BertConfig> {
    BertConfig::parse(&Fields { config, path: Path::new("folder/config.json") })
}

/// A small folder's `config.json`.
fn config(family: &str) -> Value {
    match family {
        "distilbert" => json!({
            "model_type": "distilbert", "dim": 4, "n_layers": 1, "n_heads": 2, "hidden_dim": 6, "vocab_size": 5,
            "max_position_embeddings": 3, "activation": "gelu",
        }),
        _ => json!({
            "model_type": family, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 6, "vocab_size": 5, "max_position_embeddings": 5, "type_vocab_size": 1,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        }),
    }
}

/// Weights that say where each number comes from: the tensor's place among the expected ones, and the place in it.
fn published(config: &BertConfig, prefix: &str) -> Weights {
    let tensor = |(number, (name, shape)): (usize, (String, Vec<usize>))| {
        let data = (0..shape.iter().product()).map(|place: usize| (number * 1000 + place) as f32).collect();
        (format!("{prefix}{name}"), Tensor { shape, data })
    };
    Weights { tensors: config.expected().into_iter().enumerate().map(tensor).collect() }
}

#[test]
fn the_figures_of_each_family_are_read() {
    let bert = parse(&config("bert")).unwrap();
    let expected = BertConfig {
        family: BertFamily::Bert,
        width: 4,
        layers: 1,
        heads: 2,
        feed_forward: 6,
        vocabulary: 5,
        length: 5,
        first_position: 0,
        types: 1,
        padding: 0,
        activation: BertActivation::Gelu,
        epsilon: 1e-5,
    };
    assert_eq!(bert, expected);
    let roberta = BertConfig { family: BertFamily::Roberta, length: 3, first_position: 2, padding: 1, ..bert.clone() };
    assert_eq!(parse(&config("roberta")).unwrap(), roberta);
    assert_eq!(parse(&config("xlm-roberta")).unwrap(), roberta);
    let distil = BertConfig { family: BertFamily::DistilBert, length: 3, types: 0, epsilon: 1e-12, ..bert };
    assert_eq!(parse(&config("distilbert")).unwrap(), distil);
}

#[test]
fn what_we_cannot_run_is_refused_by_name() {
    let check = |key: &str, value: Value, expected: &str| {
        let mut config = config("bert");
        config[key] = value;
        let error = parse(&config).unwrap_err().to_string();
        assert!(error.starts_with("folder/config.json: ") && error.contains(expected), "{error}");
    };
    check("model_type", json!("gpt2"), "not read: model_type \"gpt2\"");
    check("model_type", json!(7), "model_type is missing");
    check("position_embedding_type", json!("relative_key"), "position_embedding_type: \"relative_key\"");
    check("is_decoder", json!(true), "is_decoder: true");
    check("quantization_config", json!({"bits": 4}), "quantised weights");
    check("hidden_act", json!("silu"), "hidden_act \"silu\"");
    check("num_attention_heads", json!(3), "a width of 4 cannot be divided into 3 heads");
    check("num_attention_heads", json!(0), "num_attention_heads is 0");
    check("hidden_size", json!(-4), "hidden_size is -4, expected a whole number");
    check("hidden_size", json!(1_u64 << 60), "hidden_size is 1152921504606846976, expected 1 to 8192");
    check("vocab_size", Value::Null, "vocab_size is missing");
    check("layer_norm_eps", json!("tiny"), "layer_norm_eps is NaN");
    check("max_position_embeddings", json!(0), "max_position_embeddings is 0");
}

#[test]
fn tensors_of_every_family_become_the_same_ones() {
    for (family, prefix) in [("bert", ""), ("bert", "bert."), ("roberta", "roberta."), ("distilbert", "distilbert.")] {
        let config = parse(&config(family)).unwrap();
        let theirs = published(&config, prefix);
        let get = |name: &str| theirs.get(&format!("{prefix}{name}")).unwrap().data.clone();
        let ours = config.weights(Path::new("folder"), theirs.clone(), config.tokens(), 2).unwrap();
        let shapes: Vec<(&str, &[usize])> = ours.tensors.iter().map(|(n, t)| (n.as_str(), &t.shape[..])).collect();
        let expected: [(&str, &[usize]); 16] = [
            ("layer.0.attention.output.bias", &[4]),
            ("layer.0.attention.output.weight", &[4, 4]),
            ("layer.0.attention.qkv.bias", &[12]),
            ("layer.0.attention.qkv.weight", &[4, 12]),
            ("layer.0.inner.bias", &[6]),
            ("layer.0.inner.weight", &[4, 6]),
            ("layer.0.norm1.bias", &[4]),
            ("layer.0.norm1.weight", &[4]),
            ("layer.0.norm2.bias", &[4]),
            ("layer.0.norm2.weight", &[4]),
            ("layer.0.outer.bias", &[4]),
            ("layer.0.outer.weight", &[6, 4]),
            ("norm.bias", &[4]),
            ("norm.weight", &[4]),
            ("positions.weight", &[2, 4]),
            ("words.weight", &[config.tokens(), 4]),
        ];
        assert_eq!(shapes, expected, "{family}");
        let words = get("embeddings.word_embeddings.weight");
        // Of RoBERTa, number 0 is no word to us but the padding.
        let padding = if family == "roberta" { 4 } else { 0 };
        assert_eq!(ours.get("words.weight").unwrap().data[..padding], [0.0; 4][..padding]);
        assert_eq!(ours.get("words.weight").unwrap().data[padding..], words);
        let positions = &get("embeddings.position_embeddings.weight")[config.first_position * 4..][..8];
        let types = if config.types > 0 { get(TYPES) } else { vec![0.0; 4] };
        let sums: Vec<f32> = positions.iter().enumerate().map(|(n, x)| x + types[n % 4]).collect();
        assert_eq!(ours.get("positions.weight").unwrap().data, sums, "{family}");
        // Column 4 + 1 of the joined weight is the second output of the keys.
        let names = config.names();
        let key = get(&format!("{}.weight", names.of_layer(0, names.attention[1])));
        let joined = &ours.get("layer.0.attention.qkv.weight").unwrap().data;
        for input in 0..4 {
            assert_eq!(joined[input * 12 + 4 + 1], key[4 + input], "{family}");
        }
        assert_eq!(
            ours.get("layer.0.norm2.bias").unwrap().data,
            get(&format!("{}.bias", names.of_layer(0, names.rest[4])))
        );
    }
}

#[test]
fn heads_are_left_out_old_names_are_known_and_every_difference_is_listed() {
    let config = parse(&config("bert")).unwrap();
    let mut theirs = published(&config, "bert.");
    let mut insert = |name: &str| theirs.tensors.insert(name.into(), Tensor { shape: vec![1], data: vec![0.0] });
    insert("bert.pooler.dense.weight");
    insert("cls.predictions.bias");
    insert("bert.embeddings.position_ids");
    for (new, old) in [("weight", "gamma"), ("bias", "beta")] {
        let norm = theirs.tensors.remove(&format!("bert.embeddings.LayerNorm.{new}")).unwrap();
        theirs.tensors.insert(format!("bert.embeddings.LayerNorm.{old}"), norm);
    }
    let folder = Path::new("folder");
    // A tokenizer may know fewer tokens than the table has rows.
    assert_eq!(config.weights(folder, theirs.clone(), 3, 5).unwrap().get("words.weight").unwrap().shape, [3, 4]);
    theirs.tensors.remove("bert.encoder.layer.0.output.dense.bias");
    theirs.tensors.get_mut("bert.encoder.layer.0.output.dense.weight").unwrap().shape = vec![6, 4];
    theirs.tensors.insert("bert.encoder.layer.1.adapter".into(), Tensor { shape: vec![1], data: vec![0.0] });
    let error = config.weights(folder, theirs, 5, 5).unwrap_err().to_string();
    assert_eq!(
        error,
        "folder: these are other weights: \"encoder.layer.0.output.dense.weight\" is [6, 4], expected [4, 6], \
         \"encoder.layer.0.output.dense.bias\" [4] is missing, \"encoder.layer.1.adapter\" is not expected"
    );
}
