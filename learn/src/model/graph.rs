//! Runs the graph of `model.onnx`.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use rten::{
    DataType, Dimension, ModelOptions, NodeId, NodeInfo, RunOptions, ThreadPool, ValueOrView, ValueType, op_registry,
};
use rten_tensor::{NdTensor, NdTensorView};

use crate::features::{NumericPart, TextInput};
use crate::{Encoded, Error, Result, Target, onnx};

/// Bytes of a layer's values that are worked on at once by a core; more rows are cut into chunks.
const CHUNK_BYTES: usize = 4 << 20;
/// Rows of a chunk at most.
const CHUNK_ROWS_MAX: usize = 4096;
/// Numbers that a word becomes in a network, for the size of chunks.
const WORD_NUMBERS: usize = 256;
/// Multiplications up to which waking a second core costs more than it brings (about 0.2 ms of one core).
const ONE_CORE_WORK: usize = 4_000_000;

/// A loaded graph with the places of its inputs and its output.
pub(super) struct Graph {
    model: rten::Model,
    numbers: Option<(NodeId, usize)>,
    codes: Option<(NodeId, usize)>,
    images: Vec<(NodeId, [usize; 3])>,
    /// Weighted terms: how many there are.
    bags: Vec<(NodeId, usize)>,
    /// Texts: tokens of each.
    texts: Vec<(NodeId, usize)>,
    /// Steps and number of series.
    series: Option<(NodeId, [usize; 2])>,
    output: NodeId,
    /// Answers per row.
    answers: usize,
    /// Numbers of a row that go into the network.
    width: usize,
}

impl Graph {
    /// Reads the bytes of an ONNX file that [`onnx::export_onnx`] wrote for these features; `path` is for messages.
    pub(super) fn load(file: Vec<u8>, part: &NumericPart, target: &Target, path: &Path) -> Result<Self> {
        let corrupt = |reason: String| Error::Corrupt { path: path.into(), reason };
        if !onnx::is_whole(&file) {
            return Err(corrupt("changed or cut off since it was written; restore it or take another version".into()));
        }
        let model = options().load(file).map_err(|e| corrupt(format!("not an ONNX file of ours: {e}")))?;
        let foreign = || corrupt("does not fit the features beside it; restore the folder".into());
        let expected = expected_inputs(part);
        let fits = |(number, (kind, axes)): (usize, &(DataType, Vec<Option<usize>>))| {
            let info = model.input_ids().get(number).and_then(|&id| model.node_info(id));
            let shape = info.as_ref().and_then(NodeInfo::shape).unwrap_or_default();
            let same = |(found, axis): (&Dimension, &Option<usize>)| match axis {
                Some(length) => *found == Dimension::Fixed(*length),
                None => matches!(found, Dimension::Symbolic(_)),
            };
            info.and_then(|info| info.dtype()) == Some(ValueType::Tensor(*kind))
                && shape.len() == axes.len() + 1
                && shape[1..].iter().zip(axes).all(same)
        };
        let &[output] = model.output_ids() else { return Err(foreign()) };
        let same_output = model.find_node(onnx::output(target).0) == Some(output);
        if model.input_ids().len() != expected.len() || !expected.iter().enumerate().all(fits) || !same_output {
            return Err(foreign());
        }
        let mut ids = model.input_ids().iter().copied();
        let mut input = |width: usize| (width > 0).then(|| ids.next().map(|id| (id, width))).flatten();
        let (numbers, codes) = (input(part.numbers.len()), input(part.categories.len()));
        // The shorter side first: `zip` takes one too many of it, not of the ids.
        let shapes = part.images.iter().map(|image| [image.height, image.width, image.channels]);
        let images = shapes.zip(ids.by_ref()).map(|(shape, id)| (id, shape)).collect();
        let bags = part.bags.iter().zip(ids.by_ref()).map(|(bag, id)| (id, bag.width)).collect();
        let texts = part.texts.iter().zip(ids.by_ref()).map(|(text, id)| (id, text.length)).collect();
        let series = part.series.first().zip(ids.next()).map(|(first, id)| (id, [first.steps, part.series.len()]));
        let answers = onnx::output(target).1.iter().product();
        let embedded: usize = part.embedded().map(|column| column.dimension).sum();
        let sequences: usize = part.texts.iter().map(|text| text.length * WORD_NUMBERS).sum();
        let series_width: usize = part.series.iter().map(|series| series.steps).sum();
        let width = part.dense_width() + embedded + sequences + series_width;
        Ok(Self { numbers, codes, images, bags, texts, series, output, answers, width, model })
    }

