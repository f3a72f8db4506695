//! A file that appears at its place only when all of it is on the disk.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tempfile::NamedTempFile;

use crate::{Error, Result};

const BUFFER_BYTES: usize = 1 << 20;
/// Bytes after which what was written is brought to the disk, so that little is left to wait for at the end.
const SYNC_BYTES: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// A file that is being written beside its place.
pub(crate) struct WholeFile {
    path: PathBuf,
    file: NamedTempFile,
    out: BufWriter<File>,
    /// Bytes since the disk was last told.
    unsynced: usize,
    syncing: Option<Syncing>,
}

/// A thread that brings to the disk what was written, while more is.
struct Syncing {
    calls: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl WholeFile {
    /// A file for this place.
    ///
    /// # Errors
    /// A folder that is not there or cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).map_err(|e| Error::io(folder, e))?;
        let out = file.reopen().map_err(|e| Error::io(path, e))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        Ok(Self { path: path.to_owned(), file, out, unsynced: 0, syncing: None })
    }

    /// Puts the file at its place, durable.
    ///
    /// # Errors
    /// A full disk, or a place that cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        let path = self.path;
        let failed = |e| Error::io(&path, e);
        let file = self.out.into_inner().map_err(|e| failed(e.into_error()))?;
        if let Some(Syncing { calls, thread }) = self.syncing {
            drop(calls);
            let synced = thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that synced it died")));
            synced.map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        open_to_others(&file).map_err(failed)?;
        self.file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Lets the disk begin with what was written so far.
    fn sync_early(&mut self) -> io::Result<()> {
        let syncing = match &self.syncing {
            Some(syncing) => syncing,
            None => {
                let file = self.out.get_ref().try_clone()?;
                let (calls, called) = sync_channel(1);
                let sync = move |called: Receiver<()>| {
                    called.into_iter().try_for_each(|()| file.sync_data().map(|()| uncache(&file)))
                };
                let thread = std::thread::Builder::new().name("sync".into()).spawn(move || sync(called))?;
                self.syncing.insert(Syncing { calls, thread })
            }
        };
        // It is still at it, or failed, which the end tells.
        let _ = syncing.calls.try_send(());
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.unsynced += count;
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.sync_early()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.out.seek(to)
    }
}

/// Gives back the memory in which the system keeps what is on the disk already. A large file would fill it, at the expense of
/// what others read; and machines that lend out idle memory take seconds to get back each gigabyte.
#[cfg(target_os = "linux")]
fn uncache(file: &File) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let _advice = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

#[cfg(not(target_os = "linux"))]
fn uncache(_: &File) {}

/// Temporary files are for their owner only; answers are ordinary files.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = WholeFile::create(&path).unwrap();
        let block = vec![7; SYNC_BYTES / 2 + 1];
        (0..4).for_each(|_| file.write_all(&block).unwrap());
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"begin").unwrap();
        assert!(file.syncing.is_some() && !path.exists());
        file.finish().unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!((found.len(), &found[..6]), (4 * block.len(), b"begin\x07".as_slice()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(WholeFile::create(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of what was not finished");
    }
}
