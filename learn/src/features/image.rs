//! How does a picture become an input? Decoded within limits, brought to one size, grey or red, green, blue.

use std::io::Cursor;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageReader, Limits, RgbImage, RgbaImage};
use serde_json::Value;

use super::column::ColumnKind;
use super::fit::{Fitted, Training};
use super::numeric::{Affine, ImageInput, NumericPart};
use super::prepared::Prepared;
use super::values::each_text;
use crate::spec::{Channels, ImageSpec, PixelScale};
use crate::{Error, Result};

/// What a picture column has to hold.
pub(super) const EXPECTED: &str = "pictures (encoded files as Binary, or raw pixels as FixedSizeBinary)";

/// Field metadata with the size of raw pixels, `HxWxC`, or `encoded`.
const SIZE_KEY: &str = "tidemill.image";

/// Longest side of a picture file that is decoded, in pixels.
const SIDE_MAX: u32 = 16_384;

/// Memory the decoder of one picture may take.
const DECODER_BYTES_MAX: u64 = 256 << 20;

/// Longest side of the network's input, in pixels.
const INPUT_SIDE_MAX: u32 = 1_024;

/// Longest side where the size is taken from the first picture, in pixels.
const AUTO_SIDE_MAX: u32 = 64;

/// How pictures lie in an Arrow column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Files (PNG, JPEG, ...).
    Files,
    /// Pixels of height x width x channels.
    Raw([usize; 3]),
}

/// The raw pixel size that the field's metadata states.
fn stated_size(field: &Field) -> Option<[usize; 3]> {
    let mut parts = field.metadata().get(SIZE_KEY)?.split('x').map(|part| part.trim().parse::<usize>().ok());
    let size = [parts.next()??, parts.next()??, parts.next()??];
    let usable = size.iter().all(|&side| (1..=SIDE_MAX as usize).contains(&side)) && size[2] <= 4;
    (parts.next().is_none() && usable).then_some(size)
}

/// How the pictures of a column lie. `fitted` are sizes to try where the metadata is silent.
fn layout(field: &Field, fitted: &[[usize; 3]]) -> Result<Layout> {
    let stated = stated_size(field);
    let DataType::FixedSizeBinary(width) = field.data_type() else {
        return Ok(stated.map_or(Layout::Files, Layout::Raw));
    };
    let width = *width as usize;
    let fits = |size: &[usize; 3]| size.iter().product::<usize>() == width;
    if let Some(size) = stated.iter().chain(if stated.is_none() { fitted } else { &[] }).find(|size| fits(size)) {
        return Ok(Layout::Raw(*size));
    }
    Err(Error::invalid(match (stated, fitted.first()) {
        (Some([h, w, c]), _) => {
            format!("column \"{}\" states pictures of {h}x{w}x{c} but holds {width} bytes per row", field.name())
        }
        (None, Some([h, w, c])) => format!(
            "column \"{}\" holds {width} bytes per row, expected {} (raw pixels of {h}x{w}x{c})",
            field.name(),
            h * w * c
        ),
        (None, None) => format!(
            "column \"{}\" holds {width} bytes per row, but no picture size; name it in the field's metadata as \
             {SIZE_KEY}: HEIGHTxWIDTHxCHANNELS",
            field.name()
        ),
    }))
}

