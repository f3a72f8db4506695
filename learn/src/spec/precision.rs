//! How precisely are products computed?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The numbers of matrix products and convolutions on a GPU; weights, sums, norms and losses stay in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits; on every device.
    #[default]
    F32,
    /// Brain floats of 16 bits: the range of f32 with 8 binary digits.
    Bf16,
    /// Floats of 16 bits: 11 binary digits, little range. The loss is scaled so that small gradients are kept; a step whose
    /// gradient overflows is left out.
    F16,
}

impl Precision {
    /// As the project file has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}
