//! Functions of dates and times, by type. Of instants they go by the clock of the job's zone.

use super::{Call, cast};
use crate::sql::error::{Result, SqlError};
use crate::sql::expr::{Ex, Func};
use crate::sql::kernels::time::{self, Field};
use crate::sql::kernels::{to_char, zone};
use crate::sql::types::Ty::{self, *};

/// A call of a function of times; nothing when the name is none of these.
pub fn call(call: &Call<'_>) -> Result<Option<Ex>> {
    let n = call.args.len();
    let found = match (call.name, n) {
        ("year" | "month" | "day" | "hour" | "minute" | "second" | "quarter" | "week", 1) => {
            Some(extract(call.name, call.args[0].clone(), call)?)
        }
        ("date_part", 2) => {
            let Some(field) = call.constant_text(0, "the field")? else {
                return Ok(Some(Ex::null(Float8, call.place)));
            };
            // DATE_PART is the older EXTRACT: a float.
            let from = call.args[1].clone();
            let from = if from.ty == Date { cast::coerce(from, Timestamp, call.zone)? } else { from };
            let part = extract(&field, from, call)?;
            Some(cast::explicit(part, Float8, call.zone)?)
        }
        ("date_trunc", 2 | 3) => Some(trunc(call)?),
        ("date", 1) => Some(cast::explicit(call.args[0].clone(), Date, call.zone)?),
        ("make_date", 3) => call.maybe(Some(time::make_date()), &[Int4, Int4, Int4], Date)?,
        ("make_timestamp", 6) => {
            call.maybe(Some(time::make_timestamp(None)), &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp)?
        }
        ("make_timestamptz", 6) => {
            let func = time::make_timestamp(Some(call.zone));
            call.maybe(Some(func), &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamptz)?
        }
        ("to_timestamp", 1) => call.maybe(Some(time::from_epoch()), &[Float8], Timestamptz)?,
        ("to_timestamp", 2) => patterned(call, |p| to_char::to_timestamp(p, call.zone), Text, Timestamptz)?,
        ("to_date", 2) => patterned(call, to_char::to_date, Text, Date)?,
        ("to_char", 2) => Some(written(call, false)?),
        ("strftime", 2) => Some(written(call, true)?),
        ("timezone", 2) => Some(at_time_zone(call.args[1].clone(), call.args[0].clone(), call)?),
        ("date_diff", 3) => Some(difference(call)?),
        ("isfinite", 1) if call.ty(0).is_time() => {
            let null = (call.args[0].clone().is_null(), Ex::null(Bool, call.place));
            Some(Ex::case(vec![null], Ex::bool(true, call.place), call.place))
        }
        _ => None,
    };
    Ok(found)
}

/// The zone whose clock a time of this type goes by.
pub fn clock_of(ty: Ty, zone: chrono_tz::Tz) -> Option<chrono_tz::Tz> {
    (ty == Timestamptz).then_some(zone)
}

/// EXTRACT(field FROM time).
pub fn extract(name: &str, from: Ex, call: &Call<'_>) -> Result<Ex> {
    let wrong = |what: String| SqlError::new("22023", call.place, what);
    let field = Field::named(name).ok_or_else(|| wrong(format!("there is no field \"{name}\" in a time")))?;
    let from = if from.ty == Unknown { cast::coerce(from, Timestamptz, call.zone)? } else { from };
    let ty = if field.fractional() { Numeric } else { Whole };
    let place = call.place;
    match from.ty {
        Date if field.of_time_only() => {
            Err(SqlError::new("0A000", place, format!("a date has no {}", name.to_lowercase()))
                .hint("cast it to TIMESTAMP if midnight is meant"))
        }
        Date => {
            let ty = Whole;
            Ok(Ex::call(time::extract_date(field), vec![from], ty, place))
        }
        Timestamp if matches!(field, Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute) => {
            Err(SqlError::new("0A000", place, "a timestamp without time zone has no time zone"))
        }
        Timestamp => Ok(Ex::call(time::extract(field, None), vec![from], ty, place)),
        Timestamptz => Ok(Ex::call(time::extract(field, Some(call.zone)), vec![from], ty, place)),
        other => Err(SqlError::new(
            "42883",
            place,
            format!("EXTRACT needs a date or a timestamp, and this is {}", other.name()),
        )),
    }
}

