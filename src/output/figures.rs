//! Times, counts and tables as text.

use super::width::{NARROWEST, cut, fit, fits, short_ids, width};
use super::writer::{line, on_terminal, paint};

pub fn seconds(value: f64) -> String {
    match value {
        v if v < 0.0995 => format!("{:.0} ms", v * 1e3),
        v if v < 100.0 => format!("{v:.2} s"),
        v => format!("{:.0} min {:.0} s", (v / 60.0).floor(), v % 60.0),
    }
}

/// One character for each value, as high as the value is beside the largest; nothing is drawn for none.
pub fn bars(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |value: &f64| if *value == 0.0 { ' ' } else { BARS[((value / top * 7.0).round() as usize).min(7)] };
    values.iter().map(bar).collect()
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
    table_without(header, rows, &[])
}

/// The same. Where there is less room, ids are as long as tells them apart, the columns `first` give way, and then the widest are
/// cut; where that is not enough, each row is a few lines.
pub fn table_without(header: &[&str], rows: &[Vec<String>], first: &[&str]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let Some(room) = width() else { return lines_of(header, &rows, &natural(header, &rows)) };
    if fits(&natural(header, &rows), room) {
        return lines_of(header, &rows, &natural(header, &rows));
    }
    let (short, ids) = shorten_ids(&rows);
    for gone in 0..=first.len() {
        let kept: Vec<usize> = (0..header.len()).filter(|i| !first[..gone].contains(&header[*i])).collect();
        let header: Vec<&str> = kept.iter().map(|i| header[*i]).collect();
        let rows: Vec<Vec<String>> = short.iter().map(|row| kept.iter().map(|i| row[*i].clone()).collect()).collect();
        let widths = natural(&header, &rows);
        let least = |(at, width): (usize, &usize)| if ids.contains(&kept[at]) { *width } else { NARROWEST.min(*width) };
        let least: Vec<usize> = widths.iter().enumerate().map(least).collect();
        let widths = if gone == first.len() && room >= NARROW_SCREEN {
            fit(&widths, &least, room)
        } else {
            Some(widths).filter(|w| fits(w, room))
        };
        if let Some(widths) = widths {
            return lines_of(&header, &rows, &widths);
        }
    }
    pages(header, &short, room)
}

/// Of cut columns little is left below this width.
const NARROW_SCREEN: usize = 60;

fn natural(header: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let column = |i: usize| rows.iter().map(|row| row[i].chars().count()).chain([header[i].chars().count()]).max();
    (0..header.len()).map(|i| column(i).unwrap_or(0)).collect()
}

fn lines_of(header: &[&str], rows: &[Vec<String>], widths: &[usize]) -> String {
    let padded_line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| {
            let cell = cut(cell, *width);
            format!("{cell}{}", " ".repeat(width - cell.chars().count()))
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = paint("1", &padded_line(header.to_vec()), on_terminal());
    let rows = rows.iter().map(|row| padded_line(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

/// The rows with short ids, and in which columns they are.
fn shorten_ids(rows: &[Vec<String>]) -> (Vec<Vec<String>>, Vec<usize>) {
    let (mut rows, mut columns) = (rows.to_vec(), Vec::new());
    for i in 0..rows.first().map_or(0, Vec::len) {
        let ids: Vec<&str> = rows.iter().map(|row| row[i].as_str()).collect();
        if ids.iter().all(|id| uuid::Uuid::parse_str(id).is_ok()) {
            let short = short_ids(&ids);
            rows.iter_mut().for_each(|row| row[i].truncate(short));
            columns.push(i);
        }
    }
    (rows, columns)
}

/// Each row as lines of its own.
fn pages(header: &[&str], rows: &[Vec<String>], room: usize) -> String {
    let names = header.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let page = |row: &Vec<String>| {
        let lines = header.iter().zip(row).map(|(name, cell)| {
            let cell = cut(cell, room.saturating_sub(names + 2).max(1));
            format!("{name:names$}  {cell}").trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(page).collect::<Vec<_>>().join("\n\n")
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
