mod files;
mod onnx_runtime;

use serde_json::{Value, json};

use super::*;
use crate::features::{
    Affine, BagBlock, BagInput, CategoryInput, Column, ColumnKind, DateInput, EmbeddedColumn, ImageInput, NumberInput,
    NumericPart, Prepared, TextCode, Tokenizer, Vocabulary,
};
use crate::net::plan::tests as plans;
use crate::net::tests::layers_of;
use crate::net::{Layers, network_answers};
use crate::random::uniform;
use crate::spec::{Activation, DatePart, DenseSpec, GradientBoostingSpec, Loss, NetSpec, RandomForestSpec, TrainSpec};
use crate::{ErrorKind, Flow, ImageBlock, Part, Tensor, TrainJob, Weights, export_onnx};

/// Everything a model is made of.
#[derive(Clone)]
pub(crate) struct Case {
    name: String,
    pub(crate) features: Features,
    target: Target,
    net: NetSpec,
    loss: Loss,
    weights: Weights,
}

/// A column that gives this many numbers: one as a number, more as parts of a date.
pub(crate) fn column(name: &str, numbers: usize) -> Column {
    let part = DateInput { part: DatePart::Month, cyclical: false };
    let kind = match numbers {
        1 => ColumnKind::Number { min: -1.0, max: 1.0, integer: false },
        n => ColumnKind::Date { min: String::new(), max: String::new(), parts: vec![part; n] },
    };
    Column { name: name.into(), kind, missing: 0, example: Value::Null, prepared: Prepared::Plain }
}

/// A number as it is.
pub(crate) fn number(name: &str) -> NumberInput {
    let open = [f32::NEG_INFINITY, f32::INFINITY];
    NumberInput { name: name.into(), impute: 0.0, indicator: false, clip: open, affine: Affine::IDENTITY }
}

/// A picture scaled to 0 to 1.
pub(crate) fn image(name: &str, height: usize, width: usize, channels: usize) -> ImageInput {
    ImageInput { name: name.into(), height, width, channels, affine: Affine { shift: 0.0, scale: 1.0 / 255.0 } }
}

/// Rows that a host part could have encoded, every code and some missing numbers among them.
pub(crate) fn encoded(features: &Features, rows: usize, seed: u64) -> Encoded {
    let part = features.numeric();
    let random = |stream: u64, i: usize| uniform(seed, stream, i as u64);
    let number = |i: usize| {
        if random(0, i) < 0.1 && part.numbers[i % part.numbers.len()].indicator {
            f32::NAN
        } else {
            random(1, i) * 4.0 - 2.0
        }
    };
    let code = |i: usize| (random(2, i) * cardinality(&part.categories[i % part.categories.len()]) as f32) as i32;
    let image = |(n, image): (usize, &ImageInput)| ImageBlock {
        values: image.values(),
        pixels: (0..rows * image.values()).map(|i| (random(3 + n as u64, i) * 256.0) as u8).collect(),
    };
    let bag = |(n, bag): (usize, &BagInput)| {
        let mut block = BagBlock::new(bag.width);
        for row in 0..rows {
            let has = |term: &usize| random(9 + n as u64, row * bag.width + term) < 0.3;
            block.push((0..bag.width).filter(has).map(|term| (term as u32, random(10, row + term) - 0.5)));
        }
        block
    };
    Encoded {
        rows,
        bags: part.bags.iter().enumerate().map(bag).collect(),
        numbers: (0..rows * part.numbers.len()).map(number).collect(),
        codes: (0..rows * part.categories.len()).map(code).collect(),
        images: part.images.iter().enumerate().map(image).collect(),
        ..Encoded::default()
    }
}

/// Ordinals of these tests have five codes.
fn cardinality(category: &CategoryInput) -> usize {
    match category {
        CategoryInput::OneHot { cardinality, .. } => *cardinality,
        CategoryInput::Embedding(column) => column.cardinality,
        CategoryInput::Ordinal { .. } => 5,
    }
}

fn target(classes: usize) -> Target {
    let task = match classes {
        0 => Task::Regression,
        2 => Task::Binary,
        _ => Task::Multiclass,
    };
    let (mean, scale) = if classes == 0 { (12.5, 3.25) } else { (0.0, 1.0) };
    Target { column: "y".into(), task, labels: (0..classes).map(|i| format!("class \"{i}\"")).collect(), mean, scale }
}

