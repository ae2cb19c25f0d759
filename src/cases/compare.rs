//! What differs between the rows that are expected and those that came.

use std::collections::BTreeMap;

use super::rows::Rows;

/// Differences shown of one case.
const SHOWN: usize = 10;

/// Rows by key: missing, unexpected, and cells that differ by more than their column's tolerance.
pub fn compare(expected: &Rows, found: &Rows, keys: usize, tolerance: &BTreeMap<String, f64>) -> Vec<String> {
    let (Some(header), Some(columns)) = (expected.first(), found.first()) else {
        return vec!["expected.csv is empty".into()];
    };
    if header != columns {
        return vec![format!("columns: expected {}, found {}", header.join(","), columns.join(","))];
    }
    let by_key = |rows: &Rows| {
        rows[1..].iter().map(|row| (row[..keys.min(row.len())].to_vec(), row.clone())).collect::<BTreeMap<_, _>>()
    };
    let (expected, found) = (by_key(expected), by_key(found));
    let name = |key: &Vec<String>| {
        header.iter().zip(key).map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
    };
    let mut differences = Vec::new();
    for (key, row) in &expected {
        let Some(other) = found.get(key) else {
            differences.push(format!("- {}: missing", name(key)));
            continue;
        };
        for ((column, want), got) in header.iter().zip(row).zip(other) {
            if !close(want, got, tolerance.get(column).copied().unwrap_or(0.0)) {
                differences.push(format!("~ {}: {column} expected {want}, found {got}", name(key)));
            }
        }
    }
    differences.extend(
        found.keys().filter(|key| !expected.contains_key(*key)).map(|key| format!("+ {}: unexpected", name(key))),
    );
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("... and {more} more"));
    }
    differences
}

fn close(want: &str, got: &str, tolerance: f64) -> bool {
    want == got
        || matches!((want.parse::<f64>(), got.parse::<f64>()), (Ok(want), Ok(got)) if (want - got).abs() <= tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_key() {
        let rows = |text: &str| text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect::<Rows>();
        let expected = rows("id,p\n1,0.5\n2,0.25\n3,1");
        let found = rows("id,p\n1,0.5000001\n2,0.5\n4,1");
        let tolerance = BTreeMap::from([("p".to_owned(), 1e-6)]);
        let differences = compare(&expected, &found, 1, &tolerance);
        assert_eq!(differences, ["~ id=2: p expected 0.25, found 0.5", "- id=3: missing", "+ id=4: unexpected"]);
        assert!(compare(&expected, &expected, 1, &BTreeMap::new()).is_empty());
        assert!(compare(&rows("id,q"), &found, 1, &tolerance)[0].contains("columns"));
    }
}
