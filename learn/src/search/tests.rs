use serde_json::json;

use super::*;
use crate::spec::{GridSpec, HalvingSpec, RandomSpec, RangeSpec, TpeSpec};

fn space() -> BTreeMap<String, RangeSpec> {
    BTreeMap::from([
        ("train.batch_size".to_owned(), RangeSpec::LogInt([8, 512])),
        ("train.optimizer.adam.learning_rate".to_owned(), RangeSpec::LogUniform([1e-5, 1.0])),
        ("network.dense.dropout".to_owned(), RangeSpec::Uniform([0.0, 0.9])),
        ("network.dense.hidden".to_owned(), RangeSpec::Choice(vec![json!([64]), json!([128, 64]), json!([])])),
        ("train.epochs".to_owned(), RangeSpec::Int([1, 5])),
    ])
}

fn spec(strategy: StrategySpec, trials: usize, seed: u64) -> TuneSpec {
    TuneSpec { space: space(), strategy, trials, seed, ..TuneSpec::default() }
}

/// A known function: 0 at a learning rate of 0.01, a dropout of 0.2, [128, 64], a batch of 32 and 3 epochs.
fn cost(setting: &Map<String, Value>) -> f64 {
    let number = |path: &str| setting[path].as_f64().unwrap();
    let rate = (number("train.optimizer.adam.learning_rate").log10() + 2.0).powi(2);
    let batch = (number("train.batch_size").log2() - 5.0).powi(2) / 4.0;
    let hidden = if setting["network.dense.hidden"] == json!([128, 64]) { 0.0 } else { 0.5 };
    rate + batch
        + hidden
        + 4.0 * (number("network.dense.dropout") - 0.2).powi(2)
        + (number("train.epochs") - 3.0).abs() / 4.0
}

/// Runs a search; gives the settings in order and the lowest cost.
fn run(spec: &TuneSpec) -> (Vec<Map<String, Value>>, f64) {
    let search = Search::new(spec).unwrap();
    let (mut done, mut settings, mut best) = (Worths::new(), BTreeMap::new(), f64::INFINITY);
    loop {
        let jobs = search.next(&done, 1, false);
        if jobs.is_empty() {
            return (settings.into_values().collect(), best);
        }
        for job in jobs {
            let found = cost(&job.setting);
            best = best.min(found);
            done.insert((job.trial, job.rung), Some(found));
            settings.insert(job.trial, job.setting);
        }
    }
}

fn tpe() -> StrategySpec {
    StrategySpec::Tpe(TpeSpec::default())
}

fn random() -> StrategySpec {
    StrategySpec::Random(RandomSpec {})
}

#[test]
fn an_estimator_finds_better_settings_than_chance() {
    let mean =
        |strategy: &StrategySpec| (0..20).map(|seed| run(&spec(strategy.clone(), 60, seed)).1).sum::<f64>() / 20.0;
    let (by_tpe, by_chance) = (mean(&tpe()), mean(&random()));
    assert!(by_tpe < 0.7 * by_chance, "{by_tpe} for {by_chance}");
}

#[test]
fn the_seed_alone_decides_and_values_lie_in_their_ranges() {
    for strategy in [random(), tpe()] {
        let (settings, _) = run(&spec(strategy.clone(), 40, 7));
        assert_eq!(settings, run(&spec(strategy.clone(), 40, 7)).0);
        assert_ne!(settings, run(&spec(strategy, 40, 8)).0);
        assert_eq!(settings.len(), 40);
        for setting in settings {
            let number = |path: &str| setting[path].as_f64().unwrap();
            assert!((1e-5..=1.0).contains(&number("train.optimizer.adam.learning_rate")));
            assert!((0.0..=0.9).contains(&number("network.dense.dropout")));
            assert!((8..=512).contains(&setting["train.batch_size"].as_i64().unwrap()));
            assert!((1..=5).contains(&setting["train.epochs"].as_i64().unwrap()));
            assert!(setting["network.dense.hidden"].is_array());
        }
    }
}

