//! From text to sqlparser's tree: Postgres' grammar with `//`, one SELECT, nothing that can exhaust the stack.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr, Query, Statement, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::error::{Place, Result, SYNTAX, SqlError};

/// Brackets within brackets, at most.
const DEEPEST: usize = 200;
/// Characters of a query, at most.
const LONGEST: usize = 16 << 20;

/// Postgres' grammar, and `//` for whole division that rounds down.
#[derive(Debug)]
struct Daymill;

/// Between the precedence of `^` (100) and that of COLLATE (120) in Postgres' dialect.
const TIGHTER_THAN_POWER: u8 = 110;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

impl Dialect for Daymill {
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }
    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }
    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }
    fn supports_notnull_operator(&self) -> bool {
        true
    }
    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }
    fn allow_extract_custom(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }
    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }
    fn get_next_precedence(&self, parser: &Parser) -> Option<std::result::Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }
    /// A minus before an operand binds tighter than `^`: -2 ^ 2 is 4.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<std::result::Result<Expr, ParserError>> {
        if parser.peek_token_ref().token != Token::Minus {
            return None;
        }
        parser.next_token();
        let operand = parser.parse_subexpr(TIGHTER_THAN_POWER);
        Some(operand.map(|expr| Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(expr) }))
    }
    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        _precedence: u8,
    ) -> Option<std::result::Result<Expr, ParserError>> {
        // The operand of IS DISTINCT FROM ends where IS would: before AND.
        for negated in [false, true] {
            let words: &[Keyword] = if negated {
                &[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]
            } else {
                &[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]
            };
            if parser.parse_keywords(words) {
                let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
                return Some(right.map(|right| {
                    let (left, right) = (Box::new(left.clone()), Box::new(right));
                    if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
                }));
            }
        }
        if parser.peek_token_ref().token != Token::DuckIntDiv {
            return None;
        }
        parser.next_token();
        let right = parser.parse_subexpr(self.prec_value(Precedence::MulDivModOp));
        Some(right.map(|right| Expr::BinaryOp {
            left: Box::new(left.clone()),
            op: BinaryOperator::DuckIntegerDivide,
            right: Box::new(right),
        }))
    }
}

/// The one query of the text.
pub fn parse(text: &str) -> Result<Query> {
    if text.len() > LONGEST {
        return Err(SqlError::new("54000", Place::default(), format!("the query has more than {} MB", LONGEST >> 20)));
    }
    let tokens = Tokenizer::new(&Daymill, text).tokenize_with_location();
    let tokens = mended(tokens.map_err(|e| {
        let place = Place { line: e.location.line as u32, column: e.location.column as u32 };
        SqlError::new(SYNTAX, place, e.message)
    })?)?;
    let parser = Parser::new(&Daymill).with_recursion_limit(DEEPEST).with_tokens_with_locations(tokens);
    let mut statements = { parser }.parse_statements().map_err(|e| syntax(e, text))?;
    match (statements.pop(), statements.len()) {
        (Some(Statement::Query(query)), 0) => Ok(*query),
        (None, _) => Err(SqlError::new(SYNTAX, Place::default(), "there is no query in it")),
        (Some(_), 0) => Err(SqlError::new(SYNTAX, Place { line: 1, column: 1 }, "it is not a SELECT")),
        _ => Err(SqlError::new(SYNTAX, Place::default(), "there is more than one query in it")
            .hint("a transform is one SELECT; WITH gives names to parts of it")),
    }
}

/// What the tokenizer of this grammar sees otherwise: two strokes side by side are one operator, TRIM(LEADING FROM x)
/// trims blanks, and letters behind a number are no name for it.
fn mended(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let is = |token: &Token, words: &[Keyword]| matches!(token, Token::Word(word) if words.contains(&word.keyword));
    for token in tokens {
        let touching = out.last().filter(|last| last.span.end == token.span.start);
        match (touching.map(|last| &last.token), &token.token) {
            (Some(Token::Div), Token::Div) => {
                if let Some(last) = out.last_mut() {
                    last.token = Token::DuckIntDiv;
                    last.span.end = token.span.end;
                }
                continue;
            }
            (Some(Token::Number(digits, _)), Token::Word(word)) => {
                let place = out.last().map(|last| last.span).unwrap_or(token.span);
                return Err(SqlError::new(SYNTAX, place, format!("letters behind a number: {digits}{}", word.value)));
            }
            (_, Token::DoubleEq) => {
                return Err(SqlError::new(SYNTAX, token.span, "there is no operator ==").hint("write ="));
            }
            _ => {}
        }
        let ends = [Keyword::LEADING, Keyword::TRAILING, Keyword::BOTH];
        let before = out.iter().rev().find(|t| !matches!(t.token, Token::Whitespace(_)));
        if is(&token.token, &[Keyword::FROM]) && before.is_some_and(|t| is(&t.token, &ends)) {
            out.push(TokenWithSpan { token: Token::SingleQuotedString(" ".into()), span: token.span });
        }
        out.push(token);
    }
    Ok(out)
}

/// The parser writes the place into its message.
fn syntax(error: ParserError, text: &str) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new("54001", Place::default(), "brackets, or queries within queries, are too deep")
                .hint(format!("at most {DEEPEST} levels; WITH takes a part out"));
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let at = |word: &str, text: &str| -> Option<u32> {
        let digits = text.split(word).nth(1)?.trim_start();
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    match message.rsplit_once(" at Line: ") {
        Some((said, place)) => {
            let line = place.split(',').next().and_then(|l| l.trim().parse().ok()).unwrap_or(0);
            SqlError::new(SYNTAX, Place { line, column: at("Column:", place).unwrap_or(1) }, said)
        }
        None => {
            let line = text.lines().count().max(1);
            let column = text.lines().last().map_or(1, |l| l.chars().count() + 1);
            SqlError::new(SYNTAX, Place { line: line as u32, column: column as u32 }, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_and_where_it_is_wrong() {
        assert!(parse("SELECT a // 2 FROM t;").is_ok());
        assert!(parse("").unwrap_err().message.contains("no query"));
        assert!(parse("SELECT 1; SELECT 2").unwrap_err().message.contains("more than one"));
        assert!(parse("DELETE FROM t").unwrap_err().message.contains("not a SELECT"));
        let wrong = parse("SELECT a\nFROM t WHERE )").unwrap_err();
        assert_eq!((wrong.place.line, wrong.place.column), (2, 14), "{wrong:?}");
        assert_eq!(parse("SELECT a FROM").unwrap_err().place.line, 1);
        assert!(parse("SELECT 0b101").unwrap_err().message.contains("letters behind a number"));
        assert!(parse("SELECT TRIM(TRAILING FROM a) FROM t").is_ok());
        assert_eq!(parse("SELECT 'open").unwrap_err().place.column, 8);
        let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(parse(&deep).unwrap_err().code, "54001");
    }
}
