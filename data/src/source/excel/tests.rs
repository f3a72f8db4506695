//! Workbooks as programs write them, in the parts that are read, and as nobody should write them.

use std::io::Write;

use super::*;
use crate::source::Reader;
use crate::source::testing::{lines, read_all};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A workbook of sheets, each the XML of its rows.
fn workbook(sheets: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut add = |name: &str, text: &str| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    let each = |part: &dyn Fn(usize, &str) -> String| -> String {
        sheets.iter().enumerate().map(|(index, (name, _))| part(index + 1, name)).collect()
    };
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let root = format!(r#"<Relationship Id="rId1" Type="{office}/officeDocument" Target="xl/workbook.xml"/>"#);
    add("_rels/.rels", &format!(r#"<Relationships xmlns="{package}">{root}</Relationships>"#));
    let named = each(&|n, name| format!(r#"<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>"#));
    add(
        "xl/workbook.xml",
        &format!(r#"<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{named}</sheets></workbook>"#),
    );
    let parts = each(&|n, _| {
        format!(r#"<Relationship Id="rId{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>"#)
    });
    add("xl/_rels/workbook.xml.rels", &format!(r#"<Relationships xmlns="{package}">{parts}</Relationships>"#));
    add(
        "xl/styles.xml",
        &format!(
            r#"<styleSheet xmlns="{main}"><numFmts count="1"><numFmt numFmtId="164" formatCode="[h]:mm:ss"/></numFmts><cellXfs
            count="4"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="164"/></cellXfs></styleSheet>"#
        ),
    );
    for (index, (_, rows)) in sheets.iter().enumerate() {
        let sheet = format!(r#"<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>"#);
        add(&format!("xl/worksheets/sheet{}.xml", index + 1), &sheet);
    }
    zip.finish().unwrap().into_inner()
}

/// A row of cells: `n:1.5`, `d:46053` (a date), `t:46053.5` (a time), `s:0.5` (a span), `b:1`, `e:#DIV/0!`, anything else
/// a text; empty texts are no cells.
fn row(number: u32, cells: &[&str]) -> String {
    let cell = |(column, text): (usize, &&str)| {
        let name = cells::cell_name(number - 1, column as u32);
        match text.split_once(':') {
            _ if text.is_empty() => String::new(),
            Some(("n", value)) => format!(r#"<c r="{name}"><v>{value}</v></c>"#),
            Some(("d", value)) => format!(r#"<c r="{name}" s="1"><v>{value}</v></c>"#),
            Some(("t", value)) => format!(r#"<c r="{name}" s="2"><v>{value}</v></c>"#),
            Some(("s", value)) => format!(r#"<c r="{name}" s="3"><v>{value}</v></c>"#),
            Some(("b", value)) => format!(r#"<c r="{name}" t="b"><v>{value}</v></c>"#),
            Some(("e", value)) => format!(r#"<c r="{name}" t="e"><v>{value}</v></c>"#),
            _ => format!(r#"<c r="{name}" t="inlineStr"><is><t>{text}</t></is></c>"#),
        }
    };
    format!(r#"<row r="{number}">{}</row>"#, cells.iter().enumerate().map(cell).collect::<String>())
}

fn read_with(bytes: &[u8], set: impl FnOnce(&mut ExcelSpec)) -> Result<(Vec<String>, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.xlsx"), bytes).unwrap();
    let mut spec = ExcelSpec::new("a.xlsx");
    set(&mut spec);
    let reader = ExcelReader::open(&spec, folder.path())?;
    let rows = lines(&read_all(&reader)?);
    Ok((reader.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect(), rows))
}

fn orders() -> Vec<u8> {
    let rows = [
        row(2, &["", "id", "price", "day", "at", "lasted", "paid", "name", ""]),
        row(3, &["", "n:1", "n:1.5", "d:46053", "t:46053.5", "s:0.5", "b:1", "数据 &amp; Co", ""]),
        row(5, &["", "n:2", "e:#DIV/0!", "", "t:46054", "s:1.25", "b:0", "NA", "n:9"]),
    ];
    workbook(&[("Orders", &rows.concat()), ("Notes", &row(1, &["nothing"]))])
}

#[test]
fn cells_become_typed_columns() {
    let (columns, rows) = read_with(&orders(), |_| ()).unwrap();
    let expected = [
        "id Int64",
        "price Float64",
        "day Date32",
        "at Timestamp(µs)",
        "lasted Int64",
        "paid Boolean",
        "name Utf8",
        "column_8 Int64",
    ];
    assert_eq!(columns, expected);
    assert_eq!(
        rows,
        ["1|1.5|2026-01-31|2026-01-31T12:00:00|43200|true|数据 & Co|", "2|||2026-02-01T00:00:00|108000|false||9"]
    );
}

#[test]
fn sheet_range_and_rows_are_chosen() {
    let (columns, rows) = read_with(&orders(), |spec| {
        spec.range = Some("B3:C9".into());
        spec.header = false;
    })
    .unwrap();
    assert_eq!(columns, ["column_1 Int64", "column_2 Float64"]);
    assert_eq!(rows, ["1|1.5", "2|"]);
    let (columns, rows) = read_with(&orders(), |spec| {
        spec.skip_rows = 2;
        spec.header = false;
        spec.range = Some("H1:H5".into());
    })
    .unwrap();
    assert_eq!((columns, rows), (vec!["column_1 Utf8".to_owned()], vec!["数据 & Co".to_owned(), String::new()]));
    let (columns, _) = read_with(&orders(), |spec| {
        spec.sheet = Some("Notes".into());
        spec.header = false;
    })
    .unwrap();
    assert_eq!(columns, ["column_1 Utf8"]);
    let (columns, rows) = read_with(&orders(), |spec| {
        spec.types = [("id".to_owned(), ColumnType::Text), ("day".to_owned(), ColumnType::Timestamp)].into();
        spec.range = Some("B1:D9".into());
    })
    .unwrap();
    assert_eq!(
        (columns[0].as_str(), columns[2].as_str(), rows[0].as_str()),
        ("id Utf8", "day Timestamp(µs)", "1|1.5|2026-01-31T00:00:00")
    );
}

#[test]
fn faults_name_sheet_and_cell() {
    let check = |bytes: &[u8], set: &dyn Fn(&mut ExcelSpec), expected: &str| {
        let error = read_with(bytes, set).unwrap_err();
        assert_ne!(error.kind(), crate::ErrorKind::Internal, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let mixed =
        [row(1, &["id", "price"]), row(2, &["n:1", "n:2"]), row(3, &["n:2", "n:3"]), row(4, &["n:3", "none"])].concat();
    let mixed = workbook(&[("S", &mixed)]);
    check(
        &mixed,
        &|_| (),
        "a.xlsx, sheet \"S\", cell B4: column \"price\" holds whole numbers, but here \"none\"; set types",
    );
    let (_, rows) = read_with(&mixed, |spec| spec.null_values.push("none".into())).unwrap();
    assert_eq!(rows, ["1|2", "2|3", "3|"]);
    check(&orders(), &|spec| spec.sheet = Some("Order".into()), "no sheet \"Order\"; did you mean \"Orders\"?");
    check(&orders(), &|spec| spec.sheet = Some("x".into()), "there are \"Orders\", \"Notes\"");
    check(&orders(), &|spec| spec.range = Some("B".into()), "is no range of cells");
    check(
        &orders(),
        &|spec| spec.range = Some("K1:L9".into()),
        "sheet \"Orders\" is empty; set sheet, range or skip_rows",
    );
    check(&orders(), &|spec| spec.sheet = Some("Notes".into()), "has a header but no rows");
    check(&orders(), &|spec| spec.types = [("idd".to_owned(), ColumnType::Text)].into(), "did you mean \"id\"?");
    check(b"", &|_| (), "is empty");
    check(b"id,price\n1,2\n", &|_| (), "is no workbook, whatever its name says");
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("a.txt", SimpleFileOptions::default()).unwrap();
    check(&zip.finish().unwrap().into_inner(), &|_| (), "is an archive, but no workbook");
}

#[test]
fn hostile_workbooks_are_refused_in_bounded_memory() {
    // Two cells at the ends of a sheet are two cells, not seventeen thousand million.
    let far = format!(r#"{}<row r="1048576"><c r="XFD1048576"><v>7</v></c></row>"#, row(1, &["a"]));
    let (columns, rows) = read_with(&workbook(&[("S", &far)]), |_| ()).unwrap();
    assert_eq!((columns, rows), (vec!["a Utf8".to_owned(), "column_2 Int64".to_owned()], vec!["|7".to_owned()]));
    let backwards = workbook(&[("S", &[row(3, &["n:1"]), row(2, &["n:1"])].concat())]);
    let error = read_with(&backwards, |_| ()).unwrap_err().to_string();
    assert!(error.contains("cell A2 stands behind cells of rows below it"), "{error}");
    let whole = orders();
    for end in (0..whole.len()).step_by(37) {
        assert!(read_with(&whole[..end], |_| ()).is_err(), "cut off at byte {end}");
    }
    for at in (0..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Err(error) = read_with(&flipped, |_| ()) {
            assert_ne!(error.kind(), crate::ErrorKind::Internal, "byte {at}: {error}");
        }
    }
}