impl Case {
    fn new(
        name: &str,
        features: Features,
        classes: usize,
        hidden: &[usize],
        activation: Activation,
        loss: Loss,
    ) -> Self {
        let net =
            NetSpec::Dense(DenseSpec { hidden: hidden.to_vec(), activation, dropout: 0.3, ..DenseSpec::default() });
        let target = target(classes);
        let layers = layers_of(&net, features.numeric(), &target, loss);
        let weights = random_weights(&layers);
        Self { name: name.into(), features, target, net, loss, weights }
    }

    /// Trees that learned to answer by the features' first values.
    fn of_trees(name: &str, features: Features, classes: usize, net: NetSpec, loss: Loss) -> Self {
        let (target, rows) = (target(classes), encoded(&features, 400, 3));
        let part = features.numeric();
        let width = part.dense_width().max(1);
        let mut inputs = vec![0.0; 400 * width];
        part.write_dense(&rows, &(0..400).collect::<Vec<_>>(), &mut inputs[..400 * part.dense_width()]);
        let code = |row: usize| rows.codes.get(row * part.categories.len()).map_or(0.0, |code| *code as f32);
        let answer = |row: usize| {
            let value = inputs[row * width..][..width].iter().take(40).sum::<f32>() + code(row);
            if classes == 0 { value * 3.0 } else { (value * 2.0).floor().rem_euclid(classes as f32) }
        };
        let answers: Vec<f32> = (0..400).map(answer).collect();
        let part_of =
            |rows_of: std::ops::Range<u32>| Part { encoded: &rows, target: &answers, rows: rows_of.collect() };
        let train = TrainSpec { loss, ..TrainSpec::default() };
        let (training, validation) = (part_of(0..300), part_of(300..400));
        let job = TrainJob {
            numeric: part,
            target: &target,
            net: &net,
            train: &train,
            training,
            validation,
            spool: None,
            checkpoint: None,
            resume: false,
        };
        let weights = crate::train(job, &mut |_| Flow::Continue).unwrap().weights;
        Self { name: name.into(), features, target, net, loss, weights }
    }

    /// A linear model of these columns and numbers.
    pub(crate) fn regression(columns: &[Column], numbers: Vec<NumberInput>) -> Self {
        let numeric = NumericPart { numbers, ..NumericPart::default() };
        let features = Features { columns: columns.to_vec(), numeric, ..Features::default() };
        Self::new("linear", features, 0, &[], Activation::Relu, Loss::Auto)
    }

    /// A linear model of two classes of these columns and numbers.
    pub(crate) fn binary(columns: &[Column], numbers: Vec<NumberInput>) -> Self {
        let numeric = NumericPart { numbers, ..NumericPart::default() };
        let features = Features { columns: columns.to_vec(), numeric, ..Features::default() };
        Self::new("linear", features, 2, &[], Activation::Relu, Loss::Auto)
    }

    /// A linear model of two classes on one picture.
    pub(crate) fn binary_image(image: ImageInput) -> Self {
        let features = features(&NumericPart { images: vec![image], ..NumericPart::default() });
        Self::new("picture", features, 2, &[], Activation::Relu, Loss::Auto)
    }

    pub(crate) fn with_weights(mut self, name: &str, values: &[f32]) -> Self {
        let tensor = self.weights.tensors.get_mut(name).unwrap();
        assert_eq!(tensor.data.len(), values.len());
        tensor.data = values.to_vec();
        self
    }

    fn onnx(&self) -> Vec<u8> {
        export_onnx(&self.features, &self.target, &self.net, self.loss, &self.weights, Some(0.4)).unwrap()
    }

    pub(crate) fn model(&self) -> Model {
        Model::from_parts(self.features.clone(), self.target.clone(), &self.onnx()).unwrap()
    }

    /// The network's answers, by the definitions and with sums in `f64`.
    fn reference(&self, rows: &Encoded) -> Vec<f32> {
        let part = self.features.numeric();
        let layers = layers_of(&self.net, part, &self.target, self.loss);
        let all: Vec<u32> = (0..rows.rows as u32).collect();
        let width = part.dense_width();
        let mut dense = vec![0.0; rows.rows * width];
        part.write_dense(rows, &all, &mut dense);
        let mut codes = vec![0; rows.rows * layers.embeddings.len()];
        part.write_codes(rows, &all, &mut codes);
        let answer = |row: usize| {
            let mut x: Vec<f64> = dense[row * width..(row + 1) * width].iter().map(|&x| f64::from(x)).collect();
            for (embedding, &code) in layers.embeddings.iter().zip(&codes[row * layers.embeddings.len()..]) {
                let table = &self.weights.tensors[&embedding.weight].data;
                x.extend(table.chunks(embedding.dimension).nth(code as usize).unwrap().iter().map(|&x| f64::from(x)));
            }
            for layer in &layers.dense {
                let (w, b) = (&self.weights.tensors[&layer.weight].data, &self.weights.tensors[&layer.bias].data);
                let sum = |j: usize| -> f64 {
                    f64::from(b[j])
                        + x.iter().enumerate().map(|(i, x)| x * f64::from(w[i * layer.outputs + j])).sum::<f64>()
                };
                x = (0..layer.outputs).map(sum).map(|z| layer.activation.map_or(z, |a| activate(a, z))).collect();
            }
            self.head(&x)
        };
        (0..rows.rows).flat_map(answer).map(|x| x as f32).collect()
    }

