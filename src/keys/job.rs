//! The keys of a job file.

use super::key::{COUNT, DATE, File, Key, Shape, Takes, key, section};

pub const JOB: File = File {
    name: "job",
    path: "jobs/NAME.toml",
    about: "A job: what it reads, how rows are made of it, the model that scores them, and the table that they go to.",
    root: Shape::of(&ROOT),
};

const ROOT: [Key; 18] = [
    key("description", Takes::Text, "What the job is for, in a line.", "\"Probability of a late landing\""),
    key(
        "timezone",
        Takes::Text,
        "The time zone by whose clock the job's days begin. A name of the IANA database; a day has 23, 24 or 25 hours.",
        "\"America/New_York\"",
    )
    .required(),
    key(
        "grain",
        Takes::Word(&[("day", "a local day at a time"), ("hour", "an hour at a time")]),
        "How long an interval is.",
        "\"day\"",
    )
    .usually("\"day\""),
    key(
        "starts",
        DATE,
        "The first date that there is data for. `backfill` and `status` begin there.",
        "\"2013-06-01\"",
    ),
    key("ends", DATE, "The last date that there is data for. Nothing after it is run.", "\"2013-06-21\""),
    key(
        "schedule",
        Takes::Text,
        "When a scheduler starts the job, as a line of cron by the clock of `timezone`. Daymill does not start it; `status` \
         says when it is due.",
        "\"0 3 * * *\"",
    ),
    key(
        "key",
        Takes::Texts,
        "The columns that tell one row from another. A repeated key within an interval is an error; NULL is too.",
        "[\"flight_date\", \"carrier\", \"flight\"]",
    )
    .required(),
    key(
        "on_empty",
        Takes::Word(&[
            ("error", "the run fails; what was published stays"),
            ("replace", "no rows are published in place of what was"),
            ("skip", "what was published stays, and the run exits 0 or with `--skip-exit-code`"),
        ]),
        "What an interval without rows means.",
        "\"error\"",
    )
    .usually("\"error\""),
    key("batch_rows", COUNT, "Rows that are scored and handed on at a time.", "16384").usually("that of daymill.toml"),
    section("extract", Takes::Named("TABLE", &Takes::Table(&EXTRACT)), "A table that the transform reads.").required(),
    section(
        "target",
        Takes::Named("TARGET", &Takes::Table(&TARGET)),
        "What is otherwise when the job runs on this target.",
    ),
    section("transform", Takes::Table(&TRANSFORM), "The SQL that makes the rows.").required(),
    section("score", Takes::Table(&SCORE), "The model. A job without it publishes what the transform gives."),
    section("load", Takes::Table(&LOAD), "The table that is published to.").required(),
    section(
        "check",
        Takes::Tables(&CHECK),
        "What must hold of the rows before they are published. One rule each: `range`, `not_null`, `values`, `match`, `unique`, \
         `freshness`, `mean` or `sum` of a column, or `rows` or `sql` without one.",
    ),
    section(
        "gate",
        Takes::Tables(&GATE),
        "How far the values of a score, or of another published column, may lie from what they were, before anything is published.",
    ),
    section(
        "quarantine",
        Takes::Table(&QUARANTINE),
        "How many rows `on_fail = \"quarantine\"` may put aside, and what is kept of them.",
    ),
    section(
        "drift",
        Takes::Table(&DRIFT),
        "What `daymill drift` compares the columns with, and below which figures a movement does not matter.",
    ),
];

const FILES: &[&str] = &["parquet", "csv", "jsonl"];
const CSV: &[&str] = &["csv"];
const SOURCES: &[&[&str]] = &[&["parquet"], &["csv"], &["jsonl"], &["connection", "sql"]];

const PARQUET: Key = key(
    "parquet",
    Takes::Text,
    "Parquet files, from the project's folder. `{date}`, `{year}`, `{month}`, `{day}` and `{hour}` are those of the interval; \
     `*`, `?`, `[ab]` and `**` match names.",
    "\"data/flight_date={date}/*.parquet\"",
);
const CSV_FILES: Key = key("csv", Takes::Text, "CSV files; a path as for `parquet`.", "\"data/{date}.csv\"");
const JSONL: Key = key("jsonl", Takes::Text, "Files of JSON lines; a path as for `parquet`.", "\"data/{date}.jsonl\"");
const CONNECTION: Key = key("connection", Takes::Text, "The `[connection.NAME]` that the SQL is asked of.", "\"ops\"");
const SQL: Key = key(
    "sql",
    Takes::Text,
    "A file with one query in Postgres' own SQL; `:date`, `:start` and `:end` are those of the interval. The session's clock is \
     that of the job's `timezone`, and so are comparisons of times without a zone, whatever `zone` says.",
    "\"sql/flight_delay/flights.sql\"",
);
const TIME_COLUMN: Key = key(
    "time_column",
    Takes::Text,
    "The date or timestamp that must lie in the interval (and its lookback) for a row to be read.",
    "\"placed_at\"",
)
.only(FILES);
const COMPLETE: Key = key(
    "complete",
    Takes::Text,
    "The file that a writer leaves when it has finished: a path, or a name beside the files. Without it nothing is read.",
    "\"_SUCCESS\"",
)
.only(FILES);
const DELIMITER: Key =
    key("delimiter", Takes::Text, "The character between cells.", "\";\"").usually("\",\"").only(CSV);
