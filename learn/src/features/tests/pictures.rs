//! Pictures: sizes, channels, scaling, and files that are none.

use super::*;

#[test]
fn pictures_are_brought_to_one_size() {
    let files = |pictures: &[(u32, u32, u8, bool)]| -> RecordBatch {
        let files: Vec<Vec<u8>> =
            pictures.iter().map(|&(w, h, shade, colour)| picture_file(w, h, shade, colour)).collect();
        table(vec![("p", Arc::new(BinaryArray::from_iter_values(files)))])
    };
    let check = |spec: &str, batch: &RecordBatch, size: (usize, usize, usize), pixels: &[u8]| {
        let features = fit(&format!(r#"{{"columns": {{"p": {{"image": {spec}}}}}}}"#), batch).unwrap();
        let image = &features.numeric().images[0];
        assert_eq!((image.height, image.width, image.channels), size, "{spec}");
        let encoded = features.encode(batch).unwrap();
        assert_eq!(encoded.images[0].pixels.len(), batch.num_rows() * image.values());
        assert_eq!(&encoded.images[0].pixels[..pixels.len()], pixels, "{spec}");
    };
    check("{}", &files(&[(3, 2, 200, false), (40, 50, 9, true)]), (2, 3, 1), &[200; 6]);
    check("{}", &files(&[(2, 1, 200, true)]), (1, 2, 3), &[200, 0, 255, 200, 0, 255]);
    check(r#"{"channels": "rgb"}"#, &files(&[(1, 1, 77, false)]), (1, 1, 3), &[77, 77, 77]);
    // Luma of (200, 0, 255) by Rec. 709: 0.2126 * 200 + 0.0722 * 255 = 60.9.
    check(r#"{"channels": "grey"}"#, &files(&[(1, 1, 200, true)]), (1, 1, 1), &[61]);
    check("{}", &files(&[(200, 100, 5, false)]), (32, 64, 1), &[5; 64 * 32]);
    check("{}", &files(&[(1, 300, 5, false)]), (64, 1, 1), &[5; 64]);
    check(r#"{"width": 5}"#, &files(&[(10, 4, 5, false)]), (2, 5, 1), &[5; 10]);
    check(r#"{"width": 2, "height": 7}"#, &files(&[(10, 4, 5, false)]), (7, 2, 1), &[5; 14]);
    // Scaling: grey 0 and 255 have mean 127.5 and deviation 127.5.
    let two = files(&[(1, 1, 0, false), (1, 1, 255, false)]);
    for (scale, expected) in [("unit", [0.0, 1.0]), ("symmetric", [-1.0, 1.0]), ("standard", [-1.0, 1.0])] {
        let features = fit(&format!(r#"{{"columns": {{"p": {{"image": {{"scale": "{scale}"}}}}}}}}"#), &two).unwrap();
        assert_eq!(dense(&features, &two), expected, "{scale}");
    }
}

#[test]
fn raw_pixels_and_files_of_one_picture_are_the_same() {
    let raw = |size: Option<&str>, rows: &[&[u8]]| {
        let array = FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| row.to_vec())).unwrap();
        let field = Field::new("p", array.data_type().clone(), true);
        let metadata = size.map(|size| ("tidemill.image".to_owned(), size.to_owned())).into_iter().collect();
        let schema = Arc::new(Schema::new(vec![field.with_metadata(metadata)]));
        RecordBatch::try_new(schema, vec![Arc::new(array)]).unwrap()
    };
    let batch = raw(Some("2x2x1"), &[&[7, 7, 7, 7], &[1, 2, 3, 4]]);
    let features = fit_auto(&batch);
    assert_eq!(features.encode(&batch).unwrap().images[0].pixels, [7, 7, 7, 7, 1, 2, 3, 4]);
    assert_eq!(features.encode(&raw(None, &[&[9, 8, 7, 6]])).unwrap().images[0].pixels, [9, 8, 7, 6]);
    assert_eq!(features.encode(&raw(Some("1x1x1"), &[&[5]])).unwrap().images[0].pixels, [5; 4]);
    let file = table(vec![("p", Arc::new(BinaryArray::from_iter_values([picture_file(2, 2, 7, false)])))]);
    assert_eq!(features.encode(&file).unwrap().images[0].pixels, [7; 4]);
    let wrong = |batch: RecordBatch, expected: &str| {
        let message = features.encode(&batch).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    wrong(raw(None, &[&[1, 2]]), "holds 2 bytes per row, expected 4 (raw pixels of 2x2x1)");
    wrong(raw(Some("3x3x1"), &[&[1, 2]]), "states pictures of 3x3x1 but holds 2 bytes");
    wrong(table(vec![("p", words(&[Some("cat.png")]))]), "row 1: \"cat.png\" is text, expected pictures");
    wrong(table(vec![("p", Arc::new(BinaryArray::from_opt_vec(vec![None])))]), "row 1: no picture");
}

#[test]
fn a_broken_picture_is_named_by_row_and_file() {
    let good = picture_file(40, 40, 3, true);
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    // A header that promises 60,000 x 60,000 pixels.
    let mut bomb = good.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let features = fit_auto(&table(vec![("p", Arc::new(BinaryArray::from_iter_values([&good])))]));
    for (bad, reason) in [
        (b"hello".to_vec(), "not a picture"),
        (vec![], "not a picture"),
        (cut, "a broken picture"),
        (bomb, "a broken picture"),
    ] {
        let mut rows = vec![good.clone(); 100];
        rows[83] = bad.clone();
        let mut paths = vec![Some("good.png"); 100];
        paths[83] = Some("cats/7.png");
        let batch = table(vec![("p", Arc::new(BinaryArray::from_iter_values(&rows))), ("path", words(&paths))]);
        let message = features.encode(&batch).unwrap_err().to_string();
        assert!(message.contains(&format!("column \"p\", row 84 (cats/7.png): {reason}")), "{message}");
        let first = batch.slice(83, 1);
        let message = fit("{}", &first).unwrap_err().to_string();
        assert!(message.contains(&format!("row 1 (cats/7.png): {reason}")), "{message}");
    }
}

#[test]
fn no_bytes_stop_the_decoder() {
    let picture =
        DynamicImage::from(RgbImage::from_fn(9, 7, |x, y| ::image::Rgb([(x * 28) as u8, (y * 36) as u8, 99])));
    let features =
        fit_auto(&table(vec![("p", Arc::new(BinaryArray::from_iter_values([picture_file(3, 3, 1, true)])))]));
    let chance = crate::random::Stream::new(11, 0);
    let mut counter = 0;
    let mut draw = |bound: usize| {
        counter += 1;
        chance.below(counter, bound as u64) as usize
    };
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP] {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        let file = file.into_inner();
        for _ in 0..200 {
            let mut bytes = file.clone();
            for _ in 0..=draw(4) {
                let place = draw(bytes.len());
                bytes[place] = draw(256) as u8;
            }
            bytes.truncate(file.len() - if draw(3) == 0 { draw(file.len()) } else { 0 });
            let rows = table(vec![("p", Arc::new(BinaryArray::from_iter_values([&bytes])))]);
            // Decoded or refused, and never another size.
            if let Ok(encoded) = features.encode(&rows) {
                assert_eq!(encoded.images[0].pixels.len(), 27);
            }
        }
    }
}
