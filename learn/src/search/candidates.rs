//! Which networks suit these columns? What `network: auto` tries, the quick and the likely first.

use crate::features::{Column, ColumnKind};
use crate::spec::{
    Activation, AdamSpec, AdamwSpec, Augment, BatchSize, CellSpec, ConvSpec, DenseSpec, GradientBoostingSpec,
    LenetSpec, LinearSpec, NetSpec, Normalization, OneCycleSchedule, Optimizer, RandomForestSpec, RecurrentSpec,
    ResnetSpec, Schedule, TextConvSpec, TrainSpec, WatchedMetric, WideAndDeepSpec,
};
use crate::{Target, Task};

/// A network to try, and how it is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What to call it.
    pub name: &'static str,
    /// The network.
    pub network: NetSpec,
    /// Its training: the model's, with another optimizer, schedule or batch.
    pub train: TrainSpec,
}

/// The networks that suit these columns, in the order in which to try them.
pub fn candidates(columns: &[Column], target: &Target, train: &TrainSpec) -> Vec<Candidate> {
    let has = |is: fn(&ColumnKind) -> bool| columns.iter().any(|column| is(&column.kind));
    let mut watched = train.clone();
    if target.task == Task::Binary && watched.early_stopping.metric == WatchedMetric::Auto {
        watched.early_stopping.metric = WatchedMetric::Auc; // what versions of two classes are compared by
    }
    let of = Family { train: watched };
    let images = has(|kind| matches!(kind, ColumnKind::Image { .. }));
    let texts = has(|kind| matches!(kind, ColumnKind::Text { .. }));
    let series = has(|kind| matches!(kind, ColumnKind::Series { .. }));
    let mut all = vec![of.linear()];
    if images {
        all.extend(of.images());
    }
    if texts {
        all.extend(of.texts());
    }
    if series {
        all.extend(of.series());
    }
    if !images && !texts {
        all.extend(of.tables());
    }
    all
}

struct Family {
    train: TrainSpec,
}

impl Family {
    fn candidate(&self, name: &'static str, network: NetSpec, change: impl FnOnce(&mut TrainSpec)) -> Candidate {
        let mut train = self.train.clone();
        change(&mut train);
        Candidate { name, network, train }
    }

    fn linear(&self) -> Candidate {
        self.candidate("linear", NetSpec::Linear(LinearSpec {}), |train| {
            train.optimizer = adam(0.005);
        })
    }

    fn tables(&self) -> Vec<Candidate> {
        let dense = |hidden: &[usize], dropout| DenseSpec { hidden: hidden.to_vec(), dropout, ..DenseSpec::default() };
        vec![
            self.trees(
                "gradient boosting",
                NetSpec::GradientBoosting(GradientBoostingSpec { trees: 2_000, patience: 60, ..Default::default() }),
            ),
            self.trees(
                "random forest",
                NetSpec::RandomForest(RandomForestSpec { min_rows_per_leaf: 5, ..Default::default() }),
            ),
            self.candidate("dense 128-64", NetSpec::Dense(dense(&[128, 64], 0.0)), |train| {
                train.optimizer = adam(0.001);
            }),
            self.candidate("dense 256-128, dropout", NetSpec::Dense(dense(&[256, 128], 0.3)), |train| {
                train.optimizer = adam(0.002);
                train.batch_size = BatchSize::Rows(256);
            }),
            self.candidate("dense 64, much dropout", NetSpec::Dense(dense(&[64], 0.5)), |train| {
                train.optimizer = adam(0.001);
                train.batch_size = BatchSize::Rows(256);
                train.weight_decay = 0.00003;
            }),
            self.candidate("wide and deep", NetSpec::WideAndDeep(WideAndDeepSpec::default()), |train| {
                train.optimizer = adam(0.001);
            }),
            self.candidate(
                "dense 128-128-128, residual",
                NetSpec::Dense(DenseSpec {
                    hidden: vec![128; 3],
                    activation: Activation::Silu,
                    dropout: 0.1,
                    normalization: Normalization::Layer,
                    residual: true,
                }),
                |train| {
                    train.optimizer = adamw(0.002);
                    train.schedule = Schedule::OneCycle(OneCycleSchedule::default());
                    train.batch_size = BatchSize::Rows(256);
                },
            ),
            // Half the inputs and most rows for each tree make trees that err in other ways.
            self.trees(
                "gradient boosting, small steps",
                NetSpec::GradientBoosting(GradientBoostingSpec {
                    trees: 6_000,
                    learning_rate: 0.03,
                    leaves: 24,
                    l2: 1.0,
                    row_fraction: 0.8,
                    feature_fraction: 0.5,
                    patience: 200,
                    ..Default::default()
                }),
            ),
        ]
    }

    /// Trees, without what is said to networks only.
    fn trees(&self, name: &'static str, network: NetSpec) -> Candidate {
        self.candidate(name, network, |train| train.augment = Augment::default())
    }

    fn images(&self) -> Vec<Candidate> {
        let one_cycle = |train: &mut TrainSpec| {
            train.optimizer = adamw(0.003);
            train.schedule = Schedule::OneCycle(OneCycleSchedule::default());
        };
        vec![
            self.candidate("lenet", NetSpec::Lenet(LenetSpec { dropout: 0.2 }), |train| train.optimizer = adam(0.001)),
            self.candidate("conv", NetSpec::Conv(ConvSpec::default()), one_cycle),
            self.candidate("resnet", NetSpec::Resnet(ResnetSpec::default()), one_cycle),
        ]
    }

    fn texts(&self) -> Vec<Candidate> {
        let hidden = DenseSpec { hidden: vec![64], dropout: 0.5, ..DenseSpec::default() };
        vec![
            self.candidate("dense 64 over weighted terms", NetSpec::Dense(hidden), |train| {
                train.optimizer = adam(0.001);
            }),
            self.candidate("text_conv", NetSpec::TextConv(TextConvSpec::default()), |train| {
                train.optimizer = adam(0.001);
                train.batch_size = BatchSize::Rows(64);
            }),
            self.candidate("recurrent", self.recurrent(CellSpec::Gru, true), |train| train.optimizer = adam(0.001)),
        ]
    }

    fn series(&self) -> Vec<Candidate> {
        vec![
            self.candidate("recurrent, lstm", self.recurrent(CellSpec::Lstm, false), |train| {
                train.optimizer = adam(0.002);
            }),
            self.candidate("recurrent, gru", self.recurrent(CellSpec::Gru, false), |train| {
                train.optimizer = adam(0.002);
            }),
        ]
    }

    fn recurrent(&self, cell: CellSpec, bidirectional: bool) -> NetSpec {
        NetSpec::Recurrent(RecurrentSpec { cell, bidirectional, dropout: 0.2, ..RecurrentSpec::default() })
    }
}

fn adam(learning_rate: f64) -> Optimizer {
    Optimizer::Adam(AdamSpec { learning_rate, ..AdamSpec::default() })
}

fn adamw(learning_rate: f64) -> Optimizer {
    Optimizer::Adamw(AdamwSpec { learning_rate, ..AdamwSpec::default() })
}
