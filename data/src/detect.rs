//! What kind of source is this file or folder?

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::source::{missing, sniff_csv, sqlite_tables};
use crate::{CsvSpec, Error, IdxSpec, ImagesSpec, JsonSpec, ParquetSpec, Result, SourceSpec, SqliteSpec};

/// Endings of picture files.
const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif"];
/// First bytes of Parquet files.
const PARQUET: &[u8] = b"PAR1";
/// First bytes of SQLite files.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Tables that a message names.
const NAMED_TABLES_MAX: usize = 10;

/// The kind of source a path is, by its extension, its folder or its first bytes.
///
/// # Errors
/// A path that is not there, or whose kind cannot be told: with the kinds there are.
pub fn detect(path: &Path) -> Result<SourceSpec> {
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("{}: the path is not UTF-8", path.display())))?;
    if path.is_dir() {
        return folder(path, text);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
    if plain.contains("idx3-ubyte") || plain.contains("idx1-ubyte") {
        return idx(path, text);
    }
    let source = match plain.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv" | "tsv" | "tab" | "txt" | "data") => csv(path, text)?,
        Some("json" | "jsonl" | "ndjson") => SourceSpec::Json(JsonSpec::new(text)),
        Some("parquet" | "pq") => SourceSpec::Parquet(ParquetSpec { path: text.to_owned() }),
        _ => by_first_bytes(path, text)?,
    };
    if !path.exists() && !text.contains(['*', '?', '[']) {
        return Err(missing(path, std::io::ErrorKind::NotFound.into()));
    }
    Ok(source)
}

/// Delimiter and header as the first lines show them; the defaults for a pattern of files and for one with nothing in it.
fn csv(path: &Path, text: &str) -> Result<SourceSpec> {
    let filled = path.metadata().is_ok_and(|file| file.len() > 0);
    let spec = if filled { sniff_csv(path)? } else { CsvSpec::new(text) };
    Ok(SourceSpec::Csv(CsvSpec { path: text.to_owned(), ..spec }))
}

fn folder(path: &Path, text: &str) -> Result<SourceSpec> {
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
    match images {
        Some(images) => detect(&images),
        None => Err(Error::invalid(format!(
            "{text}: no folders of pictures in it; a folder is read as one folder of pictures per class"
        ))),
    }
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
        return Ok(SourceSpec::Parquet(ParquetSpec { path: text.to_owned() }));
    }
    if first.starts_with(SQLITE) {
        return sqlite(path, text);
    }
    match start.map(|start| first[start]) {
        Some(b'{') => Ok(SourceSpec::Json(JsonSpec::new(text))),
        Some(_) if !first.contains(&0) && first.contains(&b'\n') => csv(path, text),
        _ => Err(Error::invalid(format!(
            "{text}: what kind of data is this? known are .csv, .tsv, .jsonl, .parquet (also .gz, .zst), SQLite and IDX \
             files and folders of pictures by class"
        ))),
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
        assert_eq!(kind(&folder.path().join("t10k-images-idx3-ubyte.gz")), "idx");
        let shop = folder.path().join("shop.db");
        let connection = rusqlite::Connection::open(&shop).unwrap();
        connection.execute_batch("CREATE TABLE orders (a)").unwrap();
        assert_eq!(kind(&shop), "sqlite");
        connection.execute_batch("CREATE TABLE people (a)").unwrap();
        assert!(kind(&shop).contains("2 tables (orders, people); which one?"));
        assert!(kind(&write("e", &[0, 1, 2, 3])).contains("what kind of data"));
        assert!(kind(&folder.path().join("pictures/cat")).contains("no folders of pictures"));
        assert!(kind(&folder.path().join("aa.csv")).contains("aa.csv"));
    }
}
