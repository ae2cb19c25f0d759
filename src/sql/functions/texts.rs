//! Functions of text, by type.

use super::{Call, cast};
use crate::sql::error::Result;
use crate::sql::expr::{Ex, Func, Literal};
use crate::sql::kernels::{pattern, text};
use crate::sql::types::Ty::{self, *};

/// A call of a function of text; nothing when the name is none of these.
pub fn call(call: &Call<'_>) -> Result<Option<Ex>> {
    let n = call.args.len();
    let found = match (call.name, n) {
        ("upper", 1) => call.maybe(text::to_text("upper"), &[Text], Text)?,
        ("lower", 1) => call.maybe(text::to_text("lower"), &[Text], Text)?,
        ("initcap", 1) => call.maybe(text::to_text("initcap"), &[Text], Text)?,
        ("reverse", 1) => call.maybe(text::to_text("reverse"), &[Text], Text)?,
        ("quote_literal", 1) => call.maybe(text::to_text("quote_literal"), &[Text], Text)?,
        ("length" | "char_length" | "character_length", 1) => call.maybe(text::to_number("length"), &[Text], Int4)?,
        ("octet_length", 1) => call.maybe(text::to_number("octet_length"), &[Text], Int4)?,
        ("bit_length", 1) => call.maybe(text::to_number("bit_length"), &[Text], Int4)?,
        ("ascii", 1) => call.maybe(text::to_number("ascii"), &[Text], Int4)?,
        ("chr", 1) => call.maybe(Some(text::chr()), &[Int4], Text)?,
        ("left", 2) => call.maybe(text::text_number("left"), &[Text, Int4], Text)?,
        ("right", 2) => call.maybe(text::text_number("right"), &[Text, Int4], Text)?,
        ("repeat", 2) => call.maybe(text::text_number("repeat"), &[Text, Int4], Text)?,
        ("substr" | "substring", 2) if call.takes(&[Text, Int4]) && call.ty(1) != Unknown => {
            call.maybe(text::text_number("substr"), &[Text, Int4], Text)?
        }
        ("substr" | "substring", 3) => call.maybe(Some(text::substr_count()), &[Text, Int4, Int4], Text)?,
        ("substring" | "regexp_substr", 2) => regular(call, pattern::substring, Text, None)?,
        ("strpos" | "position", 2) => call.maybe(text::text_text("strpos"), &[Text, Text], Int4)?,
        ("starts_with", 2) => call.maybe(text::text_text("starts_with"), &[Text, Text], Bool)?,
        ("ends_with", 2) => call.maybe(text::text_text("ends_with"), &[Text, Text], Bool)?,
        ("btrim" | "ltrim" | "rtrim" | "trim", 1 | 2) => trim(call)?,
        ("replace", 3) => call.maybe(Some(text::replace()), &[Text, Text, Text], Text)?,
        ("translate", 3) => call.maybe(Some(text::translate_text()), &[Text, Text, Text], Text)?,
        ("split_part", 3) => call.maybe(Some(text::part()), &[Text, Text, Int4], Text)?,
        ("lpad" | "rpad", 2 | 3) => pad(call)?,
        ("overlay", 3 | 4) => overlay(call)?,
        ("concat", 1..) => Some(texts(call, 0, text::concat())?),
        ("concat_ws", 2..) => Some(texts(call, 1, text::concat_ws())?),
        ("format", 1..) => Some(texts(call, 1, text::format())?),
        ("regexp_replace", 3 | 4) => replace(call)?,
        ("regexp_count", 2) => regular(call, pattern::count, Int4, None)?,
        ("regexp_like", 2 | 3) => {
            let syntax = |fold| pattern::Syntax::Posix { fold };
            regular(call, |p, fold| pattern::matches_constant(p, syntax(fold)), Bool, Some(2))?
        }
        _ => None,
    };
    Ok(found)
}

fn literal(text: &str, call: &Call<'_>) -> Ex {
    Ex::literal(Literal::Text(text.into()), Text, call.place)
}

fn trim(call: &Call<'_>) -> Result<Option<Ex>> {
    let name = match call.name {
        "ltrim" => "ltrim",
        "rtrim" => "rtrim",
        _ => "btrim",
    };
    let mut args = call.args.clone();
    if args.len() == 1 {
        args.push(literal(" ", call));
    }
    let call = Call { args, ..*call };
    call.maybe(text::text_text(name), &[Text, Text], Text)
}

