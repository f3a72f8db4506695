//! Opening devices.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor, TensorData};

use crate::net::device::{Accelerator, Kind};
use crate::{Error, Result};

/// The first GPU that is there, where this build knows a way to one; not through Vulkan, which software offers too.
pub(crate) fn best() -> Option<Accelerator> {
    let kinds = [Kind::Cuda, Kind::Rocm, Kind::Metal];
    let mut there = kinds.into_iter().filter(|kind| kind.is_built() && devices(*kind).is_ok_and(|all| !all.is_empty()));
    there.next().map(|kind| Accelerator { kind, number: 0 })
}

/// Opens a device. Refuses one that is not there, or that cannot add.
pub(super) fn open(accelerator: Accelerator) -> Result<Device> {
    let Accelerator { kind, number } = accelerator;
    let mut all = devices(kind)?;
    if number >= all.len() {
        return Err(Error::Unsupported(format!(
            "there is no \"{}:{number}\": {}; take \"auto\" or \"cpu\"",
            kind.name(),
            match all.len() {
                0 => "this machine has no such device".to_owned(),
                1 => "this machine has one such device, 0".to_owned(),
                count => format!("this machine has {count} such devices, 0 to {}", count - 1),
            }
        )));
    }
    let device = all.swap_remove(number);
    let add = || {
        let one = Tensor::<1>::from_data(TensorData::from([1.0f32]), &device);
        (one + 1.0).into_scalar::<f32>()
    };
    match catch_unwind(AssertUnwindSafe(add)) {
        Ok(2.0) => Ok(device),
        Ok(sum) => Err(Error::Unsupported(format!("on device \"{}:{number}\" 1 + 1 is {sum}", kind.name()))),
        Err(_) => Err(unusable(kind)),
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
    #[cfg(any(feature = "cuda", feature = "rocm", feature = "metal", feature = "vulkan"))]
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
        #[allow(unreachable_patterns, reason = "a build with all features has no other")]
        _ => Vec::new(),
    }
}