    fn head(&self, x: &[f64]) -> Vec<f64> {
        match (self.target.task, x) {
            (Task::Regression, [z]) => vec![z * self.target.scale + self.target.mean],
            (Task::Binary, [z]) => vec![activate(Activation::Sigmoid, -z), activate(Activation::Sigmoid, *z)],
            (_, logits) => {
                let sum: f64 = logits.iter().map(|z| z.exp()).sum();
                logits.iter().map(|z| z.exp() / sum).collect()
            }
        }
    }
}

fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => {
            if z > 0.0 {
                z
            } else {
                0.01 * z
            }
        }
        Activation::Tanh => z.tanh(),
        other => panic!("{other:?} is not for these layers"),
    }
}

fn random_weights(layers: &Layers) -> Weights {
    let tensor = |(stream, (name, shape)): (usize, (&str, Vec<usize>))| {
        let length: usize = shape.iter().product();
        let bound = 1.5 / (shape[0] as f32).sqrt();
        let data = (0..length).map(|i| (uniform(11, stream as u64, i as u64) * 2.0 - 1.0) * bound).collect();
        (name.to_owned(), Tensor { shape, data })
    };
    Weights { tensors: layers.shapes().into_iter().enumerate().map(tensor).collect() }
}

/// Features whose columns are those of a numeric part.
pub(crate) fn features(numeric: &NumericPart) -> Features {
    let plain = |name: &str, kind| Column {
        name: name.into(),
        kind,
        missing: 0,
        example: Value::Null,
        prepared: Prepared::Plain,
    };
    let numbers = numeric.numbers.iter().map(|input| column(&input.name, 1));
    let categories = numeric.categories.iter().map(|category| {
        let values: Vec<String> = (2..cardinality(category)).map(|i| format!("value {i}")).collect();
        let (CategoryInput::OneHot { name, .. }
        | CategoryInput::Ordinal { name, .. }
        | CategoryInput::Embedding(EmbeddedColumn { name, .. })) = category;
        plain(name, ColumnKind::Category { values: Vocabulary::from(values) })
    });
    let images = numeric.images.iter().map(|image| {
        let (height, width, channels) = (image.height, image.width, image.channels);
        plain(&image.name, ColumnKind::Image { height, width, channels, raw: None })
    });
    let bags = numeric.bags.iter().map(|bag| {
        let code = TextCode::Hashing { width: bag.width, ngrams: Default::default() };
        plain(&bag.name, ColumnKind::Text { tokenizer: Tokenizer::Words { lower_case: true }, code })
    });
    let columns = numbers.chain(categories).chain(images).chain(bags).collect();
    Features { columns, numeric: numeric.clone(), ..Features::default() }
}

