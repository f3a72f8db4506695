use std::path::Path;

use crate::Result;

pub(crate) fn step(_path: &Path) -> Result<()> {
    Ok(())
}
