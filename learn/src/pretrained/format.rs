//! In which number formats do published weights come, and what are they as `f32`?

use half::{bf16, f16};
use safetensors::Dtype;

/// A number format of a file, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl Format {
    /// The format of a safetensors tensor; none for what has no place in `f32` (8-bit floats, complex numbers).
    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::I16 => Self::I16,
            Dtype::I8 => Self::I8,
            Dtype::U64 => Self::U64,
            Dtype::U32 => Self::U32,
            Dtype::U16 => Self::U16,
            Dtype::U8 => Self::U8,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// The format of a PyTorch storage class, `FloatStorage` and so on.
    pub(super) fn of_torch(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The numbers in these bytes; a rest shorter than a number is left out. Integers beyond 2^24 and doubles are
    /// rounded to the nearest `f32`.
    pub(super) fn numbers(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
            Self::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
            Self::U64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => each(bytes, |b| u16::from_le_bytes(b).into()),
            Self::U8 => each(bytes, |[b]: [u8; 1]| b.into()),
            Self::Bool => each(bytes, |[b]: [u8; 1]| f32::from(b != 0)),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|number| convert(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_becomes_the_same_numbers() {
        let check = |format: Format, bytes: &[u8], expected: &[f32]| {
            assert_eq!(format.numbers(bytes), expected, "{format:?}");
            assert_eq!(bytes.len(), expected.len() * format.bytes(), "{format:?}");
        };
        check(Format::F64, &[1.5f64.to_le_bytes(), (-0.1f64).to_le_bytes()].concat(), &[1.5, -0.1]);
        check(
            Format::F32,
            &[1.5f32.to_le_bytes(), f32::MIN_POSITIVE.to_le_bytes()].concat(),
            &[1.5, f32::MIN_POSITIVE],
        );
        // IEEE 754 half: 1.5, -2, the smallest subnormal 2^-24, infinity.
        check(
            Format::F16,
            &[0x00, 0x3e, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c],
            &[1.5, -2.0, 5.960_464_5e-8, f32::INFINITY],
        );
        // bfloat16: the upper half of an f32.
        check(Format::Bf16, &[0xc0, 0x3f, 0x49, 0x40], &[1.5, 3.140_625]);
        check(Format::I64, &(-7i64).to_le_bytes(), &[-7.0]);
        check(Format::I32, &(-70_000i32).to_le_bytes(), &[-70_000.0]);
        check(Format::I16, &(-700i16).to_le_bytes(), &[-700.0]);
        check(Format::I8, &[0xff, 0x7f], &[-1.0, 127.0]);
        check(Format::U64, &512u64.to_le_bytes(), &[512.0]);
        check(Format::U32, &70_000u32.to_le_bytes(), &[70_000.0]);
        check(Format::U16, &700u16.to_le_bytes(), &[700.0]);
        check(Format::U8, &[0xff], &[255.0]);
        check(Format::Bool, &[0, 1, 2], &[0.0, 1.0, 1.0]);
    }
}
