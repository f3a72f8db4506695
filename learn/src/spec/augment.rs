//! How are training rows varied, so that a network learns what matters and not the rows by heart?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random changes to the training rows of every batch, anew in every epoch; validation and test rows stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Of pictures.
    pub image: ImageAugment,
    /// Of texts.
    pub text: TextAugment,
    /// Of series that are read step by step.
    pub series: SeriesAugment,
}

/// Random changes to pictures. Turning, size, place and mirror are one resampling; then brightness, noise, cutout, mixup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageAugment {
    /// Turned by up to so many degrees to either side, 0 to 180.
    pub rotate: f64,
    /// Made smaller or larger by up to this share, 0 to below 1.
    pub scale: f64,
    /// Moved by up to this share of its width and height, 0 to below 1.
    pub shift: f64,
    /// Moved by up to so many whole pixels along both sides: the border is padded, then a picture is cut out at random.
    pub crop: usize,
    /// Mirrored in half of the cases.
    pub flip: Flip,
    /// What lies outside of the picture.
    pub border: Border,
    /// All pixels times 1 plus or minus up to this, 0 to 1.
    pub brightness: f64,
    /// Standard deviation of the noise added to each pixel, as a share of white, 0 to 1.
    pub noise: f64,
    /// Side in pixels of a square that is taken out at a random place (DeVries and Taylor 2017); 0 for none.
    pub cutout: usize,
    /// Mixes two pictures and their answers in shares drawn from Beta(mixup, mixup) (Zhang et al. 2018), up to 10; 0 for none.
    pub mixup: f64,
}

/// How pictures are mirrored, each way in half of the cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Not at all.
    #[default]
    None,
    /// Left to right.
    Horizontal,
    /// Upside down.
    Vertical,
    /// Both ways.
    Both,
}

/// What lies outside of a picture that was turned, shrunk or moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Black.
    #[default]
    Black,
    /// The nearest pixel of the picture.
    Nearest,
}

/// Random changes to texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextAugment {
    /// Share of the tokens that become unknown, or of the weighted terms that are left out, 0 to below 1.
    pub token_dropout: f64,
}

/// Random changes to series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesAugment {
    /// Standard deviation of the noise added to each value, at least 0; in the units of the scaled series (Um et al. 2017).
    pub jitter: f64,
    /// Standard deviation of a factor around 1 for each whole series, at least 0 (Um et al. 2017).
    pub scale: f64,
    /// A random stretch of this share of the steps is drawn out to all of them, above 0; 1 for all (Le Guennec et al. 2016).
    pub window: f64,
}

impl Default for SeriesAugment {
    fn default() -> Self {
        Self { jitter: 0.0, scale: 0.0, window: 1.0 }
    }
}
