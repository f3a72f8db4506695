use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::spec::{HalvingSpec, TpeSpec};

fn spec(method: TuneMethod, trials: Option<usize>, parameters: Value) -> TuneSpec {
    let parameters: BTreeMap<_, _> = serde_json::from_value(parameters).unwrap();
    TuneSpec { method, trials, time: None, metric: Default::default(), at_once: None, seed: 1, parameters }
}

/// Carries a search through; gives every trial's settings and score.
fn carry(spec: &TuneSpec, longest: Option<usize>, score: impl Fn(&Value) -> Option<f64>) -> Vec<(Value, Option<f64>)> {
    let mut search = Search::new(spec, longest).unwrap();
    let mut all = Vec::new();
    loop {
        let batch = search.ask();
        if batch.is_empty() {
            return all;
        }
        let values: Vec<Value> = batch
            .iter()
            .map(|trial| trial.settings.iter().cloned().collect::<serde_json::Map<_, _>>().into())
            .collect();
        let scores: Vec<Option<f64>> = values.iter().map(&score).collect();
        search.tell(&scores);
        all.extend(values.into_iter().zip(scores));
        assert!(all.len() <= search.trials());
    }
}

fn best(trials: &[(Value, Option<f64>)]) -> f64 {
    trials.iter().filter_map(|(_, score)| *score).fold(f64::INFINITY, f64::min)
}

#[test]
fn a_grid_has_every_combination_once_and_leaves_out_what_has_no_room() {
    let parameters = json!({
        "network": ["linear", "dense", { "wide_and_deep": {} }],
        "network.dense.dropout": { "min": 0.0, "max": 0.5, "step": 0.25 },
        "train.optimizer.adam.learning_rate": { "min": 0.0001, "max": 1.0, "scale": "log" },
        "train.batch_size": { "min": 16, "max": 17, "integer": true },
    });
    let trials = carry(&spec(TuneMethod::Grid, None, parameters.clone()), None, |_| Some(0.0));
    // (linear + wide_and_deep + 3 of dense) x 2 batch sizes x 5 step sizes
    assert_eq!(trials.len(), 5 * 2 * 5);
    let distinct: HashSet<String> = trials.iter().map(|(settings, _)| settings.to_string()).collect();
    assert_eq!(distinct.len(), trials.len());
    for (settings, _) in &trials {
        assert_eq!(settings["network"] == "dense", settings.get("network.dense.dropout").is_some(), "{settings}");
        assert!(settings["train.batch_size"].is_i64());
    }
    let rates: HashSet<String> =
        trials.iter().map(|(settings, _)| settings["train.optimizer.adam.learning_rate"].to_string()).collect();
    assert_eq!(rates, ["0.0001", "0.001", "0.01", "0.1", "1.0"].map(str::to_owned).into());
    let part = carry(&spec(TuneMethod::Grid, Some(7), parameters), None, |_| Some(0.0));
    assert_eq!(part.len(), 7);
    let networks: HashSet<String> = part.iter().map(|(settings, _)| settings["network"].to_string()).collect();
    assert!(networks.len() > 1, "a part of a grid is spread over it");
}

#[test]
fn random_points_fill_the_range_on_its_scale() {
    let parameters = json!({
        "a": { "min": 1e-4, "max": 1.0, "scale": "log" },
        "b": { "min": -1, "max": 3, "integer": true },
        "c": [true, false],
    });
    let trials = carry(&spec(TuneMethod::Random, Some(2_000), parameters), None, |_| Some(0.0));
    let small = trials.iter().filter(|(settings, _)| settings["a"].as_f64().unwrap() < 0.01).count();
    assert!((900..1_100).contains(&small), "half of them are below 0.01, the middle of the scale: {small}");
    for b in -1..=3 {
        let count = trials.iter().filter(|(settings, _)| settings["b"] == json!(b)).count();
        assert!((300..500).contains(&count), "{b}: {count}");
    }
    assert!(trials.iter().all(|(settings, _)| (1e-4..=1.0).contains(&settings["a"].as_f64().unwrap())));
}

