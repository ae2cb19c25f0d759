//! The reference cannot be wrong: its pages, the schemas of editors and the page of commands are what the program itself says,
//! and every example in it is taken by the program.

use clap::CommandFactory;
use daymill::cli::Cli;
use daymill::config::Source;
use daymill::keys::{FILES, File, Key, Need, Shape, Takes, json_schema, reference};

use crate::support::*;

/// A file of the repository that the program makes: `INSTA_UPDATE=always` writes it.
fn made(path: &str, text: &str) {
    let file = repository().join(path);
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::write(&file, text).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{path} is not that of this version; `make snapshots` writes it");
}

#[test]
fn the_pages_and_schemas_are_those_of_this_version() {
    for file in FILES {
        made(&format!("docs/reference/{}.md", file.name), &reference(file));
        let schema = serde_json::to_string_pretty(&json_schema(file)).unwrap() + "\n";
        let printed = Project::empty().daymill(&["schema", file.name]).expect(0).stdout;
        assert_eq!(printed, schema);
        if ["project", "job", "case"].contains(&file.name) {
            made(&format!("schemas/{}.json", file.name), &schema);
        }
    }
    let run = Project::empty().daymill(&["schema", "run"]).expect(0).stdout;
    assert_eq!(run, std::fs::read_to_string(repository().join("docs/run.schema.json")).unwrap());
}

#[test]
fn the_page_of_commands_is_their_help() {
    let mut page = "# Commands\n\nWhat `--help` prints of every command.\n".to_owned();
    commands(&mut page, Cli::command().bin_name("daymill").term_width(100), "daymill");
    made("docs/reference/commands.md", &page);
}

fn commands(page: &mut String, mut command: clap::Command, name: &str) {
    command.build();
    let help = command.clone().bin_name(name.to_owned()).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        commands(page, below.clone(), &format!("{name} {}", below.get_name()));
    }
}

/// A table of a file: its header, and what is declared of it.
fn tables(shape: &'static Shape, path: &str) -> Vec<(String, &'static Shape)> {
    let mut found = vec![(path.to_owned(), shape)];
    for key in shape.keys {
        let inner = path.trim_start_matches("[[").trim_start_matches('[').trim_end_matches(']');
        let name = if inner.is_empty() { key.name.to_owned() } else { format!("{inner}.{}", key.name) };
        let mut add = |path: String, takes: &Takes| match takes {
            Takes::Table(shape) => found.extend(tables(shape, &path)),
            Takes::Tables(shape) => found.extend(tables(shape, &format!("[{path}]"))),
            _ => {}
        };
        match key.takes {
            Takes::Named(_, Takes::Either(all)) => all.iter().for_each(|takes| add(format!("[{name}.x]"), takes)),
            Takes::Named(_, each) => add(format!("[{name}.x]"), each),
            takes => add(format!("[{name}]"), &takes),
        }
    }
    found
}

