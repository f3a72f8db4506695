//! Arrow's own files (IPC, also called Feather 2) and streams of them. Both are read message by message, so that neither
//! has to be on this machine nor fit into memory; a file's footer repeats what the messages say.

use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{Message, convert::fb_to_schema, root_as_message};

use super::files::{Files, Input};
use super::many::{ManyFiles, ReadFile, check_same, guarded};
use super::{BATCH_ROWS, Emit, batch, open, project, read_fully};
use crate::error::{Error, Result};
use crate::spec::ArrowSpec;

/// How a file begins and ends; a stream has no such mark.
pub(crate) const MAGIC: &[u8] = b"ARROW1";
/// Zeros that may follow it, in bytes.
const PADDING_MAX: usize = 128;
/// What stands before a message.
const CONTINUES: [u8; 4] = [0xff; 4];
/// Longest description of a message, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 20;
/// Longest message, and what its buffers may unpack to, in bytes.
const BODY_BYTES_MAX: u64 = 4 << 30;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 5] = ["arrow", "arrows", "ipc", "feather", "ftr"];

/// Arrow files, their columns known.
#[derive(Debug)]
pub(crate) struct ArrowReader {
    /// The file that the others have to be like.
    first: PathBuf,
    schema: SchemaRef,
}

impl ArrowReader {
    /// Looks at the first message.
    pub(crate) fn open(spec: &ArrowSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let mut known = None;
        files.look(|file| {
            let schema = Messages::open(file)?.schema()?;
            known = Some(Self { first: file.to_path_buf(), schema });
            Ok(ControlFlow::Break(()))
        })?;
        let known = known.ok_or_else(|| Error::Internal("an Arrow source of no files".to_owned()))?;
        Ok(ManyFiles::new(known, files))
    }
}

