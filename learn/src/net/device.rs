//! Where can a network live? The devices by their names.

/// Where a network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The CPU, by the fused kernels.
    Cpu,
    /// A device of Burn, by Burn's own operations.
    Burn(Accelerator),
}

#[cfg(all(test, feature = "burn"))]
impl Place {
    /// The CPU in Burn's own operations.
    pub(crate) const FLEX: Self = Self::Burn(Accelerator { kind: Kind::Flex, number: 0 });
}

/// A device of Burn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accelerator {
    /// Which way leads to it.
    pub(crate) kind: Kind,
    /// Its place among those.
    pub(crate) number: usize,
}

/// Ways to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The CPU: the reference that every other device follows.
    Flex,
    /// NVIDIA GPUs.
    Cuda,
    /// AMD GPUs.
    Rocm,
    /// Apple GPUs.
    Metal,
    /// GPUs of any maker.
    Vulkan,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Flex, Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan];

    /// Name, and feature that a build needs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
        }
    }

    /// Whether this build knows the way.
    pub(crate) fn is_built(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "burn"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Vulkan => cfg!(feature = "vulkan"),
        }
    }
}
