//! Does a feature give the target away? Measures how far each column alone tells the target.
//!
//! For classes: the share of the target's entropy that the column explains (mutual information over entropy, with the
//! bias correction of Miller 1955). For numbers: correlation, rank correlation (Spearman), or for categories the
//! correlation ratio eta squared.

use super::columns::short;
use super::target::{NO_CLASS, Target, Values, text};
use super::{Finding, Severity, Table, percent, thousands};
use crate::error::Result;
use crate::hash::{HashedMap, MISSING, hash_values};
use crate::profile::{ColumnKind, cast_to_floats};

/// A column that explains this share of the target's entropy gives it away.
const INFORMATION_MAX: f64 = 0.98;
/// So does one that correlates with it like this, or explains this share of its variance.
const CORRELATION_MAX: f64 = 0.999;
/// Rows looked at: enough for a figure of two digits, few enough for a wide table.
const ROWS_MAX: usize = 200_000;
/// Fewer rows say nothing.
const ROWS_MIN: usize = 20;
/// Rows that a value needs on average, so that it does not explain the target by chance.
const ROWS_PER_VALUE: usize = 5;
/// Rows in a bin of a number with many values.
const ROWS_PER_BIN: usize = 20;
/// Bins of a number with many values.
const BINS_MAX: usize = 256;
/// Numbers with no more values than this are not binned.
const VALUES_MAX: u64 = 1_000;
/// A value that goes with one class only is told if it has this share of the class's rows ...
const TELLING_SHARE: f64 = 0.05;
/// ... and the class is no more frequent than this.
const TELLING_CLASS_MAX: f64 = 0.5;

/// A column's values as codes.
struct Codes {
    of_row: Vec<u32>,
    /// A name for each code; none for bins.
    names: Vec<String>,
    count: usize,
}

/// Looks at every feature.
pub(super) fn check(table: &Table, target: &Target, findings: &mut Vec<Finding>) -> Result<()> {
    let rows = table.profile.rows as usize;
    if rows < ROWS_MIN {
        return Ok(());
    }
    let step = rows.div_ceil(ROWS_MAX);
    for column in table.features() {
        let profile = &table.profile.columns[column];
        if profile.kind == ColumnKind::Image || profile.distinct < 2 {
            continue;
        }
        let found = match &target.values {
            Values::Classes { of_row, names } => {
                let classes: Vec<u32> = of_row.iter().copied().step_by(step).collect();
                against_classes(table, column, step, &classes, names, target)?
            }
            Values::Numbers(numbers) => {
                let numbers: Vec<f64> = numbers.iter().copied().step_by(step).collect();
                against_numbers(table, column, step, &numbers, target)?
            }
        };
        findings.extend(found);
    }
    Ok(())
}

fn against_classes(
    table: &Table,
    column: usize,
    step: usize,
    classes: &[u32],
    names: &[String],
    target: &Target,
) -> Result<Option<Finding>> {
    let profile = &table.profile.columns[column];
    let measured = matches!(profile.kind, ColumnKind::Number | ColumnKind::Date);
    let codes = match measured
        && (profile.distinct > VALUES_MAX || profile.distinct as usize * ROWS_PER_VALUE > classes.len())
    {
        true => bins(&numbers(table, column, step)?),
        false => codes(table, column, step)?,
    };
    if codes.count < 2 || codes.count * ROWS_PER_VALUE > classes.len() {
        return Ok(None);
    }
    let counts = Contingency::new(&codes, classes, names.len());
    let share = counts.explained();
    if share >= INFORMATION_MAX {
        return Ok(Some(given_away(
            &profile.name,
            &target.name,
            share,
            &format!("explains {} of it", percent(share.min(1.0))),
        )));
    }
    Ok(counts.telling(classes.len()).filter(|_| !codes.names.is_empty()).map(|telling| {
        let message = format!(
            "where column \"{}\" is \"{}\", the target \"{}\" is always \"{}\" ({} rows, {} of that class); is it known before?",
            profile.name,
            codes.names[telling.code],
            target.name,
            names[telling.class],
            thousands((telling.rows * step) as u64),
            percent(telling.share)
        );
        Finding::new(Severity::Info, "leak", message).column(&profile.name).value(telling.share)
    }))
}

