//! Are the changes asked for possible, and is there anything to change?

use crate::features::NumericPart;
use crate::spec::{Augment, Flip};
use crate::{Error, Result};

/// Largest parameter of mixup's distribution: beyond, every mix is one half of each.
const MIXUP_MAX: f64 = 10.0;
/// Most pixels of a crop or a square taken out: a picture's longest side.
const PIXELS_MAX: usize = 1_024;

/// Refuses settings outside their range, and those for inputs that the model has not, naming the setting.
pub(in crate::train) fn check(spec: &Augment, numeric: &NumericPart) -> Result<()> {
    check_ranges(spec)?;
    let Augment { image, text, series } = spec;
    let pictures = [
        ("rotate", image.rotate > 0.0),
        ("scale", image.scale > 0.0),
        ("shift", image.shift > 0.0),
        ("crop", image.crop > 0),
        ("flip", image.flip != Flip::None),
        ("brightness", image.brightness > 0.0),
        ("noise", image.noise > 0.0),
        ("cutout", image.cutout > 0),
        ("mixup", image.mixup > 0.0),
    ];
    let on_series = [("jitter", series.jitter > 0.0), ("scale", series.scale > 0.0), ("window", series.window < 1.0)];
    let has_text = !(numeric.texts.is_empty() && numeric.bags.is_empty());
    needs("image", &pictures, !numeric.images.is_empty(), "pictures")?;
    needs("text", &[("token_dropout", text.token_dropout > 0.0)], has_text, "texts")?;
    needs("series", &on_series, !numeric.series.is_empty(), "series step by step")?;
    let others =
        has_text || !(numeric.series.is_empty() && numeric.numbers.is_empty() && numeric.categories.is_empty());
    if image.mixup > 0.0 && others {
        return Err(Error::invalid(
            "train.augment.image.mixup mixes rows of pictures alone, but the model reads other columns too; leave it \
             out, or the columns (features.include)",
        ));
    }
    Ok(())
}

fn needs(section: &str, settings: &[(&str, bool)], is_there: bool, what: &str) -> Result<()> {
    match settings.iter().find(|(_, is_set)| *is_set && !is_there) {
        None => Ok(()),
        Some((key, _)) => Err(Error::invalid(format!(
            "train.augment.{section}.{key} is set, but the model reads no {what}; leave it out"
        ))),
    }
}

fn check_ranges(spec: &Augment) -> Result<()> {
    let Augment { image, text, series } = spec;
    let share = "0 to below 1";
    within("image.rotate", image.rotate, (0.0..=180.0).contains(&image.rotate), "0 to 180 degrees")?;
    within("image.scale", image.scale, (0.0..1.0).contains(&image.scale), share)?;
    within("image.shift", image.shift, (0.0..1.0).contains(&image.shift), share)?;
    within("image.brightness", image.brightness, (0.0..=1.0).contains(&image.brightness), "0 to 1")?;
    within("image.noise", image.noise, (0.0..=1.0).contains(&image.noise), "0 to 1")?;
    within("image.mixup", image.mixup, (0.0..=MIXUP_MAX).contains(&image.mixup), "0 to 10")?;
    for (key, pixels) in [("image.crop", image.crop), ("image.cutout", image.cutout)] {
        within(key, pixels as f64, pixels <= PIXELS_MAX, "0 to 1024 pixels")?;
    }
    within("text.token_dropout", text.token_dropout, (0.0..1.0).contains(&text.token_dropout), share)?;
    for (key, value) in [("series.jitter", series.jitter), ("series.scale", series.scale)] {
        within(key, value, value >= 0.0 && value.is_finite(), "a number of at least 0")?;
    }
    within("series.window", series.window, series.window > 0.0 && series.window <= 1.0, "above 0 and at most 1")
}

fn within(key: &str, value: f64, is_good: bool, expected: &str) -> Result<()> {
    match is_good {
        true => Ok(()),
        false => Err(Error::invalid(format!("train.augment.{key} is {value}, expected {expected}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Affine, ImageInput, NumberInput};

    fn spec(text: &str) -> Augment {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn settings_without_inputs_and_out_of_range_are_refused_by_name() {
        let nothing = NumericPart::default();
        let refuse = |text: &str, numeric: &NumericPart, expected: &str| {
            let message = check(&spec(text), numeric).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        };
        assert!(check(&spec("{}"), &nothing).is_ok());
        for (key, value) in [
            ("rotate", "5"),
            ("scale", "0.1"),
            ("shift", "0.1"),
            ("crop", "4"),
            ("flip", "\"horizontal\""),
            ("brightness", "0.1"),
            ("noise", "0.1"),
            ("cutout", "8"),
            ("mixup", "0.2"),
        ] {
            let expected = format!("train.augment.image.{key} is set, but the model reads no pictures");
            refuse(&format!("{{\"image\": {{\"{key}\": {value}}}}}"), &nothing, &expected);
        }
        refuse("{\"text\": {\"token_dropout\": 0.1}}", &nothing, "train.augment.text.token_dropout is set, but");
        refuse("{\"series\": {\"window\": 0.9}}", &nothing, "series.window is set, but the model reads no series step");
        for (text, expected) in [
            ("{\"image\": {\"rotate\": 181}}", "train.augment.image.rotate is 181, expected 0 to 180 degrees"),
            ("{\"image\": {\"scale\": 1}}", "image.scale is 1, expected 0 to below 1"),
            ("{\"image\": {\"crop\": 1025}}", "image.crop is 1025, expected 0 to 1024 pixels"),
            ("{\"image\": {\"mixup\": -1}}", "image.mixup is -1, expected 0 to 10"),
            ("{\"text\": {\"token_dropout\": 1}}", "text.token_dropout is 1, expected 0 to below 1"),
            ("{\"series\": {\"jitter\": -0.1}}", "series.jitter is -0.1, expected a number of at least 0"),
            ("{\"series\": {\"window\": 0}}", "series.window is 0, expected above 0 and at most 1"),
        ] {
            refuse(text, &nothing, expected);
        }
        let image = ImageInput { name: "image".into(), height: 2, width: 2, channels: 1, affine: Affine::IDENTITY };
        let mut numeric = NumericPart { images: vec![image], ..NumericPart::default() };
        assert!(check(&spec("{\"image\": {\"mixup\": 0.2, \"flip\": \"both\"}}"), &numeric).is_ok());
        numeric.numbers.push(NumberInput {
            name: "age".into(),
            impute: 0.0,
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine: Affine::IDENTITY,
        });
        assert!(check(&spec("{\"image\": {\"flip\": \"both\"}}"), &numeric).is_ok());
        refuse("{\"image\": {\"mixup\": 0.2}}", &numeric, "train.augment.image.mixup mixes rows of pictures alone");
    }
}
