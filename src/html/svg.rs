//! Text and numbers as SVG and HTML have them.

pub use crate::output::count;

/// Text that stands for itself in HTML, wherever it comes from. Control characters have no place there.
pub fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.extend(c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

/// A coordinate: a tenth of a unit is finer than any screen.
pub fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A drawing as wide as the page; its title and what it shows are for those who do not see it.
pub fn drawing(id: &str, title: &str, (width, height): (f64, f64), inside: &str) -> String {
    format!(
        "<svg id=\"{id}\" class=\"wide\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"><title>{}</title>{inside}</svg>",
        at(width),
        at(height),
        text(title),
        text(title)
    )
}

/// A small line of values in a cell; gaps where there is none.
pub fn spark(values: &[Option<f64>], limit: Option<f64>) -> String {
    const WIDTH: f64 = 120.0;
    const HEIGHT: f64 = 18.0;
    let top = values.iter().flatten().copied().chain(limit).fold(f64::MIN_POSITIVE, f64::max);
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let y = |value: f64| HEIGHT - 1.0 - value / top * (HEIGHT - 2.0);
    let (mut path, mut pen) = (String::new(), false);
    for (i, value) in values.iter().enumerate() {
        match value {
            Some(value) => {
                path.push_str(&format!("{}{} {}", if pen { "L" } else { "M" }, at(i as f64 * step), at(y(*value))));
                pen = true;
            }
            None => pen = false,
        }
    }
    let limit = limit
        .map_or_else(String::new, |limit| format!("<path class=\"limit\" d=\"M0 {0}H{1}\"/>", at(y(limit)), at(WIDTH)));
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {} {}\" width=\"{0}\" height=\"{1}\" aria-hidden=\"true\">{limit}<path class=\"line\" d=\"{path}\"/></svg>",
        at(WIDTH),
        at(HEIGHT)
    )
}

/// A number with at most four digits that mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{value:.3e}"),
        v if v >= 1000.0 || value == value.trunc() => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.001 || v == 0.0 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// Round values from 0 to at least `top`, for an axis.
pub fn ticks(top: f64) -> Vec<f64> {
    let raw = (top / 3.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= raw).unwrap_or(power);
    (0..=(top / step).ceil() as usize).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            text("<b onclick='x'>&\"\u{1b}[31m\u{202e}é"),
            "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\\u{1b}[31m\\u{202e}é"
        );
        assert_eq!((at(3.0), at(-0.04), at(12.34)), ("3".into(), "-0".into(), "12.3".into()));
        assert_eq!(
            (number(0.25), number(1234.5), number(7.0), number(3e-9)),
            ("0.2500".into(), "1234".into(), "7".into(), "3.0e-9".into())
        );
    }

    #[test]
    fn axes_and_lines_hold_their_values() {
        assert_eq!(ticks(10.0), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(979.0), [0.0, 500.0, 1000.0]);
        assert_eq!(ticks(0.0).len(), 1);
        let line = spark(&[Some(1.0), None, Some(2.0), Some(0.0)], Some(4.0));
        assert!(line.contains("d=\"M0 13M80 9L120 17\""), "{line}");
        assert!(!spark(&[], None).contains("NaN") && !spark(&[None, Some(0.0)], None).contains("NaN"));
    }
}
