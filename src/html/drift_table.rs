//! The columns and how far they moved.

use super::svg::{number, spark, text};
use crate::drift::{Drifted, Standing};

/// The smallest effect that matters, as it is drawn.
const FLOOR: f64 = 0.05;

pub fn table(drifted: &Drifted) -> String {
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let mut rows = String::new();
    for column in &drifted.columns {
        let movement = &column.movement;
        let mark = match column.standing {
            Standing::Drifting => "▲ drifting",
            Standing::Moved => "△ moved",
            Standing::Stable => "stable",
            Standing::Skipped => "· skipped",
        };
        rows.push_str(&format!(
            "<tr class=\"{}\"><th scope=\"row\">{}</th><td>{}</td><td>{mark}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2} %</td><td>{}</td></tr>",
            column.standing.name(),
            text(&column.column),
            column.side.name(),
            column.began().map_or_else(|| "–".into(), |began| text(&began)),
            optional(movement.psi),
            optional(movement.effect()),
            optional(column.usual),
            movement.mean_shift.map_or_else(|| "–".to_owned(), number),
            movement.missing * 100.0,
            spark(&column.history, Some(FLOOR)),
        ));
    }
    format!(
        "<p>{} beside {}.</p><div class=\"scroll\"><table><thead><tr><th>column</th><th>side</th><th>standing</th><th>since</th>\
         <th>PSI</th><th>effect</th><th>usual</th><th>mean, in sd</th><th>missing</th><th>effect, interval by interval</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>",
        text(&drifted.interval),
        text(&drifted.baseline)
    )
}
