//! A folder of pictures, one folder per class. Pictures are handed on as files; whoever needs pixels decodes them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::files::missing;
use super::{BATCH_BYTES, BATCH_ROWS, Emit, Reader, batch, project};
use crate::IMAGE_METADATA;
use crate::error::{Error, Result};
use crate::spec::ImagesSpec;

/// Most classes of a folder.
pub(super) const CLASSES_MAX: usize = 100_000;
/// Most pictures of a source: bounds the list of their names.
const PICTURES_MAX: usize = 20_000_000;
/// Largest picture file, in bytes.
const PICTURE_BYTES_MAX: u64 = 256 << 20;
/// Names that a picture file can end with.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "webp", "gif"];

/// A folder of pictures, its files known.
#[derive(Debug)]
pub(crate) struct ImagesReader {
    folder: PathBuf,
    /// Class, and file names in order.
    classes: Vec<(String, Vec<String>)>,
    schema: SchemaRef,
}

impl ImagesReader {
    /// Lists the pictures.
    pub(crate) fn open(spec: &ImagesSpec, base: &Path) -> Result<Self> {
        let folder = base.join(&spec.path);
        let mut classes = Vec::new();
        let mut total = 0;
        for class in entries(&folder)? {
            let path = folder.join(&class);
            if path.is_dir() {
                let pictures: Vec<String> = entries(&path)?.into_iter().filter(|name| is_picture(name)).collect();
                total += pictures.len();
                if !pictures.is_empty() {
                    classes.push((class, pictures));
                }
            }
            if total > PICTURES_MAX || classes.len() > CLASSES_MAX {
                return Err(Error::Exhausted(format!(
                    "{} has more than {PICTURES_MAX} pictures or {CLASSES_MAX} classes",
                    folder.display()
                )));
            }
        }
        if classes.is_empty() {
            return Err(Error::invalid(format!(
                "{} has no folders with pictures; put them into one folder per class ({})",
                folder.display(),
                EXTENSIONS.join(", ")
            )));
        }
        let image = Field::new("image", DataType::Binary, false)
            .with_metadata([(IMAGE_METADATA.to_owned(), "encoded".to_owned())].into());
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![image, text("label"), text("path")]));
        Ok(Self { folder, classes, schema })
    }
}

impl Reader for ImagesReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let schema = project(&self.schema, projection)?;
        let mut columns = Columns::default();
        for (class, pictures) in &self.classes {
            for picture in pictures {
                let path = format!("{class}/{picture}");
                if projection.contains(&0) {
                    let bytes = load(&self.folder.join(&path))?;
                    columns.bytes += bytes.len();
                    columns.images.append_value(bytes);
                }
                columns.labels.append_value(class);
                columns.paths.append_value(path);
                columns.rows += 1;
                if columns.rows >= BATCH_ROWS || columns.bytes >= BATCH_BYTES {
                    let full = std::mem::take(&mut columns);
                    let rows = full.rows;
                    if let ControlFlow::Break(()) = emit(batch(&schema, full.arrays(projection), rows)?) {
                        return Ok(());
                    }
                }
            }
        }
        if columns.rows > 0 {
            let rows = columns.rows;
            let _ = emit(batch(&schema, columns.arrays(projection), rows)?);
        }
        Ok(())
    }
}

/// A batch in the making.
#[derive(Default)]
struct Columns {
    images: BinaryBuilder,
    labels: StringBuilder,
    paths: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl Columns {
    fn arrays(mut self, projection: &[usize]) -> Vec<ArrayRef> {
        let arrays: [ArrayRef; 3] =
            [Arc::new(self.images.finish()), Arc::new(self.labels.finish()), Arc::new(self.paths.finish())];
        projection.iter().map(|&column| Arc::clone(&arrays[column])).collect()
    }
}

/// Names in a folder, sorted, hidden ones left out.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>> {
    let listed = std::fs::read_dir(folder).map_err(|e| missing(folder, e))?;
    let mut names = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| Error::invalid(format!("{}: the name {name:?} is not UTF-8", folder.display())))?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_picture(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The bytes of a picture file, whose beginning shows that it is one.
fn load(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|e| missing(path, e))?.len();
    if size > PICTURE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{}: a picture of more than {} MB",
            path.display(),
            PICTURE_BYTES_MAX >> 20
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let known = matches!(
        bytes.as_slice(),
        [0x89, b'P', b'N', b'G', ..]
            | [0xff, 0xd8, 0xff, ..]
            | [b'B', b'M', ..]
            | [b'G', b'I', b'F', b'8', ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]
    );
    match known {
        true => Ok(bytes),
        false => {
            Err(Error::invalid(format!("{} is no picture (PNG, JPEG, BMP, WebP, GIF); remove it", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::read_all;
    use arrow::array::{BinaryArray, StringArray};
    use arrow::record_batch::RecordBatch;

    #[test]
    fn pictures_come_in_order_with_their_class() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, bytes).expect("written");
        };
        write("dog/2.png", b"\x89PNG2");
        write("dog/1.JPG", b"\xff\xd8\xff1");
        write("cat/1.png", b"\x89PNG1");
        write("cat/notes.txt", b"no picture");
        write(".hidden/1.png", b"\x89PNG");
        write("readme.txt", b"");
        let spec = ImagesSpec { path: ".".into() };
        let reader = ImagesReader::open(&spec, folder.path()).expect("a folder of pictures");
        assert_eq!(reader.schema().field(0).metadata()[IMAGE_METADATA], "encoded");
        let batches = read_all(&reader).expect("rows");
        let text = |column: usize| -> Vec<String> {
            let column = batches[0].column(column).as_any().downcast_ref::<StringArray>().expect("text");
            column.iter().map(|value| value.expect("a value").to_owned()).collect()
        };
        assert_eq!(text(1), ["cat", "dog", "dog"]);
        assert_eq!(text(2), ["cat/1.png", "dog/1.JPG", "dog/2.png"]);
        let images = batches[0].column(0).as_any().downcast_ref::<BinaryArray>().expect("bytes");
        assert_eq!(images.value(2), b"\x89PNG2");
        let mut rows = 0;
        reader
            .read(&[], &mut |batch: RecordBatch| {
                rows += batch.num_rows();
                ControlFlow::Continue(())
            })
            .expect("rows");
        assert_eq!(rows, 3);

        write("dog/3.png", b"<html>");
        let error = read_all(&reader)
            .map(|_| ())
            .and(ImagesReader::open(&spec, folder.path()).and_then(|r| read_all(&r).map(|_| ())));
        let error = error.expect_err("no picture").to_string();
        assert!(error.contains("3.png is no picture"), "{error}");
    }

    #[test]
    fn a_folder_without_classes_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = ImagesReader::open(&ImagesSpec { path: ".".into() }, folder.path()).expect_err("no classes");
        assert!(error.to_string().contains("one folder per class"), "{error}");
        let error = ImagesReader::open(&ImagesSpec { path: "no".into() }, folder.path()).expect_err("no folder");
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    }
}
