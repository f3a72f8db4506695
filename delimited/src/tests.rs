//! Records in all their forms, and the same from pieces of any size.

use super::*;

const PLAIN: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), comment: None, trim: true };

type Lines = Vec<(u64, Vec<String>)>;

/// The records with the lines on which they begin, and what came in the way.
fn records(text: &[u8], dialect: Dialect, piece_bytes: usize, rows_max: usize) -> (Lines, Option<Fault>) {
    let mut all = Vec::new();
    let fault = (|| {
        let mut pieces = Pieces::new(Box::new(std::io::Cursor::new(text.to_vec())), dialect).of_bytes(piece_bytes);
        while let Some(piece) = pieces.read()? {
            let mut records = piece.records(dialect, None);
            while let Some(block) = records.next(rows_max)? {
                let record = |row| (block.line(row), block.record(row).map(|field| field.into_owned()).collect());
                all.extend((0..block.rows()).map(record));
            }
        }
        Ok(())
    })();
    (all, fault.err())
}

fn check(text: &str, dialect: Dialect, expected: &[(u64, &[&str])]) {
    let expected: Lines =
        expected.iter().map(|(line, fields)| (*line, fields.iter().map(|&f| f.to_owned()).collect())).collect();
    for piece_bytes in [1, 2, 5, 1 << 20] {
        let (found, fault) = records(text.as_bytes(), dialect, piece_bytes, 2);
        assert!(fault.is_none(), "{text:?}: {fault:?}");
        assert_eq!(found, expected, "{text:?} in pieces of {piece_bytes}");
    }
}

#[test]
fn fields_are_found() {
    check("a,b\n1,2\n", PLAIN, &[(1, &["a", "b"]), (2, &["1", "2"])]);
    check("a,b\r\n1,2", PLAIN, &[(1, &["a", "b"]), (2, &["1", "2"])]);
    check("a, b , c\n", PLAIN, &[(1, &["a", "b", "c"])]);
    check("a,,\n,,\n", PLAIN, &[(1, &["a", "", ""]), (2, &["", "", ""])]);
    check("a,b,", PLAIN, &[(1, &["a", "b", ""])]);
    check("\n\na\n\nb\n\n", PLAIN, &[(3, &["a"]), (5, &["b"])]);
    check("中文,数据\n", PLAIN, &[(1, &["中文", "数据"])]);
    check(" a ,b\n", Dialect { trim: false, ..PLAIN }, &[(1, &[" a ", "b"])]);
    check("a\t b\n", Dialect { delimiter: b'\t', ..PLAIN }, &[(1, &["a", "b"])]);
    check("# x,y\na,b\n#\n", Dialect { comment: Some(b'#'), ..PLAIN }, &[(2, &["a", "b"])]);
}

#[test]
fn the_beginning_tells_marks_and_line_ends() {
    let check = |text: &str, expected: &[(u64, &[&str])]| {
        let (found, fault) = records(text.as_bytes(), PLAIN, 1 << 20, 2);
        assert!(fault.is_none(), "{text:?}: {fault:?}");
        let found: Vec<(u64, Vec<&str>)> =
            found.iter().map(|(line, fields)| (*line, fields.iter().map(String::as_str).collect())).collect();
        let expected: Vec<_> = expected.iter().map(|(line, fields)| (*line, fields.to_vec())).collect();
        assert_eq!(found, expected, "{text:?}");
    };
    check("\u{feff}a,b\n", &[(1, &["a", "b"])]);
    check("a,b\r1,2\r\r3,4", &[(1, &["a", "b"]), (2, &["1", "2"]), (4, &["3", "4"])]);
    check("a\rb,c\n", &[(1, &["a\rb", "c"])]);
    check("", &[]);
    check("\u{feff}", &[]);
}

#[test]
fn quotes_hold_delimiters_line_breaks_and_quotes() {
    check("\"a,b\",c\n", PLAIN, &[(1, &["a,b", "c"])]);
    check("x, \"a, b\" , c\n", PLAIN, &[(1, &["x", "a, b", "c"])]);
    check("\"a\nb\",c\nd,e\n", PLAIN, &[(1, &["a\nb", "c"]), (3, &["d", "e"])]);
    check("\"say \"\"hi\"\"\",\"\"\n", PLAIN, &[(1, &["say \"hi\"", ""])]);
    check("\"\"\nb\n", PLAIN, &[(1, &[""]), (2, &["b"])]);
    check("5\" pipe,2\n", PLAIN, &[(1, &["5\" pipe", "2"])]);
    check("\"a,b\n", Dialect { quote: None, ..PLAIN }, &[(1, &["\"a", "b"])]);
}