/// Numeric parts of every kind and their mixtures, by name.
fn parts() -> Vec<(&'static str, NumericPart)> {
    let affine = |shift, scale| Affine { shift, scale };
    let open = f32::INFINITY;
    let scaled = NumberInput { affine: affine(0.3, 1.7), ..number("scaled") };
    let missing = NumberInput { impute: 0.25, indicator: true, ..number("missing") };
    let clipped = NumberInput { clip: [-0.5, 0.75], affine: affine(-1.0, 0.5), indicator: true, ..number("clipped") };
    let capped = NumberInput { clip: [-open, 0.1], ..number("capped") };
    let one_hot = |name: &str, cardinality| CategoryInput::OneHot { name: name.into(), cardinality };
    let ordinal = |name: &str| CategoryInput::Ordinal { name: name.into(), affine: affine(2.0, 1.0 / 3.0) };
    let embedding = |name: &str, cardinality, dimension| {
        CategoryInput::Embedding(EmbeddedColumn { name: name.into(), cardinality, dimension })
    };
    let symmetric = ImageInput { affine: affine(127.5, 1.0 / 127.5), ..image("colour", 3, 2, 3) };
    // Names that clash with those of the file.
    let numbers_image = image("numbers", 2, 3, 1);
    let bag = |name: &str, width| BagInput { name: name.into(), width };
    let part = |numbers: &[&NumberInput], categories: &[&CategoryInput], images: &[&ImageInput]| NumericPart {
        numbers: numbers.iter().map(|&input| input.clone()).collect(),
        categories: categories.iter().map(|&input| input.clone()).collect(),
        images: images.iter().map(|&input| input.clone()).collect(),
        ..NumericPart::default()
    };
    let all = [&embedding("e", 7, 3), &one_hot("a", 4), &ordinal("o"), &one_hot("b", 3), &embedding("f", 5, 2)];
    vec![
        ("number", part(&[&number("plain")], &[], &[])),
        ("numbers", part(&[&scaled, &missing, &clipped, &capped], &[], &[])),
        ("one-hot", part(&[], &[&one_hot("a", 4), &one_hot("b", 3)], &[])),
        ("ordinal", part(&[], &[&ordinal("o")], &[])),
        ("embedding", part(&[], &[&embedding("e", 7, 3)], &[])),
        ("embeddings", part(&[], &[&embedding("e", 7, 3), &embedding("f", 5, 2)], &[])),
        ("image", part(&[], &[], &[&image("probabilities", 4, 4, 1)])),
        ("everything", part(&[&missing, &scaled], &all, &[&numbers_image, &symmetric])),
        ("terms", NumericPart { bags: vec![bag("numbers", 40), bag("b", 3)], ..part(&[&scaled], &all, &[&symmetric]) }),
    ]
}

/// Every kind of features with every head, without and with hidden layers.
fn cases() -> Vec<Case> {
    let heads = [(0, Loss::Auto), (2, Loss::Auto), (2, Loss::CategoricalCrossEntropy), (4, Loss::Auto)];
    let nets: [(&[usize], Activation); 5] = [
        (&[], Activation::Relu),
        (&[6], Activation::Relu),
        (&[6, 5], Activation::Sigmoid),
        (&[6], Activation::LeakyRelu),
        (&[6], Activation::Tanh),
    ];
    let mut cases = Vec::new();
    for (kind, part) in parts() {
        for (classes, loss) in heads {
            for (hidden, activation) in nets {
                let name = format!("{kind}, {classes} classes, {loss:?}, {hidden:?} {activation:?}");
                cases.push(Case::new(&name, features(&part), classes, hidden, activation, loss));
            }
        }
    }
    cases
}

fn flat(predictions: &Predictions) -> &[f32] {
    match predictions {
        Predictions::Classes { probabilities, .. } => probabilities,
        Predictions::Values(values) => values,
    }
}

#[test]
fn the_file_answers_as_the_network_for_every_kind_of_features_and_head() {
    for case in cases() {
        let model = case.model();
        for rows in [1, 23] {
            let rows = encoded(&case.features, rows, 5);
            let answers = model.predict_encoded(&rows).unwrap();
            let difference = answers.difference(&case.reference(&rows)).unwrap();
            assert!(difference < 1e-6, "{}: {difference}", case.name);
            let (part, net, target) = (case.features.numeric(), &case.net, &case.target);
            let network = network_answers(net, part, target, case.loss, &case.weights, &rows).unwrap();
            let difference = model.agreement(&rows, &network).unwrap();
            assert!(difference < 1e-6, "{}, network: {difference}", case.name);
        }
    }
}

/// Trees grown on such rows, for every kind of features and head.
fn tree_cases() -> Vec<Case> {
    let heads = [(0, Loss::Auto), (2, Loss::Auto), (2, Loss::CategoricalCrossEntropy), (4, Loss::Auto)];
    let small = GradientBoostingSpec { trees: 7, min_rows_per_leaf: 4, ..GradientBoostingSpec::default() };
    let mut cases = Vec::new();
    let forest = RandomForestSpec { trees: 5, ..RandomForestSpec::default() };
    let nets = [NetSpec::GradientBoosting(small), NetSpec::RandomForest(forest)];
    for (kind, part) in parts() {
        for ((classes, loss), net) in heads.into_iter().flat_map(|head| nets.iter().map(move |net| (head, net.clone())))
        {
            let name = format!("{net:?} on {kind}, {classes} classes, {loss:?}");
            cases.push(Case::of_trees(&name, features(&part), classes, net, loss));
        }
    }
    cases
}

