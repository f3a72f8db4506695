//! Writing: a thread of its own for what is written while the next rows are made.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::failure::{Failure, Fault, Result};

/// Blocks that wait to be written.
const QUEUE_BLOCKS_MAX: usize = 4;

/// A thread that writes blocks and gives a result at their end.
pub(crate) struct Writer<T, R> {
    queue: SyncSender<T>,
    thread: JoinHandle<data::Result<R>>,
}

impl<T: Send + 'static, R: Send + 'static> Writer<T, R> {
    /// Begins to write what is added.
    pub(crate) fn begin(write: impl FnOnce(Receiver<T>) -> data::Result<R> + Send + 'static) -> Result<Self> {
        let (queue, blocks) = sync_channel(QUEUE_BLOCKS_MAX);
        let thread = std::thread::Builder::new().name("write".into()).spawn(move || write(blocks));
        let thread = thread.map_err(|e| Failure::new(Fault::Exhausted, format!("cannot start a thread: {e}")))?;
        Ok(Self { queue, thread })
    }

    /// Adds a block. Where the thread failed [`Writer::end`] says why.
    pub(crate) fn add(&self, block: T) {
        let _ended = self.queue.send(block);
    }

    /// Waits until all is written.
    pub(crate) fn end(self) -> Result<R> {
        drop(self.queue);
        let done = self.thread.join().map_err(|_| Failure::new(Fault::Ours, "the thread that wrote rows died"))?;
        Ok(done?)
    }
}
