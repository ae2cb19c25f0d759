//! Did you mean: the closest of some names.

/// The closest of some names, as a hint, when one is close.
pub fn meant<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let close = candidates.map(|c| (strsim::damerau_levenshtein(name, c), c)).min()?;
    (close.0 <= 1 + name.len() / 3).then(|| format!("did you mean {}?", close.1))
}
