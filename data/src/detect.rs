//! What kind of source is this file or folder?

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::source::{extension, first_member, is_url, is_workbook, looks_like_log, missing, sniff_csv, sqlite_tables};
use crate::{
    ArrowSpec, AvroSpec, CsvSpec, DeltaSpec, Error, ExcelSpec, IdxSpec, ImagesSpec, JsonSpec, LogsSpec, ParquetSpec,
    Result, SourceSpec, SqliteSpec, TextFileSpec, TextFolderSpec,
};

/// Endings of picture files.
const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif"];
/// First bytes of Parquet files.
const PARQUET: &[u8] = b"PAR1";
/// First bytes of Avro files.
const AVRO: &[u8] = b"Obj\x01";
/// First bytes of Arrow files.
const ARROW: &[u8] = b"ARROW1";
/// First bytes of Arrow streams.
const ARROW_STREAM: &[u8] = &[0xff; 4];
/// First bytes of archives.
const ZIP: &[u8] = b"PK\x03\x04";
/// The folder that makes a folder a table of Delta Lake.
const DELTA_LOG: &str = "_delta_log";
/// Endings of texts in folders of classes.
const TEXTS: [&str; 6] = ["txt", "text", "md", "eml", "html", ""];
/// Entries of a folder that are looked at.
const LOOKED_AT_MAX: usize = 1_000;
/// First bytes of SQLite files.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// What a message says of the kinds there are.
const KNOWN: &str = "known are .csv, .tsv, .jsonl, .parquet, .avro, .arrow, .xlsx, .xls, .ods, .log (also .gz, .zst, .bz2, \
                     .zip), SQLite and IDX files, Delta tables and folders of pictures or texts by class";
/// Tables that a message names.
const NAMED_TABLES_MAX: usize = 10;

/// The kind of source a path is, by its extension, its folder or its first bytes.
///
/// # Errors
/// A path that is not there, or whose kind cannot be told: with the kinds there are.
pub fn detect(path: &Path) -> Result<SourceSpec> {
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("{}: the path is not UTF-8", path.display())))?;
    if is_url(text) {
        let name = text.split(['?', '#']).next().unwrap_or(text);
        return match by_extension(&extension(Path::new(name)), text) {
            Some(source) => Ok(source),
            None => Err(Error::invalid(format!(
                "{name}: what kind of data is this? write a source for it in tidemill.yaml"
            ))),
        };
    }
    if path.is_dir() {
        return folder(path, text);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name.contains("idx3-ubyte") || name.contains("idx1-ubyte") {
        return idx(path, text);
    }
    let mut source = match by_extension(&extension(path), text) {
        Some(source) => source,
        None if name.contains(".log.") => SourceSpec::Logs(LogsSpec::new(text)), // one that was put away: app.log.1.gz
        None if name.ends_with(".zip") && path.exists() => in_archive(path, text)?,
        None => by_first_bytes(path, text)?,
    };
    if matches!(source, SourceSpec::Logs(_)) && starts_with_brace(path) {
        source = SourceSpec::Json(JsonSpec::new(text)); // a log of objects
    }
    if matches!(source, SourceSpec::Csv(_)) {
        source = csv(path, text)?;
    }
    if !path.exists() && !text.contains(['*', '?', '[']) {
        return Err(missing(path, std::io::ErrorKind::NotFound.into()));
    }
    Ok(source)
}

/// The kind that a file's extension, in lower case, tells.
fn by_extension(extension: &str, text: &str) -> Option<SourceSpec> {
    Some(match extension {
        "csv" | "tsv" | "tab" | "txt" | "data" => SourceSpec::Csv(CsvSpec::new(text)),
        "json" | "jsonl" | "ndjson" => SourceSpec::Json(JsonSpec::new(text)),
        "parquet" | "pq" => SourceSpec::Parquet(ParquetSpec::new(text)),
        "xlsx" | "xlsm" | "xlsb" | "xls" | "ods" => SourceSpec::Excel(ExcelSpec::new(text)),
        "avro" => SourceSpec::Avro(AvroSpec::new(text)),
        "arrow" | "arrows" | "ipc" | "feather" | "ftr" => SourceSpec::Arrow(ArrowSpec::new(text)),
        "log" => SourceSpec::Logs(LogsSpec::new(text)),
        "text" | "md" => SourceSpec::Text(TextFileSpec::new(text)),
        _ => return None,
    })
}

