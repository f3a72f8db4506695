//! What does a row look like? A picture of a column as a small PNG, for people.

use std::io::Cursor;

use arrow::array::{Array, BinaryArray, FixedSizeBinaryArray};
use arrow::datatypes::Field;
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage};

/// Longest side of the PNG, in pixels.
const SIDE_MAX: u32 = 128;
/// Largest picture that is decoded, in bytes of its pixels.
const DECODED_BYTES_MAX: u64 = 64 << 20;

/// The picture of a row as PNG, at most 128 pixels on its longer side; nothing where the column has no pictures, or this one
/// cannot be read. Raw pixels come with the field metadata `tidemill.image` = `HxWxC`.
pub fn picture_png(field: &Field, column: &dyn Array, row: usize) -> Option<Vec<u8>> {
    if row >= column.len() || column.is_null(row) {
        return None;
    }
    let picture = match column.as_any().downcast_ref::<FixedSizeBinaryArray>() {
        Some(raw) => from_pixels(field, raw.value(row).to_vec())?,
        None => from_file(column.as_any().downcast_ref::<BinaryArray>()?.value(row))?,
    };
    let small = picture.width() <= SIDE_MAX && picture.height() <= SIDE_MAX;
    let picture = if small { picture } else { picture.thumbnail(SIDE_MAX, SIDE_MAX) };
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(png.into_inner())
}

fn from_pixels(field: &Field, pixels: Vec<u8>) -> Option<DynamicImage> {
    let mut shape = field.metadata().get("tidemill.image")?.split('x').map(|side| side.parse::<u32>().ok());
    let (height, width, channels) = (shape.next()??, shape.next()??, shape.next()??);
    match channels {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => None,
    }
}

fn from_file(bytes: &[u8]) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    Some(DynamicImage::from(reader.decode().ok()?.to_rgb8()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn raw_pixels_come_back_from_the_png_and_other_columns_give_nothing() {
        let pixels = vec![0u8, 50, 100, 150, 200, 250];
        let column = FixedSizeBinaryArray::try_from_iter([pixels.clone()].into_iter()).unwrap();
        let metadata = [("tidemill.image".to_owned(), "2x3x1".to_owned())].into();
        let field = Field::new("image", DataType::FixedSizeBinary(6), false).with_metadata(metadata);
        let png = picture_png(&field, &column, 0).unwrap();
        let decoded = image::load_from_memory(&png).unwrap().to_luma8();
        assert_eq!((decoded.width(), decoded.height(), decoded.into_raw()), (3, 2, pixels));
        assert_eq!(picture_png(&field, &column, 1), None);
        let broken = BinaryArray::from_iter_values([b"no picture".as_slice()]);
        assert_eq!(picture_png(&field, &broken, 0), None);
    }
}