fn trunc(call: &Call<'_>) -> Result<Ex> {
    let Some(unit) = call.constant_text(0, "the unit")? else { return Ok(Ex::null(Timestamptz, call.place)) };
    let unit = unit.to_lowercase();
    if time::truncated(&unit, 0).is_none() {
        return Err(SqlError::new("22023", call.args[0].place, format!("there is no unit \"{unit}\" for DATE_TRUNC"))
            .hint("microseconds to millennium: second, minute, hour, day, week, month, quarter, year"));
    }
    let mut zone = call.zone;
    if call.args.len() == 3 {
        let name = call.constant_text(2, "the time zone")?.unwrap_or_default();
        zone = zone::named(&name).map_err(|fault| call.fault(fault))?;
    }
    let of = call.ty(1);
    if !(of.is_time() || of == Unknown) {
        return Err(call.unknown());
    }
    let naive = of == Timestamp && call.args.len() == 2;
    let ty = if naive { Timestamp } else { Timestamptz };
    let value = cast::coerce(call.args[1].clone(), ty, call.zone)?;
    Ok(Ex::call(time::trunc(&unit, clock_of(ty, zone)), vec![value], ty, call.place))
}

fn patterned(
    call: &Call<'_>,
    make: impl Fn(&str) -> std::result::Result<Func, crate::sql::error::Fault>,
    from: Ty,
    ty: Ty,
) -> Result<Option<Ex>> {
    if !call.takes(&[from, Text]) {
        return Err(call.unknown());
    }
    let Some(pattern) = call.constant_text(1, "the pattern")? else { return Ok(Some(Ex::null(ty, call.place))) };
    let func = make(&pattern).map_err(|fault| call.fault(fault))?;
    let value = cast::coerce(call.args[0].clone(), from, call.zone)?;
    Ok(Some(Ex::call(func, vec![value], ty, call.place)))
}

/// TO_CHAR and STRFTIME.
fn written(call: &Call<'_>, of_c: bool) -> Result<Ex> {
    let of = call.ty(0);
    if of.is_number() && !of_c {
        return Err(SqlError::unsupported(call.place, "TO_CHAR of a number")
            .hint("cast it to text, or build it: LPAD(CAST(n AS TEXT), 5, '0'), ROUND(x, 2)"));
    }
    if !of.is_time() {
        return Err(call.unknown());
    }
    let Some(pattern) = call.constant_text(1, "the pattern")? else { return Ok(Ex::null(Text, call.place)) };
    let value = call.args[0].clone();
    // A date is midnight of the clock.
    let (value, clock) = match of {
        Date if !of_c => {
            let func = to_char::date_to_char(&pattern).map_err(|fault| call.fault(fault))?;
            return Ok(Ex::call(func, vec![value], Text, call.place));
        }
        Date => (cast::coerce(value, Timestamp, call.zone)?, None),
        ty => (value, clock_of(ty, call.zone)),
    };
    let func = if of_c { to_char::strftime(&pattern, clock) } else { to_char::to_char(&pattern, clock) };
    Ok(Ex::call(func.map_err(|fault| call.fault(fault))?, vec![value], Text, call.place))
}

/// `time AT TIME ZONE zone`: of an instant what the clock there shows, of a clock's time the instant.
pub fn at_time_zone(time: Ex, zone: Ex, call: &Call<'_>) -> Result<Ex> {
    let time = match time.ty {
        Unknown | Date => cast::coerce(time, Timestamptz, call.zone)?,
        Timestamp | Timestamptz => time,
        other => {
            return Err(SqlError::new(
                "42883",
                call.place,
                format!("AT TIME ZONE needs a timestamp, and this is {}", other.name()),
            ));
        }
    };
    let zone_text = cast::coerce(zone, Text, call.zone)?;
    let to = if time.ty == Timestamptz { Timestamp } else { Timestamptz };
    if let Some(crate::sql::expr::Literal::Text(name)) = zone_text.as_literal() {
        let named = zone::named(name).map_err(|fault| SqlError::new(fault.code, zone_text.place, fault.message))?;
        let func = if to == Timestamp { zone::to_local(named) } else { zone::to_instant(named) };
        return Ok(Ex::call(func, vec![time], to, call.place));
    }
    let func = if to == Timestamp { zone::to_local_computed() } else { zone::to_instant_computed() };
    Ok(Ex::call(func, vec![time, zone_text], to, call.place))
}

/// DATE_DIFF('day', from, to): how often the unit begins between them.
fn difference(call: &Call<'_>) -> Result<Ex> {
    let Some(unit) = call.constant_text(0, "the unit")? else { return Ok(Ex::null(Int8, call.place)) };
    if !matches!(&*unit.to_lowercase(), "day" | "days") {
        return Err(SqlError::unsupported(call.place, format!("DATE_DIFF of {unit}"))
            .hint("EXTRACT(EPOCH FROM a - b) / 3600 gives hours, EXTRACT(YEAR FROM AGE(a, b)) years"));
    }
    let (from, to) = (
        cast::explicit(call.args[1].clone(), Date, call.zone)?,
        cast::explicit(call.args[2].clone(), Date, call.zone)?,
    );
    Ok(Ex::call(time::days_between(), vec![to, from], Int4, call.place))
}