/// Whether a file that is not packed begins with an object.
fn starts_with_brace(path: &Path) -> bool {
    let mut first = Vec::new();
    File::open(path).is_ok_and(|file| file.take(512).read_to_end(&mut first).is_ok())
        && first.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// The kind of an archive's first member.
fn in_archive(path: &Path, text: &str) -> Result<SourceSpec> {
    let member = first_member(path)?;
    by_extension(&extension(&member), text)
        .ok_or_else(|| Error::invalid(format!("{}: what kind of data is this? {KNOWN}", member.display())))
}

/// Delimiter and header as the first lines show them; the defaults for a pattern of files and for one with nothing in it.
fn csv(path: &Path, text: &str) -> Result<SourceSpec> {
    let filled = path.metadata().is_ok_and(|file| file.len() > 0);
    let spec = if filled { sniff_csv(path)? } else { CsvSpec::new(text) };
    Ok(SourceSpec::Csv(CsvSpec { path: text.to_owned(), ..spec }))
}

fn folder(path: &Path, text: &str) -> Result<SourceSpec> {
    if path.join(DELTA_LOG).is_dir() {
        return Ok(SourceSpec::Delta(DeltaSpec::new(text)));
    }
    let entries = || std::fs::read_dir(path).map_err(|e| Error::io(path, e));
    let has_pictures = |class: &Path| {
        std::fs::read_dir(class).is_ok_and(|files| files.flatten().take(1_000).any(|file| is_picture(&file.path())))
    };
    if entries()?.flatten().any(|entry| entry.path().is_dir() && has_pictures(&entry.path())) {
        return Ok(SourceSpec::Images(ImagesSpec { path: text.to_owned() }));
    }
    let images = entries()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("train-images-idx3"));
    if let Some(images) = images {
        return detect(&images);
    }
    let is_class =
        |path: &Path| path.is_dir() && !path.file_name().is_some_and(|name| name.to_string_lossy().contains('='));
    let has_texts = |class: &Path| {
        std::fs::read_dir(class)
            .is_ok_and(|files| files.flatten().take(LOOKED_AT_MAX).any(|file| is_text(&file.path())))
    };
    if entries()?.flatten().any(|entry| is_class(&entry.path()) && has_texts(&entry.path())) {
        return Ok(SourceSpec::Texts(TextFolderSpec::new(text)));
    }
    let source = first_file(path, 8).and_then(|file| Some((by_extension(&extension(&file), text)?, file)));
    match source {
        Some((SourceSpec::Csv(_), file)) => Ok(SourceSpec::Csv(CsvSpec { path: text.to_owned(), ..sniff_csv(&file)? })),
        Some((source, _)) => Ok(source),
        None => Err(Error::invalid(format!(
            "{text}: no data in it that is known; a folder holds files of one kind, or one folder per class with pictures or \
             texts in it; {KNOWN}"
        ))),
    }
}

/// The first file of a known kind in a folder and those below it, by name.
fn first_file(folder: &Path, depth: usize) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.flatten().take(LOOKED_AT_MAX).map(|entry| entry.path()).collect();
    entries.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with(['.', '_'])));
    entries.sort();
    let file = entries.iter().find(|path| path.is_file() && by_extension(&extension(path), "").is_some());
    let below =
        || entries.iter().filter(|path| path.is_dir() && depth > 0).find_map(|path| first_file(path, depth - 1));
    file.cloned().or_else(below)
}

/// Whether a file looks like a text of its own, not like a table.
fn is_text(path: &Path) -> bool {
    let mut first = Vec::new();
    TEXTS.contains(&extension(path).as_str())
        && File::open(path).is_ok_and(|file| file.take(512).read_to_end(&mut first).is_ok())
        && !first.is_empty()
        && !first.contains(&0)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| PICTURES.contains(&extension.as_str()))
}

/// The other file of a pair of IDX files lies beside it under the matching name.
fn idx(path: &Path, text: &str) -> Result<SourceSpec> {
    let images = text.replace("labels-idx1", "images-idx3");
    let labels = text.replace("images-idx3", "labels-idx1");
    for file in [&images, &labels] {
        if !Path::new(file).exists() {
            let path = path.display();
            return Err(Error::NotFound(format!("{path}: no {file} beside it; pictures and labels are read together")));
        }
    }
    Ok(SourceSpec::Idx(IdxSpec { images, labels }))
}

fn by_first_bytes(path: &Path, text: &str) -> Result<SourceSpec> {
    let mut first = [0; 512];
    let mut file = File::open(path).map_err(|e| missing(path, e))?;
    let read = file.read(&mut first).map_err(|e| Error::io(path, e))?;
    let first = &first[..read];
    let start = first.iter().position(|byte| !byte.is_ascii_whitespace());
    if first.starts_with(PARQUET) {
        return Ok(SourceSpec::Parquet(ParquetSpec::new(text)));
    }
    if first.starts_with(AVRO) {
        return Ok(SourceSpec::Avro(AvroSpec::new(text)));
    }
    if first.starts_with(ARROW) || first.starts_with(ARROW_STREAM) {
        return Ok(SourceSpec::Arrow(ArrowSpec::new(text)));
    }
    if is_workbook(path) {
        return Ok(SourceSpec::Excel(ExcelSpec::new(text)));
    }
    if first.starts_with(ZIP) {
        return Err(Error::invalid(format!("{text} is an archive; call it .zip")));
    }
    if first.starts_with(SQLITE) {
        return sqlite(path, text);
    }
    match start.map(|start| first[start]) {
        Some(b'{') => Ok(SourceSpec::Json(JsonSpec::new(text))),
        Some(_) if looks_like_log(first) => Ok(SourceSpec::Logs(LogsSpec::new(text))),
        Some(_) if !first.contains(&0) && first.contains(&b'\n') => csv(path, text),
        _ => Err(Error::invalid(format!("{text}: what kind of data is this? {KNOWN}"))),
    }
}

