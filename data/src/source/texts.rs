//! Plain text: a file, one row per line, or a folder of texts, one folder per class and one row per file.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::files::{Files, Input};
use super::images::{CLASSES_MAX, entries};
use super::many::{ManyFiles, ReadFile};
use super::packing::unreadable;
use super::{BATCH_BYTES, BATCH_ROWS, Emit, Place, Reader, batch, open_text, project};
use crate::error::{Error, Result};
use crate::spec::{Encoding, TextFileSpec, TextFolderSpec};

/// Longest line and longest text of a file, in bytes.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Most texts of a source: bounds the list of their names.
const TEXTS_MAX: usize = 20_000_000;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 4] = ["txt", "text", "log", "md"];

/// Files of lines.
#[derive(Debug)]
pub(crate) struct TextReader {
    base: PathBuf,
    encoding: Encoding,
    schema: SchemaRef,
}

impl TextReader {
    /// Finds the files.
    pub(crate) fn open(spec: &TextFileSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let schema = Arc::new(Schema::new(vec![
            Field::new("line", DataType::Int64, false),
            Field::new("text", DataType::Utf8, false),
            Field::new("path", DataType::Utf8, false),
        ]));
        Ok(ManyFiles::new(Self { base: base.to_owned(), encoding: spec.encoding, schema }, files))
    }
}

impl ReadFile for TextReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let name = file.strip_prefix(&self.base).unwrap_or(file).to_string_lossy();
        let mut input = BufReader::with_capacity(1 << 17, open_text(file, self.encoding)?);
        let (mut rows, mut line, mut number) = (Columns::default(), Vec::new(), 0);
        loop {
            line.clear();
            let count = (&mut input).take(TEXT_BYTES_MAX).read_until(b'\n', &mut line);
            let count = count.map_err(|e| unreadable(file, e))? as u64;
            number += 1;
            if count == TEXT_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "{}: the line is longer than {} MB",
                    Place(file, number),
                    TEXT_BYTES_MAX >> 20
                )));
            }
            if count > 0 {
                let text = plain(&line, number == 1).map_err(|byte| not_utf8(&Place(file, number), byte))?;
                rows.numbers.append_value(number as i64);
                rows.push(text, None, &name);
            }
            let is_full = rows.rows >= BATCH_ROWS || rows.bytes >= BATCH_BYTES;
            if is_full || count == 0 && rows.rows > 0 {
                let full = std::mem::take(&mut rows);
                let count = full.rows;
                let [numbers, texts, _, paths] = full.arrays();
                let all = [numbers, texts, paths];
                let columns = projection.iter().map(|&column| Arc::clone(&all[column])).collect();
                if emit(batch(&schema, columns, count)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if count == 0 {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

/// A folder of texts, its files known.
#[derive(Debug)]
pub(crate) struct TextsReader {
    folder: PathBuf,
    encoding: Encoding,
    /// Class, and file names in order.
    classes: Vec<(String, Vec<String>)>,
    schema: SchemaRef,
}

impl TextsReader {
    /// Lists the texts.
    pub(crate) fn open(spec: &TextFolderSpec, base: &Path) -> Result<Self> {
        let folder = base.join(&spec.path);
        let (mut classes, mut total) = (Vec::new(), 0);
        for class in entries(&folder)? {
            let path = folder.join(&class);
            if path.is_dir() {
                let is_file = |name: &String| path.join(name).is_file();
                let texts: Vec<String> = entries(&path)?.into_iter().filter(is_file).collect();
                total += texts.len();
                if !texts.is_empty() {
                    classes.push((class, texts));
                }
            }
            if total > TEXTS_MAX || classes.len() > CLASSES_MAX {
                return Err(Error::Exhausted(format!(
                    "{} has more than {TEXTS_MAX} texts or {CLASSES_MAX} classes",
                    folder.display()
                )));
            }
        }
        if classes.is_empty() {
            return Err(Error::invalid(format!(
                "{} has no folders with texts; put them into one folder per class",
                folder.display()
            )));
        }
        let fields = ["text", "label", "path"].map(|name| Field::new(name, DataType::Utf8, false));
        Ok(Self { folder, encoding: spec.encoding, classes, schema: Arc::new(Schema::new(fields.to_vec())) })
    }

    /// The text of a file.
    fn load(&self, path: PathBuf) -> Result<String> {
        let file = Input::here(path);
        let mut bytes = Vec::new();
        let input = open_text(&file, self.encoding)?;
        let count = input.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&file, e))?;
        if count as u64 > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!("{}: a text of more than {} MB", file.display(), TEXT_BYTES_MAX >> 20)));
        }
        let text = plain(&bytes, true).map_err(|byte| not_utf8(&file.display(), byte))?;
        Ok(text.to_owned())
    }
}

