//! Files of a model: read again, damaged, mixed.

use super::*;

#[test]
fn a_folder_gives_back_the_model() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, part) in parts() {
        for classes in [0, 2, 3] {
            let case = Case::new(kind, features(&part), classes, &[4], Activation::Tanh, Loss::Auto);
            Model::save(folder.path(), &case.features, &case.target, &case.onnx()).unwrap();
            let model = Model::load(folder.path()).unwrap();
            assert_eq!((model.features(), model.target()), (&case.features, &case.target));
            let rows = encoded(&case.features, 9, 3);
            assert_eq!(model.predict_encoded(&rows).unwrap(), case.model().predict_encoded(&rows).unwrap());
        }
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let part = &parts()[7].1;
    let case = Case::new("damaged", features(part), 3, &[4], Activation::Relu, Loss::Auto);
    let onnx = case.onnx();
    let folder = tempfile::tempdir().unwrap();
    Model::save(folder.path(), &case.features, &case.target, &onnx).unwrap();
    let kind = || Model::load(folder.path()).map(|_| ()).map_err(|e| e.kind());
    let path = folder.path().join("model.onnx");
    for i in (0..onnx.len()).step_by(97) {
        let mut changed = onnx.clone();
        changed[i] ^= 1 << (i % 8);
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(kind(), Err(ErrorKind::Corrupt), "byte {i}");
        std::fs::write(&path, &onnx[..i]).unwrap();
        assert_eq!(kind(), Err(ErrorKind::Corrupt), "cut at {i}");
    }
    std::fs::write(&path, &onnx).unwrap();
    assert_eq!(kind(), Ok(()));
    for name in ["features.json", "target.json", "model.onnx"] {
        let whole = std::fs::read(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name), &whole[..whole.len() / 2]).unwrap();
        let error = Model::load(folder.path()).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(name), "{error}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let error = Model::load(folder.path()).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(name), "{error}");
        std::fs::write(folder.path().join(name), &whole).unwrap();
    }
}

#[test]
fn files_of_different_models_are_not_mixed() {
    let case = |part: usize, classes: usize| {
        Case::new("mixed", features(&parts()[part].1), classes, &[4], Activation::Relu, Loss::Auto)
    };
    let check = |a: Case, b: Case| {
        let error = Model::from_parts(a.features, a.target, &b.onnx()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    };
    check(case(0, 3), case(2, 3));
    check(case(0, 3), case(7, 3));
    check(case(0, 3), case(0, 4));
    check(case(0, 0), case(0, 2));
    let foreign = encoded(&case(7, 3).features, 2, 1);
    assert_eq!(case(0, 3).model().predict_encoded(&foreign).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn weights_of_another_network_are_not_written() {
    let case = Case::new("weights", features(&parts()[0].1), 2, &[4], Activation::Relu, Loss::Auto);
    let check = |weights: &Weights, loss, expected: &str| {
        let error = export_onnx(&case.features, &case.target, &case.net, loss, weights, None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let mut less = case.weights.clone();
    less.tensors.remove("dense.1.bias");
    check(&less, Loss::Auto, "dense.1.bias");
    check(&case.weights, Loss::CategoricalCrossEntropy, "dense.1.weight");
    let empty = Features::default();
    assert!(export_onnx(&empty, &case.target, &case.net, Loss::Auto, &case.weights, None).is_err());
}