fn given_away(feature: &str, target: &str, value: f64, how: &str) -> Finding {
    let message = format!(
        "column \"{feature}\" gives the target \"{target}\" away: it {how}; leave it out if it is not known when predicting"
    );
    Finding::new(Severity::Warning, "leak", message).column(feature).value(value.min(1.0))
}

/// Rows by value of a column and class.
struct Contingency {
    /// `[codes, classes]`
    counts: HashedMap<u64>,
    codes: Vec<u64>,
    classes: Vec<u64>,
    total: u64,
}

/// A value that goes with one class only.
struct Telling {
    code: usize,
    class: usize,
    rows: usize,
    share: f64,
}

impl Contingency {
    fn new(codes: &Codes, classes: &[u32], class_count: usize) -> Self {
        let mut result =
            Self { counts: HashedMap::default(), codes: vec![0; codes.count], classes: vec![0; class_count], total: 0 };
        for (&code, &class) in codes.of_row.iter().zip(classes).filter(|(_, class)| **class != NO_CLASS) {
            *result.counts.entry(u64::from(code) << 32 | u64::from(class)).or_default() += 1;
            result.codes[code as usize] += 1;
            result.classes[class as usize] += 1;
            result.total += 1;
        }
        result
    }

    /// The share of the classes' entropy that the codes explain.
    fn explained(&self) -> f64 {
        let total = self.total.max(1) as f64;
        let entropy = |counts: &mut dyn Iterator<Item = u64>| -> f64 {
            counts.filter(|count| *count > 0).map(|count| -(count as f64 / total) * (count as f64 / total).ln()).sum()
        };
        let of_classes = entropy(&mut self.classes.iter().copied());
        let information =
            of_classes + entropy(&mut self.codes.iter().copied()) - entropy(&mut self.counts.values().copied());
        let occupied = |counts: &[u64]| counts.iter().filter(|count| **count > 0).count().saturating_sub(1) as f64;
        let by_chance = occupied(&self.codes) * occupied(&self.classes) / (2.0 * total);
        // What is explained to the last row is no chance, however few rows there are.
        let whole = information >= of_classes * (1.0 - 1e-9);
        let information = if whole { information } else { information - by_chance };
        if of_classes > 0.0 { information / of_classes } else { 0.0 }
    }

    /// The value with the largest part of a class, of those that go with one class only.
    fn telling(&self, rows: usize) -> Option<Telling> {
        let mut best: Option<Telling> = None;
        for (&key, &count) in &self.counts {
            let (code, class) = ((key >> 32) as usize, (key & u64::from(u32::MAX)) as usize);
            let share = count as f64 / self.classes[class] as f64;
            let rare = (self.classes[class] as f64) < TELLING_CLASS_MAX * rows as f64;
            let larger = best.as_ref().is_none_or(|best| (share, code) > (best.share, best.code));
            if count == self.codes[code] && count as usize >= ROWS_MIN && share >= TELLING_SHARE && rare && larger {
                best = Some(Telling { code, class, rows: count as usize, share });
            }
        }
        best
    }
}

fn against_numbers(table: &Table, column: usize, step: usize, target: &[f64], to: &Target) -> Result<Option<Finding>> {
    let profile = &table.profile.columns[column];
    if matches!(profile.kind, ColumnKind::Number | ColumnKind::Date) {
        let values = numbers(table, column, step)?;
        let pairs: Vec<(f64, f64)> = values
            .iter()
            .copied()
            .zip(target.iter().copied())
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        if pairs.len() < ROWS_MIN {
            return Ok(None);
        }
        let straight = correlation(pairs.iter().copied());
        if straight.abs() > CORRELATION_MAX {
            let how = format!("correlates with it by {}", short(straight));
            return Ok(Some(given_away(&profile.name, &to.name, straight.abs(), &how)));
        }
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let ranked = correlation(ranks(&x).into_iter().zip(ranks(&y)));
        let how = format!("has the same order (rank correlation {})", short(ranked));
        return Ok((ranked.abs() > CORRELATION_MAX).then(|| given_away(&profile.name, &to.name, ranked.abs(), &how)));
    }
    let codes = codes(table, column, step)?;
    if codes.count < 2 || codes.count * ROWS_PER_VALUE > target.len() {
        return Ok(None);
    }
    let share = variance_explained(&codes, target);
    let how = format!("explains {} of its variance", percent(share));
    Ok((share > CORRELATION_MAX).then(|| given_away(&profile.name, &to.name, share, &how)))
}

