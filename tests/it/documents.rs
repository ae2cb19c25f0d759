//! The documents: every link leads somewhere, and every command in them runs as it stands.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

fn documents() -> Vec<PathBuf> {
    let root = repository();
    let mut found = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/README.md"]
        .into_iter()
        .map(|name| root.join(name))
        .collect::<Vec<_>>();
    for pattern in ["docs/*.md", "docs/reference/*.md"] {
        found.extend(glob::glob(&root.join(pattern).display().to_string()).unwrap().flatten());
    }
    assert!(found.len() > 15);
    found
}

/// The text without code.
fn prose(text: &str) -> String {
    let mut code = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if !code {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// As GitHub makes the anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    for document in documents() {
        let text = prose(&std::fs::read_to_string(&document).unwrap());
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            if target.starts_with("https://") {
                continue;
            }
            seen += 1;
            let (file, part) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(path.exists(), "{} links to {target}, which is not there", document.display());
            if !part.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let headings =
                    text.lines().filter_map(|line| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')));
                assert!(headings.map(anchor).any(|known| known == part), "{}: {target}", document.display());
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Pages that are about the repository and not about a project, and pages without commands.
const NOT_RUN: [&str; 9] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benches/README.md",
    "docs/adding-a-model.md",
    "docs/adding-a-source.md",
    "docs/adding-a-warehouse.md",
    "docs/guarantees.md",
    "docs/reference/",
];

/// The commands of a page: what stands in its blocks of sh, in order.
fn commands(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in text.lines() {
        match &mut open {
            None if line == "```sh" => open = Some(Vec::new()),
            Some(lines) if line == "```" => {
                blocks.push(lines.join("\n"));
                open = None;
            }
            Some(lines) => lines.push(line),
            None => {}
        }
    }
    blocks
}

/// A page says in its first line in which folder its commands run.
fn scene(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("<!-- scene: ")?.strip_suffix(" -->")
}

#[test]
fn every_command_in_the_documents_runs() {
    let mut ran = 0;
    for document in documents() {
        let name = document.strip_prefix(repository()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&document).unwrap();
        let blocks = commands(&text);
        if blocks.is_empty() || NOT_RUN.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let scene = scene(&text).unwrap_or_else(|| panic!("{name} has commands and does not say its scene"));
        let project = set(scene);
        // What make does has its own tests.
        let script: Vec<String> = blocks.iter().filter(|block| !block.starts_with("make ")).cloned().collect();
        ran += script.len();
        let out = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script.join("\n")])
            .current_dir(project.path("."))
            .env("PATH", path_with_daymill(&project))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{name}:\n{}\n{said}", String::from_utf8_lossy(&out.stdout));
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
    assert!(ran > 20, "{ran} blocks");
}

/// A folder in which `daymill` is the program under test.
fn path_with_daymill(project: &Project) -> String {
    let bin = project.path(".bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daymill"), bin.join("daymill")).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn set(scene: &str) -> Project {
    let project = Project::empty();
    let at = project.path(".").display().to_string();
    let model = repository().join("fixtures/models/shop");
    let copy = |from: &Path, to: &str| {
        std::fs::copy(from, project.path(to)).unwrap();
    };
    match scene {
        "empty" => {}
        "flights" => {
            project.daymill(&["init", "--example", "flights", &at]).expect(0);
        }
        "night" => {
            project.daymill(&["init", "--example", "flights", &at]).expect(0);
            project.daymill(&["run", "flight_delay", "--date", "2013-06-07"]).expect(0);
        }
        "shop" => {
            shop(&project);
            copy(&model.join("model.ubj"), "model.ubj");
        }
        "models" => {
            project.daymill(&["init", &at]).expect(0);
            copy(&model.join("model.ubj"), "model.ubj");
            copy(&model.join("rows.parquet"), "rows.parquet");
        }
        other => panic!("no scene {other}"),
    }
    project
}

/// Five days of orders.
fn shop(project: &Project) {
    for day in 1..=5 {
        let mut text = "order_id,placed_at,items,price,express,country\n".to_owned();
        for i in 0..40 {
            let (items, price) = (1 + (i * 7 + day) % 5, 5.0 + f64::from((i * 37 + day * 11) % 200) / 2.0);
            let country = ["DE", "AT", "CH", "FR"][(i % 4) as usize];
            let express = i % 3 == 0;
            text.push_str(&format!(
                "{},2026-03-{day:02} {:02}:15:00,{items},{price},{express},{country}\n",
                day * 1000 + i,
                i % 24
            ));
        }
        project.write(&format!("data/orders-2026-03-{day:02}.csv"), text);
    }
}
