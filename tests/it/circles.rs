//! The structure of the source: no two files need each other, however their names are written, and a mod.rs holds the plan
//! of its room and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::{body, sources};

/// Pairs of types that contain each other: an expression may hold a subquery, which is a relation of expressions.
const ALLOWED: [[&str; 2]; 1] = [["sql::expr", "sql::rel"]];

type Modules = BTreeMap<String, String>;

/// The module that a file is.
fn module(file: &str) -> String {
    let path = file.trim_end_matches(".rs").replace('/', "::");
    path.strip_suffix("::mod").map_or(path.clone(), str::to_owned)
}

/// Code without comments and tests.
fn code(text: &str) -> String {
    body(text).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path of a tree of names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let (head, list) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())]);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(paths).map(|path| format!("{head}{path}")).collect()
}

/// The trees of names behind `use`; and, with `public`, only those that are handed on.
fn uses(code: &str, public: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim_start();
        let begins = line.is_empty() || ["pub", "pub(crate)", "pub(super)"].contains(&line.trim_end());
        let is_public = line.starts_with("pub");
        if begins && (is_public || !public) {
            let tree = code[at + 4..].split(';').next().unwrap_or_default();
            found.extend(paths(&tree.replace('\n', " ")));
        }
    }
    found
}

/// Paths in the middle of the code.
fn inline(code: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let starts = ["crate::", "super::"].into_iter().flat_map(|prefix| code.match_indices(prefix).map(|(at, _)| at));
    let starts = starts.filter(|at| !code[..*at].ends_with(word));
    starts.map(|at| code[at..].chars().take_while(|c| word(*c)).collect::<String>()).collect()
}

/// A path from the root, as it is meant in a module; none when it leads out of the crate.
fn from_root(path: &str, module: &str, modules: &Modules) -> Option<Vec<String>> {
    let path = path.replace(' ', "");
    let mut parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
    let mut base: Vec<&str> = module.split("::").collect();
    match *parts.first()? {
        "crate" => {
            parts.remove(0);
            base.clear();
        }
        "self" => {
            parts.remove(0);
        }
        "super" => {
            while parts.first() == Some(&"super") {
                parts.remove(0);
                base.pop();
            }
        }
        first if modules.contains_key(&format!("{module}::{first}")) => {}
        _ => return None,
    }
    Some(base.into_iter().chain(parts).map(str::to_owned).collect())
}

/// The longest module at the front of a path, and what is left of the path.
fn split(path: &[String], modules: &Modules) -> Option<(String, Vec<String>)> {
    (1..=path.len()).rev().find_map(|n| {
        let name = path[..n].join("::");
        modules.contains_key(&name).then(|| (name, path[n..].to_vec()))
    })
}

/// The file in which a name of a room is, when the room only hands it on.
fn behind(mut module: String, rest: &[String], modules: &Modules) -> String {
    for _ in 0..5 {
        let Some(name) = rest.first() else { break };
        let handed = uses(&modules[&module], true).into_iter().find(|path| path.rsplit("::").next() == Some(name));
        let found = handed.and_then(|path| from_root(&path, &module, modules)).and_then(|path| split(&path, modules));
        match found {
            Some((next, _)) if next != module => module = next,
            _ => break,
        }
    }
    module
}

/// Which modules each module needs. A room does not need what it only lists.
fn needs(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let needed = |(module, code): (&String, &String)| {
        let all = uses(code, false).into_iter().chain(inline(code));
        let found = all.filter_map(|path| split(&from_root(&path, module, modules)?, modules));
        let found = found.map(|(name, rest)| behind(name, &rest, modules));
        let inside = format!("{module}::");
        (module.clone(), found.filter(|name| name != module && !name.starts_with(&inside)).collect())
    };
    modules.iter().map(needed).collect()
}

/// Pairs of modules that need each other, over however many others, with a way back.
fn circles(needs: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<[String; 2]> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(needs[at].iter().filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = needs.keys().map(|name| (name, reach(name))).collect();
    let pairs = needs.iter().flat_map(|(name, next)| next.iter().map(move |next| (name, next)));
    let back = pairs.filter(|(name, next)| reached[next].contains(*name));
    back.map(|(a, b)| if a < b { [a.clone(), b.clone()] } else { [b.clone(), a.clone()] }).collect()
}

fn modules(files: Vec<(String, String)>) -> Modules {
    files.into_iter().map(|(file, text)| (module(&file), code(&text))).collect()
}

#[test]
fn no_two_files_need_each_other() {
    let found = circles(&needs(&modules(sources())));
    let allowed: BTreeSet<[String; 2]> = ALLOWED.iter().map(|pair| pair.map(str::to_owned)).collect();
    assert_eq!(found, allowed, "the first are files that need each other");
}

#[test]
fn circles_are_found_however_names_are_written() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        circles(&needs(&modules(files))).into_iter().map(|pair| pair.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(found(&[("a.rs", "use crate::b::X;"), ("b.rs", "fn f() { crate::a::g() }")]), ["a b"]);
    assert_eq!(found(&[("a.rs", "use crate::{c, b::{X, Y}};"), ("b.rs", "// crate::a"), ("c.rs", "")]), [""; 0]);
    // Through a room that hands names on, and by `super`.
    let room = ("r/mod.rs", "mod x;\nmod y;\npub use x::X;\npub use self::y::{Y, Z};");
    assert_eq!(found(&[room, ("r/x.rs", "use super::Z;"), ("r/y.rs", "use super::X;")]), ["r::x r::y"]);
    assert_eq!(found(&[room, ("r/x.rs", "use super::Z;"), ("r/y.rs", "")]), [""; 0]);
    let inside = ("r/mod.rs", "mod x;\nmod y;\npub use x::X;\npub(super) use y::Z;");
    assert_eq!(found(&[inside, ("r/x.rs", "use super::Z;"), ("r/y.rs", "use super::X;")]), ["r::x r::y"]);
    // Over a third.
    let three = [("a.rs", "use crate::b;"), ("b.rs", "use crate::c::{self};"), ("c.rs", "use crate::a::A as B;")];
    assert_eq!(found(&three).len(), 3);
    // What tests need does not count.
    assert_eq!(found(&[("a.rs", "use crate::b;"), ("b.rs", "#[cfg(test)]\nmod tests { use crate::a; }")]), [""; 0]);
}

#[test]
fn a_room_s_mod_rs_is_its_plan() {
    for (file, text) in sources().into_iter().filter(|(file, _)| file.ends_with("mod.rs")) {
        assert!(text.lines().count() <= 40, "{file} has more than 40 lines");
        let plan =
            ["//!", "mod ", "pub mod ", "pub(crate) mod ", "pub use ", "pub(crate) use ", "pub(super) use ", "#[cfg("];
        let text = code(&text);
        for part in text.split_inclusive([';', ']']).map(str::trim).filter(|part| !part.is_empty()) {
            let line = part.lines().next().unwrap_or_default();
            assert!(plan.iter().any(|start| part.starts_with(start)), "{file} holds more than its plan: {line}");
        }
    }
}