/// The bytes of a row; nothing where missing.
fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// The picture in these bytes.
fn open(bytes: &[u8], layout: Layout) -> Result<DynamicImage, String> {
    match layout {
        Layout::Files => {
            let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
            if reader.format().is_none() {
                return Err("not a picture (PNG, JPEG, BMP, GIF or WebP)".into());
            }
            let mut limits = Limits::default();
            limits.max_image_width = Some(SIDE_MAX);
            limits.max_image_height = Some(SIDE_MAX);
            limits.max_alloc = Some(DECODER_BYTES_MAX);
            reader.limits(limits);
            reader.decode().map_err(|e| format!("a broken picture: {e}"))
        }
        Layout::Raw([height, width, channels]) => {
            let (w, h, pixels) = (width as u32, height as u32, bytes.to_vec());
            let picture = match channels {
                1 => GrayImage::from_raw(w, h, pixels).map(DynamicImage::from),
                2 => image::GrayAlphaImage::from_raw(w, h, pixels).map(DynamicImage::from),
                3 => RgbImage::from_raw(w, h, pixels).map(DynamicImage::from),
                _ => RgbaImage::from_raw(w, h, pixels).map(DynamicImage::from),
            };
            let wrong = || format!("{} bytes, expected raw pixels of {height}x{width}x{channels}", bytes.len());
            // A longer buffer would be taken for a picture too.
            picture.filter(|_| bytes.len() == height * width * channels).ok_or_else(wrong)
        }
    }
}

/// Writes a picture as pixels `[height, width, channels]`.
fn write(bytes: &[u8], layout: Layout, size: [usize; 3], out: &mut [u8]) -> Result<(), String> {
    if layout == Layout::Raw(size) && bytes.len() == out.len() {
        out.copy_from_slice(bytes);
        return Ok(());
    }
    let picture = open(bytes, layout)?;
    let [height, width, channels] = size;
    let (w, h) = (width as u32, height as u32);
    // Fewer channels first: less to resize.
    let picture = match channels {
        1 => DynamicImage::from(picture.into_luma8()),
        _ => DynamicImage::from(picture.into_rgb8()),
    };
    let picture = match (picture.width(), picture.height()) == (w, h) {
        true => picture,
        false => picture.resize_exact(w, h, FilterType::Triangle),
    };
    out.copy_from_slice(picture.as_bytes());
    Ok(())
}

/// The pixels of a column `[rows, height, width, channels]`. `before` rows precede the array.
pub(super) fn encode(
    array: &dyn Array,
    field: &Field,
    kind: &ColumnKind,
    paths: Option<&dyn Array>,
    before: usize,
) -> Result<Vec<u8>> {
    let ColumnKind::Image { height, width, channels, raw } = kind else { return Ok(Vec::new()) };
    let size = [*height, *width, *channels];
    let fitted: Vec<[usize; 3]> = raw.iter().copied().chain([size]).collect();
    let layout = layout(field, &fitted)?;
    let values: usize = size.iter().product();
    let mut pixels = vec![0; array.len() * values];
    for (row, out) in pixels.chunks_exact_mut(values).enumerate() {
        let written = match bytes(array, row) {
            Some(bytes) => write(bytes, layout, size, out),
            None => Err("no picture; leave such rows out".into()),
        };
        written.map_err(|reason| broken(field.name(), paths, row, before, &reason))?;
    }
    Ok(pixels)
}

fn broken(column: &str, paths: Option<&dyn Array>, row: usize, before: usize, reason: &str) -> Error {
    let mut file = String::new();
    if let Some(paths) = paths {
        let _ = each_text(paths.slice(row, 1).as_ref(), &mut |_, path| {
            file = path.map(|path| format!(" ({path})")).unwrap_or_default();
        });
    }
    Error::invalid(format!("column \"{column}\", row {}{file}: {reason}", before + row + 1))
}

