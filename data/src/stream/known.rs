//! Which columns does a stream have? Those declared, or those found first; once a row is stored they stay (`schema.json`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::decode::{Columns, LATE, Message, SEQUENCE};
use super::segments::sync_folder;
use crate::error::{Error, Result};
use crate::spec::{ColumnType, StreamSpec};

/// The columns of a stream, as soon as they are known.
#[derive(Debug)]
pub(crate) struct Known {
    folder: PathBuf,
    spec: StreamSpec,
    fixed: Mutex<Option<Arc<Columns>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    columns: Vec<(String, ColumnType)>,
}

impl Known {
    /// Those that are kept or declared; `given` are those of a source whose columns are always the same.
    pub(crate) fn open(folder: &Path, spec: &StreamSpec, given: Option<Vec<(String, ColumnType)>>) -> Result<Self> {
        let declared = match (given, spec.columns.is_empty()) {
            (Some(_), false) => {
                return Err(Error::invalid("columns: this kind of source has columns of its own; leave them out"));
            }
            (Some(given), true) => given,
            (None, _) => spec.columns.iter().map(|(name, kind)| (name.clone(), *kind)).collect(),
        };
        let kept = read(folder)?;
        let columns = match kept {
            None => declared,
            Some(kept) if declared.is_empty() => kept,
            Some(kept) => joined(folder, kept, declared)?,
        };
        let fixed = match columns.is_empty() {
            true => None,
            false => Some(Arc::new(Columns::new(columns, spec)?)),
        };
        Ok(Self { folder: folder.to_owned(), spec: spec.clone(), fixed: Mutex::new(fixed) })
    }

    /// The columns, where they are known.
    pub(crate) fn columns(&self) -> Option<Arc<Columns>> {
        self.fixed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The columns, or those that these messages would have; none where no row is in them.
    pub(crate) fn seen_in(&self, messages: &[Message]) -> Result<Option<Arc<Columns>>> {
        match self.columns() {
            Some(columns) => Ok(Some(columns)),
            None => Ok(Columns::find(messages, &self.spec)?.map(Arc::new)),
        }
    }

    /// From now on these are the columns, unless they were known already; says which they are.
    pub(crate) fn adopt(&self, columns: &Arc<Columns>) -> Arc<Columns> {
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fixed.get_or_insert_with(|| Arc::clone(columns)))
    }

    /// Writes them down, before the first row is stored.
    pub(crate) fn keep(&self) -> Result<()> {
        let Some(columns) = self.columns() else { return Ok(()) };
        if read(&self.folder)?.is_some_and(|kept| kept == columns.all) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&Kept { columns: columns.all.clone() })
            .map_err(|e| Error::internal("columns cannot be written", e))?;
        let (path, temporary) = (self.folder.join("schema.json"), self.folder.join(".schema.tmp"));
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|e| Error::io(&path, e))?;
        sync_folder(&self.folder)
    }
}

/// The columns of the rows as they are stored.
pub(crate) fn stored_schema(columns: &Columns, spec: &StreamSpec) -> SchemaRef {
    let mut fields: Vec<Field> = columns.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(SEQUENCE, DataType::Int64, false));
    if spec.event_time.is_some() {
        fields.push(Field::new(LATE, DataType::Boolean, true));
    }
    Arc::new(Schema::new(fields))
}

fn read(folder: &Path) -> Result<Option<Vec<(String, ColumnType)>>> {
    let path = folder.join("schema.json");
    match fs::read(&path) {
        Ok(bytes) => {
            let kept: Kept = serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(&path, e.to_string()))?;
            Ok(Some(kept.columns))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// The kept columns, then the declared ones that are new; none may be gone or of another type.
fn joined(
    folder: &Path,
    kept: Vec<(String, ColumnType)>,
    declared: Vec<(String, ColumnType)>,
) -> Result<Vec<(String, ColumnType)>> {
    for (name, kind) in &kept {
        let trouble = match declared.iter().find(|(other, _)| other == name) {
            Some((_, other)) if other == kind => continue,
            Some((_, other)) => format!("column \"{name}\" holds {}, not {}", kind.plural(), other.plural()),
            None => format!("column \"{name}\" is no longer declared"),
        };
        return Err(Error::Conflict(format!(
            "{trouble}: rows are stored already; declare it as it was, give the source another name, or move {} away",
            folder.display()
        )));
    }
    let new: Vec<_> = declared.into_iter().filter(|(name, _)| !kept.iter().any(|(known, _)| known == name)).collect();
    Ok(kept.into_iter().chain(new).collect())
}
