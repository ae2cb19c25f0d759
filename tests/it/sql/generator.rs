//! Typed expressions drawn from a seed, and two small tables with everything that goes wrong in them. A query is a tree,
//! so that one that disagrees can be made smaller.

use polars::prelude::*;

use super::Table;

/// Numbers from a seed.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The tables t and u. Floats are eighths, so that sums do not depend on the order of rows.
pub fn tables() -> Vec<Table> {
    [("t", 1, 60), ("u", 2, 40)].into_iter().map(|(name, seed, rows)| table(name, seed, rows)).collect()
}

fn table(name: &str, seed: u64, n: usize) -> Table {
    let mut d = Draw::new(seed);
    let words = ["a", "B", "ab", "b%", "x_y", "", "été", "a\\b", "日本", "Ab ", "12", " 7"];
    let instants = [
        1_710_053_999_000_000i64, // a second before the clocks of New York go on
        1_710_054_000_000_000,
        1_730_611_800_000_000, // twice half past one
        1_730_615_400_000_000,
        -500_000,
        -458_654_400_000_000,
        0,
        1_704_067_199_999_999,
    ];
    let bigs = [i64::MAX, i64::MIN, 9_007_199_254_740_993, -9_007_199_254_740_993, 0, 1, -1, 4_294_967_296];
    let maybe = |d: &mut Draw, rate: usize| d.below(rate) == 0;
    let ids: Vec<i64> = (0..n as i64).collect();
    let gs: Vec<Option<i64>> = ids.iter().map(|_| (!maybe(&mut d, 8)).then(|| d.below(4) as i64)).collect();
    let vs: Vec<Option<i64>> = ids.iter().map(|_| (!maybe(&mut d, 8)).then(|| d.below(40) as i64 - 20)).collect();
    let big: Vec<Option<i64>> = ids.iter().map(|_| (!maybe(&mut d, 6)).then(|| *d.one(&bigs))).collect();
    let fs: Vec<Option<f64>> = ids
        .iter()
        .map(|_| match d.below(10) {
            0 => None,
            1 => Some(-0.0),
            2 => Some(0.0),
            _ => Some((d.below(1000) as f64 - 500.0) / 8.0),
        })
        .collect();
    let ss: Vec<Option<&str>> = ids.iter().map(|_| (!maybe(&mut d, 8)).then(|| *d.one(&words))).collect();
    let bs: Vec<Option<bool>> = ids.iter().map(|_| (!maybe(&mut d, 5)).then(|| d.below(2) == 0)).collect();
    let ds: Vec<Option<i32>> = ids
        .iter()
        .map(|_| (!maybe(&mut d, 9)).then(|| *d.one(&[19_780, 19_782, 19_783, 0, -1, -5_000, 19_691, 11_016])))
        .collect();
    let ts: Vec<Option<i64>> = ids.iter().map(|_| (!maybe(&mut d, 9)).then(|| *d.one(&instants))).collect();
    let frame =
        df!("id" => ids, "g" => gs, "v" => vs, "big" => big, "f" => fs, "s" => ss, "b" => bs, "d" => ds, "ts" => ts)
            .unwrap()
            .lazy()
            .with_columns([
                col("d").cast(DataType::Date),
                col("ts").cast(DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
            ])
            .collect()
            .unwrap();
    Table { name: name.into(), frame }
}

/// Types of expressions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ty {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Time,
    /// A part of a query that has no type.
    None,
}

use Ty::{Bool, Date, Float, Int, None as NoType, Text, Time};

pub const TYPES: [Ty; 6] = [Int, Float, Text, Bool, Date, Time];

