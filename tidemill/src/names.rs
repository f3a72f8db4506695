//! The nearest right spelling of a wrong name.

/// `; did you mean "x"?` where one of `known` is close to `asked`, nothing otherwise.
pub(crate) fn did_you_mean<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(asked, known).map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// The name at the fewest edits, a third of its length at most.
pub(crate) fn nearest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&asked.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, name)| name)
}
