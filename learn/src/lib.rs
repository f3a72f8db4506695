//! Here are rows, give me a model. Here are a model and rows, give me answers.
//!
//! *Good for*: features, networks, training, metrics, ONNX export, the inference runtime.
//! *Not for*: where rows come from (`data`), where models are kept (`store`), settings, printing, HTTP (`tidemill`).

mod error;
pub mod evaluate;
mod explain;
pub mod features;
mod folds;
mod hash;
mod kernels;
mod model;
mod net;
mod onnx;
mod picture;
pub mod pretrained;
mod random;
mod repeated;
mod sample;
pub mod search;
pub mod spec;
mod split;
mod target;
mod threads;
mod train;
mod trees;
mod weights;

pub use error::{Error, ErrorKind, Result};
pub use evaluate::{Evaluation, evaluate};
pub use explain::{ExplainSpec, Explainer, Explanation, background_rows, check_explainable};
pub use features::{
    BagBlock, Choice, Column, ColumnKind, EmbeddedColumn, Encoded, FeatureSteps, Features, ImageBlock, PATH_COLUMN,
    SeriesBlock, TokenBlock, TrainingRows, rows_of_batch,
};
pub use folds::folds;
pub use model::{Model, Predictions, on_answering_thread};
pub use net::{Alone, Together, network_answers, together};
pub use onnx::export_onnx;
pub use picture::picture_png;
pub use sample::{Drawn, Others, Sample};
pub use split::{Split, split};
pub use target::{Target, Task};
pub use threads::on_threads;
pub use train::{EpochRecord, Flow, Part, TrainEvent, TrainJob, Trained, train};
pub use train::{MemoryNeed, check_device, memory_need};
pub use train::{RateCurve, RatePoint, RateSweep, find_learning_rate, fingerprint};
pub use train::{SPOOL_FILES_MAX, Spool, SpoolWriter, reads_spool};
pub use weights::{Tensor, Weights};