impl Reader for TextsReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let schema = project(&self.schema, projection)?;
        let mut rows = Columns::default();
        let mut hand_out = |rows: Columns| {
            let count = rows.rows;
            let [_, texts, labels, paths] = rows.arrays();
            let all = [texts, labels, paths];
            let columns = projection.iter().map(|&column| Arc::clone(&all[column])).collect();
            batch(&schema, columns, count).map(&mut *emit)
        };
        for (class, texts) in &self.classes {
            for name in texts {
                let path = format!("{class}/{name}");
                let text = match projection.contains(&0) {
                    true => self.load(self.folder.join(&path))?,
                    false => String::new(),
                };
                rows.push(&text, Some(class), &path);
                if (rows.rows >= BATCH_ROWS || rows.bytes >= BATCH_BYTES)
                    && hand_out(std::mem::take(&mut rows))?.is_break()
                {
                    return Ok(());
                }
            }
        }
        if rows.rows > 0 {
            let _last = hand_out(rows)?;
        }
        Ok(())
    }
}

/// Text without the mark at its beginning and the line break at its end; where it is none, the first wrong byte.
fn plain(bytes: &[u8], is_first: bool) -> Result<&str, u8> {
    let text = std::str::from_utf8(bytes).map_err(|error| bytes[error.valid_up_to()])?;
    let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text))
}

fn not_utf8(place: &dyn std::fmt::Display, byte: u8) -> Error {
    Error::invalid(format!("{place}: byte 0x{byte:02x} is not UTF-8; set encoding, or save the file as UTF-8"))
}

/// A batch in the making.
#[derive(Default)]
struct Columns {
    numbers: Int64Builder,
    texts: StringBuilder,
    labels: StringBuilder,
    paths: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl Columns {
    fn push(&mut self, text: &str, label: Option<&str>, path: &str) {
        self.texts.append_value(text);
        self.labels.append_option(label);
        self.paths.append_value(path);
        self.rows += 1;
        self.bytes += text.len() + path.len();
    }

    /// Numbers of lines, texts, labels, paths.
    fn arrays(mut self) -> [ArrayRef; 4] {
        [
            Arc::new(self.numbers.finish()),
            Arc::new(self.texts.finish()),
            Arc::new(self.labels.finish()),
            Arc::new(self.paths.finish()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{lines, read_all};

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn each_line_is_a_row() {
        let (gb, ..) = encoding_rs::GB18030.encode("数据中心的日志\n第二行文字\n");
        let folder = folder(&[
            ("logs/a.log", "\u{feff}first\r\n\n  last | 数据".as_bytes()),
            ("logs/b.txt", &gb),
            ("logs/c.csv", b"x\n"),
        ]);
        let read = |path: &str| {
            let reader = TextReader::open(&TextFileSpec::new(path), folder.path())?;
            read_all(&reader).map(|rows| lines(&rows))
        };
        assert_eq!(
            read("logs").unwrap(),
            [
                "1|first|logs/a.log",
                "2||logs/a.log",
                "3|  last | 数据|logs/a.log",
                "1|数据中心的日志|logs/b.txt",
                "2|第二行文字|logs/b.txt"
            ]
        );
        assert_eq!(read("logs/*.csv").unwrap(), ["1|x|logs/c.csv"]);
        std::fs::write(folder.path().join("d.txt"), b"ok\nno \xff\xfe\n").unwrap();
        let error = read("d.txt").unwrap_err().to_string();
        assert!(error.contains("d.txt, line 2: byte 0xff is not UTF-8; set encoding"), "{error}");
        let long = vec![b'x'; TEXT_BYTES_MAX as usize + 1];
        std::fs::write(folder.path().join("e.txt"), long).unwrap();
        assert!(read("e.txt").unwrap_err().to_string().contains("line 1: the line is longer than 64 MB"));
    }

    #[test]
    fn each_file_is_a_row_of_its_class() {
        let folder = folder(&[
            ("good/2.txt", "fine\nweather\n".as_bytes()),
            ("good/1", b"yes"),
            ("bad/1.txt.gz", &[]),
            ("readme.txt", b""),
        ]);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, "雨".as_bytes()).unwrap();
        std::fs::write(folder.path().join("bad/1.txt.gz"), packer.finish().unwrap()).unwrap();
        let reader = TextsReader::open(&TextFolderSpec::new("."), folder.path()).unwrap();
        let found = read_all(&reader).unwrap();
        assert_eq!(lines(&found), ["雨|bad|bad/1.txt.gz", "yes|good|good/1", "fine\nweather|good|good/2.txt"]);
        let mut labels = Vec::new();
        reader
            .read(&[1], &mut |rows| {
                labels.extend(lines(&[rows]));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(labels, ["bad", "good", "good"]);
        let error = TextsReader::open(&TextFolderSpec::new("good"), folder.path()).unwrap_err().to_string();
        assert!(error.contains("one folder per class"), "{error}");
    }
}