/// A query or a part of one.
#[derive(Clone, Debug)]
pub struct Node {
    pub ty: Ty,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub enum Part {
    Words(String),
    Node(Node),
    /// What can be left out.
    Maybe(Vec<Part>),
    /// At least one of them, with words between.
    List(Vec<Node>, &'static str),
}

impl Node {
    pub fn text(&self) -> String {
        fn write(parts: &[Part], out: &mut String) {
            for part in parts {
                match part {
                    Part::Words(words) => out.push_str(words),
                    Part::Node(node) => write(&node.parts, out),
                    Part::Maybe(parts) => write(parts, out),
                    Part::List(nodes, between) => {
                        for (n, node) in nodes.iter().enumerate() {
                            if n > 0 {
                                out.push_str(between);
                            }
                            write(&node.parts, out);
                        }
                    }
                }
            }
        }
        let mut out = String::new();
        write(&self.parts, &mut out);
        out
    }

    /// The same query, smaller in one place, in every way there is.
    pub fn smaller(&self) -> Vec<Node> {
        let mut all = Vec::new();
        if self.ty != NoType {
            self.inner(self.ty, &mut all);
            if self.text().len() > 6 {
                all.extend(
                    simplest(self.ty).iter().map(|s| Node { ty: self.ty, parts: vec![Part::Words((*s).into())] }),
                );
            }
        }
        for (n, part) in self.parts.iter().enumerate() {
            let with = |parts: Vec<Part>| {
                let mut whole = self.parts.clone();
                whole.splice(n..=n, parts);
                Node { ty: self.ty, parts: whole }
            };
            match part {
                Part::Words(_) => {}
                Part::Node(node) => all.extend(node.smaller().into_iter().map(|node| with(vec![Part::Node(node)]))),
                Part::Maybe(parts) => {
                    all.push(with(Vec::new()));
                    let inner = Node { ty: NoType, parts: parts.clone() };
                    all.extend(inner.smaller().into_iter().map(|node| with(vec![Part::Maybe(node.parts)])));
                }
                Part::List(nodes, between) => {
                    for at in 0..nodes.len() {
                        let mut fewer = nodes.clone();
                        let node = fewer.remove(at);
                        if !fewer.is_empty() {
                            all.push(with(vec![Part::List(fewer, between)]));
                        }
                        for small in node.smaller() {
                            let mut changed = nodes.clone();
                            changed[at] = small;
                            all.push(with(vec![Part::List(changed, between)]));
                        }
                    }
                }
            }
        }
        all
    }

    /// Expressions of the same type within this one.
    fn inner(&self, ty: Ty, all: &mut Vec<Node>) {
        for part in &self.parts {
            if let Part::Node(node) = part {
                if node.ty == ty {
                    all.push(node.clone());
                }
                node.inner(ty, all);
            }
        }
    }
}

fn simplest(ty: Ty) -> &'static [&'static str] {
    match ty {
        Int => &["t.v", "t.id", "2"],
        Float => &["t.f", "0.5"],
        Text => &["t.s", "'a'"],
        Bool => &["t.b", "TRUE"],
        Date => &["t.d"],
        Time => &["t.ts"],
        NoType => &[],
    }
}

/// Builds a node from a pattern: `{}` stands for the next part.
pub fn node(ty: Ty, pattern: &str, parts: Vec<Node>) -> Node {
    let mut out = Vec::new();
    let mut parts = parts.into_iter();
    for (n, words) in pattern.split("{}").enumerate() {
        if n > 0 {
            out.push(Part::Node(parts.next().unwrap()));
        }
        out.push(Part::Words(words.into()));
    }
    Node { ty, parts: out }
}

pub fn words(ty: Ty, text: impl Into<String>) -> Node {
    Node { ty, parts: vec![Part::Words(text.into())] }
}

/// What can be named at a place: the tables by their names.
#[derive(Clone)]
pub struct Names {
    pub tables: Vec<&'static str>,
}

fn column_of(d: &mut Draw, ty: Ty, names: &Names) -> Node {
    let column = match ty {
        Int => *d.one(&["id", "g", "v", "v", "big"]),
        Float => "f",
        Text => "s",
        Bool => "b",
        Date => "d",
        _ => "ts",
    };
    words(ty, format!("{}.{column}", d.one(&names.tables)))
}

fn constant(d: &mut Draw, ty: Ty) -> Node {
    let text = match ty {
        Int => *d.one(&["0", "1", "2", "-3", "7", "10", "100"]),
        Float => *d.one(&["0.5", "-2.25", "CAST(3 AS DOUBLE PRECISION)", "0.125", "1e2"]),
        Text => *d.one(&["'a'", "'B'", "''", "'été'", "'b%'", "'12'"]),
        Bool => *d.one(&["TRUE", "FALSE"]),
        Date => *d.one(&["DATE '2024-03-10'", "DATE '1970-01-01'", "DATE '2000-02-29'"]),
        _ => *d.one(&["TIMESTAMPTZ '2024-03-10 07:00:00+00'", "TIMESTAMPTZ '2024-11-03 05:30:00+00'"]),
    };
    words(ty, text)
}

/// An expression of a type. `left` is how deep it may still go.
pub fn expr(d: &mut Draw, ty: Ty, left: usize, names: &Names) -> Node {
    if left == 0 || d.below(5) == 0 {
        return match d.below(12) {
            0 => words(ty, format!("CAST(NULL AS {})", type_name(ty))),
            1..=3 => constant(d, ty),
            _ => column_of(d, ty, names),
        };
    }
    let any = *d.one(&TYPES);
    let patterns = patterns(ty);
    let (pattern, types) = *d.one(patterns);
    let mut parts = Vec::new();
    for slot in types {
        let slot = match slot {
            Slot::Of(ty) => *ty,
            Slot::Same => any,
        };
        parts.push(expr(d, slot, left - 1, names));
    }
    node(ty, pattern, parts)
}

fn type_name(ty: Ty) -> &'static str {
    match ty {
        Int => "BIGINT",
        Float => "DOUBLE PRECISION",
        Text => "TEXT",
        Bool => "BOOLEAN",
        Date => "DATE",
        _ => "TIMESTAMPTZ",
    }
}