const QUOTE: Key = key(
    "quote",
    Takes::Text,
    "The character around cells that hold a delimiter or a line's end. `\"\"` for none.",
    "\"'\"",
)
.usually("`\"`")
.only(CSV);
const ESCAPE: Key = key("escape", Takes::Text, "The character before a quote inside of a quoted cell.", "\"\\\\\"")
    .usually("none: a quote is doubled")
    .only(CSV);
const HEADER: Key = key(
    "header",
    Takes::Boolean,
    "Whether the first line names the columns. Without one the declared columns are those of the file, in order.",
    "false",
)
.usually("true")
.only(CSV);
const SKIP: Key =
    key("skip", Takes::Whole { from: 0, to: i64::MAX }, "Lines before the header.", "2").usually("0").only(CSV);
const COMMENT: Key = key("comment", Takes::Text, "Lines that begin with it are left out.", "\"#\"").only(CSV);
const DECIMAL: Key = key("decimal", Takes::Text, "The decimal mark, `.` or `,`.", "\",\"").usually("\".\"").only(CSV);
const ENCODING: Key = key("encoding", Takes::Text, "A name of the Encoding Standard.", "\"windows-1252\"")
    .usually("\"utf-8\"; a byte order mark is heard")
    .only(CSV);
const NULLS: Key = key("nulls", Takes::Texts, "Cells that are NULL.", "[\"\", \"NA\"]").usually("[\"\"]").only(CSV);
const QUOTED_NULLS: Key = key("quoted_nulls", Takes::Boolean, "Whether a quoted cell of text can be NULL too.", "true")
    .usually("false")
    .only(CSV);

const EXTRACT: Shape = Shape {
    keys: &[
        PARQUET,
        CSV_FILES,
        JSONL,
        CONNECTION,
        SQL,
        key(
            "lookback",
            Takes::Like("^[0-9]+d$"),
            "Whole local days before the interval that the table also holds.",
            "\"7d\"",
        ),
        key(
            "missing_lookback",
            Takes::Word(&[("error", "the run fails"), ("allow", "the table begins with the first file that is there")]),
            "What a missing file of the lookback means.",
            "\"allow\"",
        )
        .usually("\"error\""),
        TIME_COLUMN,
        COMPLETE,
        key(
            "snapshot",
            Takes::Boolean,
            "Says that the table is the same for every interval, and meant to be. Otherwise a job none of whose tables depends on \
             the interval is refused.",
            "true",
        )
        .usually("false"),
        key("zone", Takes::Text, "The clock of times that have no zone themselves.", "\"Europe/Berlin\""),
        section(
            "columns",
            Takes::Named("COLUMN", &Takes::Either(&[COLUMN_TYPE, Takes::Table(&COLUMN)])),
            "The columns that are read, each with its type: `NAME = \"int\"`, or a table for times. A source without one of them, or \
             of another type, is refused. Text files need it.",
        ),
        DELIMITER,
        QUOTE,
        ESCAPE,
        HEADER,
        SKIP,
        COMMENT,
        DECIMAL,
        ENCODING,
        NULLS,
        QUOTED_NULLS,
    ],
    any: SOURCES,
};

pub const COLUMN_TYPE: Takes = Takes::Word(&[
    ("int", "64 bits"),
    ("float", "64 bits"),
    ("text", "UTF-8"),
    ("bool", "true or false"),
    ("date", "a day"),
    ("timestamp", "an instant, in microseconds"),
]);

const COLUMN: Shape = Shape::of(&[
    key("type", COLUMN_TYPE, "The column's type.", "\"timestamp\"").required(),
    key("zone", Takes::Text, "The clock of a timestamp without a zone.", "\"America/Chicago\"")
        .usually("that of the table"),
    key(
        "format",
        Takes::Text,
        "How dates or times are written in a text file, in the words of strftime.",
        "\"%d.%m.%Y %H:%M\"",
    )
    .usually("ISO 8601"),
]);

