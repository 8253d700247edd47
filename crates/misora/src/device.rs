//! Which processor the model runs on.

use anyhow::Result;
use burn::tensor::Device;
use clap::ValueEnum;

/// What `--device` chooses from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Processor {
    /// All cores.
    #[default]
    Cpu,
    /// The best GPU that speaks Vulkan; CUBECL_WGPU_DEFAULT_DEVICE=DiscreteGpu(1) names another.
    Gpu,
}

impl Processor {
    /// The device that tensors are put on.
    ///
    /// # Errors
    /// If there is no such processor, or this build knows no GPUs.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Gpu => gpu(),
        }
    }
}

#[cfg(feature = "vulkan")]
fn gpu() -> Result<Device> {
    use burn::tensor::{DeviceKind, Tensor};

    let device = Device::vulkan(DeviceKind::DefaultDevice);
    // The library starts the device at its first use and panics if it cannot.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let first_use = std::panic::catch_unwind(|| Tensor::<1>::ones([1], &device).into_scalar::<f32>());
    std::panic::set_hook(hook);
    match first_use {
        Ok(_) => Ok(device),
        Err(_) => anyhow::bail!("no GPU that speaks Vulkan can be used: install its driver, or leave --device out"),
    }
}

#[cfg(not(feature = "vulkan"))]
fn gpu() -> Result<Device> {
    Err(crate::output::usage(
        "this misora was built without GPUs; `cargo build --release --features vulkan` builds one with them",
    ))
}
