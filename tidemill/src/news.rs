//! What a run says while it goes: a progress bar on a terminal, plain lines elsewhere.

use indicatif::ProgressBar;
use learn::{EpochRecord, TrainEvent};

use crate::pipeline::Progress;
use crate::terminal::{Terminal, count};

/// Tells the news of one run.
pub(crate) struct News<'a> {
    terminal: &'a Terminal,
    bar: Option<ProgressBar>,
    epochs: usize,
    batches: usize,
    last: Option<String>,
}

impl<'a> News<'a> {
    pub(crate) fn new(terminal: &'a Terminal) -> Self {
        Self { terminal, bar: None, epochs: 0, batches: 0, last: None }
    }

    pub(crate) fn tell(&mut self, progress: &Progress) {
        match progress {
            Progress::Done(stage, text, seconds) => {
                self.end_bar();
                self.say(&format!("{:<9} {text} ({seconds:.2} s)", stage.name()));
            }
            Progress::Note(text) => self.say(text),
            Progress::Warning(text) => self.terminal.warning(text),
            Progress::Train(event) => self.train(event),
        }
    }

    fn train(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started { rows, batches, epochs, parameters, device, stopping, resumed_at } => {
                (self.epochs, self.batches) = (*epochs, *batches);
                self.say(&format!(
                    "training on {} rows: {epochs} epochs of {batches} batches, {} parameters, on {device}; {stopping}",
                    count(*rows as u64),
                    count(*parameters as u64),
                ));
                if let Some(epoch) = resumed_at {
                    self.say(&format!("resumed in epoch {epoch}"));
                }
                self.bar = self.terminal.bar((epochs * batches) as u64);
            }
            TrainEvent::Batch { epoch, batch, loss, rows_per_second, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position((epoch.saturating_sub(1) * self.batches + batch) as u64);
                    let last = self.last.as_deref().unwrap_or("");
                    let rate = count(*rows_per_second as u64);
                    bar.set_message(format!("epoch {epoch}/{}  {rate} rows/s  loss {loss:.4}  {last}", self.epochs));
                }
            }
            TrainEvent::Epoch(record) => self.epoch(record),
            TrainEvent::Saved { .. } => (),
            TrainEvent::Stopped { reason } => self.say(reason),
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let metric = record.metric.replace('_', " ");
        self.last = Some(format!("validation {metric} {:.4}", record.validation_metric));
        if record.best {
            let gain = gain(record);
            self.say(&format!("epoch {:>3}: validation {metric} {gain}, best so far, saved", record.epoch));
        } else if self.bar.is_none() {
            let value = record.validation_metric;
            self.say(&format!(
                "epoch {:>3}: validation {metric} {value:.4}, loss {:.4}",
                record.epoch, record.train_loss
            ));
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.note(text)),
            None => self.terminal.note(text),
        }
    }

    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// `rose by 0.4 points to 0.976` for shares, `fell by 3.1 % to 48.2` for errors.
fn gain(record: &EpochRecord) -> String {
    let value = record.validation_metric;
    let share = matches!(record.metric.as_str(), "accuracy" | "auc" | "balanced_accuracy");
    match (record.improved_by, share) {
        (None, true) => format!("is {value:.3}"),
        (None, false) => format!("is {value:.4}"),
        (Some(by), true) => format!("rose by {:.1} points to {value:.3}", by.abs() * 100.0),
        (Some(by), false) => {
            let percent = 100.0 * by.abs() / (value + by.abs()).max(f64::MIN_POSITIVE);
            format!("fell by {percent:.1} % to {value:.4}")
        }
    }
}
