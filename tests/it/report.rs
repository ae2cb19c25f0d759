//! The page of a job: whole in itself, the same for the same ledger, and nothing from data becomes markup.

use crate::support::*;

const NAME: &str = "<img src=x onerror=alert(1)>";

fn project() -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/j.sql", format!("SELECT id, amount, amount * 2 AS \"{NAME}\" FROM rows"));
    project.write(
        "jobs/j.toml",
        format!(
            "description = \"</script><b>& 'bold'\"\ntimezone = \"UTC\"\nkey = [\"id\"]\nstarts = \"2024-01-01\"\n[extract.rows]\n\
             jsonl = \"in/{{date}}.jsonl\"\n[extract.rows.columns]\nid = \"int\"\namount = \"float\"\n[transform]\nsql = \"sql/j.sql\"\n\
             [load]\ntable = \"out\"\n[[check]]\nname = \"{NAME}\"\ncolumn = \"amount\"\nrange = [0, 990]\non_fail = \"quarantine\"\n\
             [[gate]]\ncolumn = \"amount\"\nagainst = \"previous\"\npsi = [5, 9]\n[quarantine]\nmax_bad = \"5%\"\n"
        ),
    );
    for day in [1, 2, 3, 4, 5, 6, 8, 9] {
        let shift = if day >= 8 { 100 } else { 0 };
        let line = |i: u32| format!("{{\"id\": {i}, \"amount\": {}}}\n", (i * 7919 + day * 31) % 900 + shift);
        project.write(&format!("in/2024-01-{day:02}.jsonl"), (0..1009).map(line).collect::<String>());
        project.daymill(&["run", "j", "--date", &format!("2024-01-{day:02}")]).expect(0);
    }
    project.write("in/2024-01-10.jsonl", "{\"id\": 1, \"amount\": \"<b>\"}\n");
    project.daymill(&["run", "j", "--date", "2024-01-10"]).expect(65);
    project
}

#[test]
fn a_page_is_whole_and_says_what_happened() {
    let project = project();
    let told = project.daymill(&["report", "j", "-o", "out/j.html"]).expect(0).stdout;
    assert!(told.contains("out/j.html: 10 intervals, "), "{told}");
    let html = std::fs::read_to_string(project.path("out/j.html")).unwrap();
    // Nothing is fetched, nothing runs, nothing of the data is markup.
    for never in ["http:", "https:", "src=", "href=", "<img", "url(h", "onerror=alert(1)>", "<b>&amp;", "<b>'"] {
        let found =
            html.replace("&lt;img src=x onerror=alert(1)&gt;", "").replace("\\u003cimg src=x onerror=alert(1)>", "");
        assert!(!found.contains(never), "{never}");
    }
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains("&lt;/script&gt;&lt;b&gt;&amp; &#39;bold&#39;"));
    for says in [
        "<b>8</b>intervals published",
        "<b>1</b>failed",
        "<b>1</b>not run",
        "not run</title>",
        "drifting",
        "2024-01-07",
        "Rows put aside",
    ] {
        assert!(html.contains(says), "{says}");
    }
    assert!(html.len() < 60_000, "{}", html.len());
    // The figures are there for a program.
    let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((data["version"].as_u64(), data["intervals"].as_array().unwrap().len()), (Some(1), 10));
    let states: Vec<&str> =
        data["intervals"].as_array().unwrap().iter().map(|day| day["state"].as_str().unwrap()).collect();
    assert_eq!(states[5..], ["published", "missing", "published", "published", "failed"]);
    // The same ledger gives the same page; another interval gives another.
    project.daymill(&["report", "j", "-o", "again.html"]).expect(0);
    assert_eq!(std::fs::read_to_string(project.path("again.html")).unwrap(), html);
    let some =
        project.daymill(&["report", "j", "--from", "2024-01-02", "--to", "2024-01-03", "-o", "some.html"]).expect(0);
    assert!(some.stdout.contains("2 intervals"));
    let some = std::fs::read_to_string(project.path("some.html")).unwrap();
    assert!(some.contains("1 interval is published before 2024-01-03 with profiles, and 5 are needed"));
}

/// Every element that is opened is closed, in order.
#[test]
fn a_page_is_well_formed() {
    let project = project();
    project.daymill(&["report", "j"]).expect(0);
    let html = std::fs::read_to_string(project.path("j.html")).unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut rest = html.split("<script").next().unwrap();
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') || ["meta"].contains(&name.as_str()) => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop().as_deref(), Some(name.as_str()), "{open:?}"),
            _ => open.push(name),
        }
    }
    assert_eq!(open, ["html", "body"]);
    assert!(!html.contains("NaN") && !html.contains("inf "));
}

#[test]
fn nothing_to_say_is_said() {
    let project = Project::flights();
    project.daymill(&["report", "flight_delay"]).expect(2).says("nothing has run yet");
    project.daymill(&["report", "nothing"]).expect(78).says("there is no job");
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(0);
    project.daymill(&["report", "flight_delay", "--from", "2014-01-01"]).expect(2);
    project.daymill(&["report", "flight_delay", "-o", "daymill.toml/x"]).expect(74);
    let value = project.daymill(&["report", "flight_delay", "--output", "json"]).expect(0).json();
    assert_eq!((value["intervals"].as_u64(), value["file"].as_str()), (Some(1), Some("flight_delay.html")));
}