const TARGET: Shape = Shape::of(&[section(
    "extract",
    Takes::Named("TABLE", &Takes::Table(&ELSEWHERE)),
    "Where the rows of a table come from on this target, in place of what `[extract.TABLE]` says. Its columns and lookback stay.",
)]);

const ELSEWHERE: Shape = Shape {
    keys: &[
        PARQUET,
        CSV_FILES,
        JSONL,
        CONNECTION,
        SQL,
        TIME_COLUMN,
        COMPLETE,
        DELIMITER,
        QUOTE,
        ESCAPE,
        HEADER,
        SKIP,
        COMMENT,
        DECIMAL,
        ENCODING,
        NULLS,
        QUOTED_NULLS,
    ],
    any: SOURCES,
};

const TRANSFORM: Shape = Shape::of(&[key(
    "sql",
    Takes::Text,
    "A file with one `SELECT` over the extracted tables, in the SQL of Postgres (docs/sql.md); `:date`, `:start` and `:end` are those \
     of the interval.",
    "\"sql/flight_delay/features.sql\"",
)
.required()]);

const SCORE: Shape = Shape::of(&[
    key(
        "model",
        Takes::Like("^.+(@.+|/[0-9]+/?)$"),
        "The model: a folder with `@` and an alias or a version.",
        "\"models/flight_delay@champion\"",
    )
    .required(),
    key(
        "outputs",
        Takes::Either(&[
            Takes::Texts,
            Takes::Named("NAME", &Takes::Either(&[Takes::Whole { from: 0, to: i64::MAX }, Takes::Text])),
        ]),
        "The names under which the model's outputs are published. `{ p_late = 1 }` publishes some of them: by their number from 0, or \
         by the model's own name.",
        "[\"p_late\"]",
    )
    .usually("all, by the model's own names"),
    key(
        "max_bad_fraction",
        Takes::Number { from: 0.0, to: 1.0 },
        "The share of rows that the model's contract may have to mend or drop.",
        "0.01",
    )
    .usually("0.0"),
]);

const LOAD: Shape = Shape::of(&[
    key("table", Takes::Text, "The table. It is made on first use.", "\"flight_delay_scores\"").required(),
    key(
        "keep",
        Takes::Texts,
        "Columns of the transform that are published beside the key and the scores. A job without a model publishes all.",
        "[\"dest\"]",
    )
    .usually("[]"),
    key(
        "on_schema_change",
        Takes::Word(&[
            ("refuse", "the run fails and prints the ALTER TABLE"),
            ("append", "columns that the table lacks are added to it, in the transaction of the load"),
        ]),
        "What it means when the table does not have a column that is published. Columns that the table has beyond those stay and are \
         NULL, if they may be. A column of another type is always refused.",
        "\"append\"",
    )
    .usually("\"refuse\""),
    key(
        "time",
        Takes::Text,
        "A published date or timestamp that must lie in the interval. A row outside of it fails the run.",
        "\"flight_date\"",
    ),
]);

const SHARE: Takes = Takes::Number { from: 0.0, to: 1.0 };

const DRIFT: Shape = Shape::of(&[
    key(
        "reference",
        Takes::Text,
        "What the columns are compared with: `model` (what it was trained on: `daymill models reference`), `last 28` (published \
         intervals), or two dates.",
        "\"2013-06-01..2013-06-14\"",
    )
    .usually("the model's, if it has one, and the last 28"),
    key("ignore", Takes::Texts, "Columns that are not looked at.", "[\"wind_gust\"]").usually("[]"),
    key("psi", Takes::Number { from: 0.0, to: f64::INFINITY }, "The smallest population stability index that matters.", "0.25")
        .usually("0.1"),
    key("ks", SHARE, "The smallest distance of Kolmogorov and Smirnov that matters.", "0.1").usually("0.05"),
    key("js", SHARE, "The smallest distance of Jensen and Shannon, to base 2, that matters.", "0.2").usually("0.1"),
    key(
        "wasserstein",
        Takes::Number { from: 0.0, to: f64::INFINITY },
        "The smallest distance of Wasserstein that matters, in standard deviations of the reference.",
        "0.2",
    )
    .usually("0.1"),
    key("missing", SHARE, "The smallest change of the share of missing values that matters.", "0.05").usually("0.02"),
    key("unseen", SHARE, "The smallest share of values that the reference does not have that matters.", "0.05")
        .usually("0.01"),
]);

