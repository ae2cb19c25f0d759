//! Text that fits the width of a terminal: tables that give way, lines that are broken between their parts.

use super::writer::on_terminal;

/// The columns that there are; none where text may be as wide as it likes.
pub fn width() -> Option<usize> {
    let asked = |name: &str| std::env::var(name).ok()?.parse().ok().filter(|n| *n > 0);
    asked("DAYMILL_COLUMNS").or_else(|| {
        let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        on_terminal().then(|| asked("COLUMNS").or_else(terminal)).flatten()
    })
}

/// Between two columns of a table.
const GAP: usize = 2;
/// No column is made narrower.
pub const NARROWEST: usize = 8;

/// Whether columns of these widths fit.
pub fn fits(widths: &[usize], room: usize) -> bool {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) <= room
}

/// The widths of columns that fit, the widest giving way first, down to the least; none when these do not fit.
pub fn fit(natural: &[usize], least: &[usize], room: usize) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    while !fits(&widths, room) {
        let wider = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least);
        let (widest, _) = wider.max_by_key(|(width, _)| **width)?;
        *widest -= 1;
    }
    Some(widths)
}

/// A text of this width at most. Of paths and models the end says more.
pub fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    match (length <= width, text.contains('/') && !text.contains(' ')) {
        (true, _) => text.to_owned(),
        (false, true) => std::iter::once('…').chain(text.chars().skip(length + 1 - width)).collect(),
        (false, false) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A sentence in lines, each after so many columns; a word that is wider stays whole.
pub fn sentence(text: &str, before: usize) -> String {
    let Some(room) = width().map(|width| width.saturating_sub(before).max(NARROWEST)) else { return text.to_owned() };
    let (mut out, mut at) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if at > 0 && at + 1 + length > room {
            out.push_str(&format!("\n{}", " ".repeat(before)));
            at = 0;
        } else if at > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += length;
    }
    out
}

/// A path after so many columns, cut at its beginning where there is no more room.
pub fn path(path: &str, before: usize) -> String {
    let path = super::writer::from_here(path);
    match width() {
        Some(width) => cut(&path, width.saturating_sub(before).max(NARROWEST)),
        None => path,
    }
}

/// A line that is cut where there is no more room; `--output json` has it whole.
pub fn within(line: &str) -> String {
    match width() {
        Some(width) if line.chars().count() > width => line.chars().take(width - 1).chain(['…']).collect(),
        _ => line.to_owned(),
    }
}

/// Ids as long as tells them apart: `show` and `retry` take the beginning of one.
pub fn short_ids(ids: &[&str]) -> usize {
    const SHORTEST: usize = 13;
    let longest = ids.iter().map(|id| id.len()).max().unwrap_or(0);
    let apart = |n: &usize| {
        let mut seen = std::collections::HashMap::new();
        ids.iter().all(|id| *seen.entry(id.get(..*n).unwrap_or(id)).or_insert(*id) == *id)
    };
    (SHORTEST..longest).find(apart).unwrap_or(longest)
}

/// Parts one after the other, in as many lines as they need; `before` is the width of what stands before each line.
pub fn broken(parts: &[String], before: usize) -> Vec<String> {
    let Some(room) = width().map(|width| width.saturating_sub(before).max(NARROWEST)) else {
        return vec![parts.join(", ")];
    };
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + part.chars().count() <= room => {
                line.push_str(", ");
                line.push_str(part);
            }
            Some(line) => {
                line.push(',');
                lines.push(part.clone());
            }
            None => lines.push(part.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_column_gives_way() {
        assert_eq!(fit(&[4, 30, 10], &[4, 8, 8], 80), Some(vec![4, 30, 10]));
        assert_eq!(fit(&[4, 30, 10], &[4, 8, 8], 40), Some(vec![4, 22, 10]));
        assert_eq!(fit(&[4, 30, 10], &[4, 30, 4], 40), None);
        assert_eq!(fit(&[20, 20, 20], &[8, 8, 8], 20), None);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("a description of it", 10), "a descrip…");
        assert_eq!(cut("models/flight_delay@champion", 12), "…ay@champion");
        assert_eq!(cut("short", 10), "short");
        assert_eq!(short_ids(&["01a2217f-59de-7453", "01a2217f-59de-7999"]), 16);
        assert_eq!(short_ids(&["01a2217f-59de-7453", "01a3217f-59de-7453"]), 13);
    }
}