#[test]
fn runs_of_blanks_are_one_delimiter_where_it_is_a_blank() {
    let blank = Dialect { delimiter: b' ', ..PLAIN };
    check(
        "1 1  -0.0007 100.0  \n  2 \"a b\" 3 4\n",
        blank,
        &[(1, &["1", "1", "-0.0007", "100.0"]), (2, &["2", "a b", "3", "4"])],
    );
}

#[test]
fn faults_name_the_line() {
    let check = |text: &[u8], expected: &str| {
        for piece_bytes in [2, 1 << 20] {
            let (_, fault) = records(text, PLAIN, piece_bytes, 2);
            let fault = fault.expect("a fault").to_string();
            assert!(fault.starts_with(expected), "{fault}");
        }
    };
    check(b"a,b\n\"c,d\n", "line 2: a quote is opened and never closed");
    check(b"a,b\n\"c\"d,e\n", "line 2: text follows a closing quote");
    check(b"a,b\nc,d\ncaf\xe9,e\n", "line 3: byte 0xe9 is not UTF-8");
}

#[test]
fn records_longer_than_a_piece_are_whole() {
    let long = "x".repeat(3 << 20);
    let text = format!("a,b\n{long},\"{long}\n\"\nc,d\n");
    let (found, fault) = records(text.as_bytes(), PLAIN, 1 << 20, 2);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(found.len(), 3);
    assert_eq!((found[1].1[0].len(), found[1].1[1].len()), (long.len(), long.len() + 1));
    assert_eq!(found[2], (4, vec!["c".to_owned(), "d".to_owned()]));
    let endless = std::io::Read::chain(&b"a\n\""[..], std::io::repeat(b'\n'));
    let mut pieces = Pieces::new(Box::new(endless), PLAIN);
    assert_eq!(pieces.read().expect("readable").expect("a piece").bytes(), 2);
    let fault = pieces.read().expect_err("a quote without an end").to_string();
    assert!(fault.starts_with("line 2: a record of more than 64 MB"), "{fault}");
}

#[test]
fn pieces_of_any_size_hold_the_same_records() {
    let mut state = 1_u64;
    let mut draw = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let dialects = [
        PLAIN,
        Dialect { trim: false, ..PLAIN },
        Dialect { quote: None, ..PLAIN },
        Dialect { comment: Some(b'#'), ..PLAIN },
        Dialect { delimiter: b' ', comment: Some(b'#'), ..PLAIN },
        Dialect { delimiter: b'\t', ..PLAIN },
    ];
    let (mut whole_ones, mut faulty) = (0, 0);
    for _ in 0..30_000 {
        let dialect = dialects[draw(dialects.len())];
        let alphabet: &[u8] = [&b"a,\n\"# \t\r"[..], b"a,,\n\n\"\""][draw(2)];
        let length = draw(40);
        // The first line break tells what ends a line, and is looked for in the first piece.
        let text: Vec<u8> = b"b\n".iter().copied().chain((0..length).map(|_| alphabet[draw(alphabet.len())])).collect();
        let (expected, fault) = records(&text, dialect, 1 << 20, 1);
        for piece_bytes in [2, 3, 7, 16] {
            let (found, other) = records(&text, dialect, piece_bytes, 1);
            let told = |fault: &Option<Fault>| fault.as_ref().map(Fault::to_string);
            let shown = String::from_utf8_lossy(&text);
            assert_eq!(found, expected, "{shown:?} in pieces of {piece_bytes}, {dialect:?}");
            assert_eq!(told(&other), told(&fault), "{shown:?} in pieces of {piece_bytes}, {dialect:?}");
        }
        whole_ones += usize::from(fault.is_none());
        faulty += usize::from(fault.is_some());
    }
    assert!(whole_ones > 5_000 && faulty > 5_000, "{whole_ones} {faulty}");
}
