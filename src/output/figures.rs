//! Times, counts and tables as text.

use super::writer::{line, on_terminal, paint};

pub fn seconds(value: f64) -> String {
    match value {
        v if v < 0.0995 => format!("{:.0} ms", v * 1e3),
        v if v < 100.0 => format!("{v:.2} s"),
        v => format!("{:.0} min {:.0} s", (v / 60.0).floor(), v % 60.0),
    }
}

/// 1234567 as 1,234,567.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let head = digits.len() % 3;
    let mut parts: Vec<&str> =
        digits.as_bytes()[head..].chunks(3).map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
    if head > 0 {
        parts.insert(0, &digits[..head]);
    }
    parts.join(",")
}

/// A table of left-aligned columns.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([header[i].len()]).max().unwrap_or(0))
        .collect();
    let padded_line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = paint("1", &padded_line(header.to_vec()), on_terminal());
    std::iter::once(head)
        .chain(rows.iter().map(|row| padded_line(row.iter().map(String::as_str).collect())))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(123), "123");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(12.345), "12.35 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
    }
}