#[test]
fn neither_order_nor_stops_change_what_is_tried() {
    for strategy in [random(), tpe(), StrategySpec::Halving(HalvingSpec::default())] {
        let spec = spec(strategy, 30, 3);
        let search = Search::new(&spec).unwrap();
        let visit = |backwards: bool| {
            let (mut done, mut settings) = (Worths::new(), BTreeMap::new());
            loop {
                // Asked anew after each job, as after a kill.
                let mut jobs = search.next(&done, 27, true);
                if backwards {
                    jobs.reverse();
                }
                let Some(job) = jobs.into_iter().next() else { return settings };
                let failed = job.trial % 7 == 3;
                done.insert((job.trial, job.rung), (!failed).then(|| -cost(&job.setting)));
                settings.insert((job.trial, job.rung), (job.setting, job.epochs));
            }
        };
        assert_eq!(visit(false), visit(true), "{:?}", spec.strategy);
    }
}

#[test]
fn trials_that_failed_are_avoided_and_do_not_stop_the_search() {
    let spec =
        TuneSpec { space: BTreeMap::from([("x".to_owned(), RangeSpec::Uniform([0.0, 1.0]))]), ..spec(tpe(), 80, 1) };
    let search = Search::new(&spec).unwrap();
    let (mut done, mut late) = (Worths::new(), vec![]);
    loop {
        let jobs = search.next(&done, 1, true);
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            let x = job.setting["x"].as_f64().unwrap();
            if job.trial >= 40 {
                late.push(x);
            }
            done.insert((job.trial, 0), (x < 0.5).then_some(x));
        }
    }
    // The best lies on the edge, so some fail; far beyond it next to nothing is tried.
    let far = late.iter().filter(|x| **x >= 0.7).count();
    assert!(far * 8 < late.len(), "{late:?}");
    assert!(late.iter().any(|x| (0.45..0.5).contains(x)), "{late:?}");
}

#[test]
fn a_grid_holds_every_combination_once() {
    let grid = |points, trials| spec(StrategySpec::Grid(GridSpec { points }), trials, 1);
    let (settings, _) = run(&grid(3, 1_000));
    assert_eq!(settings.len(), 3 * 3 * 3 * 3 * 3);
    let distinct: std::collections::BTreeSet<String> =
        settings.iter().map(|setting| json!(setting).to_string()).collect();
    assert_eq!(distinct.len(), settings.len());
    let values = |path: &str| {
        let mut values: Vec<String> = settings.iter().map(|setting| setting[path].to_string()).collect();
        values.sort();
        values.dedup();
        values
    };
    assert_eq!(values("train.batch_size"), ["512", "64", "8"]);
    assert_eq!(values("network.dense.dropout"), ["0.0", "0.45", "0.9"]);
    // Some of them where there are too many.
    let (some, _) = run(&grid(3, 50));
    assert_eq!(some.len(), 50);
    assert!(some.iter().any(|setting| setting["network.dense.hidden"] != some[0]["network.dense.hidden"]));
}

#[test]
fn impossible_spaces_are_refused_by_the_path() {
    let check = |path: &str, range: RangeSpec, expected: &str| {
        let spec = TuneSpec { space: BTreeMap::from([(path.to_owned(), range)]), ..TuneSpec::default() };
        let message = Search::new(&spec).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("a", RangeSpec::Uniform([2.0, 1.0]), "\"a\" goes from 2 to 1");
    check("a", RangeSpec::LogUniform([0.0, 1.0]), "\"a\" begins at 0");
    check("a", RangeSpec::Choice(vec![]), "\"a\" has no values");
    let message = Search::new(&TuneSpec::default()).unwrap_err().to_string();
    assert!(message.contains("tune.space is empty"), "{message}");
    let both = BTreeMap::from([
        ("network".to_owned(), RangeSpec::Choice(vec![json!("linear")])),
        ("network.dense.hidden".to_owned(), RangeSpec::Choice(vec![json!([1])])),
    ]);
    let message = Search::new(&TuneSpec { space: both, ..TuneSpec::default() }).unwrap_err().to_string();
    assert!(message.contains("\"network.dense.hidden\" lies below \"network\""), "{message}");
}
