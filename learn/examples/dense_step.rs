//! How long does a step of 784-128-ReLU-10-softmax take (Adam, batches of 32)? On generated pictures:
//! `cargo run -p learn --example dense_step [-- ROWS EPOCHS HIDDEN BATCH]`. `bench/mnist` compares it with PyTorch and Keras.

use learn::features::{Affine, Encoded, ImageBlock, ImageInput, NumericPart};
use learn::spec::{DenseSpec, EarlyStopping, NetSpec, TrainSpec};
use learn::{Flow, Part, Target, Task, TrainEvent, TrainJob, train};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (rows, epochs, hidden, batch_size) = (next(60_000)?, next(5)?, next(128)?, next(32)?);
    let values = 784;
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let pixels: Vec<u8> = (0..rows * values).map(|_| byte()).collect();
    let target: Vec<f32> = (0..rows).map(|_| f32::from(byte() % 10)).collect();
    let encoded = Encoded { rows, images: vec![ImageBlock { values, pixels }], ..Encoded::default() };
    let affine = Affine { shift: 0.0, scale: 1.0 / 255.0 };
    let image = ImageInput { name: "image".into(), height: 28, width: 28, channels: 1, affine };
    let numeric = NumericPart { images: vec![image], ..NumericPart::default() };
    let labels = (0..10).map(|digit| digit.to_string()).collect();
    let answer = Target { column: "label".into(), task: Task::Multiclass, labels, mean: 0.0, scale: 1.0 };
    let net = NetSpec::Dense(DenseSpec { hidden: vec![hidden], ..DenseSpec::default() });
    let stopping = EarlyStopping { enabled: false, ..EarlyStopping::default() };
    let spec = TrainSpec { epochs, batch_size: batch_size.into(), early_stopping: stopping, ..TrainSpec::default() };
    let part = |rows: std::ops::Range<u32>| Part { encoded: &encoded, target: &target, rows: rows.collect() };
    let job = TrainJob {
        numeric: &numeric,
        target: &answer,
        net: &net,
        train: &spec,
        training: part(0..rows as u32),
        validation: part(0..100),
        checkpoint: None,
        resume: false,
    };
    let steps = rows.div_ceil(batch_size) as f64;
    let mut lines = Vec::new();
    // The fastest 20 steps in a row: what a step takes where nobody else has the cores.
    let (mut fastest, mut begin) = (f64::INFINITY, std::time::Instant::now());
    train(job, &mut |event| {
        match event {
            TrainEvent::Batch { batch, .. } if batch % 20 == 1 => begin = std::time::Instant::now(),
            TrainEvent::Batch { batch, .. } if batch % 20 == 0 => {
                fastest = fastest.min(begin.elapsed().as_secs_f64() * 1e6 / 19.0);
            }
            TrainEvent::Started { device, parameters, .. } => lines.push(format!("{device}, {parameters} parameters")),
            TrainEvent::Epoch(record) => {
                let microseconds = record.seconds * 1e6 / steps;
                let (epoch, loss) = (record.epoch, record.train_loss);
                lines.push(format!(
                    "epoch {epoch}: {microseconds:.1} us per step, {fastest:.1} at best, loss {loss:.4}"
                ));
            }
            _ => {}
        }
        Flow::Continue
    })?;
    std::io::Write::write_all(&mut std::io::stdout(), (lines.join("\n") + "\n").as_bytes())?;
    Ok(())
}
