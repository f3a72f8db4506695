//! Which values may a key have? Struct, key, and what JSON Schema says of it.

use serde_json::{Value, json};

/// A struct, one of its keys, and the keywords of JSON Schema that hold its values in bounds.
type Bound = (&'static str, &'static str, Value);

/// Bounds of single keys: type, key, keywords of JSON Schema.
pub(super) fn bounds() -> Vec<Bound> {
    [of_sources(), of_sections(), of_streams(), of_expectations(), of_training(), of_networks()].concat()
}

/// Of what has to hold for rows.
fn of_expectations() -> Vec<Bound> {
    let allowed = |kind| (kind, "at_most", json!({ "minimum": 0, "exclusiveMaximum": 1 }));
    vec![
        allowed("NotNullCheck"),
        allowed("UniqueCheck"),
        allowed("RangeCheck"),
        allowed("MatchesCheck"),
        allowed("OneOfCheck"),
        allowed("ForeignKeyCheck"),
        allowed("SqlCheck"),
        ("UniqueCheck", "columns", json!({ "minItems": 1, "maxItems": 64 })),
        ("OneOfCheck", "values", json!({ "minItems": 1, "maxItems": 10_000 })),
        ("FreshCheck", "within_h", json!({ "exclusiveMinimum": 0, "maximum": 1_000_000 })),
        ("DriftCheck", "columns_share", json!({ "exclusiveMinimum": 0, "maximum": 1 })),
        ("DriftCheck", "p_value", json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 })),
        ("DriftCheck", "distance", json!({ "exclusiveMinimum": 0 })),
    ]
}

/// Of streams.
fn of_streams() -> Vec<Bound> {
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    vec![
        ("StreamSpec", "sample_rows", count(1_000_000)),
        ("StreamSpec", "segment_rows_max", count(10_000_000)),
        ("StreamSpec", "segment_bytes_max", json!({ "minimum": 1_024, "maximum": 1_u64 << 32 })),
        ("StreamSpec", "segment_age_ms_max", count(86_400_000)),
        ("StreamSpec", "lateness_s", json!({ "maximum": 3_155_760_000_u64 })),
        ("StreamSpec", "clock_skew_s", json!({ "maximum": 3_155_760_000_u64 })),
        ("StreamSpec", "retention_bytes_max", json!({ "minimum": 1 })),
        ("StreamSpec", "retention_days", count(36_525)),
        ("StreamSpec", "poison_bytes_max", json!({ "maximum": 1_u64 << 40 })),
        ("RedisSpec", "timeout_s", count(3_600)),
        ("NatsSpec", "timeout_s", count(3_600)),
        ("NatsSpec", "ack_wait_s", count(86_400)),
        ("MqttSpec", "timeout_s", count(3_600)),
        ("MqttSpec", "topics", json!({ "minItems": 1, "maxItems": 1_000 })),
        ("KafkaSpec", "servers", json!({ "minItems": 1, "maxItems": 1_000 })),
        ("KafkaSpec", "topics", json!({ "minItems": 1, "maxItems": 1_000 })),
        ("KafkaSpec", "session_s", count(1_800)),
        ("KafkaSpec", "timeout_s", count(3_600)),
        ("IngestSpec", "queue_bytes_max", json!({ "minimum": 1_024, "maximum": 1_u64 << 40 })),
        ("PrometheusWriteSpec", "queue_bytes_max", json!({ "minimum": 1_024, "maximum": 1_u64 << 40 })),
        ("PrometheusSpec", "timeout_s", count(3_600)),
        ("PrometheusSpec", "step_s", count(31_557_600)),
        ("PrometheusSpec", "last_s", count(3_155_760_000)),
        ("SyslogSpec", "message_bytes_max", json!({ "minimum": 480, "maximum": 1 << 20 })),
        ("SyslogSpec", "queue_bytes_max", json!({ "minimum": 65_536, "maximum": 1_u64 << 32 })),
        ("SyslogSpec", "connections_max", count(65_536)),
        ("HostSpec", "every_s", count(86_400)),
    ]
}