    /// What the file says about itself.
    pub(super) fn note(&self, key: &str) -> Option<&str> {
        self.model.metadata().get(key)
    }

    /// Answers of all rows: probabilities `[rows, classes]` or values `[rows]`. Small requests are answered by one
    /// thread, large ones by all cores, a chunk of rows each.
    pub(super) fn run(&self, encoded: &Encoded) -> Result<Vec<f32>> {
        if encoded.rows.saturating_mul(self.model.total_params().max(self.width)) <= ONE_CORE_WORK {
            self.check(encoded)?;
            return self.run_rows(encoded, 0, encoded.rows, &one_core());
        }
        self.run_on_all_cores(encoded)
    }

    /// As [`Graph::run`]; already on [`all_cores`] it stays there.
    pub(super) fn run_on_all_cores(&self, encoded: &Encoded) -> Result<Vec<f32>> {
        self.check(encoded)?;
        let rows = encoded.rows;
        let chunk = (CHUNK_BYTES / (4 * self.width.max(1))).min(rows.div_ceil(cores())).clamp(1, CHUNK_ROWS_MAX);
        let starts: Vec<usize> = (0..rows).step_by(chunk).collect();
        let pool = all_cores();
        let answers: Vec<Vec<f32>> = pool.run(|| {
            (starts.par_iter())
                .map(|&start| self.run_rows(encoded, start, (start + chunk).min(rows), pool))
                .collect::<Result<_>>()
        })?;
        Ok(answers.concat())
    }

