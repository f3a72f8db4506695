//! Where are training rows that memory cannot hold? In files of a folder, each row in one of them at random, so that each
//! file is as good a share of all rows as the next.
//!
//! An epoch reads the files in an order of its own, the rows of a file in an order of their own: shuffled anew each time,
//! with no more than two files in memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::fingerprint::Hash;
use super::{Flow, Part, check};
use crate::features::{BagBlock, Encoded, ImageBlock, NumericPart, SeriesBlock, TokenBlock};
use crate::random::{Stream, permutation};
use crate::{Error, Result, Target};

/// Stream of the seed that says which file a row is in.
const FILE_STREAM: u64 = 0x7370_6f6f_6c00;
/// Streams from here on belong to the order of the files, one per epoch.
const FILES_STREAM: u64 = 0x6669_6c65_7300_0000;
/// Streams from here on belong to the order of the rows of a file, one per epoch and file.
const ROWS_STREAM: u64 = 0x726f_7773_0000_0000;
/// Files of a spool, at most; all are open while it is written.
pub const SPOOL_FILES_MAX: usize = 256;
/// Rows of a file that wait to be written, in bytes.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Writes encoded training rows with their answers.
#[derive(Debug)]
pub struct SpoolWriter<'a> {
    numeric: &'a NumericPart,
    target: &'a Target,
    seed: u64,
    folder: PathBuf,
    files: Vec<Open>,
    rows: u64,
    hash: Hash,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    out: BufWriter<File>,
    waiting: Block,
    rows: usize,
}

/// Encoded rows with their answers.
#[derive(Debug, Default)]
struct Block {
    encoded: Encoded,
    target: Vec<f32>,
}

impl Block {
    fn append(&mut self, other: Self) {
        self.encoded.append(other.encoded);
        self.target.extend(other.target);
    }

    fn take(&self, rows: &[u32]) -> Self {
        let target = rows.iter().map(|&row| self.target[row as usize]).collect();
        Self { encoded: self.encoded.take(rows), target }
    }
}

impl<'a> SpoolWriter<'a> {
    /// A new spool of so many files, 1 to [`SPOOL_FILES_MAX`], in a folder that is made; one that is there goes.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn create(
        folder: &Path,
        (numeric, target): (&'a NumericPart, &'a Target),
        files: usize,
        seed: u64,
    ) -> Result<Self> {
        remove(folder)?;
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let open = |number: usize| {
            let path = folder.join(format!("{number:03}.rows"));
            let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
            Ok(Open { path, out: BufWriter::with_capacity(0, file), waiting: Block::default(), rows: 0 })
        };
        let files = (0..files.clamp(1, SPOOL_FILES_MAX)).map(open).collect::<Result<_>>()?;
        Ok(Self { numeric, target, seed, folder: folder.to_owned(), files, rows: 0, hash: Hash::new() })
    }

    /// Adds rows and their answers: class numbers or values.
    ///
    /// # Errors
    /// Rows that no network can learn from, a full disk.
    pub fn push(&mut self, encoded: &Encoded, target: &[f32]) -> Result<()> {
        let part = Part { encoded, target, rows: (0..encoded.rows as u32).collect() };
        let checked = check::check_rows("training", &part, self.numeric, self.target);
        checked.map_err(|error| error.at(&format!("beyond training row {}", self.rows)))?;
        self.hash.part(&part);
        let (stream, files) = (Stream::new(self.seed, FILE_STREAM), self.files.len());
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); files];
        for &row in &part.rows {
            rows[stream.below(self.rows + u64::from(row), files as u64) as usize].push(row);
        }
        self.rows += encoded.rows as u64;
        for (file, rows) in self.files.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            let target = rows.iter().map(|&row| target[row as usize]).collect();
            file.waiting.append(Block { encoded: encoded.take(&rows), target });
            if file.waiting.encoded.memory_bytes() > WAITING_BYTES_MAX {
                file.write()?;
            }
        }
        Ok(())
    }

    /// All rows are there.
    ///
    /// # Errors
    /// A full disk; no row at all, or more than 2^32 in a file.
    pub fn finish(mut self) -> Result<Spool> {
        for file in &mut self.files {
            file.write()?;
            file.out.flush().map_err(|e| Error::io(&file.path, e))?;
        }
        let rows = usize::try_from(self.rows).map_err(|_| Error::invalid("there are too many training rows"))?;
        if rows == 0 {
            return Err(Error::invalid("there are no training rows"));
        }
        let mut bytes = 0;
        let mut files = Vec::new();
        for file in self.files.into_iter().filter(|file| file.rows > 0) {
            bytes += file.path.metadata().map_err(|e| Error::io(&file.path, e))?.len();
            files.push((file.path, file.rows));
        }
        let shape = Shape::of(self.numeric);
        Ok(Spool { folder: self.folder, files, rows, bytes, shape, fingerprint: self.hash.finish() })
    }
}

