//! Queries drawn from a seed: select, group, join, window, subquery, set operation, first rows.

use super::generator::Ty::{Bool, Date, Float, Int, None as NoType, Text, Time};
use super::generator::{Draw, Names, Node, Part, TYPES, Ty, expr, node, words};

/// A query from a seed.
pub fn query(seed: u64) -> Node {
    let d = &mut Draw::new(seed);
    match d.below(12) {
        0..=2 => plain(d),
        3..=4 => grouped(d),
        5..=6 => joined(d),
        7..=8 => windowed(d),
        9 => nested(d),
        10 => set(d),
        _ => first_rows(d),
    }
}

fn t() -> Names {
    Names { tables: vec!["t"] }
}

fn named(node: Node, name: &str) -> Node {
    let parts = vec![Part::Node(node), Part::Words(format!(" AS {name}"))];
    Node { ty: NoType, parts }
}

fn items(d: &mut Draw, names: &Names, depth: usize) -> Vec<Node> {
    (0..1 + d.below(3))
        .map(|n| {
            let ty = *d.one(&TYPES);
            named(expr(d, ty, depth, names), &format!("x{n}"))
        })
        .collect()
}

fn condition(d: &mut Draw, names: &Names) -> Part {
    match d.below(3) {
        0 => Part::Words(String::new()),
        _ => Part::Maybe(vec![Part::Words(" WHERE ".into()), Part::Node(expr(d, Bool, 2, names))]),
    }
}

fn plain(d: &mut Draw) -> Node {
    let mut list = vec![words(NoType, "t.id")];
    list.extend(items(d, &t(), 3));
    let parts =
        vec![Part::Words("SELECT ".into()), Part::List(list, ", "), Part::Words(" FROM t".into()), condition(d, &t())];
    Node { ty: NoType, parts }
}

fn aggregate(d: &mut Draw, names: &Names) -> Node {
    let (pattern, ty) = *d.one(&[
        ("COUNT({})", Int),
        ("COUNT(DISTINCT {})", Text),
        ("SUM({})::double precision", Float),
        ("MIN({})", Int),
        ("MAX({})", Text),
        ("MIN({})", Time),
        ("MAX({})", Date),
        ("AVG({})", Float),
        ("BOOL_OR({})", Bool),
        ("BOOL_AND({})", Bool),
        ("STDDEV({})", Float),
        ("COUNT(*) FILTER (WHERE {})", Bool),
        ("SUM({} % 1000)::bigint", Int),
        ("PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {})", Float),
        ("PERCENTILE_DISC(0.3) WITHIN GROUP (ORDER BY {})", Int),
        ("COUNT(DISTINCT {}) - COUNT(*)", Int),
    ]);
    let arg = expr(d, ty, 1, names);
    node(NoType, pattern, vec![arg])
}

fn grouped(d: &mut Draw) -> Node {
    let keys: Vec<Node> = (0..d.below(3))
        .map(|_| {
            let ty = *d.one(&[Int, Text, Bool, Date]);
            expr(d, ty, 1, &t())
        })
        .collect();
    let mut list: Vec<Node> = (0..keys.len()).map(|n| named(keys[n].clone(), &format!("k{n}"))).collect();
    list.extend((0..1 + d.below(2)).map(|n| named(aggregate(d, &t()), &format!("a{n}"))));
    let mut parts =
        vec![Part::Words("SELECT ".into()), Part::List(list, ", "), Part::Words(" FROM t".into()), condition(d, &t())];
    if !keys.is_empty() {
        parts.push(Part::Words(" GROUP BY ".into()));
        let places: Vec<String> = (1..=keys.len()).map(|n| n.to_string()).collect();
        parts.push(Part::Words(places.join(", ")));
    }
    if d.below(3) == 0 {
        parts.push(Part::Maybe(vec![Part::Words(" HAVING COUNT(*) > 1".into())]));
    }
    Node { ty: NoType, parts }
}