/// Fits pictures: size and channels of the first training picture where not given, the scaling.
pub(super) fn fit(training: &Training<'_>, spec: &ImageSpec) -> Result<Fitted> {
    let name = training.name;
    for (side, what) in [(spec.width, "width"), (spec.height, "height")] {
        if let Some(side) = side.filter(|side| !(1..=INPUT_SIDE_MAX).contains(side)) {
            return Err(Error::invalid(format!("column \"{name}\": {what} is {side}, expected 1 to {INPUT_SIDE_MAX}")));
        }
    }
    let layout = layout(training.field, &[])?;
    let (first, colour) = first(training, layout)?;
    let (width, height) = target_size(spec, first);
    let channels = match spec.channels {
        Some(Channels::Grey) => 1,
        Some(Channels::Rgb) => 3,
        None => {
            if colour {
                3
            } else {
                1
            }
        }
    };
    let raw = match layout {
        Layout::Files => None,
        Layout::Raw(size) => Some(size),
    };
    let (height, width) = (height as usize, width as usize);
    let kind = ColumnKind::Image { height, width, channels, raw };
    let (affine, scaling) = match spec.scale {
        PixelScale::Unit => (Affine { shift: 0.0, scale: 1.0 / 255.0 }, "0 to 255 brought to 0 to 1".to_owned()),
        PixelScale::Symmetric => (Affine { shift: 127.5, scale: 1.0 / 127.5 }, "0 to 255 brought to -1 to 1".into()),
        PixelScale::Standard => standard(training, &kind)?,
    };
    let how = format!(
        "{} pictures of {width} x {height} pixels, {scaling}",
        if channels == 1 { "grey" } else { "red, green, blue" }
    );
    let image = ImageInput { name: name.into(), height, width, channels, affine };
    let inputs = NumericPart { images: vec![image], ..NumericPart::default() };
    Ok(Fitted { kind, prepared: Prepared::Plain, example: Value::Null, missing: 0, inputs, how })
}

/// Width and height of the first training picture, and whether it has colours.
fn first(training: &Training<'_>, layout: Layout) -> Result<((u32, u32), bool)> {
    let mut before = 0;
    for (array, batch) in &training.arrays {
        if let Some(row) = (0..array.len()).find(|&row| array.is_valid(row)) {
            let picture = open(bytes(*array, row).unwrap_or_default(), layout)
                .map_err(|reason| broken(training.name, super::encode::paths(batch), row, before, &reason))?;
            return Ok(((picture.width(), picture.height()), picture.color().has_color()));
        }
        before += array.len();
    }
    Err(training.without_values())
}

/// The size asked for; a side left open follows the first picture's shape.
fn target_size(spec: &ImageSpec, (width, height): (u32, u32)) -> (u32, u32) {
    let share = |side: u32, of: u32, other: u32| {
        let side = (f64::from(side) * f64::from(of) / f64::from(other.max(1))).round() as u32;
        side.clamp(1, INPUT_SIDE_MAX)
    };
    match (spec.width, spec.height) {
        (Some(w), Some(h)) => (w, h),
        (Some(w), None) => (w, share(w, height, width)),
        (None, Some(h)) => (share(h, width, height), h),
        (None, None) if width.max(height) <= AUTO_SIDE_MAX => (width, height),
        (None, None) if width >= height => (AUTO_SIDE_MAX, share(AUTO_SIDE_MAX, height, width)),
        (None, None) => (share(AUTO_SIDE_MAX, width, height), AUTO_SIDE_MAX),
    }
}

/// Mean 0 and standard deviation 1 over all pixels of the training pictures.
fn standard(training: &Training<'_>, kind: &ColumnKind) -> Result<(Affine, String)> {
    let mut counts = [0_u64; 256];
    let mut before = 0;
    for (array, batch) in &training.arrays {
        // Few pictures at a time: the pixels of all of them need not fit into memory twice.
        for start in (0..array.len()).step_by(64) {
            let rows = 64.min(array.len() - start);
            let paths = super::encode::paths(batch).map(|paths| paths.slice(start, rows));
            let slice = array.slice(start, rows);
            for pixel in encode(slice.as_ref(), training.field, kind, paths.as_deref(), before + start)? {
                counts[usize::from(pixel)] += 1;
            }
        }
        before += array.len();
    }
    let n = counts.iter().sum::<u64>().max(1) as f64;
    let sum = |value: &dyn Fn(f64) -> f64| (0..256).map(|v| value(v as f64) * counts[v] as f64).sum::<f64>() / n;
    let mean = sum(&|v| v);
    let deviation = sum(&|v| (v - mean).powi(2)).sqrt();
    let scale = if deviation > 0.0 { (1.0 / deviation) as f32 } else { 1.0 };
    let how = format!("standardised by mean {mean:.1} and deviation {deviation:.1}");
    Ok((Affine { shift: mean as f32, scale }, how))
}
