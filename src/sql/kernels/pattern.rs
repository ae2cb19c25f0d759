//! LIKE, SIMILAR TO and regular expressions. Postgres takes the longest of the matches that begin first, Rust's library
//! the first that fits; where it shows, the longest is looked for.

use std::collections::HashMap;
use std::sync::Arc;

use polars::prelude::Column;
use regex::Regex;

use super::columns::{Get, Texts, collect, map1, map2, rows};
use crate::sql::error::Fault;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

/// A LIKE pattern as a regular expression over the whole text.
fn like_regex(pattern: &str, escape: Option<char>, fold: bool) -> Of<Regex> {
    let mut out = String::from(if fold { r"(?si)\A" } else { r"(?s)\A" });
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => match chars.next() {
                Some(next) => out.push_str(&regex::escape(&next.to_string())),
                None => return Err(Fault::new("22025", "LIKE pattern must not end with escape character")),
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push_str(r"\z");
    compiled(&out)
}

fn compiled(pattern: &str) -> Of<Regex> {
    Regex::new(pattern).map_err(|e| {
        let said = e.to_string();
        let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Fault::new("2201B", format!("the pattern cannot be used: {last}"))
    })
}

/// What a pattern means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Syntax {
    /// LIKE, and whether the case of letters counts.
    Like {
        escape: Option<char>,
        fold: bool,
    },
    Similar {
        escape: Option<char>,
    },
    /// A POSIX regular expression, anywhere in the text.
    Posix {
        fold: bool,
    },
}

fn regex_of(pattern: &str, syntax: Syntax) -> Of<Regex> {
    match syntax {
        Syntax::Like { escape, fold } => like_regex(pattern, escape, fold),
        Syntax::Similar { escape } => compiled(&similar(pattern, escape)?),
        Syntax::Posix { fold } => compiled(&posix(pattern, fold)?),
    }
}

/// Whether a text matches a pattern that is known when the query is planned.
pub fn matches_constant(pattern: &str, syntax: Syntax) -> Of<Func> {
    let parameter = format!("{pattern}\u{0}{syntax:?}");
    if let Syntax::Like { escape, fold: false } = syntax {
        let plain = |s: &str| !s.contains(['%', '_']) && escape.is_none_or(|e| !s.contains(e));
        if plain(pattern) {
            let whole = pattern.to_owned();
            return Ok(map1::<Texts, bool, _>("like", parameter, false, move |s| Ok(s == whole)));
        }
        if let Some(start) = pattern.strip_suffix('%').filter(|s| plain(s)) {
            let start = start.to_owned();
            return Ok(map1::<Texts, bool, _>("like", parameter, false, move |s| Ok(s.starts_with(&start))));
        }
        if let Some(inner) = pattern.strip_prefix('%').and_then(|s| s.strip_suffix('%')).filter(|s| plain(s)) {
            let inner = inner.to_owned();
            return Ok(map1::<Texts, bool, _>("like", parameter, false, move |s| Ok(s.contains(&inner))));
        }
    }
    let regex = regex_of(pattern, syntax)?;
    Ok(map1::<Texts, bool, _>("like", parameter, false, move |s| Ok(regex.is_match(s))))
}

/// Whether a text matches a pattern that comes with the row.
pub fn matches_computed(syntax: Syntax) -> Func {
    let run = Arc::new(move |c: &[Column]| {
        let (texts, patterns) = (Texts::of(&c[0])?, Texts::of(&c[1])?);
        let mut known: HashMap<String, Regex> = HashMap::new();
        collect(rows(&[texts.rows(), patterns.rows()]), |row| {
            let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)) else { return Ok(None) };
            if !known.contains_key(pattern) {
                if known.len() >= 256 {
                    known.clear();
                }
                known.insert(pattern.to_owned(), regex_of(pattern, syntax)?);
            }
            Ok(known.get(pattern).map(|regex| regex.is_match(text)))
        })
    });
    Func { name: "like", parameter: format!("{syntax:?}"), run, fallible: true }
}