/// Of sources that are read when they are asked.
fn of_sources() -> Vec<Bound> {
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    vec![
        ("CsvSpec", "sample_rows", count(100_000_000)),
        ("JsonSpec", "sample_rows", count(100_000_000)),
        ("SqliteSpec", "sample_rows", count(100_000_000)),
        ("DatabaseSpec", "timeout_s", count(3_600)),
        ("FlightSqlSpec", "timeout_s", count(3_600)),
        ("LogsSpec", "event_bytes_max", json!({ "minimum": 256, "maximum": 64 << 20 })),
        ("LogsSpec", "similarity_percent", count(100)),
        ("LogsSpec", "templates_max", count(100_000)),
        ("LogsSpec", "year", json!({ "minimum": 1970, "maximum": 2099 })),
        ("ExcelSpec", "skip_rows", json!({ "maximum": 1_048_576 })),
        ("StoreSpec", "timeout_s", count(3_600)),
    ]
}

/// Of splits, features, evaluation, endpoints and the server.
fn of_sections() -> Vec<Bound> {
    let share = || json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 });
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    vec![
        ("FractionSplit", "validation", share()),
        ("FractionSplit", "test", share()),
        ("TimeSplit", "validation", share()),
        ("TimeSplit", "test", share()),
        ("TablesSplit", "validation_fraction", share()),
        ("EvaluateSpec", "importance_rows_max", json!({ "maximum": 1_000_000 })),
        ("EvaluateSpec", "worst_max", json!({ "maximum": 1_000 })),
        ("EvaluateSpec", "background_rows_max", json!({ "maximum": 1_000 })),
        ("CrossValidationSpec", "folds", json!({ "minimum": 2, "maximum": 100 })),
        ("CategorySpec", "values_max", count(100_000)),
        ("EmbeddingSpec", "dimension", count(1_024)),
        ("ImageSpec", "width", count(1_024)),
        ("ImageSpec", "height", count(1_024)),
        ("GroupSplit", "validation", share()),
        ("GroupSplit", "test", share()),
        ("WindowSpec", "steps", count(4_096)),
        ("WindowSpec", "columns", json!({ "minItems": 1 })),
        ("WindowSpec", "stride", count(1_000_000)),
        ("WindowSpec", "min_steps", count(4_096)),
        ("TextSpec", "length_max", count(4_096)),
        ("TextSpec", "vocabulary_max", count(1_000_000)),
        ("TextSpec", "ngram_range", json!({ "items": { "type": "integer", "minimum": 1, "maximum": 8 } })),
        ("TextSpec", "character_ngrams", json!({ "items": { "type": "integer", "minimum": 1, "maximum": 8 } })),
        ("SeriesSpec", "steps", count(4_096)),
        ("SeriesSpec", "fourier", json!({ "items": { "type": "number", "minimum": 2, "maximum": 4_096 } })),
        ("SeriesSpec", "seasons", json!({ "items": { "type": "integer", "minimum": 1, "maximum": 4_095 } })),
        ("NumberSpec", "winsorize", json!({ "items": { "type": "number", "minimum": 0, "maximum": 1 } })),
        ("BinsSpec", "count", json!({ "minimum": 2, "maximum": 1_000 })),
        ("NeighboursSpec", "count", count(100)),
        ("NeighboursSpec", "rows_max", json!({ "minimum": 10, "maximum": 10_000 })),
        ("QuantileScaleSpec", "quantiles", json!({ "minimum": 2, "maximum": 1_000 })),
        ("HashingSpec", "buckets", json!({ "minimum": 2, "maximum": 100_000 })),
        ("TargetEncodingSpec", "smoothing", json!({ "minimum": 0 })),
        ("TargetEncodingSpec", "folds", json!({ "minimum": 2, "maximum": 100 })),
        ("DateSpec", "holidays", json!({ "maxItems": 10_000 })),
        ("FeaturesSpec", "products", json!({ "maxItems": 1_000 })),
        ("FeaturesSpec", "crosses", json!({ "maxItems": 1_000 })),
        ("FeaturesSpec", "distances", json!({ "maxItems": 1_000 })),
        ("SelectSpec", "variance_min", json!({ "minimum": 0 })),
        ("SelectSpec", "correlation_max", json!({ "exclusiveMinimum": 0, "maximum": 1 })),
        ("SelectSpec", "mutual_information_top", count(1_000_000)),
        ("DateSpec", "parts", json!({ "minItems": 1 })),
        ("TuneSpec", "trials", count(10_000)),
        ("TuneSpec", "at_once", count(256)),
        ("TpeSpec", "startup", count(10_000)),
        ("TpeSpec", "good_share", share()),
        ("TpeSpec", "candidates", count(10_000)),
        ("HalvingSpec", "min", count(1_000_000)),
        ("HalvingSpec", "factor", json!({ "minimum": 2, "maximum": 1_000 })),
        ("RawEndpoint", "confidence_min", json!({ "minimum": 0, "maximum": 1 })),
        ("RawEndpoint", "queue_max", count(1_000_000)),
        ("ServerSpec", "body_bytes_max", json!({ "minimum": 1_024, "maximum": 1_u64 << 32 })),
        ("ServerSpec", "request_timeout_ms", count(3_600_000)),
        ("ServerSpec", "drain_timeout_ms", json!({ "maximum": 3_600_000 })),
        ("SnapshotsSpec", "unused_kept", count(10_000)),
        ("ClusterSpec", "parts", count(10_000)),
        ("MemorySpec", "rows_bytes_max", json!({ "minimum": 1 << 20, "maximum": 1_u64 << 50 })),
    ]
}

