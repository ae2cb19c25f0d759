//! The page of a job: what it says and in which order.

use serde_json::json;

use super::job_page::{DayState, JobPage, PageDay};

use super::scores::{over_time, ridgeline};
use super::svg::{count, text};
use super::volumes::{models, volumes};
use super::{calendar, drift_table, tables};
use crate::drift::Standing;
use crate::quality::profile::{Side, StoredProfile};

const STYLE: &str = include_str!("page.css");
/// The version of the form of the data in the page.
const DATA: u32 = 1;

/// The page, whole in itself. The same for the same ledger.
pub fn page(page: &JobPage) -> String {
    let scores: Vec<String> = {
        let newest = page.days.iter().rev().find(|day| !day.scores.is_empty());
        let named =
            newest.map(|day| day.scores.iter().filter(|p| p.side == Side::Score).map(|p| p.name.clone()).collect());
        named.unwrap_or_default()
    };
    let mut body = headline(page);
    let mut section = |title: &str, inside: &str| {
        if !inside.is_empty() {
            body.push_str(&format!("<section><h2>{title}</h2>{inside}</section>"));
        }
    };
    section("Calendar", &calendar::calendar(&page.days));
    section("Rows", &volumes(&page.days));
    let drawn: String = scores
        .iter()
        .map(|name| {
            let title = if scores.len() > 1 { format!("<h3>{}</h3>", text(name)) } else { String::new() };
            format!("{title}{}{}", over_time(&page.days, name), ridgeline(&page.days, name))
        })
        .collect();
    section("Scores", &drawn);
    section("Models", &models(&page.days));
    let drift: String = page.drift.iter().map(drift_table::table).collect();
    let none: String = page.no_drift.iter().map(|why| format!("<p>{}.</p>", text(why))).collect();
    section("Drift", &(drift + &none));
    section("Gates", &tables::gates(&page.days));
    section("Rows put aside", &tables::aside(&page.aside));
    section("Failures", &tables::failures(&page.days));
    let figures = tables::intervals(&page.days, &scores);
    section(
        "Every interval",
        &format!("<details><summary>The drawings above, as a table</summary>{figures}</details>"),
    );
    section("What the figures mean", MEANING);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{0}</title><style>{STYLE}</style></head><body>{body}\
         <footer>From the ledger of {1} at record {2}. Made by Daymill {3}; the same ledger gives the same page.</footer>\
         <script type=\"application/json\" id=\"data\">{4}</script></body></html>\n",
        text(&page.job),
        text(&page.target),
        text(&page.head),
        env!("CARGO_PKG_VERSION"),
        data(page)
    )
}

const MEANING: &str = "<p>PSI: the population stability index, natural logarithms, over about ten bins with a tenth of the reference's values each; \
    shares below 0.0001 count as that. Effect: the distance of Kolmogorov and Smirnov for numbers, of Jensen and Shannon (base 2) for words. \
    Usual: the median effect of the intervals before. A column moved when its effect matters (the dashed line is 0.05), is more than chance (1 % false \
    discoveries over all columns) and more than usual (five median deviations); it drifts when that was so in two of three intervals.</p>";

fn headline(page: &JobPage) -> String {
    let counted = |state: DayState| page.days.iter().filter(|day| day.state == state).count() as u64;
    let rows: u64 = page.days.iter().map(|day| day.published).sum();
    let aside: u64 = page.days.iter().map(|day| day.quarantined).sum();
    let standing = |standing: Standing| {
        let all = page.drift.iter().flat_map(|drifted| &drifted.columns).filter(|column| column.standing == standing);
        let mut names: Vec<&str> = all.map(|column| column.column.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.len() as u64
    };
    let mut tiles = vec![
        (count(counted(DayState::Published)), "intervals published"),
        (count(counted(DayState::Failed)), "failed"),
        (count(counted(DayState::Missing)), "not run"),
        (count(rows), "rows"),
        (count(aside), "rows put aside"),
    ];
    if !page.drift.is_empty() {
        tiles.push((count(standing(Standing::Drifting)), "columns drift"));
    }
    let tiles: String = tiles.iter().map(|(figure, name)| format!("<li><b>{figure}</b>{name}</li>")).collect();
    let range = match (page.days.first(), page.days.last()) {
        (Some(first), Some(last)) => format!("{} to {}", text(&first.label), text(&last.label)),
        _ => "nothing has run yet".into(),
    };
    let about = if page.description.is_empty() { String::new() } else { format!("<p>{}</p>", text(&page.description)) };
    format!(
        "<header><h1>{}</h1>{about}<p class=\"soft\">{} in {}, {range}, by the clock of {}</p><ul class=\"head\">{tiles}</ul></header>",
        text(&page.job),
        text(&page.table),
        text(&page.target),
        text(&page.timezone)
    )
}

/// The figures of the page for a program. Nothing in it ends the element it stands in.
fn data(page: &JobPage) -> String {
    let score =
        |profile: &StoredProfile| json!({ "name": profile.name, "quantiles": profile.quantiles, "mean": profile.mean });
    let day = |day: &PageDay| {
        json!({
            "interval": day.label, "state": format!("{:?}", day.state).to_lowercase(), "published": day.published,
            "quarantined": day.quarantined, "left_out": day.left_out, "dropped": day.dropped, "model": day.model,
            "scores": day.scores.iter().map(score).collect::<Vec<_>>(),
        })
    };
    let drift: Vec<serde_json::Value> = page
        .drift
        .iter()
        .map(|drifted| {
            let mut value = serde_json::to_value(drifted).unwrap_or_default();
            // Three decimals are what is drawn.
            if let Some(columns) = value["columns"].as_array_mut() {
                for column in columns {
                    if let Some(history) = column["history"].as_array_mut() {
                        history.iter_mut().for_each(|value| {
                            *value = value.as_f64().map_or(serde_json::Value::Null, |v| json!((v * 1e3).round() / 1e3))
                        });
                    }
                }
            }
            value
        })
        .collect();
    json!({
        "version": DATA, "job": page.job, "target": page.target, "ledger_head": page.head,
        "intervals": page.days.iter().map(day).collect::<Vec<_>>(), "drift": drift,
    })
    .to_string()
    .replace('<', "\\u003c")
}