/// SIMILAR TO as a regular expression over the whole text.
fn similar(pattern: &str, escape: Option<char>) -> Of<String> {
    let mut out = String::from(r"(?s)\A(?:");
    let (mut chars, mut bracket) = (pattern.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => match chars.next() {
                Some(next) => out.push_str(&regex::escape(&next.to_string())),
                None => return Err(Fault::new("22025", "the pattern must not end with the escape character")),
            },
            c if bracket => {
                bracket = c != ']';
                if c == '[' {
                    out.push('\\')
                }
                out.push(c);
            }
            '[' => {
                bracket = true;
                out.push(c);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => out.push(c),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push_str(r")\z");
    Ok(out)
}

/// An advanced regular expression of Postgres in the words of Rust's library, or a refusal.
fn posix(pattern: &str, fold: bool) -> Of<String> {
    let refuse = |what: &str| Err(Fault::new("0A000", format!("{what} in a regular expression is not supported")));
    let mut out = String::from(if fold { "(?si)" } else { "(?s)" });
    if pattern.starts_with("***") || pattern.starts_with("(?") && !pattern.starts_with("(?:") {
        return refuse("an option at the start, or a lookaround,");
    }
    let mut chars = pattern.chars().peekable();
    let mut bracket = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if !bracket => match chars.next() {
                Some('1'..='9') => return refuse("a back reference"),
                Some('m') => out.push_str(r"\b{start}"),
                Some('M') => out.push_str(r"\b{end}"),
                Some('y') => out.push_str(r"\b"),
                Some('Y') => out.push_str(r"\B"),
                Some('A') => out.push_str(r"\A"),
                Some('Z') => out.push_str(r"\z"),
                Some(class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'n' | 't' | 'r' | 'f' | 'v')) => {
                    out.push('\\');
                    out.push(class);
                }
                Some(other) if other.is_ascii_alphanumeric() => return refuse(&format!("the escape \\{other}")),
                Some(other) => out.push_str(&regex::escape(&other.to_string())),
                None => return Err(Fault::new("2201B", "invalid regular expression: invalid escape \\ sequence")),
            },
            '[' if bracket => match chars.peek() {
                Some(':') => {
                    out.push('[');
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                Some('.' | '=') => return refuse("a collating element"),
                _ => out.push_str(r"\["),
            },
            ']' if bracket => {
                bracket = false;
                out.push(c);
            }
            // Two of one kind are operators between sets in Rust's library.
            '&' | '~' | '-' if bracket && chars.peek() == Some(&c) => {
                out.push('\\');
                out.push(c);
            }
            '[' => {
                bracket = true;
                out.push(c);
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
            }
            '(' if !bracket && chars.peek() == Some(&'?') => {
                let rest: String = chars.clone().take(2).collect();
                if rest != "?:" {
                    return refuse("a lookaround");
                }
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A regular expression that finds the longest match at the first place where one begins.
#[derive(Debug)]
pub struct Longest {
    first: Regex,
    whole: Regex,
    /// Ends longer matches; none where the first match is the longest.
    longer: Option<regex_automata::hybrid::dfa::DFA>,
}

impl Longest {
    pub fn new(pattern: &str, fold: bool) -> Of<Longest> {
        let pattern = posix(pattern, fold)?;
        if pattern.contains("*?") || pattern.contains("+?") || pattern.contains("??") || pattern.contains("}?") {
            return Err(Fault::new("0A000", "a quantifier that takes as little as it can is not supported here"));
        }
        let longer = if pattern.contains(['|', '?', '*', '{', '+']) {
            let config = regex_automata::hybrid::dfa::Config::new().match_kind(regex_automata::MatchKind::All);
            let dfa = regex_automata::hybrid::dfa::Builder::new().configure(config).build(&pattern);
            Some(dfa.map_err(|e| Fault::new("2201B", format!("the pattern cannot be used: {e}")))?)
        } else {
            None
        };
        let whole = compiled(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Longest { first: compiled(&pattern)?, whole, longer })
    }

    fn cache(&self) -> Option<regex_automata::hybrid::dfa::Cache> {
        self.longer.as_ref().map(|dfa| dfa.create_cache())
    }

    /// The first match at or after a byte.
    fn find(
        &self,
        text: &str,
        from: usize,
        cache: &mut Option<regex_automata::hybrid::dfa::Cache>,
    ) -> Of<Option<(usize, usize)>> {
        let Some(found) = self.first.find_at(text, from) else { return Ok(None) };
        let (Some(dfa), Some(cache)) = (&self.longer, cache) else { return Ok(Some((found.start(), found.end()))) };
        let input = regex_automata::Input::new(text).range(found.start()..).anchored(regex_automata::Anchored::Yes);
        match dfa.try_search_fwd(cache, &input) {
            Ok(Some(end)) => Ok(Some((found.start(), end.offset().max(found.end())))),
            Ok(None) => Ok(Some((found.start(), found.end()))),
            Err(e) => Err(Fault::new("2201B", format!("the pattern cannot be matched: {e}"))),
        }
    }
}

fn next_char(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

fn all_matches(regex: &Longest, text: &str, mut found: impl FnMut(usize, usize) -> bool) -> Of<()> {
    let (mut at, mut cache) = (0, regex.cache());
    while at <= text.len() {
        let Some((start, end)) = regex.find(text, at, &mut cache)? else { break };
        if !found(start, end) {
            break;
        }
        at = if end > start { end } else { next_char(text, end) };
    }
    Ok(())
}

/// REGEXP_REPLACE with a constant pattern: the first match, or all.
pub fn replace(pattern: &str, all: bool, fold: bool) -> Of<Func> {
    let regex = Longest::new(pattern, fold)?;
    let parameter = format!("{pattern}\u{0}{all}{fold}");
    Ok(map2::<Texts, Texts, String, _>("regexp_replace", parameter, true, move |text, with| {
        let (mut out, mut done) = (String::new(), 0);
        let captured = with.contains('\\');
        all_matches(&regex, text, |start, end| {
            out.push_str(&text[done..start]);
            if captured {
                out.push_str(&expanded(&regex, &text[start..end], with))
            } else {
                out.push_str(with)
            }
            done = end;
            all
        })?;
        out.push_str(&text[done..]);
        Ok(out)
    }))
}

/// `\1` to `\9` and `\&` in a replacement.
fn expanded(regex: &Longest, found: &str, with: &str) -> String {
    let groups = regex.whole.captures(found);
    let group = |n: usize| groups.as_ref().and_then(|g| g.get(n)).map_or("", |m| m.as_str());
    let (mut out, mut chars) = (String::new(), with.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('&') => out.push_str(found),
                Some(digit @ '1'..='9') => out.push_str(group(digit as usize - '0' as usize)),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// SUBSTRING(text FROM pattern): the first group of the first match, or the match.
pub fn substring(pattern: &str, fold: bool) -> Of<Func> {
    let regex = Longest::new(pattern, fold)?;
    let run = Arc::new(move |c: &[Column]| {
        let texts = Texts::of(&c[0])?;
        let mut cache = regex.cache();
        collect(texts.rows(), |row| {
            let Some(text) = texts.at(row) else { return Ok(None) };
            let Some((start, end)) = regex.find(text, 0, &mut cache)? else { return Ok(None) };
            let found = &text[start..end];
            if regex.whole.captures_len() == 1 {
                return Ok(Some(found.to_owned()));
            }
            Ok(regex.whole.captures(found).and_then(|g| g.get(1).map(|m| m.as_str().to_owned())))
        })
    });
    Ok(Func { name: "substring", parameter: format!("{pattern}\u{0}{fold}"), run, fallible: true })
}

pub fn count(pattern: &str, fold: bool) -> Of<Func> {
    let regex = Longest::new(pattern, fold)?;
    Ok(map1::<Texts, i64, _>("regexp_count", format!("{pattern}\u{0}{fold}"), true, move |text| {
        let mut n = 0;
        all_matches(&regex, text, |_, _| {
            n += 1;
            true
        })?;
        Ok(n)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        like_regex(pattern, Some('\\'), false).unwrap().is_match(text)
    }

    #[test]
    fn like_knows_its_two_signs_and_the_escape() {
        assert!(like("50% off", r"%\%%") && !like("50 off", r"%\%%"));
        assert!(like("a_b", r"a\_b") && !like("axb", r"a\_b"));
        assert!(like("a\nb", "a_b") && like("日本語", "__語") && !like("a.c", "abc"));
        assert!(like_regex(r"a\", Some('\\'), false).is_err());
    }

    #[test]
    fn the_longest_match_is_taken() {
        let find = |pattern: &str, text: &str| {
            let regex = Longest::new(pattern, false).unwrap();
            let mut cache = regex.cache();
            regex.find(text, 0, &mut cache).unwrap().map(|(s, e)| text[s..e].to_owned())
        };
        assert_eq!(find("a|ab|abc", "xxabcd").as_deref(), Some("abc"));
        assert_eq!(find("a*(ab)?", "aab").as_deref(), Some("aab"));
        assert_eq!(find("[0-9]+", "no 123 4").as_deref(), Some("123"));
        assert_eq!(find("q", "abc"), None);
        assert!(Longest::new("a+?", false).is_err());
    }

    #[test]
    fn what_rusts_library_reads_otherwise_is_refused_or_translated() {
        assert!(posix("(?=a)", false).is_err() && posix(r"(a)\1", false).is_err());
        let yes = |p: &str, t: &str| compiled(&posix(p, false).unwrap()).unwrap().is_match(t);
        assert!(yes("^a.b$", "a\nb") && yes("[[:digit:]]", "a1") && yes(r"\mcat\M", "a cat") && !yes(r"\mcat", "acat"));
        assert!(yes("[]a]", "]") && yes("[a&&b]", "&"));
    }
}