#[test]
fn a_space_that_is_used_up_ends_the_search() {
    let parameters = json!({ "a": [1, 2, 3], "b": [true, false] });
    for method in [TuneMethod::Random, TuneMethod::Tpe(TpeSpec::default())] {
        let trials = carry(&spec(method, Some(50), parameters.clone()), None, |_| Some(0.0));
        let distinct: HashSet<String> = trials.iter().map(|(settings, _)| settings.to_string()).collect();
        assert_eq!((trials.len(), distinct.len()), (6, 6));
    }
}

/// Branin's function (Dixon and Szego 1978), whose least value is 0.397887, with one more choice that shifts it.
fn branin(settings: &Value) -> Option<f64> {
    let (x, y) = (settings["x"].as_f64().unwrap(), settings["y"].as_f64().unwrap());
    let pi = std::f64::consts::PI;
    let bowl = (y - 5.1 / (4.0 * pi * pi) * x * x + 5.0 / pi * x - 6.0).powi(2);
    let shift = if settings["z"] == "good" { 0.0 } else { 10.0 };
    Some(bowl + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * x.cos() + 10.0 + shift)
}

#[test]
fn parzen_estimators_find_better_points_than_chance() {
    let parameters = json!({
        "x": { "min": -5.0, "max": 10.0 },
        "y": { "min": 0.0, "max": 15.0 },
        "z": ["bad", "good", "worse", "worst"],
    });
    let (mut wins, mut sums) = (0, [0.0, 0.0]);
    for seed in 0..20 {
        let run = |method| {
            let spec = TuneSpec { seed, ..spec(method, Some(60), parameters.clone()) };
            best(&carry(&spec, None, branin)) - 0.397_887
        };
        let (tpe, random) = (run(TuneMethod::Tpe(TpeSpec::default())), run(TuneMethod::Random));
        assert!(tpe > -1e-6 && random > -1e-6);
        wins += usize::from(tpe < random);
        sums = [sums[0] + tpe, sums[1] + random];
    }
    assert!(wins >= 15, "{wins} of 20, regrets {sums:?}");
    assert!(sums[0] < 0.6 * sums[1], "regrets {sums:?}");
}

#[test]
fn trials_that_failed_are_kept_away_from() {
    let parameters = json!({ "x": { "min": 0.0, "max": 1.0 } });
    let fails = |settings: &Value| settings["x"].as_f64().filter(|x| *x < 0.5);
    let trials = carry(&spec(TuneMethod::Tpe(TpeSpec::default()), Some(60), parameters), None, fails);
    let failed = trials[20..].iter().filter(|(_, score)| score.is_none()).count();
    assert!(failed < 8, "{failed} of 40");
}

#[test]
fn halving_promotes_the_best_of_each_rung() {
    let parameters = json!({ "x": { "min": 0.0, "max": 1.0 } });
    let method = TuneMethod::Halving(HalvingSpec::default());
    // The longer a trial, the better; some fail.
    let score = |settings: &Value| {
        let x = settings["x"].as_f64().unwrap();
        (x < 0.9).then_some(x + 1.0 / settings["train.epochs"].as_f64().unwrap())
    };
    let trials = carry(&spec(method, Some(27), parameters), Some(30), score);
    let of = |epochs: u64| -> Vec<&(Value, Option<f64>)> {
        trials.iter().filter(|(settings, _)| settings["train.epochs"] == epochs).collect()
    };
    let counts: Vec<usize> = [1, 3, 10, 30].map(|epochs| of(epochs).len()).into();
    assert_eq!(counts, [27, 9, 3, 1]);
    for (before, after) in [(1, 3), (3, 10), (10, 30)] {
        let value = |trial: &&(Value, Option<f64>)| trial.0["x"].as_f64().unwrap();
        let mut sorted: Vec<f64> = of(before).iter().map(value).collect();
        sorted.sort_by(f64::total_cmp);
        let promoted: Vec<f64> = of(after).iter().map(value).collect();
        assert_eq!(promoted, sorted[..promoted.len()], "the best {} of the rung", promoted.len());
    }
}