    fn run_rows(&self, encoded: &Encoded, start: usize, end: usize, pool: &Arc<ThreadPool>) -> Result<Vec<f32>> {
        if start == end {
            return Ok(Vec::new());
        }
        let rows = end - start;
        let mut inputs: Vec<(NodeId, ValueOrView<'_>)> = Vec::with_capacity(2 + self.images.len());
        if let Some((id, width)) = self.numbers {
            let view = NdTensorView::from_data([rows, width], &encoded.numbers[start * width..end * width]);
            inputs.push((id, view.into()));
        }
        if let Some((id, width)) = self.codes {
            let view = NdTensorView::from_data([rows, width], &encoded.codes[start * width..end * width]);
            inputs.push((id, view.into()));
        }
        for (&(id, [height, width, channels]), block) in self.images.iter().zip(&encoded.images) {
            let pixels = &block.pixels[start * block.values..end * block.values];
            inputs.push((id, NdTensorView::from_data([rows, height, width, channels], pixels).into()));
        }
        for (&(id, width), block) in self.bags.iter().zip(&encoded.bags) {
            let mut terms = NdTensor::zeros([rows, width]);
            let row_of = |(row, out): (usize, &mut [f32])| block.write(start + row, out);
            terms.data_mut().unwrap_or_default().chunks_exact_mut(width.max(1)).enumerate().for_each(row_of);
            inputs.push((id, terms.into()));
        }
        for (&(id, length), block) in self.texts.iter().zip(&encoded.texts) {
            let (length, tokens) = without_padding(&block.tokens[start * length..end * length], rows, length);
            inputs.push((id, NdTensor::from_data([rows, length], tokens).into()));
        }
        if let Some((id, [steps, series])) = self.series {
            let mut values = vec![0.0; rows * steps * series];
            for (place, block) in encoded.series.iter().enumerate() {
                let from = &block.values[start * steps..end * steps];
                values[place..].iter_mut().step_by(series).zip(from).for_each(|(slot, &x)| *slot = x);
            }
            inputs.push((id, NdTensor::from_data([rows, steps, series], values).into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let broken = |e: &dyn std::fmt::Display| Error::Internal(format!("running model.onnx: {e}"));
        let [output] = self.model.run_n(inputs, [self.output], Some(options)).map_err(|e| broken(&e))?;
        let answers = output.into_tensor::<f32>().ok_or_else(|| broken(&"its output is not float32"))?.into_data();
        match answers.len() == rows * self.answers {
            true => Ok(answers),
            false => Err(broken(&format!("{} answers for {rows} rows", answers.len()))),
        }
    }

    /// Refuses rows that other features encoded, which would otherwise be cut in the wrong places.
    fn check(&self, encoded: &Encoded) -> Result<()> {
        let rows = encoded.rows;
        let numbers = rows * self.numbers.map_or(0, |(_, width)| width);
        let codes = rows * self.codes.map_or(0, |(_, width)| width);
        let images = encoded.images.len() == self.images.len()
            && encoded.images.iter().zip(&self.images).all(|(block, (_, shape))| {
                block.values == shape.iter().product::<usize>() && block.pixels.len() == rows * block.values
            });
        let bags = encoded.bags.len() == self.bags.len()
            && (encoded.bags.iter().zip(&self.bags))
                .all(|(block, (_, width))| block.width == *width && block.rows() == rows);
        let texts = encoded.texts.len() == self.texts.len()
            && (encoded.texts.iter().zip(&self.texts))
                .all(|(block, (_, length))| block.length == *length && block.tokens.len() == rows * length);
        let [steps, series] = self.series.map_or([0; 2], |(_, shape)| shape);
        let same_series = encoded.series.len() == series
            && encoded.series.iter().all(|block| block.steps == steps && block.values.len() == rows * steps);
        let tables = encoded.numbers.len() == numbers && encoded.codes.len() == codes;
        if tables && images && bags && texts && same_series {
            return Ok(());
        }
        Err(Error::Internal("rows that other features encoded".into()))
    }
}

/// Element type and axes after the batch of each input, in the order of the file; nothing for an axis of any length. RTen holds int64 as int32.
fn expected_inputs(part: &NumericPart) -> Vec<(DataType, Vec<Option<usize>>)> {
    let fixed = |kind, axes: &[usize]| (kind, axes.iter().map(|&length| Some(length)).collect());
    let mut expected = Vec::new();
    if !part.numbers.is_empty() {
        expected.push(fixed(DataType::Float, &[part.numbers.len()]));
    }
    if !part.categories.is_empty() {
        expected.push(fixed(DataType::Int32, &[part.categories.len()]));
    }
    let pictures = part.images.iter().map(|image| fixed(DataType::UInt8, &[image.height, image.width, image.channels]));
    expected.extend(pictures);
    expected.extend(part.bags.iter().map(|bag| fixed(DataType::Float, &[bag.width])));
    expected.extend(part.texts.iter().map(|_| (DataType::Int32, vec![None])));
    expected.extend(part.series.first().map(|first| fixed(DataType::Float, &[first.steps, part.series.len()])));
    expected
}

/// The tokens `[rows, length]` up to the end of the longest text, and its length, at least 1.
fn without_padding(tokens: &[i32], rows: usize, length: usize) -> (usize, Vec<i32>) {
    let used = |text: &[i32]| text.iter().rposition(|&token| token != TextInput::PADDING).map_or(1, |last| last + 1);
    let longest = tokens.chunks_exact(length).map(used).max().unwrap_or(1);
    let mut kept = Vec::with_capacity(rows * longest);
    tokens.chunks_exact(length).for_each(|text| kept.extend_from_slice(&text[..longest]));
    (longest, kept)
}

/// The operators of our files, and no others, so that the rest of RTen is not linked.
fn options() -> ModelOptions {
    let mut options = ModelOptions::with_ops(op_registry!(
        Add,
        Cast,
        Clip,
        Concat,
        Conv,
        Div,
        Equal,
        Erf,
        Flatten,
        GRU,
        Gather,
        GatherElements,
        GlobalAveragePool,
        Greater,
        IsNaN,
        LSTM,
        LayerNormalization,
        LeakyRelu,
        MatMul,
        Max,
        MaxPool,
        Min,
        Mul,
        ReduceMax,
        ReduceMean,
        ReduceSum,
        Relu,
        Reshape,
        ReverseSequence,
        Shape,
        Log,
        Sigmoid,
        Slice,
        Softmax,
        Squeeze,
        Sub,
        Tanh,
        Transpose,
        Unsqueeze,
        Where
    ));
    options.prepack_weights(true);
    options
}

/// Runs `work`, say the loop of an endpoint, on a new thread of its own, on which models answer small requests in
/// place. From any other thread they hand them over to one shared thread, which costs two wake-ups (some 10 to 50
/// microseconds). Returns when `work` is done.
pub fn on_answering_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = Arc::new(ThreadPool::with_num_threads(1));
    pool.run(|| {
        HERE.set(Some(pool.clone()));
        work()
    })
}

thread_local! {
    /// The pool whose only thread this is.
    static HERE: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// One thread for small requests, where RTen would take its pool of all cores.
fn one_core() -> Arc<ThreadPool> {
    static SHARED: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    let shared = || SHARED.get_or_init(|| Arc::new(ThreadPool::with_num_threads(1))).clone();
    HERE.with_borrow(|here| here.clone().unwrap_or_else(shared))
}

/// A thread for each core, for large batches. Not RTen's own pool, which leaves out hyperthreads and so half of many
/// virtual machines.
pub(crate) fn all_cores() -> &'static Arc<ThreadPool> {
    static POOL: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    POOL.get_or_init(|| Arc::new(ThreadPool::with_num_threads(cores())))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
