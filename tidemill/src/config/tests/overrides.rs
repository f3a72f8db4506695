//! What comes from the environment and from the command line.

use super::*;

#[test]
fn values_of_the_environment_are_read_and_never_printed() {
    let yaml = project("train: {epochs: '${EPOCHS}'}\nnetwork: ${NET}", "");
    let right = load(&yaml);
    assert_eq!(right.models[0].train.epochs, 7);
    assert_eq!(right.models[0].network, NetSpec::default());
    check_model(
        "train: {epochs: '${SECRET}'}",
        &[
            "models.income.train.epochs: expected an integer from 1 to 1000000, found \"${SECRET}\", which is something else",
        ],
    );
    check_model(
        "task: ${SECRET}",
        &["models.income.task: unknown choice \"${SECRET}\" | choices: auto, classification, regression"],
    );
    check_model(
        "features: {include: ['${SECRET}'], exclude: ['${SECRET}']}",
        &["models.income.features.include[0]: column \"${SECRET}\" is in exclude too"],
    );
    check_model(
        "train: {seed: '${NONE}'}",
        &[
            "models.income.train.seed: the environment variable \"NONE\" is not set; set it, or give it a default: ${NONE:-default}",
        ],
    );
    assert_eq!(
        messages("models: {m: {table: '${SECRET}', target: t}}", &[]),
        ["models.m.table: \"${SECRET}\" is no table and no source | tables and sources: none"]
    );
    assert_eq!(
        messages("tables: {t: 'SELECT * FROM ${SECRET}'}", &[]),
        ["table \"t\" reads from a name from the environment that is no source or table"]
    );
    let secret =
        load("sources: {people: {csv: '${DATA}/${SECRET}.csv'}}\nmodels: {m: {table: people, target: '${SECRET}'}}");
    assert_eq!(secret.models[0].target, "hunter2");
    assert!(!secret.render().contains("hunter2"), "{}", secret.render());
    assert!(secret.render().contains("path: \"${DATA}/${SECRET}.csv\"\n"), "{}", secret.render());
    let document = secret.shown();
    assert_eq!(document["models"]["m"]["target"], "${SECRET}");
    assert!(!document.to_string().contains("hunter2"));
}

#[test]
fn overrides_are_laid_over_the_file() {
    let yaml = project("train: {optimizer: adam}", "");
    let with = |sets: &[&str]| load_with(&yaml, sets).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(with(&["models.income.train.epochs=2", "models.income.train.epochs=3"]).models[0].train.epochs, 3);
    assert_eq!(with(&["models.income.train.epochs=${EPOCHS}"]).models[0].train.epochs, 7);
    let Optimizer::Sgd(sgd) = &with(&["models.income.train.optimizer.sgd.learning_rate=0.5"]).models[0].train.optimizer
    else {
        panic!("the variant of --set wins")
    };
    assert_eq!(sgd.learning_rate, 0.5);
    let project = with(&["models.income.network.dense.hidden=[8, 4]"]);
    let NetSpec::Dense(dense) = &project.models[0].network else { panic!("not dense") };
    assert_eq!(dense.hidden, [8, 4]);
    let NetSpec::Dense(dense) =
        &with(&["models.income.network={dense: {hidden: [9]}}", "models.income.network.dense.hidden[0]=7"]).models[0]
            .network
    else {
        panic!("the network of --set wins")
    };
    assert_eq!(dense.hidden, [7]);
    let columns = &with(&["models.income.features.columns.\"a.b\"=category"]).models[0].features.columns;
    assert!(matches!(columns["a.b"], FeatureSpec::Category(_)), "{columns:?}");
    assert_eq!(with(&["models.other={table: people, target: x}"]).models.len(), 2);
    assert_eq!(with(&["sources.people.csv.path=x.csv"]).models.len(), 1);
}

#[test]
fn wrong_overrides_name_the_argument() {
    let yaml = project("", "");
    let errors = load_with(&yaml, &["models.income.train.epohcs=2"]).err().unwrap();
    let expected = "unknown key \"epohcs\" in models.income.train; did you mean \"epochs\"?\n --> --set models.income.train.epohcs=2\n  = known keys: epochs, batch_size, optimizer, schedule, loss, label_smoothing, class_weights, balance, augment, weight_decay, l1, clip_norm, clip_value, accumulate, start_from, freeze, early_stopping, seed, device, precision";
    assert_eq!(errors.to_string(), expected);
    assert!(errors.is_usage());
    check_set("models.incmoe.train.epochs=2", &["no model \"incmoe\" in the project file; did you mean \"income\"?"]);
    check_set(
        "modles.income.train.epochs=2",
        &[
            "unknown key \"modles\" in the project file; did you mean \"models\"? | known keys: sources, tables, expectations, models, endpoints, server, snapshots, memory, cluster",
        ],
    );
    check_set(
        "models.income.train.epochs=x",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found the text \"x\""],
    );
    check_set("models.income.train.epochs", &["expected PATH=VALUE, such as models.income.train.epochs=2"]);
    check_set("models..train=2", &["\"models..train\" is not a path of keys such as models.income.train.epochs"]);
    check_set("models.income.train.epochs=[1", &["not valid YAML: while parsing a flow sequence, expected ',' or ']'"]);
    check_set(
        "models.income.network.dense.hidden[0]=7",
        &["index 0 is put to something that is not a list in the project file"],
    );
    check_set(
        "models.income.train.epochs.x=7",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found a mapping"],
    );
    check_set(
        "models.income.train.seed=${NONE}",
        &["the environment variable \"NONE\" is not set; set it, or give it a default: ${NONE:-default}"],
    );
}
