//! How long does a step of training take, network by network? On generated rows:
//! `cargo run -p learn --example train_step -- FAMILY [BATCHES] [EPOCHS]`, where FAMILY is one of dense, conv, lstm,
//! transformer, resnet, minilm. `bench/train` compares it with PyTorch.

use std::time::Instant;

use learn::features::{
    Affine, Encoded, ImageBlock, ImageInput, NumericPart, SeriesBlock, SeriesInput, TextInput, TokenBlock,
};
use learn::spec::{
    Activation, ConvSpec, DenseSpec, EarlyStopping, NetSpec, Normalization, RecurrentSpec, ResnetSpec, TrainSpec,
    TransformerSpec,
};
use learn::{Flow, Part, Target, Task, TrainEvent, TrainJob, train};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A network, its rows, and how many of them make a step.
struct Work {
    net: NetSpec,
    classes: usize,
    batch: usize,
    numeric: NumericPart,
}

fn work(family: &str) -> Option<Work> {
    let picture = |size, channels| {
        let affine = Affine { shift: 0.0, scale: 1.0 / 255.0 };
        let image = ImageInput { name: "image".into(), height: size, width: size, channels, affine };
        NumericPart { images: vec![image], ..NumericPart::default() }
    };
    let text = |length, vocabulary| NumericPart {
        texts: vec![TextInput { name: "text".into(), length, vocabulary, unknown: 1 }],
        ..NumericPart::default()
    };
    let series = |steps: usize, count: usize| {
        let one = |n| SeriesInput { name: format!("series {n}"), steps, impute: 0.0, affine: Affine::IDENTITY };
        NumericPart { series: (0..count).map(one).collect(), ..NumericPart::default() }
    };
    let transformer = |width, layers, heads, feed_forward| {
        let spec = TransformerSpec { width, layers, heads, feed_forward, ..TransformerSpec::default() };
        NetSpec::Transformer(TransformerSpec { activation: Activation::Gelu, dropout: 0.0, ..spec })
    };
    let (net, classes, batch, numeric) = match family {
        "dense" => (NetSpec::Dense(DenseSpec { hidden: vec![128], ..DenseSpec::default() }), 10, 32, picture(28, 1)),
        "conv" => {
            let spec = ConvSpec { blocks: vec![vec![32, 64]], hidden: vec![128], dropout: 0.0, ..ConvSpec::default() };
            (NetSpec::Conv(ConvSpec { normalization: Normalization::None, ..spec }), 10, 64, picture(28, 1))
        }
        "lstm" => {
            (NetSpec::Recurrent(RecurrentSpec { dropout: 0.0, ..RecurrentSpec::default() }), 10, 32, series(96, 8))
        }
        "transformer" => (transformer(256, 4, 4, 1024), 10, 16, text(128, 10_000)),
        "resnet" => (NetSpec::Resnet(ResnetSpec { depth: 20, dropout: 0.0 }), 10, 64, picture(32, 3)),
        "minilm" => (transformer(384, 6, 12, 1536), 2, 16, text(64, 30_522)),
        _ => return None,
    };
    Some(Work { net, classes, batch, numeric })
}

/// Rows of noise.
fn rows(part: &NumericPart, rows: usize) -> Encoded {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut many = |count: usize| -> Vec<u32> { (0..count * rows).map(|_| next()).collect() };
    Encoded {
        rows,
        images: (part.images.iter())
            .map(|image| {
                let values = image.height * image.width * image.channels;
                ImageBlock { values, pixels: many(values).into_iter().map(|x| x as u8).collect() }
            })
            .collect(),
        texts: (part.texts.iter())
            .map(|text| {
                let token = |x: u32| 1 + (x as usize % (text.vocabulary - 1)) as i32;
                TokenBlock { length: text.length, tokens: many(text.length).into_iter().map(token).collect() }
            })
            .collect(),
        series: (part.series.iter())
            .map(|one| {
                let value = |x: u32| x as f32 / (1 << 23) as f32 - 1.0;
                SeriesBlock { steps: one.steps, values: many(one.steps).into_iter().map(value).collect() }
            })
            .collect(),
        ..Encoded::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let family = arguments.next().unwrap_or_else(|| "dense".into());
    let work = work(&family).ok_or("expected dense, conv, lstm, transformer, resnet or minilm")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (batches, epochs) = (number(50)?, number(2)?);
    let count = batches * work.batch;
    let encoded = rows(&work.numeric, count);
    let target: Vec<f32> = (0..count).map(|row| (row * 7 % work.classes) as f32).collect();
    let labels = (0..work.classes).map(|class| class.to_string()).collect();
    let task = if work.classes == 2 { Task::Binary } else { Task::Multiclass };
    let answer = Target { column: "label".into(), task, labels, mean: 0.0, scale: 1.0 };
    let early_stopping = EarlyStopping { enabled: false, ..EarlyStopping::default() };
    let spec = TrainSpec { epochs, batch_size: work.batch.into(), early_stopping, ..TrainSpec::default() };
    let part = |rows: std::ops::Range<u32>| Part { encoded: &encoded, target: &target, rows: rows.collect() };
    let job = TrainJob {
        numeric: &work.numeric,
        target: &answer,
        net: &work.net,
        train: &spec,
        training: part(0..count as u32),
        validation: part(0..work.batch as u32),
        spool: None,
        checkpoint: None,
        resume: false,
    };
    // From the end of an epoch's first step to the end of its last: validation lies between epochs.
    let (mut begin, mut seconds, mut learned, mut losses) = (Instant::now(), 0.0, 0, vec![]);
    train(job, &mut |event| {
        match event {
            TrainEvent::Started { parameters, .. } => learned = *parameters,
            TrainEvent::Batch { batch: 1, .. } => begin = Instant::now(),
            TrainEvent::Batch { batch, batches, .. } if batch == batches => seconds += begin.elapsed().as_secs_f64(),
            TrainEvent::Epoch(record) => losses.push(record.train_loss.to_string()),
            _ => {}
        }
        Flow::Continue
    })?;
    let microseconds = seconds * 1e6 / (epochs * (batches - 1)) as f64;
    let line = format!(
        r#"{{"family": "{family}", "parameters": {learned}, "batch": {}, "microseconds": {microseconds:.1}, "losses": [{}]}}"#,
        work.batch,
        losses.join(", ")
    );
    std::io::Write::write_all(&mut std::io::stdout(), (line + "\n").as_bytes())?;
    Ok(())
}