impl Open {
    fn write(&mut self) -> Result<()> {
        let Block { encoded, target } = std::mem::take(&mut self.waiting);
        if encoded.rows == 0 {
            return Ok(());
        }
        self.rows += encoded.rows;
        let mut out = Vec::with_capacity(encoded.memory_bytes() + 4 * (encoded.rows + 1));
        let rows = u32::try_from(encoded.rows).map_err(|_| Error::Internal("a chunk of 2^32 rows".into()))?;
        out.extend(rows.to_le_bytes());
        let floats = |out: &mut Vec<u8>, values: &[f32]| values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        floats(&mut out, &target);
        floats(&mut out, &encoded.numbers);
        encoded.codes.iter().for_each(|x| out.extend(x.to_le_bytes()));
        encoded.images.iter().for_each(|block| out.extend(&block.pixels));
        encoded.texts.iter().flat_map(|block| &block.tokens).for_each(|x| out.extend(x.to_le_bytes()));
        encoded.series.iter().for_each(|block| floats(&mut out, &block.values));
        for (terms, weights) in encoded.bags.iter().flat_map(|bag| (0..bag.rows()).map(|row| bag.row(row))) {
            out.extend((terms.len() as u32).to_le_bytes());
            terms.iter().for_each(|x| out.extend(x.to_le_bytes()));
            floats(&mut out, weights);
        }
        self.out.write_all(&out).map_err(|e| Error::io(&self.path, e))
    }
}

/// Values per row of each block.
#[derive(Debug)]
struct Shape {
    numbers: usize,
    codes: usize,
    images: Vec<usize>,
    texts: Vec<usize>,
    series: Vec<usize>,
    bags: Vec<usize>,
}

impl Shape {
    fn of(numeric: &NumericPart) -> Self {
        Self {
            numbers: numeric.numbers.len(),
            codes: numeric.categories.len(),
            images: numeric.images.iter().map(|image| image.values()).collect(),
            texts: numeric.texts.iter().map(|text| text.length).collect(),
            series: numeric.series.iter().map(|series| series.steps).collect(),
            bags: numeric.bags.iter().map(|bag| bag.width).collect(),
        }
    }

    fn empty(&self) -> Encoded {
        Encoded {
            images: self.images.iter().map(|&values| ImageBlock { values, pixels: vec![] }).collect(),
            texts: self.texts.iter().map(|&length| TokenBlock { length, tokens: vec![] }).collect(),
            series: self.series.iter().map(|&steps| SeriesBlock { steps, values: vec![] }).collect(),
            bags: self.bags.iter().map(|&width| BagBlock::new(width)).collect(),
            ..Encoded::default()
        }
    }
}

/// Encoded training rows on disk; the folder goes with it.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Files and their rows.
    files: Vec<(PathBuf, usize)>,
    rows: usize,
    bytes: u64,
    shape: Shape,
    fingerprint: String,
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _left_for_the_next_run = remove(&self.folder);
    }
}

