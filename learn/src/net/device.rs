//! Where can a network live? The devices by their names.

use crate::spec::Precision;

/// Where a network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The CPU, by the fused kernels.
    Cpu,
    /// A device of Burn or several, by Burn's own operations.
    Burn(Accelerator),
}

#[cfg(all(test, feature = "burn"))]
impl Place {
    /// The CPU in Burn's own operations.
    pub(crate) const FLEX: Self =
        Self::Burn(Accelerator { kind: Kind::Flex, which: Which::One(0), precision: Precision::F32 });
}

/// A device of Burn, or several of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accelerator {
    /// Which way leads to it.
    pub(crate) kind: Kind,
    /// Which of those.
    pub(crate) which: Which,
    /// How products are computed on it.
    pub(crate) precision: Precision,
}

/// Which devices of a kind?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one with this number, from 0.
    One(usize),
    /// Every one, each with a share of the rows of a batch.
    All,
}

#[cfg(feature = "burn")]
impl Accelerator {
    /// As the project file names it: `cuda:0`, `cuda:all`.
    pub(crate) fn name(self) -> String {
        match self.which {
            Which::One(number) => format!("{}:{number}", self.kind.name()),
            Which::All => format!("{}:all", self.kind.name()),
        }
    }
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
    /// GPUs of any maker, by programs in SPIR-V.
    Vulkan,
    /// GPUs of any maker, by programs in WGSL, which more drivers understand.
    Wgpu,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [Self::Flex, Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan, Self::Wgpu];

    /// Name, and feature that a build needs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
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
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }
}