#[test]
fn the_file_answers_as_the_trees() {
    for case in tree_cases() {
        let model = case.model();
        let (part, net, target) = (case.features.numeric(), &case.net, &case.target);
        for rows in [1, 23, 5_000] {
            let rows = encoded(&case.features, rows, 5);
            let trees = network_answers(net, part, target, case.loss, &case.weights, &rows).unwrap();
            let difference = model.agreement(&rows, &trees).unwrap();
            assert!(difference < 1e-6, "{}: {difference}", case.name);
            assert!(rows.rows == 1 || trees.iter().any(|answer| *answer != trees[0]), "{} ask nothing", case.name);
        }
    }
}

/// Networks of every family; their numbers are checked against plain loops in `net::plan`.
#[test]
fn the_file_answers_as_the_network_for_every_family() {
    for (name, net, part) in plans::families() {
        for classes in [0, 2, 3].map(|asked| plans::classes_of(&net, asked)) {
            let features = Features { numeric: part.clone(), ..Features::default() };
            let weights = plans::weights(&plans::plan(&net, &part, classes));
            let target = target(classes);
            let onnx = export_onnx(&features, &target, &net, Loss::Auto, &weights, None).unwrap();
            let model = Model::from_parts(features, target.clone(), &onnx).unwrap();
            let rows = plans::mixed(&part, 100);
            let network = network_answers(&net, &part, &target, Loss::Auto, &weights, &rows).unwrap();
            let difference = model.agreement(&rows, &network).unwrap();
            assert!(difference < 1e-5, "{name}, {classes} classes: {difference}");
        }
    }
}

#[test]
fn many_rows_are_answered_as_single_ones() {
    let part = &parts()[7].1;
    let case = Case::new("many", features(part), 4, &[600, 500], Activation::Relu, Loss::Auto);
    let model = case.model();
    let rows = encoded(&case.features, 9_001, 2);
    let Predictions::Classes { probabilities, classes, .. } = model.predict_encoded(&rows).unwrap() else {
        panic!("values");
    };
    assert_eq!((probabilities.len(), classes.len()), (9_001 * 4, 9_001));
    for row in [0, 1, 4_095, 4_096, 4_500, 8_999, 9_000] {
        let alone = model.predict_encoded(&rows.take(&[row])).unwrap();
        let difference = alone.difference(&probabilities[row as usize * 4..][..4]).unwrap();
        assert!(difference < 1e-6, "row {row}: {difference}");
    }
    assert_eq!(model.predict_encoded(&rows.take(&[])).unwrap().rows(), 0);
}

#[test]
fn answers_are_the_same_on_every_thread() {
    let case = Case::new("threads", features(&parts()[7].1), 3, &[8], Activation::Relu, Loss::Auto);
    let model = case.model();
    let (small, large) = (encoded(&case.features, 2, 4), encoded(&case.features, 200_000, 4));
    let here = [model.predict_encoded(&small).unwrap(), model.predict_encoded(&large).unwrap()];
    // The loop of one endpoint, while others ask the same model.
    let there = on_answering_thread(|| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| model.predict_encoded(&small).unwrap());
            let mine = [model.predict_encoded(&small).unwrap(), model.predict_encoded(&large).unwrap()];
            assert_eq!(other.join().unwrap(), mine[0]);
            mine
        })
    });
    assert_eq!(here, there);
}

#[test]
fn the_file_says_what_it_is() {
    let part = &parts()[7].1;
    let case = Case::new("notes", features(part), 2, &[3], Activation::Relu, Loss::Auto);
    let model = case.model();
    let note = |key: &str| model.graph.note(key).unwrap().to_owned();
    assert_eq!((note("task").as_str(), note("target").as_str()), ("binary", "y"));
    assert_eq!((note("threshold").as_str(), model.threshold()), ("0.4", Some(0.4)));
    assert_eq!(serde_json::from_str::<Vec<String>>(&note("labels")).unwrap(), case.target.labels);
    let described: Value = serde_json::from_str(&note("features")).unwrap();
    assert_eq!(described["numbers"], json!(["missing", "scaled"]));
    assert_eq!(described["codes"], json!(["e", "a", "o", "b", "f"]));
    assert_eq!(described["columns"][3]["name"], "a");
    assert_eq!(described["columns"][3]["kind"]["category"]["values"], json!(["value 2", "value 3"]));
    let rows = encoded(&case.features, 50, 1);
    let Predictions::Classes { probabilities, classes, .. } = model.predict_encoded(&rows).unwrap() else {
        panic!("values");
    };
    assert!(classes.iter().zip(probabilities.chunks(2)).all(|(class, p)| (*class == 1) == (p[1] >= 0.4)));
}