#[test]
fn a_rung_where_all_fail_is_the_last() {
    let parameters = json!({ "x": { "min": 0.0, "max": 1.0 } });
    let method = TuneMethod::Halving(HalvingSpec::default());
    assert_eq!(carry(&spec(method, Some(9), parameters), Some(9), |_| None).len(), 9);
}

#[test]
fn the_same_seed_asks_for_the_same_trials_whatever_was_cut_off() {
    let parameters = json!({ "x": { "min": 0.01, "max": 1.0, "scale": "log" }, "y": [1, 2, 3] });
    let score = |settings: &Value| Some((settings["x"].as_f64().unwrap() - 0.3).abs());
    for method in [TuneMethod::Tpe(TpeSpec::default()), TuneMethod::Halving(HalvingSpec::default())] {
        let spec = spec(method, Some(24), parameters.clone());
        let whole = carry(&spec, Some(20), score);
        assert_eq!(whole, carry(&spec, Some(20), score));
        assert_ne!(whole, carry(&TuneSpec { seed: 2, ..spec.clone() }, Some(20), score));
        // Asked twice for the same batch, as after a kill.
        let mut search = Search::new(&spec, Some(20)).unwrap();
        assert_eq!(search.ask(), search.ask());
    }
}

#[test]
fn ranges_without_values_are_refused() {
    let check = |range: Value, expected: &str| {
        let spec = spec(TuneMethod::Random, None, json!({ "train.l1": range }));
        let error = Search::new(&spec, None).unwrap_err().to_string();
        assert!(error.contains("\"train.l1\"") && error.contains(expected), "{error}");
    };
    check(json!([]), "an empty list");
    check(json!({ "min": 2, "max": 1 }), "min 2 is above max 1");
    check(json!({ "min": 0, "max": 1, "scale": "log" }), "a log scale has to begin above 0");
    check(json!({ "min": 1, "max": 2, "step": 0.0 }), "step has to be above 0");
    check(json!({ "min": 1, "max": 2, "scale": "log", "step": 1.0 }), "a step is for a linear scale");
    check(json!({ "min": 1.5, "max": 2, "integer": true }), "whole numbers");
    let none = Search::new(&spec(TuneMethod::Grid, None, json!({})), None).unwrap_err();
    assert!(none.to_string().contains("nothing to try"));
    let huge = json!({ "a": { "min": 0, "max": 1_000, "step": 1.0 }, "b": { "min": 0, "max": 1_000, "step": 1.0 } });
    let error = Search::new(&spec(TuneMethod::Grid, None, huge), None).unwrap_err();
    assert!(error.to_string().contains("10000 combinations"), "{error}");
}

#[test]
fn candidates_follow_the_columns() {
    use crate::features::{Column, ColumnKind, Prepared};
    use crate::spec::{NetSpec, TrainSpec, WatchedMetric};
    let column = |kind| Column { name: "x".into(), kind, missing: 0, example: Value::Null, prepared: Prepared::Plain };
    let number = || column(ColumnKind::Number { min: 0.0, max: 1.0, integer: false });
    let image = || column(ColumnKind::Image { height: 8, width: 8, channels: 1, raw: None });
    let of = |columns: &[Column], classes: usize| {
        candidates(columns, &crate::net::tests::target(classes), &TrainSpec::default())
    };
    let tables = of(&[number(), column(ColumnKind::Boolean)], 2);
    assert!(matches!(tables[0].network, NetSpec::Linear(_)), "the quickest first");
    assert!(tables.iter().filter(|one| matches!(one.network, NetSpec::Dense(_))).count() >= 3);
    assert!(tables.iter().all(|one| one.train.early_stopping.metric == WatchedMetric::Auc));
    let images = of(&[image(), number()], 10);
    assert!(images.iter().any(|one| matches!(one.network, NetSpec::Conv(_))));
    assert!(images.iter().all(|one| one.train.early_stopping.metric == WatchedMetric::Auto));
}