/// Pearson's correlation; 0 where one side does not vary.
fn correlation(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let (mut n, mut mean_x, mut mean_y) = (0.0, 0.0, 0.0);
    for (x, y) in pairs.clone() {
        n += 1.0;
        mean_x += (x - mean_x) / n;
        mean_y += (y - mean_y) / n;
    }
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let scale = (xx * yy).sqrt();
    if scale > 0.0 && scale.is_finite() { xy / scale } else { 0.0 }
}

/// Ranks, equal values sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = before as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&row| ranks[row] = mean);
        before += equal.len();
    }
    ranks
}

/// Eta squared: variance between the codes over all variance.
fn variance_explained(codes: &Codes, target: &[f64]) -> f64 {
    let known = || codes.of_row.iter().zip(target).filter(|(_, y)| y.is_finite());
    let mut groups = vec![(0.0, 0.0); codes.count];
    let (mut n, mut mean) = (0.0, 0.0);
    for (&code, &y) in known() {
        n += 1.0;
        mean += (y - mean) / n;
        let (count, group_mean) = &mut groups[code as usize];
        *count += 1.0;
        *group_mean += (y - *group_mean) / *count;
    }
    let all: f64 = known().map(|(_, y)| (y - mean) * (y - mean)).sum();
    let between: f64 = groups.iter().map(|(count, group_mean)| count * (group_mean - mean) * (group_mean - mean)).sum();
    if all > 0.0 { between / all } else { 0.0 }
}

/// The column as numbers, every `step`-th row; NaN where there is none.
fn numbers(table: &Table, column: usize, step: usize) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(table.profile.rows as usize);
    for batch in table.request.train {
        all.extend(cast_to_floats(batch.column(column))?.iter().map(|value| value.unwrap_or(f64::NAN)));
    }
    Ok(all.into_iter().step_by(step).collect())
}

/// The column as codes, every `step`-th row; "no value" is a value too.
fn codes(table: &Table, column: usize, step: usize) -> Result<Codes> {
    let mut known: HashedMap<u32> = HashedMap::default();
    let (mut of_row, mut names, mut start) = (Vec::new(), Vec::new(), 0);
    for batch in table.request.train {
        let values = batch.column(column);
        let hashes = hash_values(values)?;
        for row in (0..hashes.len()).filter(|row| (start + row) % step == 0) {
            let next = known.len() as u32;
            of_row.push(*known.entry(hashes[row]).or_insert_with(|| {
                names.push(if hashes[row] == MISSING { String::new() } else { text(values, row) });
                next
            }));
        }
        start += hashes.len();
    }
    Ok(Codes { of_row, count: names.len(), names })
}

/// Numbers by bins that hold about the same number of rows; the last is for "no value".
fn bins(values: &[f64]) -> Codes {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let count = (sorted.len() / ROWS_PER_BIN).clamp(1, BINS_MAX);
    let mut borders: Vec<f64> = (1..count).map(|bin| sorted[bin * sorted.len() / count]).collect();
    borders.dedup();
    let code = |value: &f64| match value.is_nan() {
        true => borders.len() as u32 + 1,
        false => borders.partition_point(|border| border <= value) as u32,
    };
    Codes { of_row: values.iter().map(code).collect(), names: Vec::new(), count: borders.len() + 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy.stats: pearsonr([1,2,3,4],[1,3,2,5])[0], spearmanr([1,2,2,4],[10,30,20,40])[0]
        let pairs = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0)];
        assert!((correlation(pairs.into_iter()) - 0.831_521_840_620_299_8).abs() < 1e-12);
        let found = correlation(ranks(&[1.0, 2.0, 2.0, 4.0]).into_iter().zip(ranks(&[10.0, 30.0, 20.0, 40.0])));
        assert!((found - 0.948_683_298_050_513_8).abs() < 1e-12);
        assert_eq!(correlation([(1.0, 1.0), (1.0, 2.0)].into_iter()), 0.0);
    }

    #[test]
    fn eta_squared_is_between_over_all() {
        // Groups (1, 2, 3) and (11, 12, 13): between = 6 * 25, within = 4.
        let codes = Codes { of_row: vec![0, 0, 0, 1, 1, 1], names: Vec::new(), count: 2 };
        let found = variance_explained(&codes, &[1.0, 2.0, 3.0, 11.0, 12.0, 13.0]);
        assert!((found - 150.0 / 154.0).abs() < 1e-12);
    }
}