/// Of training, optimisers, losses and schedules.
fn of_training() -> Vec<Bound> {
    let share = || json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 });
    let below_one = || json!({ "minimum": 0, "exclusiveMaximum": 1 });
    let above_zero = || json!({ "exclusiveMinimum": 0 });
    let part = || json!({ "exclusiveMinimum": 0, "maximum": 1 });
    let rest = || json!({ "minimum": 0, "maximum": 1 });
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    vec![
        ("TrainSpec", "epochs", count(1_000_000)),
        ("TrainSpec", "label_smoothing", below_one()),
        ("TrainSpec", "class_weights", json!({ "additionalProperties": { "type": "number", "minimum": 0 } })),
        ("TrainSpec", "weight_decay", json!({ "minimum": 0 })),
        ("TrainSpec", "l1", json!({ "minimum": 0 })),
        ("TrainSpec", "clip_norm", above_zero()),
        ("TrainSpec", "clip_value", above_zero()),
        ("TrainSpec", "accumulate", count(1_000_000)),
        ("ImageAugment", "rotate", json!({ "minimum": 0, "maximum": 180 })),
        ("ImageAugment", "scale", below_one()),
        ("ImageAugment", "shift", below_one()),
        ("ImageAugment", "crop", json!({ "maximum": 1_024 })),
        ("ImageAugment", "brightness", rest()),
        ("ImageAugment", "noise", rest()),
        ("ImageAugment", "cutout", json!({ "maximum": 1_024 })),
        ("ImageAugment", "mixup", json!({ "minimum": 0, "maximum": 10 })),
        ("TextAugment", "token_dropout", below_one()),
        ("SeriesAugment", "jitter", json!({ "minimum": 0 })),
        ("SeriesAugment", "scale", json!({ "minimum": 0 })),
        ("SeriesAugment", "window", part()),
        ("SgdSpec", "learning_rate", above_zero()),
        ("SgdSpec", "momentum", below_one()),
        ("AdamSpec", "learning_rate", above_zero()),
        ("AdamSpec", "beta1", below_one()),
        ("AdamSpec", "beta2", below_one()),
        ("AdamSpec", "epsilon", above_zero()),
        ("AdamwSpec", "learning_rate", above_zero()),
        ("AdamwSpec", "beta1", below_one()),
        ("AdamwSpec", "beta2", below_one()),
        ("AdamwSpec", "epsilon", above_zero()),
        ("AdamwSpec", "weight_decay", json!({ "minimum": 0 })),
        ("AdagradSpec", "learning_rate", above_zero()),
        ("AdagradSpec", "epsilon", above_zero()),
        ("AdadeltaSpec", "learning_rate", above_zero()),
        ("AdadeltaSpec", "rho", below_one()),
        ("AdadeltaSpec", "epsilon", above_zero()),
        ("RmspropSpec", "learning_rate", above_zero()),
        ("RmspropSpec", "alpha", below_one()),
        ("RmspropSpec", "momentum", below_one()),
        ("RmspropSpec", "epsilon", above_zero()),
        ("HuberSpec", "delta", above_zero()),
        ("QuantileSpec", "quantile", share()),
        ("FocalSpec", "gamma", json!({ "minimum": 0 })),
        ("ConstantSchedule", "warm_up_epochs", json!({ "minimum": 0 })),
        ("StepSchedule", "every_epochs", count(1_000_000)),
        ("StepSchedule", "factor", part()),
        ("StepSchedule", "warm_up_epochs", json!({ "minimum": 0 })),
        ("LinearSchedule", "final_fraction", rest()),
        ("LinearSchedule", "warm_up_epochs", json!({ "minimum": 0 })),
        ("CosineSchedule", "final_fraction", rest()),
        ("CosineSchedule", "warm_up_epochs", json!({ "minimum": 0 })),
        ("OneCycleSchedule", "rise", share()),
        ("OneCycleSchedule", "initial_fraction", part()),
        ("OneCycleSchedule", "final_fraction", rest()),
        ("PlateauSchedule", "patience", count(1_000_000)),
        ("PlateauSchedule", "factor", share()),
        ("PlateauSchedule", "min_delta", json!({ "minimum": 0 })),
        ("PlateauSchedule", "min_fraction", rest()),
        ("PlateauSchedule", "warm_up_epochs", json!({ "minimum": 0 })),
        ("EarlyStopping", "patience", count(1_000_000)),
        ("EarlyStopping", "min_delta", json!({ "minimum": 0 })),
    ]
}

