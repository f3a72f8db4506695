//! How do columns become numbers? A host part (strings, dates, pictures) and a numeric part that also lives in the ONNX file.

mod numeric;

pub use numeric::{Affine, CategoryInput, EmbeddedColumn, Encoded, ImageBlock, ImageInput, NumberInput, NumericPart};

/// Fitted features (fitting and encoding are added in their own files).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Features {
    pub(crate) numeric: NumericPart,
}
