//! Avro's object container files. Their blocks are unpacked and checked here, so that a file that was cut off between two
//! rows is told, and no block takes more memory than one may; arrow-avro makes columns of what is in them.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_avro::reader::{Reader as AvroRows, ReaderBuilder};

use super::files::{Files, Input};
use super::many::{ManyFiles, ReadFile, check_same, guarded};
use super::packing::unreadable;
use super::{BATCH_ROWS, Emit, batch, open, project};
use crate::error::{Error, Result};
use crate::spec::AvroSpec;

/// How a file begins.
pub(crate) const MAGIC: &[u8; 4] = b"Obj\x01";
/// Longest block as it is kept, and description of the columns, in bytes.
const BLOCK_BYTES_MAX: u64 = 256 << 20;
/// What a block may unpack to, in bytes.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// Keys of a file's description.
const KEYS_MAX: i64 = 10_000;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 1] = ["avro"];

/// Avro files, their columns known.
#[derive(Debug)]
pub(crate) struct AvroReader {
    /// The file that the others have to be like.
    first: PathBuf,
    schema: SchemaRef,
}

impl AvroReader {
    /// Looks at the first file's description of its columns.
    pub(crate) fn open(spec: &AvroSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let mut known = None;
        files.look(|file| {
            let schema = Rows::open(file)?.rows.schema();
            known = Some(Self { first: file.to_path_buf(), schema });
            Ok(ControlFlow::Break(()))
        })?;
        let known = known.ok_or_else(|| Error::Internal("an Avro source of no files".to_owned()))?;
        Ok(ManyFiles::new(known, files))
    }
}

impl ReadFile for AvroReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let mut rows = Rows::open(file)?;
        check_same(&self.schema, &rows.rows.schema(), file, &self.first)?;
        while let Some(all) = guarded(file, || rows.rows.next().transpose().map_err(|e| rows.fault.tell(file, &e)))? {
            let columns = projection.iter().map(|&column| Arc::clone(all.column(column))).collect();
            if emit(batch(&schema, columns, all.num_rows())?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The rows of a file, and what went wrong below them.
struct Rows {
    rows: AvroRows<BufReader<Blocks>>,
    fault: Fault,
}

impl Rows {
    fn open(file: &Input) -> Result<Self> {
        let fault = Fault::default();
        let blocks = Blocks::open(file, fault.clone())?;
        let build = || {
            let builder = ReaderBuilder::new().with_batch_size(BATCH_ROWS);
            builder.build(BufReader::new(blocks)).map_err(|e| fault.tell(file, &e))
        };
        let rows = guarded(file, build)?;
        Ok(Self { rows, fault })
    }
}

/// Our own error below the library's, which keeps no more than its text.
#[derive(Debug, Clone, Default)]
struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    fn keep(&self, error: Error) -> io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        io::Error::other(error)
    }

    fn tell(&self, file: &Path, error: &ArrowError) -> Error {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.unwrap_or_else(|| changed(file, error))
    }
}

fn changed(file: &Path, why: impl std::fmt::Display) -> Error {
    Error::corrupt(file, format!("the Avro file was cut off or changed ({why})"))
}

/// How blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    /// Not at all, or in a way that the library unpacks.
    Kept,
    Deflate,
    Snappy,
    Bzip2,
    Zstandard,
}

/// The file again with its blocks unpacked, each of them whole.
struct Blocks {
    input: BufReader<Box<dyn Read + Send>>,
    path: PathBuf,
    fault: Fault,
    codec: Codec,
    /// What stands behind every block.
    mark: [u8; 16],
    ready: Vec<u8>,
    at: usize,
}

