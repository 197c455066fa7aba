//! What is wrong with an arm of `select!`.
//!
//! The macro itself is a `macro_rules!` in gambol, where rustc reads patterns and expressions. What it cannot read comes here: all
//! tokens from the first bad arm on. A `macro_rules!` could report that at the whole `select!` only; here it is reported at the
//! token. The arm is known to be bad, so this need not parse what is good: at the top level an arm has `=`, `=>` and `, if`, each
//! of which can stand in no pattern and no expression outside of brackets, and what is missing is found by what is there.

use crate::error::Error;
use proc_macro::{Spacing, Span, TokenStream, TokenTree};

const FORM: &str = "an arm is `pattern = future => handler` or `pattern = future, if condition => handler`";

/// Two groups, with the handlers of `default` and `else` if they have been there; then the rest of the list.
pub(crate) fn mistake(tokens: TokenStream) -> Error {
    let mut tokens = tokens.into_iter();
    let mut has_been = || matches!(tokens.next(), Some(TokenTree::Group(group)) if !group.stream().is_empty());
    let (has_default, has_else) = (has_been(), has_been());
    let tokens: Vec<TokenTree> = tokens.collect();
    let Some(first) = tokens.first() else {
        return Error::new(Span::call_site(), FORM);
    };
    let span = first.span();
    match first.to_string().as_str() {
        "#" => return Error::new(span, "an arm of `select!` takes no attributes"),
        sign @ ("," | ";") => return Error::new(span, format!("expected an arm, found `{sign}`")),
        "biased" if is(&tokens, 1, ';') => return Error::new(span, "`biased;` stands before all arms"),
        "biased" if !is(&tokens, 1, '=') => return Error::new(span, "`biased` is followed by a semicolon"),
        "complete" if arrow(&tokens, 1) => {
            return Error::new(span, "what is done when all arms are disabled stands after `else =>`");
        }
        word @ ("default" | "else") if word == "else" || arrow(&tokens, 1) || !is(&tokens, 1, '=') => {
            return last(word, span, &tokens, has_default, has_else);
        }
        _ => {}
    }
    if has_default || has_else {
        let which = if has_else { "else" } else { "default" };
        return Error::new(span, format!("this arm stands after `{which}`; `default` and `else` come last"));
    }
    arm(&tokens)
}

/// `default` or `else` stands first.
fn last(word: &str, span: Span, tokens: &[TokenTree], has_default: bool, has_else: bool) -> Error {
    if word == "default" && has_default || word == "else" && has_else {
        return Error::new(span, format!("`{word}` is given twice"));
    }
    if !arrow(tokens, 1) {
        return Error::new(place(tokens, 1), format!("expected `=>` after `{word}`"));
    }
    handler(tokens, 3)
}

/// An arm with a pattern.
fn arm(tokens: &[TokenTree]) -> Error {
    let arrow_at = (0..tokens.len()).find(|at| arrow(tokens, *at));
    let end = arrow_at.unwrap_or(tokens.len());
    let Some(equals) = (0..end).find(|at| equals(tokens, *at)) else {
        // Without an arrow either, the arm may end at a comma.
        let end = if arrow_at.is_some() { end } else { (0..end).find(|at| is(tokens, *at, ',')).unwrap_or(end) };
        return range(tokens, 0, end, format!("there is no `=` in this; {FORM}"));
    };
    if let Some(guard) = (1..equals).find(|at| word(tokens, *at, "if")) {
        return range(
            tokens,
            guard,
            equals,
            "a condition stands behind the future: `pattern = future, if condition => handler`",
        );
    }
    if equals == 0 {
        return Error::new(tokens[0].span(), "expected a pattern before `=`");
    }
    let future = equals + 1;
    if future == end || is(tokens, future, ',') {
        return Error::new(tokens[equals].span(), "expected a future after `=`");
    }
    // A comma that sets off no condition ends an arm that has no handler. One may also stand in a path's `::<A, B>` or between a
    // closure's arguments; then the arrow is this arm's own, and no other `=` comes before it.
    let comma = (future..end).find(|at| is(tokens, *at, ','));
    let ends = comma.filter(|comma| !word(tokens, comma + 1, "if"));
    if let Some(comma) = ends.filter(|comma| arrow_at.is_none() || (*comma..end).any(|at| self::equals(tokens, at))) {
        return range(tokens, future, comma, "expected `=>` and a handler after this future");
    }
    if arrow_at.is_some() && is(tokens, end - 1, ',') {
        return Error::new(place(tokens, end - 1), "a condition stands behind this comma: `, if condition =>`");
    }
    let condition = (future..end).find(|at| is(tokens, *at, ',') && word(tokens, at + 1, "if"));
    if condition.is_some_and(|at| at + 2 == end) {
        return Error::new(place(tokens, end - 1), "expected a condition after `if`");
    }
    let inner = (future + 1..end).find(|at| word(tokens, *at, "if") && !word(tokens, at - 1, "else"));
    if let (None, Some(inner)) = (condition, inner) {
        return range(tokens, inner, end, "a condition is set off by a comma: `, if condition =>`");
    }
    match arrow_at {
        Some(at) => handler(tokens, at + 2),
        None if condition.is_some() => range(tokens, future, end, "expected `=>` and a handler after this condition"),
        None => range(tokens, future, end, "expected `=>` and a handler after this future"),
    }
}

/// What stands behind `=>`, from `at` on, is no handler, or does not end where it should.
fn handler(tokens: &[TokenTree], at: usize) -> Error {
    if at >= tokens.len() || is(tokens, at, ',') {
        return range(tokens, at - 2, at, "expected a handler after `=>`");
    }
    Error::new(place(tokens, at), "there is no comma after this handler; only one that is a block needs none")
}

/// At the tokens from `begin` to before `end`.
fn range(tokens: &[TokenTree], begin: usize, end: usize, message: impl Into<String>) -> Error {
    Error::between(place(tokens, begin), place(tokens, end.saturating_sub(1).max(begin)), message)
}

/// Where the token stands; behind the last, where that stands.
fn place(tokens: &[TokenTree], at: usize) -> Span {
    tokens.get(at).or(tokens.last()).map_or_else(Span::call_site, TokenTree::span)
}

fn word(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if ident.to_string() == word)
}

fn is(tokens: &[TokenTree], at: usize, sign: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// Two signs without a space.
fn joint(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.spacing() == Spacing::Joint)
}

/// `=>`
fn arrow(tokens: &[TokenTree], at: usize) -> bool {
    is(tokens, at, '=') && joint(tokens, at) && is(tokens, at + 1, '>')
}

/// `=`, and no part of `==`, `=>`, `..=`, `<=` and the like.
fn equals(tokens: &[TokenTree], at: usize) -> bool {
    let begins = is(tokens, at, '=') && !(joint(tokens, at) && (is(tokens, at + 1, '=') || is(tokens, at + 1, '>')));
    begins && (at == 0 || !joint(tokens, at - 1))
}