impl Spool {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Of the rows in the order in which they came.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Calls `learn` with rows, their answers and the order of this epoch, file by file; the number of rows is a multiple
    /// of `batch`, but for the last call of the epoch: what is left over goes before the rows of the next file.
    pub(super) fn epoch(
        &self,
        (seed, epoch): (u64, usize),
        batch: usize,
        mut learn: impl FnMut(&Encoded, &[f32], &[u32]) -> Result<Flow>,
    ) -> Result<Flow> {
        let order = permutation(seed, FILES_STREAM + epoch as u64, self.files.len() as u32);
        thread::scope(|scope| {
            // One file is learned from while the next is read.
            let (ready, next) = sync_channel(0);
            let files = order.clone();
            scope.spawn(move || {
                for file in files {
                    let read = self.read(file as usize);
                    let failed = read.is_err();
                    if ready.send((file, read)).is_err() || failed {
                        return;
                    }
                }
            });
            let mut left = Block::default();
            for (place, (file, read)) in next.iter().enumerate() {
                let mut block = read?;
                let stream = ROWS_STREAM + (epoch * SPOOL_FILES_MAX + file as usize) as u64;
                let fresh = block.target.len() as u32;
                block.append(std::mem::take(&mut left));
                let all = block.target.len();
                let rows: Vec<u32> = (fresh..all as u32).chain(permutation(seed, stream, fresh)).collect();
                let whole = if place + 1 == order.len() { all } else { all / batch * batch };
                if learn(&block.encoded, &block.target, &rows[..whole])? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
                left = block.take(&rows[whole..]);
            }
            Ok(Flow::Continue)
        })
    }

    fn read(&self, number: usize) -> Result<Block> {
        let (path, rows) = &self.files[number];
        let corrupt = |reason: &str| Error::Corrupt { path: path.clone(), reason: reason.to_owned() };
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut from = From { path, input: BufReader::with_capacity(WAITING_BYTES_MAX, file), bytes: Vec::new() };
        let mut block = Block { encoded: self.shape.empty(), target: Vec::with_capacity(*rows) };
        let Block { encoded, target } = &mut block;
        encoded.numbers.reserve_exact(rows * self.shape.numbers);
        encoded.codes.reserve_exact(rows * self.shape.codes);
        while encoded.rows < *rows {
            let count = from.word()? as usize;
            if count > rows - encoded.rows {
                return Err(corrupt("it has more rows than were written"));
            }
            encoded.rows += count;
            from.floats(count, target)?;
            from.floats(count * self.shape.numbers, &mut encoded.numbers)?;
            from.integers(count * self.shape.codes, &mut encoded.codes)?;
            for image in &mut encoded.images {
                image.pixels.extend_from_slice(from.bytes(count * image.values)?);
            }
            for text in &mut encoded.texts {
                from.integers(count * text.length, &mut text.tokens)?;
            }
            for series in &mut encoded.series {
                from.floats(count * series.steps, &mut series.values)?;
            }
            for bag in &mut encoded.bags {
                for _ in 0..count {
                    let terms = from.word()? as usize;
                    if terms > bag.width {
                        return Err(corrupt("a row has more terms than there are"));
                    }
                    let (mut places, mut weights) = (Vec::new(), Vec::new());
                    from.integers(terms, &mut places)?;
                    from.floats(terms, &mut weights)?;
                    bag.push(places.into_iter().map(|term| term as u32).zip(weights));
                }
            }
        }
        Ok(block)
    }
}

/// Reads the parts of a file.
struct From<'a> {
    path: &'a Path,
    input: BufReader<File>,
    bytes: Vec<u8>,
}

impl From<'_> {
    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        self.bytes.resize(count, 0);
        self.input.read_exact(&mut self.bytes).map_err(|e| Error::io(self.path, e))?;
        Ok(&self.bytes)
    }

    fn word(&mut self) -> Result<u32> {
        let mut word = [0; 4];
        self.input.read_exact(&mut word).map_err(|e| Error::io(self.path, e))?;
        Ok(u32::from_le_bytes(word))
    }

    fn floats(&mut self, count: usize, into: &mut Vec<f32>) -> Result<()> {
        let (words, _) = self.bytes(4 * count)?.as_chunks::<4>();
        into.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        Ok(())
    }

    fn integers(&mut self, count: usize, into: &mut Vec<i32>) -> Result<()> {
        let (words, _) = self.bytes(4 * count)?.as_chunks::<4>();
        into.extend(words.iter().map(|word| i32::from_le_bytes(*word)));
        Ok(())
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
