//! The training loop.

use std::time::{Duration, Instant};

use super::ahead::ahead;
use super::augment::{self, Augmenter, Place};
use super::checkpoint::{Checkpoint, Position};
use super::order::{Order, class_weights};
use super::prepared::{Prepared, Rows};
use super::rate::Plateau;
use super::rule::Rule;
use super::usual::Usual;
use super::watch::{Metric, validate};
use super::{EpochRecord, Flow, Spool, TrainEvent, TrainJob, Trained, check, diverged, fingerprint, ranges, start};
use crate::features::Encoded;
use crate::net::{Batch, Chance, Design, Head, HeadLoss, Network, design, standardised};
use crate::{Result, Weights};

/// Time between the checkpoints of short epochs: a save costs milliseconds, such an epoch little more.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(2);

type Listener<'a> = &'a mut dyn FnMut(&TrainEvent) -> Flow;

/// Rows in memory, in the order in which they are learned from.
struct Known<'a> {
    encoded: &'a Encoded,
    /// Class numbers or standardised values of all rows.
    targets: &'a [f32],
    order: &'a [u32],
    /// Batches of the epoch before them.
    first: usize,
}

/// A training run between two batches.
pub(super) struct Run<'a> {
    pub(super) job: TrainJob<'a>,
    pub(super) design: Design,
    pub(super) metric: Metric,
    pub(super) rule: Rule<'a>,
    pub(super) net: Network,
    pub(super) order: Order,
    /// Where rows are changed at random.
    pub(super) augmenter: Option<Augmenter<'a>>,
    /// What a row counts by its class; empty where all count 1.
    pub(super) class_weights: Vec<f32>,
    /// Class numbers or standardised values of all rows, for training and for validation.
    pub(super) targets: [Vec<f32>; 2],
    pub(super) position: Position,
    pub(super) best: Weights,
    /// Of an autoencoder.
    usual: Option<Usual>,
    pub(super) resumed: bool,
    pub(super) saved: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Checks the job and makes the network, or takes both up from the checkpoint.
    pub(super) fn new(mut job: TrainJob<'a>) -> Result<Self> {
        ranges::check(job.train)?;
        let place = check::device(job.train)?;
        check::check_parts(&job)?;
        augment::check(&job.train.augment, job.numeric)?;
        let head = Head::of(job.target, job.train.loss)?.smoothed(job.train.label_smoothing)?;
        let design = design(job.net, job.numeric, head)?.frozen(&job.train.freeze, job.numeric)?;
        let usual = (design.head().loss == HeadLoss::Reconstruction).then(|| Usual::keep(&mut job)).transpose()?;
        let class_weights = class_weights(job.train, job.target, &job.training)?;
        let order = Order::new(job.train, job.target, &job.training)?;
        let metric = Metric::of(job.train.early_stopping.metric, job.target, design.head().loss)?;
        let (spec, rows) = match job.checkpoint {
            Some(_) => (fingerprint::of_spec(&job)?, fingerprint::of_rows(&job)),
            None => Default::default(),
        };
        let found = match job.checkpoint {
            Some(folder) if job.resume => Checkpoint::load(folder)?,
            _ => None,
        };
        if let (Some(found), Some(folder)) = (&found, job.checkpoint) {
            found.position.check(folder, &spec, &rows)?;
        }
        let resumed = found.is_some();
        let found = match found {
            Some(found) => found,
            None => Self::fresh(&job, &design, spec, rows)?,
        };
        let rule = Rule::new(job.train, job.spool.map_or(order.count(), Spool::rows));
        let first = rule.step(0, 0, &found.position.plateau);
        let net = Network::new(place, (&design, job.numeric), &found.weights, &found.memory, rule.batch(), &first)?;
        let targets = [job.training.target, job.validation.target].map(|values| standardised(values, job.target));
        let Checkpoint { position, best, .. } = found;
        let augmenter = Augmenter::new(&job.train.augment, job.train.seed);
        Ok(Self {
            job,
            design,
            metric,
            rule,
            net,
            order,
            augmenter,
            class_weights,
            targets,
            position,
            usual,
            best,
            resumed,
            saved: None,
        })
    }

    /// The beginning of a run on these settings and rows.
    fn fresh(job: &TrainJob, design: &Design, spec: String, rows: String) -> Result<Checkpoint> {
        Ok(Checkpoint {
            position: Position {
                format: Position::format(),
                spec,
                rows,
                epoch: 0,
                batch: 0,
                loss_sum: 0,
                seconds: 0.0,
                history: vec![],
                best: None,
                plateau: Plateau::default(),
                ended: None,
            },
            weights: start::weights(job, design)?,
            best: Weights::default(),
            memory: Default::default(),
        })
    }

    /// Trains to the end, or to where the listener stops it.
    pub(super) fn run(mut self, on: Listener) -> Result<Trained> {
        let epochs = self.job.train.epochs;
        let mut flow = on(&self.started());
        // A finished run may go on where only its number of epochs ended it.
        if self.position.epoch < epochs && !self.patience_is_over() {
            self.position.ended = None;
        }
        while self.position.ended.is_none() {
            if flow == Flow::Stop {
                return self.stop(on);
            }
            if self.batches(on)? == Flow::Stop {
                return self.stop(on);
            }
            flow = self.end_epoch(on)?;
            let ended = self.position.ended.is_some();
            if ended || self.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
                let after = self.save(on)?;
                flow = if after == Flow::Stop { after } else { flow };
            }
        }
        let reason = self.position.ended.clone().unwrap_or_default();
        on(&TrainEvent::Stopped { reason });
        self.trained(true)
    }

    fn started(&self) -> TrainEvent {
        let train = self.job.train;
        TrainEvent::Started {
            rows: self.rows(),
            batches: self.rule.batches(),
            epochs: train.epochs,
            parameters: self.design.parameters(),
            device: self.net.device(),
            stopping: self.metric.policy(&train.early_stopping, train.epochs),
            resumed_at: self.resumed.then_some((self.position.epoch + 1).min(train.epochs)),
        }
    }

    /// Rows that are learned from in an epoch.
    fn rows(&self) -> usize {
        self.job.spool.map_or(self.order.count(), Spool::rows)
    }

    /// The rest of the epoch's batches.
    fn batches(&mut self, on: Listener) -> Result<Flow> {
        let (epoch, size, seed) = (self.position.epoch, self.rule.batch(), self.job.train.seed);
        let Some(spool) = self.job.spool else {
            let order = self.order.of(epoch);
            let (encoded, targets) = (self.job.training.encoded, std::mem::take(&mut self.targets[0]));
            let flow = self.learn(Known { encoded, targets: &targets, order: &order, first: 0 }, on);
            self.targets[0] = targets;
            return flow;
        };
        let (begin, before) = (Instant::now(), self.position.seconds);
        let mut first = 0;
        spool.epoch((seed, epoch), size, |encoded, targets, order| {
            self.position.seconds = before + begin.elapsed().as_secs_f64();
            let targets = standardised(targets, self.job.target);
            let flow = self.learn(Known { encoded, targets: &targets, order, first }, on);
            first += order.len().div_ceil(size);
            flow
        })
    }

    /// Learns from the batches of these rows that come after the run's position. What costs time to prepare is prepared by
    /// another thread.
    fn learn(&mut self, known: Known, on: Listener) -> Result<Flow> {
        let Self { job, design, rule, net, augmenter, class_weights, position, .. } = self;
        let (size, batches, epoch) = (rule.batch(), rule.batches(), position.epoch);
        let (numeric, encoded, augmenter) = (job.numeric, known.encoded, *augmenter);
        let all = Rows { targets: known.targets, class_weights, augmenter };
        let done = position.batch;
        let chunks = (known.first..).zip(known.order.chunks(size)).skip_while(|(number, _)| *number < done);
        let prepare = |(number, rows): (usize, &[u32]), into: &mut Prepared| {
            all.prepare(Batch { numeric, encoded, rows }, Place { epoch, first: number * size }, into);
        };
        let mut loss_sum = f64::from_bits(position.loss_sum);
        let (begin, before) = (Instant::now(), position.seconds);
        let mut learn = |(number, rows): (usize, &[u32]), prepared: &Prepared| {
            let plain = Batch { numeric, encoded, rows };
            let (batch, targets) = prepared.view(plain);
            let chance = Chance { seed: job.train.seed, step: (epoch * batches + number) as u64 };
            let step = rule.step(epoch, number, &position.plateau);
            let loss = f64::from(net.step(batch, targets, &step, chance)?);
            if !loss.is_finite() {
                let rows = match job.spool {
                    Some(_) => String::new(), // their numbers are those of a file that goes
                    None => diverged::rows(net, design.head(), plain, prepared.answers())?,
                };
                let rate = rule.learning_rate(epoch, number, &position.plateau);
                let place = format!("epoch {} at step {}", epoch + 1, number + 1);
                return Err(diverged::error(job.train, rate, &place, loss, &rows));
            }
            loss_sum += loss * rows.len() as f64;
            let rows_done = (number * size + rows.len()) as f64;
            let seconds = before + begin.elapsed().as_secs_f64();
            position.batch = number + 1;
            let (loss, rows_per_second) = (loss_sum / rows_done, rows_done / seconds);
            let flow = on(&TrainEvent::Batch { epoch: epoch + 1, batch: number + 1, batches, loss, rows_per_second });
            (position.loss_sum, position.seconds) = (loss_sum.to_bits(), seconds);
            Ok(flow)
        };
        if augmenter.is_some() {
            return ahead(chunks, prepare, learn);
        }
        let mut prepared = Prepared::default();
        for chunk in chunks {
            prepare(chunk, &mut prepared);
            if learn(chunk, &prepared)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// Validates, and decides whether this was the best epoch and the last one.
    fn end_epoch(&mut self, on: Listener) -> Result<Flow> {
        let begin = Instant::now();
        let rows_learned = self.rows();
        let Self { job, rule, net, class_weights, targets, position, metric, design, .. } = self;
        let rows = &job.validation.rows;
        let mut logits = Vec::with_capacity(rows.len() * design.head().outputs);
        net.logits(Batch { numeric: job.numeric, encoded: job.validation.encoded, rows }, &mut logits)?;
        let answers: Vec<f32> = rows.iter().map(|row| targets[1][*row as usize]).collect();
        let found = validate(design.head(), *metric, job.target, class_weights, &logits, &answers);
        let epoch = position.epoch + 1;
        let learning_rate = rule.learning_rate(position.epoch, rule.batches() - 1, &position.plateau);
        if !found.loss.is_finite() || !found.metric.is_finite() {
            let place = format!("epoch {epoch} at its end, on the validation rows");
            return Err(diverged::error(job.train, learning_rate, &place, found.loss, ""));
        }
        let improved_by = position.best.map(|(_, value)| metric.gain(f64::from_bits(value), found.metric));
        let best = improved_by.is_none_or(|gain| gain > job.train.early_stopping.min_delta);
        if best {
            position.best = Some((epoch, found.metric.to_bits()));
            self.best = net.weights()?;
        }
        let record = EpochRecord {
            epoch,
            train_loss: f64::from_bits(position.loss_sum) / rows_learned as f64,
            validation_loss: found.loss,
            metric: metric.name().to_owned(),
            validation_metric: found.metric,
            best,
            improved_by,
            seconds: position.seconds + begin.elapsed().as_secs_f64(),
            learning_rate,
        };
        position.plateau.watch(&job.train.schedule, *metric, found.metric);
        position.history.push(record.clone());
        (position.epoch, position.batch, position.loss_sum, position.seconds) = (epoch, 0, 0, 0.0);
        self.position.ended = self.ended();
        Ok(on(&TrainEvent::Epoch(record)))
    }

    fn patience_is_over(&self) -> bool {
        let stopping = &self.job.train.early_stopping;
        let best = self.position.best.map_or(0, |(epoch, _)| epoch);
        stopping.enabled && self.position.epoch - best >= stopping.patience
    }

    fn ended(&self) -> Option<String> {
        let (best, value) = self.position.best?;
        let (metric, value) = (self.metric.name(), f64::from_bits(value));
        let kept = format!("epoch {best} is kept, with validation {metric} {value:.4}");
        if self.position.epoch >= self.job.train.epochs {
            return Some(format!("all {} epochs are done; {kept}", self.job.train.epochs));
        }
        let since = self.position.epoch - best;
        self.patience_is_over().then(|| {
            let count = if since == 1 { "1 epoch".to_owned() } else { format!("{since} epochs") };
            format!("validation {metric} has not got better for {count}; {kept}")
        })
    }

    fn save(&mut self, on: Listener) -> Result<Flow> {
        let Some(folder) = self.job.checkpoint else { return Ok(Flow::Continue) };
        let (position, best) = (self.position.clone(), self.best.clone());
        let checkpoint = Checkpoint { position, best, weights: self.net.weights()?, memory: self.net.memory()? };
        let path = checkpoint.save(folder)?;
        self.saved = Some(Instant::now());
        Ok(on(&TrainEvent::Saved { path }))
    }

    fn stop(mut self, on: Listener) -> Result<Trained> {
        self.save(on)?;
        let (epoch, batch) = (self.position.epoch + 1, self.position.batch);
        on(&TrainEvent::Stopped { reason: format!("stopped in epoch {epoch} after batch {batch}, as asked") });
        self.trained(false)
    }

    fn trained(self, finished: bool) -> Result<Trained> {
        let device = self.net.device();
        let best_epoch = self.position.best.map_or(0, |(epoch, _)| epoch);
        let mut weights = if best_epoch == 0 { self.net.weights()? } else { self.best };
        if let Some(usual) = &self.usual {
            usual.calibrate(&self.job, &self.design, &mut weights)?;
        }
        let parameters = self.design.parameters();
        Ok(Trained { weights, history: self.position.history, best_epoch, finished, device, parameters })
    }
}
