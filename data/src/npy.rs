//! Where does a matrix of numbers go? A file as NumPy reads it (NEP 1, version 1.0), which appears only when it is whole.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::ToByteSlice;

use crate::whole_file::WholeFile;
use crate::{Error, Result};

/// Bytes before the numbers; room for the longest shape.
const HEADER_BYTES: usize = 128;

/// A file for a matrix `[rows, width]` of `f32`, row by row, in the order of bytes of this machine, which it tells.
pub struct NpyWriter {
    path: PathBuf,
    out: WholeFile,
    width: usize,
    numbers: u64,
}

impl NpyWriter {
    /// A matrix with rows of `width` numbers.
    ///
    /// # Errors
    /// A folder that is not there or cannot be written.
    pub fn create(path: &Path, width: usize) -> Result<Self> {
        let mut out = WholeFile::create(path)?;
        out.write_all(&header(0, width)).map_err(|e| Error::io(path, e))?;
        Ok(Self { path: path.to_owned(), out, width, numbers: 0 })
    }

    /// Adds whole rows.
    ///
    /// # Errors
    /// A full disk; numbers that are no whole rows.
    pub fn write(&mut self, rows: &[f32]) -> Result<()> {
        if !rows.len().is_multiple_of(self.width.max(1)) {
            return Err(Error::Internal(format!("{} numbers are no rows of {}", rows.len(), self.width)));
        }
        self.numbers += rows.len() as u64;
        self.out.write_all(rows.to_byte_slice()).map_err(|e| Error::io(&self.path, e))
    }

    /// Puts the file at its place, durable.
    ///
    /// # Errors
    /// A full disk, or a place that cannot be written.
    pub fn finish(mut self) -> Result<()> {
        let failed = |e| Error::io(&self.path, e);
        self.out.seek(SeekFrom::Start(0)).map_err(failed)?;
        let rows = self.numbers / self.width.max(1) as u64;
        self.out.write_all(&header(rows, self.width)).map_err(failed)?;
        self.out.finish()
    }
}

fn header(rows: u64, width: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER_BYTES - 10) as u16).to_le_bytes());
    let order = if cfg!(target_endian = "little") { '<' } else { '>' };
    header.extend(format!("{{'descr': '{order}f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}").bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_shape_and_the_numbers_follow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut out = NpyWriter::create(&path, 3).unwrap();
        out.write(&[1.0, 2.0, 3.0]).unwrap();
        out.write(&[4.0, f32::NAN, -0.5, 7.0, 8.0, 9.0]).unwrap();
        assert!(out.write(&[1.0]).is_err());
        assert!(!path.exists(), "nothing before it is whole");
        out.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 128 + 9 * 4);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = String::from_utf8(bytes[10..128].to_vec()).unwrap();
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }"), "{text}");
        let numbers: Vec<f32> =
            bytes[128..].chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
        assert_eq!(numbers[..4], [1.0, 2.0, 3.0, 4.0]);
        assert!(numbers[4].is_nan() && numbers[5..] == [-0.5, 7.0, 8.0, 9.0]);
    }
}