fn joined(d: &mut Draw) -> Node {
    let both = Names { tables: vec!["t", "u"] };
    let kind = *d.one(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT JOIN"]);
    // Postgres joins FULL only by what it can merge or hash.
    let keys = [
        "t.g = u.g",
        "t.v = u.v",
        "t.s = u.s AND t.g = u.g",
        "t.g IS NOT DISTINCT FROM u.g",
        "t.id = u.v",
        "t.f = u.v",
    ];
    let key = match *d.one(&keys) {
        key if kind == "FULL JOIN" && key.contains("DISTINCT") => "t.g = u.g",
        key => key,
    };
    let mut on = vec![words(NoType, key)];
    let rest: &[&str] = if kind == "FULL JOIN" {
        &[]
    } else {
        &["t.v < u.v", "u.b", "t.f > 0", "u.d <= t.d", "t.id <> u.id", "u.s LIKE 'a%'"]
    };
    if !rest.is_empty() && d.below(2) == 0 {
        on.push(words(NoType, *d.one(rest)));
    }
    let mut list = vec![words(NoType, "t.id AS a"), words(NoType, "u.id AS b")];
    list.extend(items(d, &both, 2));
    let head = format!(" FROM t {kind} u ON ");
    let parts = vec![
        Part::Words("SELECT ".into()),
        Part::List(list, ", "),
        Part::Words(head),
        Part::List(on, " AND "),
        condition(d, &both),
    ];
    Node { ty: NoType, parts }
}

fn windowed(d: &mut Draw) -> Node {
    let partition = *d.one(&["", "PARTITION BY t.g ", "PARTITION BY t.b, t.g ", "PARTITION BY LEFT(t.s, 1) "]);
    let order = *d.one(&[
        "ORDER BY t.id",
        "ORDER BY t.v DESC NULLS LAST, t.id",
        "ORDER BY t.f, t.id DESC",
        "ORDER BY t.s NULLS FIRST, t.id",
        "ORDER BY t.ts DESC, t.id",
    ]);
    let frames = [
        "",
        " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
        " ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING",
        " ROWS UNBOUNDED PRECEDING",
        " RANGE UNBOUNDED PRECEDING",
        " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        " ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    ];
    let mut list = vec![words(NoType, "t.id")];
    for n in 0..1 + d.below(2) {
        let (pattern, ty, framed) = *d.one(&[
            ("ROW_NUMBER()", NoType, false),
            ("RANK()", NoType, false),
            ("DENSE_RANK()", NoType, false),
            ("NTILE(3)", NoType, false),
            ("PERCENT_RANK()", NoType, false),
            ("CUME_DIST()", NoType, false),
            ("LAG({})", Int, false),
            ("LEAD({}, 2)", Text, false),
            ("LAG({}, 1, -1.5)", Float, false),
            ("FIRST_VALUE({})", Time, true),
            ("LAST_VALUE({})", Text, true),
            ("NTH_VALUE({}, 2)", Int, true),
            ("SUM({})", Float, true),
            ("COUNT({})", Int, true),
            ("AVG({})", Float, true),
            ("MIN({})", Int, true),
            ("MAX({})", Text, true),
            ("COUNT(*)", NoType, true),
            ("BOOL_OR({})", Bool, true),
            ("STDDEV({})", Float, true),
        ]);
        let args = if ty == NoType { vec![] } else { vec![expr(d, ty, 1, &t())] };
        let over = match d.below(6) {
            // Ties of the key: peers.
            0 if framed => format!(" OVER ({partition}ORDER BY t.v)"),
            1 if framed => format!(" OVER ({})", partition.trim_end()),
            2 if framed => format!(" OVER ({partition}ORDER BY t.v RANGE BETWEEN 3 PRECEDING AND 2 FOLLOWING)"),
            3 if framed && pattern == "COUNT(*)" => {
                format!(
                    " OVER ({partition}ORDER BY t.ts DESC RANGE BETWEEN INTERVAL '2 hours' PRECEDING AND INTERVAL '1 day' FOLLOWING)"
                )
            }
            _ => format!(" OVER ({partition}{order}{})", if framed { *d.one(&frames) } else { "" }),
        };
        // Where peers meet, the first and the last of them are nobody's.
        let loose = over.contains("ORDER BY t.v)")
            || over.contains("RANGE")
            || over.contains("GROUPS")
            || !over.contains("ORDER");
        let pattern = if loose && (pattern.contains("VALUE")) { "COUNT({})" } else { pattern };
        list.push(named(node(NoType, &format!("{pattern}{over}"), args), &format!("w{n}")));
    }
    let parts =
        vec![Part::Words("SELECT ".into()), Part::List(list, ", "), Part::Words(" FROM t".into()), condition(d, &t())];
    Node { ty: NoType, parts }
}

fn nested(d: &mut Draw) -> Node {
    let u = Names { tables: vec!["u"] };
    let tie = *d.one(&["u.g = t.g", "u.g = t.g AND u.v < t.v", "u.s = t.s", "u.v > t.v AND u.g = t.g", "u.b"]);
    let inner = expr(d, Int, 1, &u);
    let (pattern, filter) = *d.one(&[
        ("EXISTS (SELECT 1 FROM u WHERE TIE)", true),
        ("NOT EXISTS (SELECT 1 FROM u WHERE TIE)", true),
        ("t.v IN (SELECT {} FROM u WHERE TIE)", true),
        ("t.v NOT IN (SELECT {} FROM u WHERE TIE)", true),
        ("t.v IN (SELECT {} FROM u WHERE TIE)", false),
        ("(SELECT COUNT(*) FROM u WHERE TIE)", false),
        ("(SELECT MAX({}) FROM u WHERE TIE)", false),
        ("(SELECT SUM(u.f) FROM u WHERE TIE)", false),
        ("t.v > ALL (SELECT {} FROM u WHERE TIE)", false),
        ("t.v < ANY (SELECT {} FROM u WHERE TIE)", false),
        ("(SELECT u.id FROM u WHERE TIE ORDER BY u.f DESC NULLS LAST, u.id LIMIT 1)", false),
        ("COALESCE(t.v, (SELECT MIN(u.v) FROM u))", false),
        ("EXISTS (SELECT 1 FROM u WHERE TIE) OR t.b", true),
    ]);
    let pattern = pattern.replace("TIE", tie);
    let args = if pattern.contains("{}") { vec![inner] } else { vec![] };
    let asked = node(NoType, &pattern, args);
    let parts = match filter {
        true => vec![Part::Words("SELECT t.id FROM t WHERE ".into()), Part::Node(asked)],
        false => vec![
            Part::Words("SELECT t.id, ".into()),
            Part::Node(asked),
            Part::Words(" AS x FROM t".into()),
            condition(d, &t()),
        ],
    };
    Node { ty: NoType, parts }
}

fn set(d: &mut Draw) -> Node {
    let op = *d.one(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]);
    let types: Vec<Ty> = (0..1 + d.below(2)).map(|_| *d.one(&TYPES)).collect();
    let mut side = |table: &'static str| {
        let names = Names { tables: vec![table] };
        let list = types.iter().enumerate().map(|(n, ty)| named(expr(d, *ty, 1, &names), &format!("x{n}"))).collect();
        Node {
            ty: NoType,
            parts: vec![Part::Words("SELECT ".into()), Part::List(list, ", "), Part::Words(format!(" FROM {table}"))],
        }
    };
    let (left, right) = (side("t"), side("u"));
    Node { ty: NoType, parts: vec![Part::Node(left), Part::Words(format!(" {op} ")), Part::Node(right)] }
}

fn first_rows(d: &mut Draw) -> Node {
    let ty = *d.one(&TYPES);
    let key = expr(d, ty, 1, &t());
    let how = *d.one(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
    let head = match d.below(3) {
        0 => "SELECT DISTINCT ON (t.g) t.g, t.id FROM t ORDER BY t.g, ",
        1 => "SELECT t.id, t.v FROM t ORDER BY ",
        _ => "SELECT q.id FROM (SELECT * FROM t WHERE t.v > 0) AS t JOIN t AS q ON q.id = t.id ORDER BY ",
    };
    let tail = if head.contains("DISTINCT") {
        format!("{how}, t.id")
    } else {
        format!("{how}, t.id LIMIT {} OFFSET {}", d.below(9), d.below(5))
    };
    Node { ty: NoType, parts: vec![Part::Words(head.into()), Part::Node(key), Part::Words(tail)] }
}
