//! One loaded model behind a bounded queue. A worker thread takes what waits, up to a batch, and answers it in one go.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use learn::{Encoded, Model, Predictions};
use tokio::sync::oneshot;

use crate::failure::{Failure, Fault, Result};

/// Rows answered in one pass of the network.
const BATCH_ROWS_MAX: usize = 256;

/// A model that answers. Dropping the last handle ends its worker once the queue is empty.
pub(crate) struct Endpoint {
    /// The model.
    pub model: Arc<Model>,
    /// The model's name.
    pub model_name: String,
    /// The version that answers.
    pub version: u32,
    /// Answers with less confidence are marked, 0 to 1.
    pub confidence_min: f32,
    queue: SyncSender<Job>,
    pending: Arc<AtomicUsize>,
    answered: AtomicU64,
}

struct Job {
    rows: Encoded,
    reply: oneshot::Sender<Result<Answer, learn::Error>>,
}

/// The answers to one request: a range of the batch it was answered in.
pub(crate) struct Answer {
    batch: Arc<Predictions>,
    rows: Range<usize>,
}

impl Answer {
    /// The rows of this request in the predictions of its batch.
    pub(crate) fn parts(&self) -> (&Predictions, Range<usize>) {
        (&self.batch, self.rows.clone())
    }
}

impl Endpoint {
    /// Starts the worker; `queue_max` requests may wait.
    pub(crate) fn start(
        model: Model,
        model_name: &str,
        version: u32,
        queue_max: usize,
        confidence_min: f32,
    ) -> Result<Self> {
        let model = Arc::new(model);
        let pending = Arc::new(AtomicUsize::new(0));
        let (queue, jobs) = sync_channel(queue_max);
        let worker = (Arc::clone(&model), Arc::clone(&pending));
        std::thread::Builder::new()
            .name(format!("answer-{model_name}"))
            .spawn(move || learn::on_answering_thread(move || answer_all(&worker.0, &jobs, &worker.1)))
            .map_err(|e| Failure::new(Fault::Ours, format!("cannot start a thread for model \"{model_name}\": {e}")))?;
        Ok(Self {
            model,
            model_name: model_name.to_owned(),
            version,
            confidence_min,
            queue,
            pending,
            answered: AtomicU64::new(0),
        })
    }

    /// Requests that wait or are being answered.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Rows answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Answers the rows, in order. A full queue is refused at once.
    pub(crate) async fn predict(&self, rows: Encoded) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(Job { rows, reply }).map_err(|refused| {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Failure::new(Fault::Busy, "the queue is full; try again in a second"),
                TrySendError::Disconnected(_) => Failure::new(Fault::Busy, "the endpoint is being stopped"),
            }
        })?;
        let answered = answer.await.map_err(|_| Failure::new(Fault::Ours, "the model did not answer"))?;
        let answer = answered?;
        self.answered.fetch_add(answer.rows.len() as u64, Ordering::Relaxed);
        Ok(answer)
    }
}

fn answer_all(model: &Model, jobs: &Receiver<Job>, pending: &AtomicUsize) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        let mut rows = batch[0].rows.rows;
        while rows < BATCH_ROWS_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            rows += job.rows.rows;
            batch.push(job);
        }
        let taken = batch.len();
        batch.retain(|job| !job.reply.is_closed()); // the client is gone: nobody waits for this answer
        answer(model, batch);
        pending.fetch_sub(taken, Ordering::Relaxed);
    }
}

fn answer(model: &Model, batch: Vec<Job>) {
    let mut all = Encoded::default();
    let mut waiting = Vec::with_capacity(batch.len());
    for job in batch {
        let start = all.rows;
        all.append(job.rows);
        waiting.push((job.reply, start..all.rows));
    }
    match model.predict_encoded(&all) {
        Ok(predictions) => {
            let batch = Arc::new(predictions);
            for (reply, rows) in waiting {
                let _gone = reply.send(Ok(Answer { batch: Arc::clone(&batch), rows }));
            }
        }
        Err(error) => {
            let message = error.to_string();
            for (reply, _) in waiting {
                let _gone = reply.send(Err(learn::Error::Internal(message.clone())));
            }
        }
    }
}