/// A hole in a pattern: of a type, or of one type drawn for all such holes.
#[derive(Clone, Copy)]
enum Slot {
    Of(Ty),
    Same,
}

type Pattern = (&'static str, &'static [Slot]);

fn patterns(ty: Ty) -> &'static [Pattern] {
    use Slot::{Of, Same};
    match ty {
        Int => &[
            ("({} + {})", &[Of(Int), Of(Int)]),
            ("({} - {})", &[Of(Int), Of(Int)]),
            ("({} * {})", &[Of(Int), Of(Int)]),
            ("({} / NULLIF({}, 0))", &[Of(Int), Of(Int)]),
            ("({} / {})", &[Of(Int), Of(Int)]),
            ("({} % NULLIF({}, 0))", &[Of(Int), Of(Int)]),
            ("(-{})", &[Of(Int)]),
            ("ABS({})", &[Of(Int)]),
            ("LENGTH({})::bigint", &[Of(Text)]),
            ("STRPOS({}, {})::bigint", &[Of(Text), Of(Text)]),
            ("CASE WHEN {} THEN {} ELSE {} END", &[Of(Bool), Of(Int), Of(Int)]),
            ("COALESCE({}, {})", &[Of(Int), Of(Int)]),
            ("GREATEST({}, {})", &[Of(Int), Of(Int)]),
            ("LEAST({}, {})", &[Of(Int), Of(Int)]),
            ("({} - {})::bigint", &[Of(Date), Of(Date)]),
            ("EXTRACT(YEAR FROM {})::bigint", &[Of(Date)]),
            ("EXTRACT(DOW FROM {})::bigint", &[Of(Time)]),
            ("(EXTRACT(HOUR FROM {}) * 60 + EXTRACT(MINUTE FROM {}))::bigint", &[Of(Time), Of(Time)]),
            ("EXTRACT(WEEK FROM {})::bigint", &[Of(Date)]),
            ("({})::int::bigint", &[Of(Bool)]),
            ("({} & {})", &[Of(Int), Of(Int)]),
            ("ASCII({})::bigint", &[Of(Text)]),
            ("CAST(ROUND({}) AS BIGINT)", &[Of(Float)]),
            ("CAST({} AS BIGINT)", &[Of(Float)]),
        ],
        Float => &[
            ("({} + {})", &[Of(Float), Of(Float)]),
            ("({} - {})", &[Of(Float), Of(Float)]),
            ("({} * {})", &[Of(Float), Of(Float)]),
            ("({} / NULLIF({}, 0))", &[Of(Float), Of(Float)]),
            ("({} / {})", &[Of(Float), Of(Float)]),
            ("ABS({})", &[Of(Float)]),
            ("FLOOR({})", &[Of(Float)]),
            ("ROUND({})", &[Of(Float)]),
            ("SQRT(ABS({}))", &[Of(Float)]),
            ("CASE WHEN {} THEN {} END", &[Of(Bool), Of(Float)]),
            ("COALESCE({}, {})", &[Of(Float), Of(Float)]),
            ("CAST({} AS DOUBLE PRECISION)", &[Of(Int)]),
            ("GREATEST({}, {}, 0)", &[Of(Float), Of(Float)]),
            ("CAST(EXTRACT(EPOCH FROM {}) AS DOUBLE PRECISION)", &[Of(Time)]),
            ("CAST(EXTRACT(EPOCH FROM {} - {}) AS DOUBLE PRECISION)", &[Of(Time), Of(Time)]),
            ("CAST({} % 1000 * 1.1 AS DOUBLE PRECISION)", &[Of(Int)]),
            ("(SIGN({}) + 0.5)", &[Of(Float)]),
        ],
        Text => &[
            ("({} || {})", &[Of(Text), Of(Text)]),
            ("UPPER({})", &[Of(Text)]),
            ("LOWER({})", &[Of(Text)]),
            ("SUBSTR({}, 2)", &[Of(Text)]),
            ("SUBSTR({}, {}::int, 2)", &[Of(Text), Of(Int)]),
            ("LEFT({}, 1)", &[Of(Text)]),
            ("RIGHT({}, -1)", &[Of(Text)]),
            ("REPLACE({}, {}, 'x')", &[Of(Text), Of(Text)]),
            ("LPAD({}, 4, '*')", &[Of(Text)]),
            ("TRIM({})", &[Of(Text)]),
            ("CASE WHEN {} THEN {} ELSE {} END", &[Of(Bool), Of(Text), Of(Text)]),
            ("NULLIF({}, {})", &[Of(Text), Of(Text)]),
            ("CAST({} AS TEXT)", &[Of(Int)]),
            ("CAST({} AS TEXT)", &[Of(Date)]),
            ("CAST({} AS TEXT)", &[Of(Bool)]),
            ("CAST({} AS TEXT)", &[Of(Time)]),
            ("CONCAT({}, {}, {})", &[Of(Text), Of(Int), Of(Bool)]),
            ("SPLIT_PART({}, 'b', 1)", &[Of(Text)]),
            ("TO_CHAR({}, 'YYYY-MM-DD HH24:MI')", &[Of(Time)]),
            ("REVERSE({})", &[Of(Text)]),
        ],
        Bool => &[
            ("({} = {})", &[Same, Same]),
            ("({} <> {})", &[Same, Same]),
            ("({} < {})", &[Same, Same]),
            ("({} >= {})", &[Same, Same]),
            ("({} AND {})", &[Of(Bool), Of(Bool)]),
            ("({} OR {})", &[Of(Bool), Of(Bool)]),
            ("(NOT {})", &[Of(Bool)]),
            ("({} IS NULL)", &[Same]),
            ("({} IS NOT TRUE)", &[Of(Bool)]),
            ("({} IS DISTINCT FROM {})", &[Same, Same]),
            ("({} BETWEEN {} AND {})", &[Same, Same, Same]),
            ("({} IN ({}, {}, NULL))", &[Same, Same, Same]),
            ("({} NOT IN ({}, {}))", &[Same, Same, Same]),
            ("({} LIKE '%b%')", &[Of(Text)]),
            ("({} LIKE {} || '%')", &[Of(Text), Of(Text)]),
            ("({} ILIKE 'A_')", &[Of(Text)]),
            ("({} <= ({} % 1000000007) * 1.0)", &[Of(Int), Of(Int)]),
            ("({} = 2.5)", &[Of(Int)]),
            ("({} < {})", &[Of(Int), Of(Float)]),
            ("({} < {})", &[Of(Date), Of(Time)]),
        ],
        Date => &[
            ("CAST({} AS DATE)", &[Of(Time)]),
            ("({} + {}::int % 1000)", &[Of(Date), Of(Int)]),
            ("CASE WHEN {} THEN {} ELSE {} END", &[Of(Bool), Of(Date), Of(Date)]),
            ("COALESCE({}, {})", &[Of(Date), Of(Date)]),
            ("CAST({} + INTERVAL '1 month' AS DATE)", &[Of(Date)]),
            ("CAST(DATE_TRUNC('month', {}) AS DATE)", &[Of(Date)]),
            ("GREATEST({}, {})", &[Of(Date), Of(Date)]),
        ],
        _ => &[
            ("DATE_TRUNC('day', {})", &[Of(Time)]),
            ("DATE_TRUNC('hour', {})", &[Of(Time)]),
            ("DATE_TRUNC('week', {})", &[Of(Time)]),
            ("({} + INTERVAL '1 day')", &[Of(Time)]),
            ("({} - INTERVAL '90 minutes')", &[Of(Time)]),
            ("({} + INTERVAL '1 month 2 days')", &[Of(Time)]),
            ("COALESCE({}, {})", &[Of(Time), Of(Time)]),
            ("CAST({} AS TIMESTAMPTZ)", &[Of(Date)]),
            ("(({} AT TIME ZONE 'Europe/Berlin') AT TIME ZONE 'UTC')", &[Of(Time)]),
            ("LEAST({}, {})", &[Of(Time), Of(Time)]),
        ],
    }
}