/// What the reader says of a key with a value.
fn faults(file: &'static File, (header, shape): (&str, &Shape), key: &Key, value: &str) -> Vec<String> {
    let conditions = key.only.first().map_or(String::new(), |only| match only.contains('=') {
        true => format!("{only}\n"),
        false => format!("{only} = {}\n", shape.key(only).unwrap().example),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.toml");
    std::fs::write(&path, format!("{header}\n{conditions}{} = {value}\n", key.name)).unwrap();
    let source = Source::open(&path).unwrap();
    source.read(file, |_| ());
    let faults = source.into_faults().into_iter().map(|fault| fault.message);
    faults.filter(|message| !message.contains("is missing")).collect()
}

/// Values just out of the bounds of a number.
fn outside(takes: &Takes) -> Vec<String> {
    let (below, above) = match takes {
        Takes::Whole { from, to } => {
            (from.checked_sub(1).map(|n| n.to_string()), to.checked_add(1).map(|n| n.to_string()))
        }
        Takes::Number { from, to } => {
            let outside = |number: f64| number.is_finite().then(|| format!("{number:?}"));
            (outside(from - 1.0), outside(to + to.abs().min(1.0)).filter(|_| *to < f64::MAX))
        }
        _ => (None, None),
    };
    below.into_iter().chain(above).collect()
}

#[test]
fn a_word_that_is_none_is_one_fault() {
    let source = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.toml");
        std::fs::write(&path, text).unwrap();
        let source = Source::open(&path).unwrap();
        source.read(FILES.iter().find(|file| file.name == "project").unwrap(), |_| ());
        source.into_faults().into_iter().map(|fault| fault.message).collect::<Vec<_>>()
    };
    let faults = source(
        "[connection.w]\nkind = \"postgre\"\nurl = \"postgres://h/d\"\n[target.t]\nkind = \"sqlite\"\npath = \"x\"\n",
    );
    assert!(matches!(faults.as_slice(), [one] if one.contains("kind = \"postgre\" is not one of")), "{faults:?}");
}

#[test]
fn every_example_is_taken_and_every_other_type_refused() {
    let mut seen = 0;
    for file in FILES {
        for (header, shape) in tables(&file.root, "") {
            for key in shape.keys {
                let place = format!("{} {header} {}", file.name, key.name);
                assert!(!key.about.is_empty() && key.about.ends_with('.'), "{place}");
                let wrong = faults(file, (&header, shape), key, "1979-05-27");
                if !matches!(key.takes, Takes::Anything) {
                    assert!(matches!(wrong.as_slice(), [one] if one.contains(" must be ")), "{place}: {wrong:?}");
                }
                for outside in outside(&key.takes) {
                    let wrong = faults(file, (&header, shape), key, &outside);
                    assert!(
                        matches!(wrong.as_slice(), [one] if one.contains(" must be ")),
                        "{place} = {outside}: {wrong:?}"
                    );
                }
                if key.example.is_empty() {
                    continue;
                }
                assert_eq!(faults(file, (&header, shape), key, key.example), [""; 0], "{place}");
                if let Need::Default(default) = key.need
                    && !default.contains(['`', ' '])
                {
                    assert_eq!(faults(file, (&header, shape), key, default), [""; 0], "{place}: the default");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 80, "{seen}");
}

/// Nothing is declared that nobody reads: each name stands in the code of a reader.
#[test]
fn every_key_is_read() {
    const FOR_PEOPLE: [&str; 3] = ["unit", "lineage", "description"];
    let code: String = crate::house::sources()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("keys/") && !path.starts_with("cli/"))
        .map(|(_, text)| crate::house::body(&text).to_owned())
        .collect();
    for file in FILES {
        for (header, shape) in tables(&file.root, "") {
            for key in shape.keys.iter().filter(|key| !FOR_PEOPLE.contains(&key.name)) {
                assert!(code.contains(&format!("\"{}\"", key.name)), "{} {header} {}", file.name, key.name);
            }
        }
    }
}

#[test]
fn a_fault_names_the_key_and_what_it_must_be() {
    let project = Project::flights();
    let says = |from: &str, to: &str, says: &str| {
        let project = Project::flights();
        project.edit("jobs/flight_delay.toml", from, to);
        project.daymill(&["run", "flight_delay", "--date", "2013-06-01"]).expect(78).says(says);
    };
    says("timezone    =", "# timezone    =", "timezone is missing: the time zone by whose clock the job's days begin");
    says("[load]", "[lode]", "[load] is missing: the table that is published to");
    says("[extract.flights]", "[extract.flights]\nheader = true", "extract.flights.header is only for csv");
    says("[score]", "[score]\nmax_bad_fraction = 2", "score.max_bad_fraction must be from 0 to 1");
    project.edit("daymill.toml", "path = \".daymill/warehouse.sqlite\"", "schema = \"x\"");
    let out = project.daymill(&["jobs"]).expect(78);
    out.says("target.dev.schema is only for kind = \"postgres\"").says("target.dev.path is missing");
}

/// Other people's programs read the schemas: one that checks JSON Schema to the letter, and the one of TOML's editors.
#[test]
fn validators_agree_with_the_reader() {
    let python =
        std::env::var("DAYMILL_TEST_PYTHON").expect("DAYMILL_TEST_PYTHON is not set: scripts/with-postgres.sh sets it");
    let project = Project::empty();
    let folder = project.path("new");
    project.daymill(&["init", "--example", "flights", &folder.display().to_string()]).expect(0);
    let script = r#"
import json, pathlib, sys, tomllib
from jsonschema import Draft7Validator
root = pathlib.Path(sys.argv[1])
repository = pathlib.Path(sys.argv[2])
def schema(name):
    found = json.loads((root / "schemas" / f"{name}.json").read_text())
    Draft7Validator.check_schema(found)
    return Draft7Validator(found)
job = schema("job")
read = lambda path: tomllib.loads(path.read_text())
files = [(schema("project"), root / "daymill.toml")] + [(job, path) for path in (root / "jobs").glob("*.toml")]
files += [(schema("case"), path) for path in repository.glob("fixtures/cases/*/*/case.toml")]
assert len(files) > 5
for validator, path in files:
    wrong = [error.message for error in validator.iter_errors(read(path))]
    assert not wrong, (path, wrong)
text = (root / "jobs/flight_delay.toml").read_text()
for old, new in [("timezone ", "timezoen "), ("7d", "7 days"), ('"int"', '"integer"'), ("[load]", "[lode]"),
                 ("[extract.flights]", "[extract.flights]\nheader = true"), ("[0.0, 1.0]", "0.0"),
                 ("[score]", "[score]\nmax_bad_fraction = 2"), ("parquet ", "delimiter ")]:
    assert old in text, old
    assert list(job.iter_errors(tomllib.loads(text.replace(old, new, 1)))), (old, new)
print("agreed")
"#;
    let run = |program: &str, args: &[&str]| {
        let out = std::process::Command::new(program).args(args).current_dir(&folder).output().unwrap();
        (
            out.status.success(),
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)),
        )
    };
    let place = folder.display().to_string();
    let (fine, text) = run(&python, &["-c", script, &place, &repository().display().to_string()]);
    assert!(fine && text.contains("agreed"), "{text}");
    let taplo = std::path::Path::new(&python).with_file_name("taplo").display().to_string();
    let (fine, text) = run(&taplo, &["check", "jobs/flight_delay.toml", "jobs/carrier_daily.toml", "daymill.toml"]);
    assert!(fine, "{text}");
    let job = std::fs::read_to_string(folder.join("jobs/flight_delay.toml")).unwrap();
    std::fs::write(folder.join("jobs/flight_delay.toml"), job.replace("[load]", "[load]\ntables = \"x\"")).unwrap();
    let (fine, text) = run(&taplo, &["check", "jobs/flight_delay.toml"]);
    assert!(!fine && text.contains("tables"), "{text}");
}
