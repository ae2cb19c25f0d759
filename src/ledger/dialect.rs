//! The words in which the databases that hold a ledger differ. Whatever is not here is said to all of them alike.

use crate::identifier::Identifier;

/// What Postgres and SQLite each say.
pub trait Dialect: Send + Sync {
    /// The quoted name of a table of the ledger.
    fn ledger_table(&self, name: &str) -> String;
    /// The name of an index of the ledger.
    fn ledger_index(&self, name: &str) -> String;
    /// Asks for the name of the ledger's first table; no row, or NULL, where there is none.
    fn find_ledger(&self) -> &'static str;
    /// Asks for the ledger's schema, as above, and makes it; nothing where the ledger needs none.
    fn ledger_schema(&self) -> Option<(&'static str, &'static str)>;
    /// Begins a transaction that writes.
    fn begin(&self) -> &'static str;
    /// Begins one that may be lost with the power, and what is said when it has ended.
    fn begin_unsynced(&self) -> (&'static str, Option<&'static str>);
    /// Begins one that reads, and sees nothing of what others write meanwhile.
    fn begin_snapshot(&self) -> &'static str;
    /// Begins the one in which the ledger is made: a second one waits, and finds the work done.
    fn begin_migration(&self) -> &'static str;
    /// Makes a session one that only reads, where the way it was opened does not.
    fn only_read(&self) -> Option<&'static str>;
    /// Asks why the session cannot write: whether the server is a standby (`true`), and whether the session is read-only
    /// (`on`). Nothing where it can only be tried.
    fn ask_writable(&self) -> Option<&'static str>;
    /// What a SELECT ends with to hold its rows until the end of the transaction.
    fn locking_rows(&self) -> &'static str;
    /// A column of floats, as text that loses no bit of them by the time it is fetched.
    fn exact(&self, column: &str) -> String;
    /// How the ledger knows a published table.
    fn table_key(&self, table: &Identifier) -> String;
    /// One message that appends a record to the chain and commits, where the database can hash; its one row is the number and the hash of the record.
    fn append_and_commit(&self, tag: &str, record: &Record<'_>) -> Option<String>;
}

/// A record of the chain, before it has a number.
pub struct Record<'a> {
    pub job: &'a str,
    pub run_id: Option<&'a str>,
    pub body: &'a str,
}

/// Postgres: the ledger is the schema `daymill`.
pub struct Postgres;

/// SQLite: the ledger is tables of the one file, which has one writer at a time.
pub struct Sqlite;

impl Dialect for Postgres {
    fn ledger_table(&self, name: &str) -> String {
        format!("daymill.{name}")
    }

    fn ledger_index(&self, name: &str) -> String {
        name.to_owned()
    }

    fn find_ledger(&self) -> &'static str {
        "SELECT to_regclass('daymill.migrations')::text"
    }

    fn ledger_schema(&self) -> Option<(&'static str, &'static str)> {
        // CREATE SCHEMA IF NOT EXISTS asks for a right on the database even when the schema is there.
        Some(("SELECT to_regnamespace('daymill')::text", "CREATE SCHEMA daymill"))
    }

    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    fn begin_unsynced(&self) -> (&'static str, Option<&'static str>) {
        ("BEGIN; SET LOCAL synchronous_commit = off", None)
    }

    fn begin_snapshot(&self) -> &'static str {
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    }

    fn begin_migration(&self) -> &'static str {
        "BEGIN; SELECT pg_advisory_xact_lock(7237117, 1)"
    }

    fn only_read(&self) -> Option<&'static str> {
        Some("SET default_transaction_read_only = on")
    }

    fn ask_writable(&self) -> Option<&'static str> {
        Some("SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only')")
    }

    fn locking_rows(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn exact(&self, column: &str) -> String {
        format!("CAST({column} AS TEXT)")
    }

    fn table_key(&self, table: &Identifier) -> String {
        table.name().to_owned()
    }

    fn append_and_commit(&self, tag: &str, record: &Record<'_>) -> Option<String> {
        let (job, body, run) = (quote(record.job), quote(record.body), record.run_id.map_or("NULL".into(), quote));
        let (chain, events) = (self.ledger_table("chain"), self.ledger_table("events"));
        // The division fails, and with it the transaction, when the row of the chain is gone.
        Some(format!(
            "WITH next AS (UPDATE {chain} SET n = n + 1, hash = encode(sha256(convert_to( \
                 '{tag}' || E'\\n' || (n + 1)::text || E'\\n' || hash || E'\\n' || {body}, 'UTF8')), 'hex') RETURNING n, hash), \
             put AS (INSERT INTO {events} (n, job, run_id, body, hash) SELECT n, {job}, {run}, {body}, hash FROM next) \
             SELECT (SELECT n FROM next)::text, (SELECT hash FROM next), (1 / (SELECT count(*) FROM next))::text; COMMIT"
        ))
    }
}

impl Dialect for Sqlite {
    fn ledger_table(&self, name: &str) -> String {
        format!("daymill_{name}")
    }

    fn ledger_index(&self, name: &str) -> String {
        format!("daymill_{name}")
    }

    fn find_ledger(&self) -> &'static str {
        "SELECT name FROM sqlite_master WHERE name = 'daymill_migrations'"
    }

    fn ledger_schema(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn begin_unsynced(&self) -> (&'static str, Option<&'static str>) {
        ("PRAGMA main.synchronous = NORMAL; BEGIN IMMEDIATE", Some("PRAGMA main.synchronous = FULL"))
    }

    fn begin_snapshot(&self) -> &'static str {
        "BEGIN"
    }

    fn begin_migration(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn only_read(&self) -> Option<&'static str> {
        None
    }

    fn ask_writable(&self) -> Option<&'static str> {
        None
    }

    fn locking_rows(&self) -> &'static str {
        ""
    }

    fn exact(&self, column: &str) -> String {
        // A cast gives 15 digits. As it stands the session makes a text of it.
        column.to_owned()
    }

    fn table_key(&self, table: &Identifier) -> String {
        // SQLite does not tell cases apart.
        table.name().to_lowercase()
    }

    fn append_and_commit(&self, _tag: &str, _record: &Record<'_>) -> Option<String> {
        None
    }
}

/// A literal that means the same whatever `standard_conforming_strings` says.
fn quote(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_cannot_end_early() {
        assert_eq!(quote(r"a'b\"), r"E'a''b\\'");
    }
}
