//! The IDX format of MNIST (<http://yann.lecun.com/exdb/mnist>): pictures in one file, labels in another.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::files::file;
use super::{BATCH_BYTES, BATCH_ROWS, Emit, Input, Reader, batch, open, project, read_fully};
use crate::IMAGE_METADATA;
use crate::error::{Error, Result};
use crate::spec::IdxSpec;

/// Largest picture, in bytes.
const PICTURE_BYTES_MAX: usize = 64 << 20;
/// "Unsigned bytes" in the header.
const TYPE_U8: u8 = 0x08;

/// Two IDX files, their headers read.
#[derive(Debug)]
pub(crate) struct IdxReader {
    images: PathBuf,
    labels: PathBuf,
    rows: usize,
    /// Bytes of a picture.
    size: usize,
    schema: SchemaRef,
}

impl IdxReader {
    /// Reads the headers.
    pub(crate) fn open(spec: &IdxSpec, base: &Path) -> Result<Self> {
        let (images, labels) = (file(base, &spec.images)?, file(base, &spec.labels)?);
        let (_, shape) = header(&images)?;
        let (_, label_shape) = header(&labels)?;
        let (rows, height, width, channels) = match *shape.as_slice() {
            [rows, height, width] => (rows, height, width, 1),
            [rows, height, width, channels] => (rows, height, width, channels),
            _ => {
                return Err(Error::invalid(format!(
                    "{} holds {} dimensions where pictures have 3 or 4; is it the file of the labels?",
                    images.display(),
                    shape.len()
                )));
            }
        };
        let &[label_rows] = label_shape.as_slice() else {
            return Err(Error::invalid(format!(
                "{} holds {} dimensions where labels have 1; is it the file of the pictures?",
                labels.display(),
                label_shape.len()
            )));
        };
        if rows != label_rows {
            return Err(Error::invalid(format!(
                "{} holds {rows} pictures, but {} {label_rows} labels; they do not belong together",
                images.display(),
                labels.display()
            )));
        }
        let size = height.checked_mul(width).and_then(|size| size.checked_mul(channels));
        let Some(size) = size.filter(|size| (1..=PICTURE_BYTES_MAX).contains(size)) else {
            return Err(Error::corrupt(&images, format!("pictures of {height}x{width}x{channels} pixels")));
        };
        if rows == 0 {
            return Err(Error::invalid(format!("{} holds no pictures", images.display())));
        }
        let image = Field::new("image", DataType::FixedSizeBinary(size as i32), false)
            .with_metadata([(IMAGE_METADATA.to_owned(), format!("{height}x{width}x{channels}"))].into());
        let schema = Arc::new(Schema::new(vec![image, Field::new("label", DataType::Utf8, false)]));
        Ok(Self { images, labels, rows, size, schema })
    }
}

impl Reader for IdxReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let schema = project(&self.schema, projection)?;
        let (mut images, _) = header(&self.images)?;
        let (mut labels, _) = header(&self.labels)?;
        let batch_rows = (BATCH_BYTES / self.size).clamp(1, BATCH_ROWS);
        let mut done = 0;
        while done < self.rows {
            let rows = batch_rows.min(self.rows - done);
            let pixels = self.exactly(&mut images, &self.images, rows, self.size, done)?;
            let classes = self.exactly(&mut labels, &self.labels, rows, 1, done)?;
            let pixels = FixedSizeBinaryArray::try_new(self.size as i32, Buffer::from_vec(pixels), None)
                .map_err(|e| Error::internal("pictures do not fit together", e))?;
            let names: Vec<String> = (0..=u8::MAX).map(|class| class.to_string()).collect();
            let classes = StringArray::from_iter_values(classes.iter().map(|&class| &names[usize::from(class)]));
            let columns: [ArrayRef; 2] = [Arc::new(pixels), Arc::new(classes)];
            let columns = projection.iter().map(|&column| Arc::clone(&columns[column])).collect();
            if let ControlFlow::Break(()) = emit(batch(&schema, columns, rows)?) {
                return Ok(());
            }
            done += rows;
        }
        Ok(())
    }
}