fn pad(call: &Call<'_>) -> Result<Option<Ex>> {
    let mut args = call.args.clone();
    if args.len() == 2 {
        args.push(literal(" ", call));
    }
    let call = Call { args, ..*call };
    call.maybe(Some(text::padded(call.name == "lpad")), &[Text, Int4, Text], Text)
}

fn overlay(call: &Call<'_>) -> Result<Option<Ex>> {
    let mut args = call.args.clone();
    if args.len() == 3 {
        let new = cast::coerce(args[1].clone(), Text, call.zone)?;
        let length = text::to_number("length").ok_or_else(|| call.unknown())?;
        args.push(Ex::call(length, vec![new], Int4, call.place));
    }
    let call = Call { args, ..*call };
    call.maybe(Some(text::overlaid()), &[Text, Text, Int4, Int4], Text)
}

/// Any types, as text the way Postgres prints them; the first `strict` arguments must be text already.
fn texts(call: &Call<'_>, strict: usize, func: Func) -> Result<Ex> {
    let mut args = Vec::with_capacity(call.args.len());
    for (n, arg) in call.args.iter().enumerate() {
        args.push(if n < strict { cast::coerce(arg.clone(), Text, call.zone)? } else { printed(arg.clone(), call)? });
    }
    Ok(Ex::call(func, args, Text, call.place))
}

/// As CONCAT and FORMAT print: a boolean is t or f.
fn printed(ex: Ex, call: &Call<'_>) -> Result<Ex> {
    if ex.ty != Bool {
        return cast::explicit(ex, Text, call.zone);
    }
    let place = ex.place;
    let branches = vec![(ex.clone(), literal("t", call)), (ex.negate(), literal("f", call))];
    let otherwise = Box::new(Ex::null(Text, place));
    Ok(Ex::new(crate::sql::expr::Kind::Case { branches, otherwise }, Text, place))
}

/// A function of a text and a regular expression that is known when the query is planned.
fn regular(
    call: &Call<'_>,
    make: impl Fn(&str, bool) -> std::result::Result<Func, crate::sql::error::Fault>,
    ty: Ty,
    flags: Option<usize>,
) -> Result<Option<Ex>> {
    if !call.takes(&vec![Text; call.args.len()]) {
        return Err(call.unknown());
    }
    let mut fold = false;
    if let Some(n) = flags.filter(|n| call.args.len() > *n) {
        let flags = call.constant_text(n, "the flags")?.unwrap_or_default();
        if flags.chars().any(|c| !matches!(c, 'i' | 'c')) {
            return Err(crate::sql::error::SqlError::unsupported(call.place, format!("the flags \"{flags}\"")));
        }
        fold = flags.contains('i');
    }
    let Some(pattern) = call.constant_text(1, "the pattern")? else { return Ok(Some(Ex::null(ty, call.place))) };
    let func = make(&pattern, fold).map_err(|fault| call.fault(fault))?;
    let text = cast::coerce(call.args[0].clone(), Text, call.zone)?;
    Ok(Some(Ex::call(func, vec![text], ty, call.place)))
}

fn replace(call: &Call<'_>) -> Result<Option<Ex>> {
    if !call.takes(&vec![Text; call.args.len()]) {
        return Err(call.unknown());
    }
    let flags =
        if call.args.len() == 4 { call.constant_text(3, "the flags")?.unwrap_or_default() } else { String::new() };
    if flags.chars().any(|c| !matches!(c, 'g' | 'i' | 'c')) {
        return Err(crate::sql::error::SqlError::unsupported(call.place, format!("the flags \"{flags}\"")));
    }
    let Some(pattern) = call.constant_text(1, "the pattern")? else { return Ok(Some(Ex::null(Text, call.place))) };
    let func = pattern::replace(&pattern, flags.contains('g'), flags.contains('i')).map_err(|f| call.fault(f))?;
    let text = cast::coerce(call.args[0].clone(), Text, call.zone)?;
    let with = cast::coerce(call.args[2].clone(), Text, call.zone)?;
    Ok(Some(Ex::call(func, vec![text, with], Text, call.place)))
}
