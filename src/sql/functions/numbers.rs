//! Functions of numbers, by type.

use super::Call;
use crate::sql::error::Result;
use crate::sql::expr::{Ex, Literal};
use crate::sql::kernels::math;
use crate::sql::types::Ty::{self, *};

/// A call of a function of numbers; nothing when the name is none of these.
pub fn call(call: &Call<'_>) -> Result<Option<Ex>> {
    let ty = call.ty(0);
    let ty = if ty == Unknown { Float8 } else { ty };
    let one = call.args.len() == 1;
    let found = match call.name {
        "abs" if one && ty.is_whole() => call.maybe(math::whole("abs", ty), &[ty], ty)?,
        "abs" if one => call.maybe(math::simple("abs"), &[ty], ty)?,
        "sign" if one && ty == Whole => call.maybe(math::whole("sign_whole", ty), &[Whole], Whole)?,
        "sign" if one && ty == Numeric => call.maybe(math::simple("sign"), &[Numeric], Numeric)?,
        "sign" if one => call.maybe(math::simple("sign"), &[Float8], Float8)?,
        "round" | "trunc" | "floor" | "ceil" | "ceiling" => rounding(call, ty)?,
        "sqrt" | "ln" | "log10" | "exp" | "sin" | "cos" | "tan" | "cot" | "asin" | "acos" | "acosh" | "atanh"
        | "sind" | "cosd" | "tand"
            if one =>
        {
            let result = analytic(call, ty);
            call.maybe(partial(call.name), &[Float8], result)?
        }
        "log" if one => call.maybe(math::partial("log10"), &[Float8], analytic(call, ty))?,
        "log" if call.args.len() == 2 => call.maybe(Some(math::log_base()), &[Float8, Float8], Numeric)?,
        "cbrt" | "degrees" | "radians" | "sinh" | "cosh" | "tanh" | "asinh" | "atan" if one => {
            call.maybe(simple(call.name), &[Float8], Float8)?
        }
        "power" | "pow" if call.args.len() == 2 => {
            let numeric = call.types().iter().any(|t| t.is_numeric()) && !call.types().iter().any(|t| t.is_float());
            call.maybe(Some(math::power()), &[Float8, Float8], if numeric { Numeric } else { Float8 })?
        }
        "atan2" if call.args.len() == 2 => call.maybe(Some(math::atan2()), &[Float8, Float8], Float8)?,
        "pi" if call.args.is_empty() => Some(Ex::literal(Literal::Float(math::pi(), None), Float8, call.place)),
        "width_bucket" if call.args.len() == 4 => {
            call.maybe(Some(math::width_bucket()), &[Float8, Float8, Float8, Int4], Int4)?
        }
        "div" if call.args.len() == 2 => {
            let types = call.types();
            match types.iter().all(|t| t.is_whole() || *t == Unknown) {
                true => Some(crate::sql::arithmetic::chain(
                    super::cast::coerce(call.args[0].clone(), Int8.max(types[0]), call.zone)?,
                    crate::sql::expr::Arith::Div,
                    super::cast::coerce(call.args[1].clone(), Int8.max(types[1]), call.zone)?,
                    Int8,
                    call.zone,
                )?),
                false => call.maybe(Some(math::div_float()), &[Float8, Float8], Numeric)?,
            }
        }
        "mod" if call.args.len() == 2 => {
            let types = call.types();
            let ty = crate::sql::types::common(types[0], types[1]).filter(|t| t.is_whole() || *t == Numeric);
            let ty = ty.ok_or_else(|| call.unknown())?;
            Some(crate::sql::arithmetic::chain(
                call.args[0].clone(),
                crate::sql::expr::Arith::Rem,
                call.args[1].clone(),
                ty,
                call.zone,
            )?)
        }
        "gcd" | "lcm" if call.args.len() == 2 => {
            let name = if call.name == "gcd" { "gcd" } else { "lcm" };
            call.maybe(math::whole2(name, Int8), &[Int8, Int8], Int8)?
        }
        "factorial" if one => call.maybe(math::whole("factorial", Int8), &[Int8], Whole)?,
        "to_hex" if one && ty.is_int() => {
            let bits = if ty == Int8 { 64 } else { 32 };
            call.maybe(Some(crate::sql::kernels::text::to_hex(bits)), &[ty], Text)?
        }
        "isnan" if one => call.maybe(Some(math::is_nan()), &[Float8], Bool)?,
        "isfinite" if one && ty.is_number() => call.maybe(Some(math::is_finite()), &[Float8], Bool)?,
        _ => None,
    };
    Ok(found)
}

/// The call, if the arguments fit.
fn simple(name: &str) -> Option<crate::sql::expr::Func> {
    ["cbrt", "degrees", "radians", "sinh", "cosh", "tanh", "asinh", "atan"]
        .into_iter()
        .find(|n| *n == name)
        .and_then(math::simple)
}

fn partial(name: &str) -> Option<crate::sql::expr::Func> {
    ["sqrt", "ln", "log10", "exp", "sin", "cos", "tan", "cot", "asin", "acos", "acosh", "atanh", "sind", "cosd", "tand"]
        .into_iter()
        .find(|n| *n == name)
        .and_then(math::partial)
}

/// sqrt, ln, log and exp of numeric are numeric.
fn analytic(call: &Call<'_>, ty: Ty) -> Ty {
    if ty.is_numeric() && matches!(call.name, "sqrt" | "ln" | "log" | "log10" | "exp") { Numeric } else { Float8 }
}

/// ROUND, TRUNC, FLOOR and CEIL: of a float half to even, of a numeric half away from zero. Of whole numbers they are
/// floats, as in Postgres. To places they are numeric; of a float to places Postgres has none, and here it is read as
/// the decimal number that it is written as.
fn rounding(call: &Call<'_>, ty: Ty) -> Result<Option<Ex>> {
    let (name, types) = (call.name, call.types());
    if types.len() == 2 && matches!(name, "round" | "trunc") && types[0].is_number() {
        if types[0].is_whole() && name == "round" {
            return call.maybe(Some(math::round_whole()), &[Whole, Int4], Whole);
        }
        let func = if name == "round" { math::round_to() } else { math::trunc_to() };
        let held = if types[0].is_float() { Float8 } else { Numeric };
        return call.maybe(Some(func), &[held, Int4], held);
    }
    if types.len() != 1 {
        return Err(call.unknown());
    }
    match ty {
        Whole => Ok(Some(call.args[0].clone())),
        Numeric => {
            let func = match name {
                "round" => "round_away",
                "trunc" => "trunc_numeric",
                "floor" => "floor_numeric",
                _ => "ceil_numeric",
            };
            call.maybe(math::simple(func), &[Numeric], Numeric)
        }
        _ => {
            let func = match name {
                "round" => "round_even",
                "trunc" => "trunc",
                "floor" => "floor",
                _ => "ceil",
            };
            call.maybe(math::simple(func), &[Float8], Float8)
        }
    }
}