impl ReadFile for ArrowReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let mut messages = Messages::open(file)?;
        let mut decoder = StreamDecoder::new();
        let mut is_checked = false;
        loop {
            let message = messages.next()?;
            let is_end = message.is_none();
            let bytes = message.unwrap_or_else(|| [&CONTINUES[..], &[0; 4]].concat());
            for rows in decode(file, &mut decoder, bytes)? {
                if !is_checked {
                    check_same(&self.schema, &rows.schema(), file, &self.first)?;
                    is_checked = true;
                }
                let columns: Vec<_> = projection.iter().map(|&column| Arc::clone(rows.column(column))).collect();
                let all = batch(&schema, columns, rows.num_rows())?;
                for begin in (0..all.num_rows()).step_by(BATCH_ROWS) {
                    if emit(all.slice(begin, BATCH_ROWS.min(all.num_rows() - begin))).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            if is_end {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

/// Columns and batches of a stream that is in memory whole, each message checked before memory is taken for it.
pub(crate) fn stream_in_memory(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let path = Path::new("the message");
    let input: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut messages = Messages { input: BufReader::new(input), path: path.to_owned(), is_file: false };
    let first = messages.next()?.ok_or_else(|| changed(path, &"it holds no columns"))?;
    let schema = columns_of(path, &first)?;
    let mut decoder = StreamDecoder::new();
    let mut batches = decode(path, &mut decoder, first)?;
    while let Some(message) = messages.next()? {
        batches.extend(decode(path, &mut decoder, message)?);
    }
    Ok((schema, batches))
}

/// The batches that a message completes.
fn decode(file: &Path, decoder: &mut StreamDecoder, bytes: Vec<u8>) -> Result<Vec<RecordBatch>> {
    guarded(file, || {
        let (mut rest, mut batches) = (Buffer::from_vec(bytes), Vec::new());
        while !rest.is_empty() {
            batches.extend(decoder.decode(&mut rest).map_err(|e| changed(file, &e))?);
        }
        Ok(batches)
    })
}

/// The columns that the first message tells.
fn columns_of(path: &Path, bytes: &[u8]) -> Result<SchemaRef> {
    guarded(path, || {
        let message = root_as_message(&bytes[8..]).map_err(|e| changed(path, &e))?;
        let schema = message.header_as_schema().ok_or_else(|| changed(path, &"it does not begin with its columns"))?;
        Ok(Arc::new(fb_to_schema(schema)))
    })
}

fn changed(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::corrupt(file, format!("the Arrow file was cut off or changed ({why})"))
}

/// The messages of a file or a stream, one at a time, each checked for its length before memory is taken for it.
struct Messages {
    input: BufReader<Box<dyn Read + Send>>,
    path: PathBuf,
    is_file: bool,
}

impl Messages {
    fn open(file: &Input) -> Result<Self> {
        let mut input = BufReader::with_capacity(1 << 17, open(file)?);
        let mut first = [0; 8];
        let count = read_fully(&mut input, file, &mut first)?;
        let is_file = first.starts_with(MAGIC);
        let is_stream = first.starts_with(&CONTINUES);
        match count {
            0 => return Err(Error::invalid(format!("{} is empty", file.display()))),
            8 if is_file || is_stream => {}
            _ if first.starts_with(b"FEA1") => {
                return Err(Error::Unsupported(format!(
                    "{} is a Feather file of the first version; write it as Feather 2 (Arrow IPC)",
                    file.display()
                )));
            }
            _ => return Err(Error::invalid(format!("{} is no Arrow file or stream", file.display()))),
        }
        let mut padding = if is_file { PADDING_MAX } else { 0 };
        while padding > 0 && (first == [0; 8] || first.starts_with(MAGIC)) {
            read_fully(&mut input, file, &mut first)?;
            padding -= first.len();
        }
        let begin: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(first).chain(input));
        Ok(Self { input: BufReader::with_capacity(1 << 17, begin), path: file.to_path_buf(), is_file })
    }

    /// The columns, which the first message tells.
    fn schema(&mut self) -> Result<SchemaRef> {
        let path = self.path.clone();
        let bytes = self.next()?.ok_or_else(|| changed(&path, &"it holds no columns"))?;
        columns_of(&path, &bytes)
    }

    /// The next message whole; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut prefix = [0; 8];
        let count = read_fully(&mut self.input, &self.path, &mut prefix)?;
        let length = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
        match (count, length) {
            (0, _) if !self.is_file => return Ok(None), // a stream may end without saying so
            (8, 0) if prefix.starts_with(&CONTINUES) => {
                self.check_end()?;
                return Ok(None);
            }
            (8, 1..=HEAD_BYTES_MAX) if prefix.starts_with(&CONTINUES) => {}
            _ => return Err(changed(&self.path, &"no message where one should begin")),
        }
        let mut bytes = prefix.to_vec();
        self.exactly(length as u64, &mut bytes)?;
        let body = guarded(&self.path, || {
            let message = root_as_message(&bytes[8..]).map_err(|e| changed(&self.path, &e))?;
            let body = u64::try_from(message.bodyLength()).map_err(|e| changed(&self.path, &e))?;
            Ok(body)
        })?;
        if body > BODY_BYTES_MAX {
            let mb = BODY_BYTES_MAX >> 20;
            return Err(changed(&self.path, &format!("a message of {body} bytes, where {mb} MB are allowed")));
        }
        self.exactly(body, &mut bytes)?;
        guarded(&self.path, || {
            let message = root_as_message(&bytes[8..8 + length]).map_err(|e| changed(&self.path, &e))?;
            check_unpacked(&self.path, &message, &bytes[8 + length..])
        })?;
        Ok(Some(bytes))
    }

    /// Reads exactly so many bytes; memory is taken as they come.
    fn exactly(&mut self, count: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let found = (&mut self.input).take(count).read_to_end(bytes);
        let found = found.map_err(|e| super::packing::unreadable(&self.path, e))? as u64;
        match found == count {
            true => Ok(()),
            false => Err(changed(&self.path, &format!("{} bytes of a message are missing", count - found))),
        }
    }

    /// A whole file ends with the mark that it began with.
    fn check_end(&mut self) -> Result<()> {
        if !self.is_file {
            return Ok(());
        }
        let mut end = Vec::new();
        let footer = (&mut self.input).take(HEAD_BYTES_MAX as u64).read_to_end(&mut end);
        footer.map_err(|e| super::packing::unreadable(&self.path, e))?;
        match end.ends_with(MAGIC) {
            true => Ok(()),
            false => Err(changed(&self.path, &"its end is missing")),
        }
    }
}

/// Refuses buffers that say they unpack to more than a message may.
fn check_unpacked(path: &Path, message: &Message, body: &[u8]) -> Result<()> {
    match unpacked_bytes(message, body) {
        None => Err(changed(path, &"a buffer that lies nowhere")),
        Some(bytes) if bytes > BODY_BYTES_MAX => {
            Err(changed(path, &format!("a message that says it unpacks to {bytes} bytes")))
        }
        Some(_) => Ok(()),
    }
}

/// What the packed buffers of a message say they unpack to, in bytes; nothing where one of them lies nowhere.
pub(crate) fn unpacked_bytes(message: &Message, body: &[u8]) -> Option<u64> {
    let rows = message.header_as_record_batch();
    let rows = rows.or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(rows) = rows.filter(|rows| rows.compression().is_some()) else { return Some(0) };
    let mut total = 0u64;
    for buffer in rows.buffers().into_iter().flatten() {
        let begin = usize::try_from(buffer.offset()).ok()?;
        let Some(Ok(prefix)) = body.get(begin..begin.saturating_add(8)).map(<[u8; 8]>::try_from) else { continue };
        let unpacked = i64::from_le_bytes(prefix);
        if buffer.length() > 0 && unpacked > 0 {
            total = total.saturating_add(unpacked as u64);
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Reader;
    use crate::source::testing::{lines, read_all};
    use arrow::array::{DictionaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
    use arrow_ipc::writer::{FileWriter, StreamWriter};

    fn rows() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("word", DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        let count = 20_000;
        let n = Int64Array::from_iter((0..count).map(|n| (n % 7 != 0).then_some(n)));
        let text = StringArray::from_iter((0..count).map(|n| (n % 5 != 0).then(|| format!("数据 {n}"))));
        let word: DictionaryArray<Int32Type> =
            (0..count).map(|n| Some(["red", "green", "青"][n as usize % 3])).collect();
        let at = TimestampMicrosecondArray::from_iter((0..count).map(|n| Some(n * 1_000_001)));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(n), Arc::new(text), Arc::new(word), Arc::new(at)]).unwrap()
    }

    fn as_file(rows: &RecordBatch) -> Vec<u8> {
        let mut writer = FileWriter::try_new(Vec::new(), &rows.schema()).unwrap();
        writer.write(rows).unwrap();
        writer.write(&rows.slice(0, 10)).unwrap();
        writer.into_inner().unwrap()
    }

    fn as_stream(rows: &RecordBatch) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap();
        writer.write(rows).unwrap();
        writer.write(&rows.slice(0, 10)).unwrap();
        writer.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.arrow"), bytes).unwrap();
        read_all(&ArrowReader::open(&ArrowSpec::new("a.arrow"), folder.path())?)
    }

    #[test]
    fn files_and_streams_come_back_value_by_value() {
        let rows = rows();
        let expected = lines(&[rows.clone(), rows.slice(0, 10)]);
        for bytes in [as_file(&rows), as_stream(&rows)] {
            let found = read(&bytes).unwrap();
            assert!(found.iter().all(|batch| batch.num_rows() <= BATCH_ROWS));
            assert!(lines(&found) == expected);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.arrow"), as_file(&rows)).unwrap();
        let reader = ArrowReader::open(&ArrowSpec::new("a.arrow"), folder.path()).unwrap();
        let (mut cells, mut count) = (Vec::new(), 0);
        reader
            .read(&[2, 0], &mut |batch| {
                cells.extend(lines(&[batch]));
                ControlFlow::Continue(())
            })
            .unwrap();
        reader
            .read(&[], &mut |batch| {
                count += batch.num_rows();
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!((&cells[..2], count), (&["red|".to_owned(), "green|1".to_owned()][..], 20_010));
    }

    #[test]
    fn broken_files_are_told_wherever_they_break() {
        let rows = rows().slice(0, 500);
        let whole = lines(&[rows.clone(), rows.slice(0, 10)]);
        let file = as_file(&rows);
        for end in (0..file.len()).step_by(97) {
            assert!(read(&file[..end]).is_err(), "cut off at byte {end} of {}", file.len());
        }
        for (bytes, step) in [(file.clone(), 61), (as_stream(&rows), 53)] {
            for at in (0..bytes.len()).step_by(step) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                // A flipped bit of a value is another value; whatever else it is, it must not end the process.
                match read(&flipped) {
                    Ok(found) => assert!(lines(&found).len() <= whole.len(), "byte {at}"),
                    Err(error) => assert_ne!(error.kind(), crate::ErrorKind::Internal, "byte {at}: {error}"),
                }
            }
        }
        let check = |bytes: &[u8], expected: &str| {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "is empty");
        check(b"a,b\n1,2\n", "is no Arrow file or stream");
        check(b"FEA1....", "write it as Feather 2");
        check(b"\xff\xff\xff\xff\xff\xff\xff\x7f....", "no message where one should begin");
        check(b"\xff\xff\xff\xff\x00\x10\x00\x00....", "bytes of a message are missing");
    }

    #[test]
    fn files_with_other_columns_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let rows = rows();
        std::fs::write(folder.path().join("a.arrow"), as_file(&rows)).unwrap();
        std::fs::write(folder.path().join("b.arrow"), as_stream(&rows.project(&[0, 1]).unwrap())).unwrap();
        let error = read_all(&ArrowReader::open(&ArrowSpec::new("."), folder.path()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("b.arrow has other columns than"), "{error}");
    }
}