/// Of networks.
fn of_networks() -> Vec<Bound> {
    let below_one = || json!({ "minimum": 0, "exclusiveMaximum": 1 });
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    let part = || json!({ "exclusiveMinimum": 0, "maximum": 1 });
    let units = || json!({ "maxItems": 64, "items": { "type": "integer", "minimum": 1, "maximum": 65_536 } });
    vec![
        ("EnsembleSpec", "members", json!({ "minItems": 1, "maxItems": 64 })),
        ("DenseSpec", "hidden", units()),
        ("DenseSpec", "dropout", below_one()),
        ("WideAndDeepSpec", "hidden", units()),
        ("WideAndDeepSpec", "dropout", below_one()),
        ("AutoencoderSpec", "hidden", units()),
        ("AutoencoderSpec", "code", count(65_536)),
        ("AutoencoderSpec", "noise", below_one()),
        ("AutoencoderSpec", "dropout", below_one()),
        ("ConvSpec", "kernel", json!({ "enum": [1, 3, 5, 7] })),
        ("ConvSpec", "hidden", units()),
        ("ConvSpec", "dropout", below_one()),
        ("LenetSpec", "dropout", below_one()),
        ("ResnetSpec", "depth", json!({ "enum": [18, 20, 32, 44, 56] })),
        ("ResnetSpec", "dropout", below_one()),
        ("TextConvSpec", "dimension", count(65_536)),
        ("TextConvSpec", "widths", json!({ "items": { "type": "integer", "minimum": 1, "maximum": 15 } })),
        ("TextConvSpec", "channels", count(65_536)),
        ("TextConvSpec", "dropout", below_one()),
        ("RecurrentSpec", "units", units()),
        ("RecurrentSpec", "dimension", count(65_536)),
        ("RecurrentSpec", "hidden", units()),
        ("RecurrentSpec", "dropout", below_one()),
        ("TransformerSpec", "width", count(65_536)),
        ("TransformerSpec", "layers", count(48)),
        ("TransformerSpec", "heads", count(65_536)),
        ("TransformerSpec", "feed_forward", count(65_536)),
        ("TransformerSpec", "dropout", below_one()),
        ("BertSpec", "dropout", below_one()),
        ("EfficientnetLite0Spec", "dropout", below_one()),
        ("GradientBoostingSpec", "trees", count(100_000)),
        ("GradientBoostingSpec", "learning_rate", json!({ "exclusiveMinimum": 0 })),
        ("GradientBoostingSpec", "leaves", json!({ "minimum": 2, "maximum": 65_536 })),
        ("GradientBoostingSpec", "max_depth", count(256)),
        ("GradientBoostingSpec", "min_hessian_per_leaf", json!({ "minimum": 0 })),
        ("GradientBoostingSpec", "l2", json!({ "minimum": 0 })),
        ("GradientBoostingSpec", "min_gain", json!({ "minimum": 0 })),
        ("GradientBoostingSpec", "bins", json!({ "minimum": 2, "maximum": 255 })),
        ("GradientBoostingSpec", "row_fraction", part()),
        ("GradientBoostingSpec", "feature_fraction", part()),
        ("GradientBoostingSpec", "patience", count(1_000_000)),
        ("RandomForestSpec", "trees", count(100_000)),
        ("RandomForestSpec", "max_depth", count(256)),
        ("RandomForestSpec", "bins", json!({ "minimum": 2, "maximum": 255 })),
        ("RandomForestSpec", "row_fraction", part()),
        ("RandomForestSpec", "features_per_split", part()),
    ]
}
