//! The keys of daymill.toml.

use super::key::{COUNT, File, Key, Shape, Takes, key, section};

pub const PROJECT: File = File {
    name: "project",
    path: "daymill.toml",
    about: "The project: connections, and the targets that predictions go to.",
    root: Shape::of(&ROOT),
};

const ROOT: [Key; 7] = [
    key(
        "id",
        Takes::Like("^[A-Za-z0-9_-]{1,64}$"),
        "What tells this project from others that publish to the same warehouse. 1 to 64 letters, digits, `_` or `-`. `init` draws one.",
        "\"flights\"",
    ),
    key(
        "default_target",
        Takes::Text,
        "The target of a command without `--target`. A project with one target needs none.",
        "\"dev\"",
    ),
    key("batch_rows", COUNT, "Rows that are scored and handed on at a time.", "16384").usually("16384"),
    key("threads", COUNT, "Scoring threads.", "4").usually("one per core"),
    key("keep_runs", COUNT, "Folders of runs that are kept below `.daymill/runs`; the oldest are removed.", "1000")
        .usually("1000"),
    section(
        "connection",
        Takes::Named("NAME", &Takes::Table(&CONNECTION)),
        "A Postgres that jobs read from or publish to.",
    ),
    section("target", Takes::Named("NAME", &Takes::Table(&TARGET)), "A warehouse that jobs publish to.").required(),
];

const CONNECTION: Shape = Shape {
    keys: &[
        key(
            "kind",
            Takes::Word(&[("postgres", "Postgres 12 or newer")]),
            "What kind of database it is.",
            "\"postgres\"",
        )
        .usually("\"postgres\""),
        key(
            "url",
            Takes::Text,
            "Where the server is. `${env:NAME}` and `${file:/path}` stand for what a variable or a file holds; \
             a password that is written out is refused.",
            "\"postgres://daymill@db.example:5432/ops\"",
        ),
        key("service", Takes::Text, "A section of libpq's `~/.pg_service.conf`, which says the rest.", "\"ops\""),
        key("host", Takes::Text, "The server's name, or the folder of its socket.", "\"db.example\"")
            .usually("\"localhost\""),
        key("port", Takes::Whole { from: 1, to: 65535 }, "The server's port.", "5432").usually("5432"),
        key("user", Takes::Text, "The role.", "\"daymill\"").usually("\"postgres\""),
        key("database", Takes::Text, "The database.", "\"ops\"").usually("the user's name"),
        key(
            "password",
            Takes::Text,
            "Where the password is: `${env:NAME}` or `${file:/path}`, never the password itself.",
            "\"${file:/run/secrets/ops}\"",
        )
        .usually("`PGPASSWORD`, then `~/.pgpass`"),
        key(
            "tls",
            Takes::Word(&[
                ("disable", "no TLS"),
                ("require", "TLS with any certificate"),
                ("verify-ca", "a certificate of a known authority"),
                ("verify-full", "a certificate of a known authority for this host"),
            ]),
            "How the connection is secured.",
            "\"verify-full\"",
        )
        .usually("\"verify-full\"; on this machine \"disable\""),
        key("root_certificate", Takes::Text, "The file of the authority's certificate.", "\"/etc/ssl/ops-ca.pem\"")
            .usually("the system's authorities"),
    ],
    any: &[&["url"], &["host"], &["service"]],
};

const TARGET: Shape = Shape::of(&[
    key(
        "kind",
        Takes::Word(&[
            ("sqlite", "one SQLite file; nothing to install"),
            ("postgres", "tables of a Postgres"),
            ("parquet", "a folder of Parquet files that DuckDB, Polars and pyarrow read"),
        ]),
        "What kind of warehouse it is.",
        "\"sqlite\"",
    )
    .required(),
    key("path", Takes::Text, "The file or the folder, from the project's folder.", "\".daymill/warehouse.sqlite\"")
        .required()
        .only(&["kind = \"sqlite\"", "kind = \"parquet\""]),
    key("connection", Takes::Text, "The name of a `[connection.NAME]`.", "\"warehouse\"")
        .required()
        .only(&["kind = \"postgres\""]),
    key("schema", Takes::Text, "The schema of the tables.", "\"public\"")
        .usually("\"public\"")
        .only(&["kind = \"postgres\""]),
]);
