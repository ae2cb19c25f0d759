//! A call of a function by its name, and what to write in place of one that is not there.

use chrono_tz::Tz;

use crate::sql::error::{NO_FUNCTION, Place, Result, SqlError};
use crate::sql::expr::{Ex, Func, Literal};
use crate::sql::types::{Ty, implicit};

/// A call as it stands in the query, with its arguments bound.
pub struct Call<'a> {
    pub name: &'a str,
    pub args: Vec<Ex>,
    pub place: Place,
    pub zone: Tz,
}

impl Call<'_> {
    pub fn types(&self) -> Vec<Ty> {
        self.args.iter().map(|a| a.ty).collect()
    }

    pub fn ty(&self, n: usize) -> Ty {
        self.args.get(n).map_or(Ty::Unknown, |a| a.ty)
    }

    /// Whether the arguments can stand for these types.
    pub fn takes(&self, types: &[Ty]) -> bool {
        self.args.len() == types.len() && self.args.iter().zip(types).all(|(arg, ty)| implicit(arg.ty, *ty))
    }

    /// The call of a kernel over the arguments as these types.
    pub fn by(&self, func: Func, types: &[Ty], ty: Ty) -> Result<Ex> {
        let mut args = Vec::with_capacity(types.len());
        for (arg, ty) in self.args.iter().zip(types) {
            args.push(super::cast::coerce(arg.clone(), *ty, self.zone)?);
        }
        Ok(Ex::call(func, args, ty, self.place))
    }

    /// The same, if there is a kernel for them.
    pub fn maybe(&self, func: Option<Func>, types: &[Ty], ty: Ty) -> Result<Option<Ex>> {
        match func {
            Some(func) if self.takes(types) => self.by(func, types, ty).map(Some),
            _ => Err(self.unknown()),
        }
    }

    /// The text of an argument that must be known when the query is planned.
    pub fn constant_text(&self, n: usize, what: &str) -> Result<Option<String>> {
        match self.args.get(n).map(|arg| (arg.as_literal(), arg.place)) {
            Some((Some(Literal::Text(text)), _)) => Ok(Some(text.clone())),
            Some((Some(Literal::Null), _)) => Ok(None),
            other => {
                let place = other.map_or(self.place, |(_, place)| place);
                Err(SqlError::new("0A000", place, format!("{what} of {} must be a constant", self.name.to_uppercase())))
            }
        }
    }

    /// There is no such function of these types.
    pub fn unknown(&self) -> SqlError {
        let types: Vec<&str> = self.args.iter().map(|a| a.ty.name()).collect();
        let shown = format!("{}({})", self.name, types.join(", "));
        let mut error = SqlError::new(NO_FUNCTION, self.place, format!("there is no function {shown}"));
        error.hint = match instead(self.name) {
            Some(hint) => Some(hint.into()),
            None if NAMES.split(' ').any(|known| known == self.name) => {
                Some("cast the arguments: CAST(x AS ...)".into())
            }
            None => crate::config::meant(self.name, NAMES.split(' '))
                .or_else(|| Some("docs/sql.md lists the functions that there are".into())),
        };
        error
    }

    pub fn fault(&self, fault: crate::sql::error::Fault) -> SqlError {
        SqlError::new(fault.code, self.place, fault.message)
    }
}

/// What to write in place of functions that are not there.
fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" | "current_timestamp" | "clock_timestamp" | "statement_timestamp" | "transaction_timestamp" | "today" => {
            "a run must give the same rows tomorrow: use :date, :start or :end of the interval"
        }
        "random" | "gen_random_uuid" | "uuid_generate_v4" | "setseed" => {
            "a run must give the same rows when it is repeated, so nothing is drawn at random"
        }
        "array_agg"
        | "json_agg"
        | "jsonb_agg"
        | "json_build_object"
        | "unnest"
        | "string_to_array"
        | "array_length"
        | "regexp_split_to_array"
        | "regexp_match"
        | "regexp_matches"
        | "row_to_json" => {
            "arrays and JSON are not columns of a transform; SPLIT_PART, SUBSTRING and STRING_AGG give text"
        }
        "generate_series" => "extract a table with the values, or list them: FROM (VALUES (1), (2)) AS t(n)",
        "strptime" => "CAST(x AS DATE), CAST(x AS TIMESTAMP), TO_DATE(x, 'YYYYMMDD') or TO_TIMESTAMP(x, pattern)",
        "datediff" => "a - b gives days of dates; EXTRACT(EPOCH FROM a - b) gives seconds of timestamps",
        "dateadd" | "date_add" | "date_sub" => "x + INTERVAL '1 day'",
        "len" => "LENGTH(x)",
        "nvl" => "COALESCE(x, y)",
        "isnull" => "x IS NULL",
        "md5" | "sha256" | "hashtext" => "no hash function is there; key by the columns themselves",
        "encode" | "decode" => "bytes are not columns of a transform",
        _ => return None,
    })
}

/// The names of the functions, for those who misspell one.
const NAMES: &str = "abs acos acosh age ascii asin asinh atan atan2 atanh avg bit_and bit_length bit_or bit_xor bool_and \
    bool_or btrim cbrt ceil ceiling char_length character_length chr coalesce concat concat_ws corr cos \
    cosh cot count covar_pop covar_samp cume_dist date date_bin date_diff date_part date_trunc day \
    degrees dense_rank div ends_with every exp extract factorial first first_value floor format gcd \
    greatest hour if ifnull initcap isfinite lag last last_value lcm lead least left length ln log log10 \
    lower lpad ltrim make_date make_timestamp make_timestamptz max median min minute mod mode month \
    nth_value ntile nullif octet_length overlay percent_rank percentile_cont percentile_disc pi position \
    pow power quantile_cont quantile_disc quote_literal radians rank regexp_count regexp_like \
    regexp_replace regexp_substr repeat replace reverse right round row_number rpad rtrim second sign \
    sin sinh split_part sqrt starts_with stddev stddev_pop stddev_samp strftime string_agg strpos substr \
    substring sum tan to_char to_date year";
