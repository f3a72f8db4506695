//! Does a model make sense? Columns, split, task, loss and threshold have to fit together.

use std::collections::BTreeSet;

use learn::features::Holidays;
use learn::spec::{
    CrossValidationSpec, DistanceTo, FeatureSpec, FeaturesSpec, FoldsBy, Loss, NumberSpec, SplitSpec, TaskSpec,
    Threshold, WatchedMetric,
};
use serde::Serialize;

use super::place::{join, join_index};
use super::raw::RawModel;
use super::resolve::Check;

impl Check<'_> {
    /// Checks one model.
    pub(super) fn model(&mut self, name: &str, model: &RawModel) {
        let path = join("models", name);
        self.table_exists(&join(&path, "table"), &model.table);
        if model.target.is_empty() {
            self.at_value(&join(&path, "target"), format!("{path}.target is empty; it names the column to predict"));
        }
        self.features(&path, model);
        self.window(&path, model);
        self.split(&path, model);
        self.folds(&path, model);
        self.learning(&path, model);
    }

    fn folds(&mut self, model_path: &str, model: &RawModel) {
        let Some(CrossValidationSpec { by, .. }) = &model.evaluate.cross_validation else { return };
        let (kind, by) = match by {
            FoldsBy::Random | FoldsBy::Stratified => return,
            FoldsBy::Group(by) => ("group", by),
            FoldsBy::Time(by) => ("time", by),
        };
        self.not_target(&format!("{model_path}.evaluate.cross_validation.by.{kind}"), &by.column, model);
    }

    fn features(&mut self, model_path: &str, model: &RawModel) {
        let path = join(model_path, "features");
        let FeaturesSpec { include, exclude, columns, products, crosses, distances, .. } = &model.features;
        for (key, list) in [("include", include), ("exclude", exclude)] {
            let mut seen = BTreeSet::new();
            for (index, column) in list.iter().enumerate() {
                let path = join_index(&join(&path, key), index);
                if !seen.insert(column) {
                    let shown = self.found.shown(&path, column);
                    self.at_value(&path, format!("{path}: column {shown} is in the list twice"));
                }
            }
        }
        for (index, column) in include.iter().enumerate() {
            let path = join_index(&join(&path, "include"), index);
            let shown = self.found.shown(&path, column);
            if exclude.contains(column) {
                self.at_value(&path, format!("{path}: column {shown} is in exclude too"));
            }
            if *column == model.target {
                self.at_value(&path, format!("{path}: column {shown} is the target; it cannot be a feature"));
            }
        }
        for (column, feature) in columns {
            let path = join(&join(&path, "columns"), column);
            if *column == model.target {
                self.at_key(&path, format!("{path}: column {column:?} is the target; it cannot be a feature"));
            } else if exclude.contains(column) {
                self.at_key(&path, format!("{path}: column {column:?} is in exclude too"));
            } else if !include.is_empty() && !include.contains(column) {
                self.at_key(&path, format!("{path}: column {column:?} is not in include"));
            }
            match feature {
                FeatureSpec::Number(number) => self.number(&join(&path, "number"), number),
                FeatureSpec::Date(date) => self.holidays(&join(&path, "date"), &date.holidays),
                _ => {}
            }
        }
        for (key, pairs) in [("products", products), ("crosses", crosses)] {
            for (index, pair) in pairs.iter().enumerate() {
                self.sources(&join_index(&join(&path, key), index), pair, model);
            }
        }
        for (index, distance) in distances.iter().enumerate() {
            let path = join_index(&join(&path, "distances"), index);
            self.sources(&join(&path, "from"), &distance.from, model);
            if let DistanceTo::Columns(to) = &distance.to {
                self.sources(&join(&join(&path, "to"), "columns"), to, model);
            }
        }
    }

    /// Ends of a number's range, in order and said once.
    fn number(&mut self, path: &str, number: &NumberSpec) {
        for (key, ends) in [("clip", number.clip), ("winsorize", number.winsorize)] {
            if let Some([low, high]) = ends
                && low >= high
            {
                let path = join(path, key);
                self.at_value(&path, format!("{path}: the lowest value has to be below the highest"));
            }
        }
        if number.clip.is_some() && number.winsorize.is_some() {
            let path = join(path, "winsorize");
            self.at_value(&path, format!("{path}: clip says what is let through already; keep one of them"));
        }
    }

    /// Days are days.
    fn holidays(&mut self, path: &str, days: &[String]) {
        for (index, day) in days.iter().enumerate() {
            let path = join_index(&join(path, "holidays"), index);
            if let Err(wrong) = Holidays::try_from(vec![day.clone()]) {
                self.at_value(&path, format!("{path}: {wrong}"));
            }
        }
    }

    /// Columns that a feature is made of.
    fn sources(&mut self, path: &str, columns: &[String; 2], model: &RawModel) {
        for (index, column) in columns.iter().enumerate().filter(|(_, column)| **column == model.target) {
            let path = join_index(path, index);
            let shown = self.found.shown(&path, column);
            self.at_value(&path, format!("{path}: column {shown} is the target; it cannot be a feature"));
        }
    }

    /// A column has one part to play in a window.
    fn window(&mut self, model_path: &str, model: &RawModel) {
        let Some(window) = &model.window else { return };
        let path = join(model_path, "window");
        let keys = window.key.iter().enumerate().map(|(at, name)| (join_index(&join(&path, "key"), at), name));
        let columns =
            window.columns.iter().enumerate().map(|(at, name)| (join_index(&join(&path, "columns"), at), name));
        let mut seen = BTreeSet::new();
        for (path, column) in keys.chain([(join(&path, "order"), &window.order)]).chain(columns) {
            let shown = self.found.shown(&path, column);
            if *column == model.target && path.contains(".columns[") {
                // Earlier values of the target would come with the value of the row itself.
                let remedy = "copy it under another name in the table's SQL, without the row's own value";
                self.at_value(&path, format!("{path}: column {shown} is the target; {remedy}"));
            } else if !seen.insert(column) {
                self.at_value(&path, format!("{path}: column {shown} is named in the window twice"));
            }
        }
        if window.min_steps > window.steps {
            let path = join(&path, "min_steps");
            let (least, steps) = (window.min_steps, window.steps);
            self.at_value(&path, format!("{path}: {least} is more than the {steps} steps of a window"));
        }
    }

    fn split(&mut self, model_path: &str, model: &RawModel) {
        let path = join(model_path, "split");
        let mut shares = |key: &str, validation: f64, test: f64| {
            if validation + test >= 1.0 {
                let path = join(&path, key);
                self.at_key(
                    &path,
                    format!("{path}: validation and test together leave no rows for training; keep their sum below 1"),
                );
            }
        };
        match &model.split {
            SplitSpec::Fraction(split) => shares("fraction", split.validation, split.test),
            SplitSpec::Time(split) => {
                shares("time", split.validation, split.test);
                self.not_target(&join(&path, "time"), &split.column, model);
            }
            SplitSpec::Group(split) => {
                shares("group", split.validation, split.test);
                self.not_target(&join(&path, "group"), &split.column, model);
            }
            SplitSpec::Column(split) => {
                let path = join(&path, "column");
                self.not_target(&path, &split.column, model);
                let values = [&split.train, &split.validation, &split.test];
                if values.iter().collect::<BTreeSet<_>>().len() < values.len() {
                    self.at_key(&path, format!("{path}: train, validation and test need three different values"));
                }
            }
            SplitSpec::Tables(split) => {
                let path = join(&path, "tables");
                for (key, table) in [("test", Some(&split.test)), ("validation", split.validation.as_ref())] {
                    let path = join(&path, key);
                    let Some(table) = table else { continue };
                    self.table_exists(&path, table);
                    if *table == model.table {
                        let shown = self.found.shown(&path, table);
                        self.at_value(&path, format!("{path}: {shown} is the table that the model learns from"));
                    }
                }
                if let Some(group) = &split.group {
                    let path = join(&path, "group");
                    let shown = self.found.shown(&path, group);
                    if *group == model.target {
                        let message = format!("{path}: column {shown} is the target; rows cannot be divided by it");
                        self.at_value(&path, message);
                    } else if split.validation.is_some() {
                        let message = format!("{path}: validation rows have a table of their own; leave the group out");
                        self.at_value(&path, message);
                    }
                }
                if split.validation.as_ref() == Some(&split.test) {
                    let path = join(&path, "validation");
                    self.at_value(&path, format!("{path}: the validation rows are the test rows"));
                }
            }
        }
    }

    fn not_target(&mut self, path: &str, column: &str, model: &RawModel) {
        if column == model.target {
            let path = join(path, "column");
            let shown = self.found.shown(&path, column);
            self.at_value(&path, format!("{path}: column {shown} is the target; rows cannot be divided by it"));
        }
    }

    /// Task, loss, watched metric and threshold have to belong together.
    fn learning(&mut self, path: &str, model: &RawModel) {
        if let Err(error) = learn::check_device(&model.train.device) {
            let path = format!("{path}.train.device");
            self.at_value(&path, format!("{path}: {error}"));
        }
        let (loss, metric) = (model.train.loss, model.train.early_stopping.metric);
        let classes_loss = matches!(loss, Loss::BinaryCrossEntropy | Loss::CategoricalCrossEntropy | Loss::Focal(_));
        let values_loss = matches!(loss, Loss::MeanAbsoluteError | Loss::Huber(_) | Loss::Quantile(_));
        let classes_metric = matches!(metric, WatchedMetric::Accuracy | WatchedMetric::Auc);
        let task = match model.task {
            TaskSpec::Auto if classes_loss => TaskSpec::Classification,
            TaskSpec::Auto if values_loss => TaskSpec::Regression,
            task => task,
        };
        let loss_path = format!("{path}.train.loss");
        let metric_path = format!("{path}.train.early_stopping.metric");
        let threshold_path = format!("{path}.evaluate.threshold");
        if task == TaskSpec::Regression {
            if classes_loss {
                self.at_value(
                    &loss_path,
                    format!(
                        "{loss_path}: {} is for classes; regression takes mean_squared_error, mean_absolute_error, huber \
                         or quantile",
                        loss.name()
                    ),
                );
            }
            if classes_metric {
                self.at_value(
                    &metric_path,
                    format!("{metric_path}: {} is for classes; regression takes loss or rmse", word(&metric)),
                );
            }
            if model.evaluate.threshold != Threshold::Auto {
                self.at_value(
                    &threshold_path,
                    format!("{threshold_path}: a threshold is for two classes; leave it out for regression"),
                );
            }
        }
        if task == TaskSpec::Classification && values_loss {
            self.at_value(
                &loss_path,
                format!(
                    "{loss_path}: {} is for regression; classification takes a cross-entropy, focal or \
                     mean_squared_error",
                    loss.name()
                ),
            );
        }
        if task == TaskSpec::Classification && metric == WatchedMetric::Rmse {
            self.at_value(
                &metric_path,
                format!("{metric_path}: rmse is for regression; classification takes loss, accuracy or auc"),
            );
        }
    }
}

/// A unit variant as it is written in the file.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
