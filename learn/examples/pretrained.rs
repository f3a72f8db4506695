//! What do published networks answer, and how long does a step of fine-tuning take? `bench/pretrained` compares both with
//! PyTorch.
//!
//! `cargo run -p learn --example pretrained -- encode FOLDER` reads sentences, one a line, and writes their vectors;
//! `-- classify WEIGHTS` reads pictures of 224 x 224 x 3 bytes and writes the logarithms of ImageNet's probabilities by
//! EfficientNet-Lite0; `-- step FOLDER [ROWS TOKENS STEPS]` fine-tunes on generated texts.

use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::time::Instant;

use learn::features::{Affine, Encoded, ImageBlock, ImageInput, NumericPart, TextInput, TokenBlock};
use learn::pretrained::{BertConfig, SentenceEncoder, efficientnet, read};
use learn::spec::{AdamwSpec, BertSpec, EarlyStopping, EfficientnetLite0Spec, Loss, NetSpec, Optimizer, Pooling};
use learn::{Flow, Part, Target, Task, TrainEvent, TrainJob, network_answers, train};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["encode", folder] => encode(folder),
        ["classify", weights] => classify(weights),
        ["step", folder, numbers @ ..] => step(folder, numbers),
        _ => Err("usage: pretrained encode FOLDER | classify WEIGHTS | step FOLDER [ROWS TOKENS STEPS]".into()),
    }
}

fn write_line(numbers: &[f32]) -> Result<(), Box<dyn Error>> {
    let texts: Vec<String> = numbers.iter().map(f32::to_string).collect();
    Ok(writeln!(std::io::stdout(), "{}", texts.join(" "))?)
}

fn encode(folder: &str) -> Result<(), Box<dyn Error>> {
    let sentences = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    let vectors = SentenceEncoder::read(folder, None)?.encode(&sentences)?;
    vectors.iter().try_for_each(|vector| write_line(vector))
}

fn classify(path: &str) -> Result<(), Box<dyn Error>> {
    let net = efficientnet::EfficientNetLite::of_size(0)?;
    let (side, [shift, divisor]) = (net.pixels, efficientnet::PIXELS);
    let mut pixels = Vec::new();
    std::io::stdin().lock().read_to_end(&mut pixels)?;
    let affine = Affine { shift, scale: 1.0 / divisor };
    let image = ImageInput { name: "picture".into(), height: side, width: side, channels: 3, affine };
    let values = side * side * 3;
    let rows = pixels.len() / values;
    let numeric = NumericPart { images: vec![image], ..NumericPart::default() };
    let encoded = Encoded { rows, images: vec![ImageBlock { values, pixels }], ..Encoded::default() };
    let labels = (0..efficientnet::CLASSES).map(|class| class.to_string()).collect();
    let target = Target { column: "class".into(), task: Task::Multiclass, labels, mean: 0.0, scale: 1.0 };
    let weights = net.weights(Path::new(path), &read(path)?)?;
    let spec = NetSpec::EfficientnetLite0(EfficientnetLite0Spec { weights: Some(path.into()), dropout: 0.0 });
    let answers = network_answers(&spec, &numeric, &target, Loss::Auto, &weights, &encoded)?;
    for row in answers.chunks(efficientnet::CLASSES) {
        write_line(&row.iter().map(|p| p.ln()).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn step(folder: &str, numbers: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut numbers = numbers.iter().map(|text| text.parse::<usize>());
    let mut next = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (batch, length, steps) = (next(16)?, next(64)?, next(20)?);
    let vocabulary = BertConfig::read(Path::new(folder))?.vocabulary;
    let (rows, mut state) = (batch * steps, 1u32);
    let mut token = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 8) as i32 % (vocabulary as i32 - 1)
    };
    let tokens = (0..rows * length).map(&mut token).collect();
    let encoded = Encoded { rows, texts: vec![TokenBlock { length, tokens }], ..Encoded::default() };
    let text = TextInput { name: "text".into(), length, vocabulary, unknown: TextInput::UNKNOWN };
    let numeric = NumericPart { texts: vec![text], ..NumericPart::default() };
    let answers: Vec<f32> = (0..rows).map(|row| (row % 2) as f32).collect();
    let labels = vec!["bad".into(), "good".into()];
    let target = Target { column: "label".into(), task: Task::Binary, labels, mean: 0.0, scale: 1.0 };
    let net = NetSpec::Bert(BertSpec { folder: folder.into(), pooling: Pooling::Mean, dropout: 0.1 });
    let spec = learn::spec::TrainSpec {
        epochs: 1,
        batch_size: batch.into(),
        optimizer: Optimizer::Adamw(AdamwSpec { learning_rate: 5e-5, ..AdamwSpec::default() }),
        early_stopping: EarlyStopping { enabled: false, ..EarlyStopping::default() },
        ..learn::spec::TrainSpec::default()
    };
    let part = |rows: std::ops::Range<u32>| Part { encoded: &encoded, target: &answers, rows: rows.collect() };
    let job = TrainJob {
        numeric: &numeric,
        target: &target,
        net: &net,
        train: &spec,
        training: part(0..rows as u32),
        validation: part(0..batch as u32),
        spool: None,
        checkpoint: None,
        resume: false,
    };
    let (mut times, mut begin, mut device) = (Vec::new(), Instant::now(), String::new());
    train(job, &mut |event| {
        match event {
            TrainEvent::Started { device: where_, .. } => device.clone_from(where_),
            TrainEvent::Batch { .. } => {
                times.push(begin.elapsed().as_secs_f64() * 1e3);
                begin = Instant::now();
            }
            _ => {}
        }
        Flow::Continue
    })?;
    // The first step touches all memory for the first time, and stands behind the reading of the weights.
    let mut times = times.split_off(times.len().min(2));
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let least = times.first().copied().unwrap_or(f64::NAN);
    Ok(writeln!(std::io::stdout(), "{device}: {median:.1} ms a step of {batch} x {length} tokens, {least:.1} at best")?)
}