/// A file of one table is read by its name.
fn sqlite(path: &Path, text: &str) -> Result<SourceSpec> {
    let mut tables = sqlite_tables(path)?;
    match (tables.len(), tables.pop()) {
        (1, Some(table)) => Ok(SourceSpec::Sqlite(SqliteSpec::new(text, table))),
        (0, _) | (_, None) => Err(Error::invalid(format!("{text} is a SQLite file without tables"))),
        (count, Some(last)) => {
            let named: Vec<String> = tables.into_iter().chain([last]).take(NAMED_TABLES_MAX).collect();
            Err(Error::invalid(format!(
                "{text} has {count} tables ({}{}); which one? write a source for it: {{ sqlite: {{ path: {text}, table: {} }} }}",
                named.join(", "),
                if count > NAMED_TABLES_MAX { ", ..." } else { "" },
                named[0]
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> String {
        match detect(path) {
            Ok(source) => serde_json::to_value(&source).unwrap().as_object().unwrap().keys().next().unwrap().clone(),
            Err(error) => error.to_string(),
        }
    }

    /// An archive of one file.
    fn packed_csv(folder: &Path) -> PathBuf {
        use std::io::Write;
        let path = folder.join("packed.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("inner/a.csv", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"a;b\n1;2\n").unwrap();
        zip.finish().unwrap();
        path
    }

    #[test]
    fn by_extension_folder_and_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        };
        for (name, bytes, expected) in [
            ("a.csv", &b"x\n1\n"[..], "csv"),
            ("a.tsv.gz", b"", "csv"),
            ("a.jsonl.zst", b"", "json"),
            ("a.parquet", b"", "parquet"),
            ("b", b"PAR1....", "parquet"),
            ("c", b"\n {\"a\": 1}\n", "json"),
            ("d", b"a,b\n1,2\n", "csv"),
            ("a.csv.bz2", b"", "csv"),
            ("a.log", b"started\n", "logs"),
            ("objects.log", b"{\"level\": \"info\"}\n", "json"),
            ("a.log.1.gz", b"", "logs"),
            ("a.md", b"started\n", "text"),
            ("syslog", b"Jan 31 12:00:01 node1 cron[1]: run\n", "logs"),
            ("a.XLSX", b"", "excel"),
            ("a.ods", b"", "excel"),
            ("a.avro", b"", "avro"),
            ("a.feather", b"", "arrow"),
            ("f", b"Obj\x01....", "avro"),
            ("g", b"ARROW1\0\0", "arrow"),
            ("h", b"\xff\xff\xff\xff\x10\0\0\0", "arrow"),
            ("i", b"\xd0\xcf\x11\xe0....", "excel"),
            ("texts/good/1.txt", b"fine", ""),
            ("logs/year=2026/a.csv.gz", b"", ""),
            ("parts/a.parquet", b"", ""),
            ("lake/a.parquet", b"", ""),
            ("lake/_delta_log/00000000000000000000.json", b"{}", ""),
            ("pictures/cat/1.PNG", b"", ""),
            ("t10k-images-idx3-ubyte.gz", b"", ""),
            ("t10k-labels-idx1-ubyte.gz", b"", "idx"),
        ] {
            let path = write(name, bytes);
            if !expected.is_empty() {
                assert_eq!(kind(&path), expected, "{name}");
            }
        }
        assert_eq!(kind(&folder.path().join("pictures")), "images");
        assert_eq!(kind(&folder.path().join("texts")), "texts");
        assert_eq!(kind(&folder.path().join("parts")), "parquet");
        assert_eq!(kind(&folder.path().join("lake")), "delta");
        let SourceSpec::Csv(spec) = detect(&packed_csv(folder.path())).unwrap() else { panic!("no CSV") };
        assert_eq!((spec.delimiter, spec.header), (Some(';'), true));
        assert_eq!(kind(Path::new("https://host/a.csv.gz?key=1.json")), "csv");
        assert_eq!(kind(Path::new("s3://bucket/part-*.parquet")), "parquet");
        assert!(kind(Path::new("https://host/download?key=secret")).contains("https://host/download: what kind"));
        assert_eq!(kind(&folder.path().join("t10k-images-idx3-ubyte.gz")), "idx");
        let shop = folder.path().join("shop.db");
        let connection = rusqlite::Connection::open(&shop).unwrap();
        connection.execute_batch("CREATE TABLE orders (a)").unwrap();
        assert_eq!(kind(&shop), "sqlite");
        connection.execute_batch("CREATE TABLE people (a)").unwrap();
        assert!(kind(&shop).contains("2 tables (orders, people); which one?"));
        assert!(kind(&write("e", &[0, 1, 2, 3])).contains("what kind of data"));
        assert!(kind(&folder.path().join("pictures/cat")).contains("no data in it that is known"));
        assert!(kind(&folder.path().join("aa.csv")).contains("aa.csv"));
    }
}
