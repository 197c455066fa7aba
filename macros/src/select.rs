//! What is wrong with an arm of `select!`.
//!
//! The macro itself is a `macro_rules!` in gambol, where rustc reads patterns and expressions. What it cannot read comes here: all
//! tokens from the first bad arm on. A `macro_rules!` could report that at the whole `select!` only; here it is reported at the
//! token. The arm is known to be bad, so this need not parse what is good: at the top level an arm has `=`, `=>` and `, if`, each
//! of which can stand in no pattern and no expression outside of brackets, and what is missing is found by what is there.

use crate::error::Error;
use proc_macro::{Delimiter, Spacing, Span, TokenStream, TokenTree};

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
        "," => return Error::new(span, "expected an arm, found a comma"),
        "let" => return Error::new(span, "an arm begins with its pattern, without `let`"),
        "biased" if is(&tokens, 1, ';') => return Error::new(span, "`biased;` stands before all arms"),
        "biased" if !is(&tokens, 1, '=') => return Error::new(span, "`biased` is followed by a semicolon"),
        "complete" if arrow(&tokens, 1) => {
            return Error::new(span, "what is done when no arm is left follows `else =>`");
        }
        word @ ("default" | "else") if word == "else" || arrow(&tokens, 1) || !is(&tokens, 1, '=') => {
            return last(word, span, &tokens, has_default, has_else);
        }
        _ => {}
    }
    if has_default || has_else {
        let which = if has_else { "else" } else { "default" };
        return Error::new(span, format!("an arm stands after `{which}`; `default` and `else` are the last"));
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
    let equals = (0..arrow_at.unwrap_or(tokens.len())).find(|at| equals(tokens, *at));
    let Some(equals) = equals else {
        // Without an arrow either, the arm may end at a comma.
        return Error::new(
            place(tokens, arrow_at.unwrap_or(tokens.len())),
            format!("there is no `=` before this; {FORM}"),
        );
    };
    if let Some(guard) = tokens[..equals].iter().find(|token| token.to_string() == "if") {
        return Error::new(
            guard.span(),
            "the condition stands behind the future: `pattern = future, if condition => handler`",
        );
    }
    let future = equals + 1;
    let end = arrow_at.unwrap_or(tokens.len());
    if future == end || is(tokens, future, ',') {
        return Error::new(place(tokens, future), "expected a future after `=`");
    }
    // A comma that sets off no condition. One may also stand in a path's `::<A, B>` or between a closure's arguments, so it
    // counts only if no condition follows and the arm has no arrow of its own.
    let comma = (future..end).find(|at| is(tokens, *at, ','));
    let condition = (future..end).find(|at| is(tokens, *at, ',') && word(tokens, at + 1, "if"));
    let stray = (future..end).find(|at| word(tokens, *at, "if") && !is(tokens, at - 1, ',') && *at > future);
    match (condition, comma) {
        (Some(condition), _) if condition + 2 == end => {
            return Error::new(place(tokens, end), "expected a condition after `if`");
        }
        (Some(_), _) => {}
        (None, _) if stray.is_some_and(|at| !word(tokens, at - 1, "else")) => {
            return Error::new(
                place(tokens, stray.unwrap_or(end)),
                "a condition is set off by a comma: `, if condition =>`",
            );
        }
        (None, Some(comma)) if arrow_at.is_none() || self::equals_between(tokens, comma, end) => {
            return Error::new(place(tokens, comma), "expected `=>` and a handler after the future");
        }
        (None, _) => {}
    }
    match arrow_at {
        None => Error::new(place(tokens, tokens.len()), "expected `=>` and a handler after this"),
        Some(at) => handler(tokens, at + 2),
    }
}

/// What stands behind `=>`, from `at` on, is no handler, or does not end where it should.
fn handler(tokens: &[TokenTree], at: usize) -> Error {
    if at >= tokens.len() || is(tokens, at, ',') {
        return Error::new(place(tokens, at), "expected a handler after `=>`");
    }
    Error::new(place(tokens, at), "this handler is not followed by a comma; only one that is a block needs none")
}

fn equals_between(tokens: &[TokenTree], begin: usize, end: usize) -> bool {
    (begin..end).any(|at| equals(tokens, at))
}

/// Where the token stands; behind the last, where that stands.
fn place(tokens: &[TokenTree], at: usize) -> Span {
    match tokens.get(at).or(tokens.last()) {
        // A block is pointed at by its brace.
        Some(TokenTree::Group(group)) if group.delimiter() != Delimiter::None => group.span_open(),
        Some(token) => token.span(),
        None => Span::call_site(),
    }
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