impl Blocks {
    fn open(file: &Input, fault: Fault) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 17, open(file)?);
        let path = file.to_path_buf();
        let mut blocks = Self { input, path, fault, codec: Codec::Kept, mark: [0; 16], ready: Vec::new(), at: 0 };
        let magic = blocks.exactly(4).map_err(|e| match std::fs::metadata(&**file) {
            Ok(found) if found.len() == 0 => Error::invalid(format!("{} is empty", file.display())),
            _ => e,
        })?;
        if magic != MAGIC {
            return Err(Error::invalid(format!("{} is no Avro file", file.display())));
        }
        let mut head = magic;
        let keys = blocks.keys()?;
        push_long(keys.len() as i64, &mut head);
        for (key, value) in &keys {
            push_bytes(key, &mut head);
            push_bytes(value, &mut head);
        }
        if !keys.is_empty() {
            push_long(0, &mut head);
        }
        let mark = blocks.exactly(16)?;
        blocks.mark.copy_from_slice(&mark);
        head.extend(mark);
        blocks.ready = head;
        Ok(blocks)
    }

    /// The description of the file, without how its blocks are packed.
    fn keys(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut keys = Vec::new();
        loop {
            let count = self.long()?.ok_or_else(|| changed(&self.path, "its head is missing"))?;
            if count == 0 {
                return Ok(keys);
            }
            if count < 0 {
                self.long()?; // the bytes that follow, for whoever skips them
            }
            if count.unsigned_abs() > KEYS_MAX as u64 || keys.len() as i64 > KEYS_MAX {
                return Err(changed(&self.path, format!("a head of {count} keys")));
            }
            for _ in 0..count.unsigned_abs() {
                let (key, value) = (self.bytes()?, self.bytes()?);
                match (key.as_slice(), value.as_slice()) {
                    (b"avro.codec", b"deflate") => self.codec = Codec::Deflate,
                    (b"avro.codec", b"snappy") => self.codec = Codec::Snappy,
                    (b"avro.codec", b"bzip2") => self.codec = Codec::Bzip2,
                    (b"avro.codec", b"zstandard") => self.codec = Codec::Zstandard,
                    (b"avro.codec", b"null" | b"") => {}
                    _ => keys.push((key, value)),
                }
            }
        }
    }

    /// A number of variable length; none at the end of the file.
    fn long(&mut self) -> Result<Option<i64>> {
        let (mut number, mut byte) = (0u64, [0]);
        for shift in (0..64).step_by(7) {
            match self.input.read(&mut byte).map_err(|e| unreadable(&self.path, e))? {
                0 if shift == 0 => return Ok(None),
                0 => return Err(changed(&self.path, "it ends within a number")),
                _ => number |= u64::from(byte[0] & 0x7f) << shift,
            }
            if byte[0] & 0x80 == 0 {
                return Ok(Some((number >> 1) as i64 ^ -((number & 1) as i64)));
            }
        }
        Err(changed(&self.path, "a number that is too long"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let count = self.long()?.ok_or_else(|| changed(&self.path, "its head is missing"))?;
        self.exactly(count)
    }

    /// Exactly so many bytes; memory is taken as they come.
    fn exactly(&mut self, count: i64) -> Result<Vec<u8>> {
        let Some(count) = u64::try_from(count).ok().filter(|count| *count <= BLOCK_BYTES_MAX) else {
            let mb = BLOCK_BYTES_MAX >> 20;
            return Err(changed(&self.path, format!("a block of {count} bytes, where {mb} MB are allowed")));
        };
        let mut bytes = Vec::new();
        (&mut self.input).take(count).read_to_end(&mut bytes).map_err(|e| unreadable(&self.path, e))?;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(changed(&self.path, format!("{} bytes are missing", count - bytes.len() as u64))),
        }
    }

    /// Makes the next block ready; false at the end.
    fn next(&mut self) -> Result<bool> {
        let Some(count) = self.long()? else { return Ok(false) };
        let size = self.long()?.ok_or_else(|| changed(&self.path, "it ends within a block"))?;
        let packed = self.exactly(size)?;
        let block = self.unpacked(packed)?;
        let mark = self.exactly(16)?;
        if mark != self.mark || count < 0 {
            return Err(changed(&self.path, "a block does not end where it should"));
        }
        self.ready.clear();
        push_long(count, &mut self.ready);
        push_bytes(&block, &mut self.ready);
        self.ready.extend(mark);
        self.at = 0;
        Ok(true)
    }

    fn unpacked(&self, packed: Vec<u8>) -> Result<Vec<u8>> {
        let fault = |e: &dyn std::fmt::Display| changed(&self.path, format!("a block cannot be unpacked: {e}"));
        let too_long = || fault(&format!("it has more than {} MB", UNPACKED_BYTES_MAX >> 20));
        let input: Box<dyn Read> = match self.codec {
            Codec::Kept => return Ok(packed),
            Codec::Snappy => return self.snappy(&packed),
            Codec::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(packed.as_slice())),
            Codec::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(packed.as_slice())),
            Codec::Zstandard => {
                Box::new(zstd::stream::read::Decoder::with_buffer(packed.as_slice()).map_err(|e| fault(&e))?)
            }
        };
        let mut bytes = Vec::new();
        input.take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| fault(&e))?;
        match bytes.len() as u64 > UNPACKED_BYTES_MAX {
            true => Err(too_long()),
            false => Ok(bytes),
        }
    }

    /// Snappy without frames, and the CRC of what is in it behind it.
    fn snappy(&self, packed: &[u8]) -> Result<Vec<u8>> {
        let fault = |e: &dyn std::fmt::Display| changed(&self.path, format!("a block cannot be unpacked: {e}"));
        let (block, sum) = packed.split_last_chunk::<4>().ok_or_else(|| fault(&"its checksum is missing"))?;
        let size = snap::raw::decompress_len(block).map_err(|e| fault(&e))?;
        if size as u64 > UNPACKED_BYTES_MAX {
            return Err(fault(&format!("it has {size} bytes")));
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(block).map_err(|e| fault(&e))?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        match crc.sum() == u32::from_be_bytes(*sum) {
            true => Ok(bytes),
            false => Err(fault(&"its checksum is another one")),
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            match self.next() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => return Err(self.fault.keep(error)),
            }
        }
        let count = out.len().min(self.ready.len() - self.at);
        out[..count].copy_from_slice(&self.ready[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}

fn push_long(number: i64, bytes: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn push_bytes(part: &[u8], bytes: &mut Vec<u8>) {
    push_long(part.len() as i64, bytes);
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{lines, read_all};
    use arrow::array::{BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow_avro::compression::CompressionCodec;
    use arrow_avro::writer::WriterBuilder;
    use arrow_avro::writer::format::AvroOcfFormat;

    fn rows(count: i64) -> RecordBatch {
        let fields = [
            ("n", DataType::Int64),
            ("x", DataType::Float64),
            ("text", DataType::Utf8),
            ("is", DataType::Boolean),
            ("day", DataType::Date32),
        ];
        let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec());
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from_iter((0..count).map(|n| (n % 7 != 0).then_some(n * 1_000_003)))),
                Arc::new(Float64Array::from_iter((0..count).map(|n| (n % 3 != 0).then_some(n as f64 / 7.0)))),
                Arc::new(StringArray::from_iter((0..count).map(|n| (n % 5 != 0).then(|| format!("数据 {n}"))))),
                Arc::new(BooleanArray::from_iter((0..count).map(|n| (n % 4 != 0).then_some(n % 2 == 0)))),
                Arc::new(Date32Array::from_iter((0..count).map(|n| (n % 6 != 0).then_some(n as i32)))),
            ],
        )
        .unwrap()
    }

    fn written(rows: &RecordBatch, codec: Option<CompressionCodec>) -> Vec<u8> {
        let builder = WriterBuilder::new(rows.schema().as_ref().clone()).with_compression(codec);
        let mut writer = builder.build::<_, AvroOcfFormat>(Vec::new()).unwrap();
        for begin in (0..rows.num_rows()).step_by(500) {
            writer.write(&rows.slice(begin, 500.min(rows.num_rows() - begin))).unwrap();
        }
        writer.finish().unwrap();
        writer.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.avro"), bytes).unwrap();
        read_all(&AvroReader::open(&AvroSpec::new("a.avro"), folder.path())?)
    }

    #[test]
    fn every_codec_comes_back_value_by_value() {
        let rows = rows(10_000);
        let expected = lines(std::slice::from_ref(&rows));
        for codec in [
            None,
            Some(CompressionCodec::Deflate),
            Some(CompressionCodec::Snappy),
            Some(CompressionCodec::ZStandard),
            Some(CompressionCodec::Bzip2),
            Some(CompressionCodec::Xz),
        ] {
            assert!(lines(&read(&written(&rows, codec)).unwrap()) == expected, "{codec:?}");
        }
    }

    #[test]
    fn broken_files_are_told_wherever_they_break() {
        let rows = rows(1_000);
        for codec in [None, Some(CompressionCodec::Deflate), Some(CompressionCodec::Snappy)] {
            let bytes = written(&rows, codec);
            let head = bytes.len() - 2 * (bytes.len() / 3);
            for end in (0..bytes.len()).step_by(211) {
                match read(&bytes[..end]) {
                    // Between two blocks nothing says that there was another one.
                    Ok(found) => assert_eq!(lines(&found).len(), 500, "cut off at byte {end}, {codec:?}"),
                    Err(error) => assert_ne!(error.kind(), crate::ErrorKind::Internal, "{end}: {error}"),
                }
            }
            for at in (0..bytes.len()).step_by(173) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                match read(&flipped) {
                    Ok(found) => assert!(codec.is_none() || at < head || lines(&found).len() == 1_000, "byte {at}"),
                    Err(error) => assert_ne!(error.kind(), crate::ErrorKind::Internal, "byte {at}: {error}"),
                }
            }
        }
        let check = |bytes: &[u8], expected: &str| {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "is empty");
        check(b"a,b\n1,2\n", "is no Avro file");
        check(b"Obj\x01\xff\xff\xff\xff\x0f", "keys");
        let mut bytes = written(&rows, None);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        check(&bytes, "a block does not end where it should");
    }
}
