//! Small real data sets that come inside the crate `smartcore`, so that a first run needs no download.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, Float64Array, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use smartcore::dataset::{Dataset, breast_cancer, diabetes, digits, iris};

use super::{Emit, Reader, batch, project};
use crate::IMAGE_METADATA;
use crate::error::{Error, Result};
use crate::spec::{SampleName, SampleSpec};

/// A digit is 8x8 pixels.
const DIGIT_BYTES: i32 = 64;
/// The blackest pixel of a digit in the original.
const DIGIT_BLACK: f32 = 16.0;

/// A data set in memory.
#[derive(Debug)]
pub(crate) struct SampleReader {
    columns: Vec<ArrayRef>,
    schema: SchemaRef,
}

impl SampleReader {
    /// Unpacks the data set.
    pub(crate) fn open(spec: &SampleSpec) -> Result<Self> {
        match spec.name {
            SampleName::Digits => digits_table(),
            SampleName::Iris => {
                let data = iris::load_dataset();
                let names = ["setosa", "versicolor", "virginica"];
                measures(&data, "species", named(&data.target, &names))
            }
            SampleName::BreastCancer => {
                let data = breast_cancer::load_dataset();
                // 212 are 0 and 357 are 1, as in the original 212 are malignant and 357 benign.
                measures(&data, "diagnosis", named(&data.target, &["malignant", "benign"]))
            }
            SampleName::Diabetes => {
                let data = diabetes::load_dataset();
                let target = Float64Array::from_iter_values(data.target.iter().map(|&value| f64::from(value)));
                measures(&data, "progression", Arc::new(target))
            }
        }
    }

    fn new(columns: Vec<(Field, ArrayRef)>) -> Self {
        let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Self { columns, schema: Arc::new(Schema::new(fields)) }
    }
}

impl Reader for SampleReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let rows = self.columns.first().map_or(0, |column| column.len());
        let columns = projection.iter().map(|&column| Arc::clone(&self.columns[column])).collect();
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
            emit(batch(&project(&self.schema, projection)?, columns, rows)?);
        Ok(())
    }
}

fn digits_table() -> Result<SampleReader> {
    let data = digits::load_dataset();
    let pixels: Vec<u8> = data.data.iter().map(|pixel| (pixel / DIGIT_BLACK * 255.0).round() as u8).collect();
    let images = FixedSizeBinaryArray::try_new(DIGIT_BYTES, Buffer::from_vec(pixels), None)
        .map_err(|e| Error::internal("digits do not fit together", e))?;
    let labels = StringArray::from_iter_values(data.target.iter().map(|&label| format!("{label:.0}")));
    let image = Field::new("image", DataType::FixedSizeBinary(DIGIT_BYTES), false)
        .with_metadata([(IMAGE_METADATA.to_owned(), "8x8x1".to_owned())].into());
    let label = Field::new("label", DataType::Utf8, false);
    Ok(SampleReader::new(vec![(image, Arc::new(images)), (label, Arc::new(labels))]))
}

fn named(classes: &[u32], names: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter(classes.iter().map(|&class| names.get(class as usize).copied())))
}

fn measures(data: &Dataset<f32, u32>, target_name: &str, target: ArrayRef) -> Result<SampleReader> {
    let width = data.num_features;
    let mut columns = Vec::with_capacity(width + 1);
    for (index, name) in data.feature_names.iter().enumerate() {
        let values = data.data.iter().skip(index).step_by(width).copied().map(decimal);
        let column: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
        columns.push((Field::new(name, DataType::Float64, false), column));
    }
    columns.push((Field::new(target_name, target.data_type().clone(), false), target));
    Ok(SampleReader::new(columns))
}

/// The number that was written: 5.1, not 5.099999904632568.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{lines, read_all};

    fn read(name: SampleName) -> (Vec<String>, Vec<String>) {
        let reader = SampleReader::open(&SampleSpec { name }).expect("a sample");
        let names = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        (names, lines(&read_all(&reader).expect("rows")))
    }

    #[test]
    fn the_samples_are_what_they_are_known_to_be() {
        let (names, rows) = read(SampleName::Iris);
        assert_eq!(names.last().map(String::as_str), Some("species"));
        assert_eq!((rows.len(), rows[0].as_str()), (150, "5.1|3.5|1.4|0.2|setosa"));
        let (names, rows) = read(SampleName::BreastCancer);
        assert_eq!((names.len(), rows.len()), (31, 569));
        assert_eq!(rows.iter().filter(|row| row.ends_with("|malignant")).count(), 212);
        let (names, rows) = read(SampleName::Diabetes);
        assert_eq!((names.len(), names[2].as_str(), rows.len()), (11, "BMI", 442));
        assert!(rows[0].ends_with("|151.0"), "{}", rows[0]);
    }

    #[test]
    fn digits_are_pictures() {
        let reader = SampleReader::open(&SampleSpec { name: SampleName::Digits }).expect("a sample");
        let batches = read_all(&reader).expect("rows");
        assert_eq!(batches[0].num_rows(), 1797);
        assert_eq!(reader.schema().field(0).metadata()[IMAGE_METADATA], "8x8x1");
        let images = batches[0].column(0).as_any().downcast_ref::<FixedSizeBinaryArray>().expect("pixels");
        // The first row of the first digit is 0 0 5 13 9 1 0 0 of 16.
        assert_eq!(images.value(0)[..8], [0, 0, 80, 207, 143, 16, 0, 0]);
    }
}