const CHECK: Shape = Shape {
    keys: &[
        key("name", Takes::Text, "What the quarantine and messages call the check.", "\"plausible_distance\"")
            .usually("the column and the rule"),
        key("column", Takes::Text, "A column of the transform, or a score.", "\"p_late\""),
        key("range", Takes::Pair, "The lowest and the highest value that any row may have.", "[0.0, 1.0]"),
        key("not_null", Takes::Boolean, "No row may have NULL.", "true"),
        key("values", Takes::Texts, "The values that rows may have.", "[\"EWR\", \"JFK\", \"LGA\"]"),
        key("match", Takes::Text, "A regular expression that every value matches.", "\"^N[0-9]{1,5}[A-Z]{0,2}$\""),
        key(
            "sql",
            Takes::Text,
            "A condition over one row of the transform, in its SQL. NULL counts as kept.",
            "\"arr_time IS NULL OR arr_time > dep_time\"",
        ),
        key("unique", Takes::Boolean, "No two rows may have the same value; NULL is none.", "true"),
        key(
            "freshness",
            Takes::Like("^[0-9]+[mhd]$"),
            "How much older than the end of the interval the newest time of the column may be.",
            "\"26h\"",
        ),
        key("mean", Takes::Pair, "The lowest and the highest mean of the column.", "[0.05, 0.6]"),
        key("sum", Takes::Pair, "The lowest and the highest sum of the column.", "[0.0, 1000000.0]"),
        key("rows", Takes::Pair, "The smallest and the greatest number of rows.", "[500, 1200]"),
        key(
            "on_fail",
            Takes::Word(&[
                ("fail", "nothing is published"),
                ("warn", "the run goes on and says so"),
                ("quarantine", "rows that break the rule are put aside, and the others are published"),
                ("drop", "such rows are left out, and counted"),
            ]),
            "What a broken rule means. Rows can be put aside or left out by `range`, `not_null`, `values`, `match` and `sql`; they are \
             not scored then, and no other rule sees them.",
            "\"quarantine\"",
        )
        .usually("\"fail\""),
        key("max_bad", BUDGET, "How many rows may break the rule; more fail the run.", "\"0.5%\"")
            .usually("none; for `quarantine` any number, for `drop` that of `[quarantine]`"),
        key(
            "severity",
            Takes::Word(&[("error", "nothing is published"), ("warn", "the run goes on and says so")]),
            "As `on_fail`, in two words.",
            "\"warn\"",
        )
        .usually("\"error\""),
    ],
    any: &[
        &["range"],
        &["not_null"],
        &["values"],
        &["match"],
        &["sql"],
        &["unique"],
        &["freshness"],
        &["mean"],
        &["sum"],
        &["rows"],
    ],
};

/// A number of rows, or a share of them.
const BUDGET: Takes = Takes::Either(&[Takes::Whole { from: 0, to: i64::MAX }, Takes::Like("^[0-9]+(\\.[0-9]+)? ?%$")]);

const GATE: Shape = Shape {
    keys: &[
        key("column", Takes::Text, "A score or another published column.", "\"p_late\"").usually("every score"),
        key(
            "top",
            Takes::Like("^[0-9]+(\\.[0-9]+)? ?%$"),
            "The largest share of the rows that may have one value.",
            "\"95%\"",
        ),
        key(
            "against",
            Takes::Text,
            "What it is compared with: `previous` (the published interval before), `last 28` (published intervals), \
             `last 4 same weekday`, `model` (what it was trained on), or two dates.",
            "\"last 4 same weekday\"",
        ),
        key(
            "psi",
            Takes::Pair,
            "The population stability index from which on the run warns, and fails.",
            "[0.1, 0.25]",
        ),
        key("ks", Takes::Pair, "The same of the distance of Kolmogorov and Smirnov.", "[0.05, 0.1]"),
        key("js", Takes::Pair, "The same of the distance of Jensen and Shannon, to base 2.", "[0.1, 0.2]"),
        key("wasserstein", Takes::Pair, "The same of Wasserstein's distance, in standard deviations.", "[0.1, 0.3]"),
        key("mean_shift", Takes::Pair, "The same of the change of the mean, in standard deviations.", "[0.1, 0.3]"),
        key(
            "on_fail",
            Takes::Word(&[("fail", "nothing is published"), ("warn", "the run goes on and says so")]),
            "What a closed gate means.",
            "\"warn\"",
        )
        .usually("\"fail\""),
    ],
    any: &[&["top"], &["against"]],
};

const QUARANTINE: Shape = Shape::of(&[
    key("max_rows", Takes::Whole { from: 0, to: 100_000 }, "Rows of an interval that may be put aside.", "200")
        .usually("1000"),
    key("max_bad", BUDGET, "The same as a share of the rows.", "\"5%\"").usually("\"1%\""),
    key("redact", Takes::Texts, "Columns of which only a hash is kept in the quarantine.", "[\"passenger_email\"]")
        .usually("[]"),
]);
