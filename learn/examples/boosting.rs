//! How long do boosted trees take? `cargo run -p learn --example boosting -- FOLDER TREES`, where FOLDER holds two classes of
//! rows as plain numbers, `train.` and `test.` each with `numbers.f32`, `codes.i32` and `target.f32`. Prints JSON: seconds and
//! the answers' area under the ROC curve on the test rows. `bench/trees` makes the folder and compares with LightGBM.

use std::path::Path;
use std::time::Instant;

use learn::features::{Affine, CategoryInput, Encoded, NumberInput, NumericPart};
use learn::spec::{EarlyStopping, GradientBoostingSpec, Loss, NetSpec, TrainSpec};
use learn::{Flow, Part, Target, Task, TrainEvent, TrainJob, network_answers, train};

/// Training rows that are looked at after each tree.
const WATCHED: u32 = 1_000;

fn read(path: &Path) -> std::io::Result<Vec<[u8; 4]>> {
    Ok(std::fs::read(path)?.as_chunks().0.to_vec())
}

/// Rows and their answers.
fn part(folder: &Path, name: &str) -> std::io::Result<(Encoded, Vec<f32>)> {
    let of = |what: &str| read(&folder.join(format!("{name}.{what}")));
    let floats = |bytes: Vec<[u8; 4]>| bytes.into_iter().map(f32::from_le_bytes).collect::<Vec<f32>>();
    let target = floats(of("target.f32")?);
    let codes = of("codes.i32")?.into_iter().map(i32::from_le_bytes).collect();
    let encoded = Encoded { rows: target.len(), numbers: floats(of("numbers.f32")?), codes, ..Encoded::default() };
    Ok((encoded, target))
}

/// The share of pairs of a positive and a negative row in the right order, ties counting half.
fn area(answers: &[f32], target: &[f32]) -> f64 {
    let mut rows: Vec<(f32, f32)> = answers.iter().copied().zip(target.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut negatives, mut positives, mut pairs) = (0.0, 0.0, 0.0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let above: f64 = ties.iter().map(|row| f64::from(row.1)).sum();
        let below = ties.len() as f64 - above;
        pairs += above * (negatives + below / 2.0);
        (negatives, positives) = (negatives + below, positives + above);
    }
    pairs / (negatives * positives)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder and a number of trees")?;
    let trees = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let (encoded, target) = part(Path::new(&folder), "train")?;
    let (test, truth) = part(Path::new(&folder), "test")?;
    let rows = encoded.rows as u32;
    let open = [f32::NEG_INFINITY, f32::INFINITY];
    let number = |n: usize| NumberInput {
        name: format!("n{n}"),
        impute: 0.0,
        indicator: false,
        clip: open,
        affine: Affine::IDENTITY,
    };
    let category = |n: usize| CategoryInput::Ordinal { name: format!("c{n}"), affine: Affine::IDENTITY };
    let numeric = NumericPart {
        numbers: (0..encoded.numbers.len() / encoded.rows).map(number).collect(),
        categories: (0..encoded.codes.len() / encoded.rows).map(category).collect(),
        ..NumericPart::default()
    };
    let labels = vec!["no".to_owned(), "yes".to_owned()];
    let answer = Target { column: "answer".into(), task: Task::Binary, labels, mean: 0.0, scale: 1.0 };
    let net = NetSpec::GradientBoosting(GradientBoostingSpec { trees, ..GradientBoostingSpec::default() });
    let stopping = EarlyStopping { enabled: false, ..EarlyStopping::default() };
    let spec = TrainSpec { early_stopping: stopping, ..TrainSpec::default() };
    let part = |rows: std::ops::Range<u32>| Part { encoded: &encoded, target: &target, rows: rows.collect() };
    let job = TrainJob {
        numeric: &numeric,
        target: &answer,
        net: &net,
        train: &spec,
        training: part(0..rows),
        validation: part(0..rows.min(WATCHED)),
        spool: None,
        checkpoint: None,
        resume: false,
    };
    let (begin, mut of_bins) = (Instant::now(), 0.0);
    let trained = train(job, &mut |event| {
        if let TrainEvent::Started { .. } = event {
            of_bins = begin.elapsed().as_secs_f64();
        }
        Flow::Continue
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let answers = network_answers(&net, &numeric, &answer, Loss::Auto, &trained.weights, &test)?;
    let positive: Vec<f32> = answers.chunks_exact(2).map(|pair| pair[1]).collect();
    let auc = area(&positive, &truth);
    let line = format!("{{\"seconds\": {seconds:.4}, \"bins_seconds\": {of_bins:.4}, \"auc\": {auc:.6}}}\n");
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}