impl IdxReader {
    fn exactly(&self, input: &mut dyn Read, path: &Path, rows: usize, size: usize, done: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; rows * size];
        let count = read_fully(input, path, &mut bytes)?;
        match count == bytes.len() {
            true => Ok(bytes),
            false => Err(Error::corrupt(
                path,
                format!("the file ends after {} of {} items; it was cut off", done + count / size, self.rows),
            )),
        }
    }
}

/// The file behind its header, and the sizes that the header states.
fn header(path: &Path) -> Result<(Box<dyn Read + Send>, Vec<usize>)> {
    let mut input = open(&Input::here(path))?;
    let mut magic = [0; 4];
    let count = read_fully(input.as_mut(), path, &mut magic)?;
    if count == 0 {
        return Err(Error::invalid(format!("{} is empty", path.display())));
    }
    let [0, 0, element, dimensions @ 1..=4] = magic else {
        return Err(Error::invalid(format!("{} is no IDX file", path.display())));
    };
    if element != TYPE_U8 {
        return Err(Error::Unsupported(format!(
            "{} holds elements of type 0x{element:02x}; only bytes (0x08) are read",
            path.display()
        )));
    }
    let mut sizes = vec![0; usize::from(dimensions) * 4];
    if read_fully(input.as_mut(), path, &mut sizes)? != sizes.len() {
        return Err(Error::corrupt(path, "the header was cut off"));
    }
    let sizes =
        sizes.chunks_exact(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize);
    Ok((input, sizes.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::read_all;

    fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn read(images: &[u8], labels: &[u8]) -> Result<(SchemaRef, Vec<arrow::record_batch::RecordBatch>)> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("images"), images).expect("written");
        std::fs::write(folder.path().join("labels"), labels).expect("written");
        let spec = IdxSpec { images: "images".into(), labels: "labels".into() };
        let reader = IdxReader::open(&spec, folder.path())?;
        let batches = read_all(&reader)?;
        Ok((Arc::clone(reader.schema()), batches))
    }

    #[test]
    fn pictures_and_labels_are_joined() {
        let (schema, batches) = read(&idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]), &idx(&[2], &[7, 0])).expect("readable");
        assert_eq!(schema.field(0).metadata()[IMAGE_METADATA], "1x3x1");
        let images = batches[0].column(0).as_any().downcast_ref::<FixedSizeBinaryArray>().expect("pixels");
        assert_eq!((images.value(0), images.value(1)), ([1, 2, 3].as_slice(), [4, 5, 6].as_slice()));
        let labels = batches[0].column(1).as_any().downcast_ref::<StringArray>().expect("labels");
        assert_eq!(labels.iter().flatten().collect::<Vec<_>>(), ["7", "0"]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let check = |images: &[u8], labels: &[u8], expected: &str| {
            let error = read(images, labels).expect_err("a fault").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let (images, labels) = (idx(&[2, 1, 1], &[1, 2]), idx(&[2], &[7, 0]));
        check(&images, &idx(&[3], &[7, 0, 1]), "holds 2 pictures, but");
        check(&labels, &labels, "is it the file of the labels?");
        check(&images, &images, "is it the file of the pictures?");
        check(&idx(&[2, 1, 1], &[1]), &labels, "the file ends after 1 of 2 items; it was cut off");
        check(b"a,b\n1,2\n", &labels, "is no IDX file");
        check(b"", &labels, "is empty");
    }

    #[test]
    fn mnist_is_what_it_is_known_to_be() {
        let Some(folder) = crate::testing::real_data("mnist") else { return };
        let spec = IdxSpec { images: "train-images-idx3-ubyte.gz".into(), labels: "train-labels-idx1-ubyte.gz".into() };
        let reader = IdxReader::open(&spec, &folder).expect("readable");
        let (mut rows, mut sum, mut zeros) = (0, 0u64, 0);
        for batch in read_all(&reader).expect("rows") {
            let images = batch.column(0).as_any().downcast_ref::<FixedSizeBinaryArray>().expect("pixels");
            sum += images.value_data().iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
            let labels = batch.column(1).as_any().downcast_ref::<StringArray>().expect("labels");
            zeros += labels.iter().flatten().filter(|&label| label == "0").count();
            rows += batch.num_rows();
        }
        assert_eq!((rows, zeros), (60_000, 5_923));
        let mean = sum as f64 / (60_000.0 * 784.0) / 255.0;
        assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
    }
}
