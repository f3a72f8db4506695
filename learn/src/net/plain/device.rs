//! Opening devices.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::net::device::{Accelerator, Kind, Which};
use crate::spec::Precision;
use crate::{Error, Result};

/// The first GPU that is there, where this build knows a way to one; not through Vulkan, which software offers too.
pub(crate) fn best(precision: Precision) -> Option<Accelerator> {
    let kinds = [Kind::Cuda, Kind::Rocm, Kind::Metal];
    let mut there = kinds.into_iter().filter(|kind| kind.is_built() && devices(*kind).is_ok_and(|all| !all.is_empty()));
    there.next().map(|kind| Accelerator { kind, which: Which::One(0), precision })
}

/// Opens a device, or all of its kind. Refuses what is not there, cannot add, or lacks the precision.
pub(super) fn open(accelerator: Accelerator) -> Result<Vec<Device>> {
    let Accelerator { kind, which, precision } = accelerator;
    let all = devices(kind)?;
    let count = all.len();
    let chosen: Vec<Device> = match which {
        Which::One(number) => all.into_iter().skip(number).take(1).collect(),
        Which::All => all,
    };
    if chosen.is_empty() {
        return Err(Error::Unsupported(format!(
            "there is no \"{}\": {}; take \"auto\" or \"cpu\"",
            accelerator.name(),
            match count {
                0 => "this machine has no such device".to_owned(),
                1 => "this machine has one such device, 0".to_owned(),
                count => format!("this machine has {count} such devices, 0 to {}", count - 1),
            }
        )));
    }
    for device in &chosen {
        check_sum(accelerator, device)?;
        if half(precision).is_some_and(|kind| !device.supports_dtype(kind)) {
            let name = precision.name();
            return Err(Error::Unsupported(format!(
                "\"{}\" cannot compute in {name}; take another train.precision",
                accelerator.name()
            )));
        }
    }
    Ok(chosen)
}

/// The numbers of products, where they are not as long as all others.
pub(super) fn half(precision: Precision) -> Option<FloatDType> {
    match precision {
        Precision::F32 => None,
        Precision::Bf16 => Some(FloatDType::BF16),
        Precision::F16 => Some(FloatDType::F16),
    }
}

fn check_sum(accelerator: Accelerator, device: &Device) -> Result<()> {
    let add = || {
        let one = Tensor::<1>::from_data(TensorData::from([1.0f32]), device);
        (one + 1.0).into_scalar::<f32>()
    };
    match catch_unwind(AssertUnwindSafe(add)) {
        Ok(2.0) => Ok(()),
        Ok(sum) => Err(Error::Unsupported(format!("on device \"{}\" 1 + 1 is {sum}", accelerator.name()))),
        Err(_) => Err(unusable(accelerator.kind)),
    }
}

/// Refuses a device that cannot be opened.
pub(crate) fn check(accelerator: Accelerator) -> Result<()> {
    open(accelerator).map(|_| ())
}

fn unusable(kind: Kind) -> Error {
    let name = kind.name();
    Error::Unsupported(format!(
        "the driver of \"{name}\" cannot be used (see the lines above); take \"auto\" or \"cpu\""
    ))
}

/// All devices of a kind.
fn devices(kind: Kind) -> Result<Vec<Device>> {
    // Drivers that are not there end in a panic.
    catch_unwind(|| list(kind)).map_err(|_| unusable(kind))
}

fn list(kind: Kind) -> Vec<Device> {
    #[cfg(any(feature = "cuda", feature = "rocm", feature = "metal", feature = "vulkan", feature = "wgpu"))]
    use burn::tensor::DeviceType;
    match kind {
        Kind::Flex => vec![Device::flex()],
        #[cfg(feature = "cuda")]
        Kind::Cuda => Device::enumerate(DeviceType::Cuda).into_iter().collect(),
        #[cfg(feature = "rocm")]
        Kind::Rocm => Device::enumerate(DeviceType::Rocm).into_iter().collect(),
        #[cfg(feature = "metal")]
        Kind::Metal => Device::enumerate(DeviceType::Metal).into_iter().collect(),
        #[cfg(feature = "vulkan")]
        Kind::Vulkan => Device::enumerate(DeviceType::Vulkan).into_iter().collect(),
        #[cfg(feature = "wgpu")]
        Kind::Wgpu => Device::enumerate(DeviceType::Wgpu).into_iter().collect(),
        #[allow(unreachable_patterns, reason = "a build with all features has no other")]
        _ => Vec::new(),
    }
}
