//! What stands in the attribute's parentheses: names, some with a value, separated by commas.

use crate::{
    error::{Error, Result},
    expand::Kind,
};
use proc_macro::{Span, TokenStream, TokenTree, token_stream};
use std::iter::Peekable;

/// As many as a runtime can have.
const MAX_WORKERS: usize = 256;

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) workers: Option<usize>,
    pub(crate) local: bool,
    pub(crate) virtual_time: Option<bool>,
    pub(crate) seed: Option<u64>,
}

type Tokens = Peekable<token_stream::IntoIter>;

impl Arguments {
    pub(crate) fn parse(kind: Kind, tokens: TokenStream) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let TokenTree::Ident(name) = &token else {
                return Err(Error::new(token.span(), format!("expected an argument: {}", kind.arguments())));
            };
            let span = name.span();
            match (name.to_string().as_str(), kind) {
                ("workers", _) => {
                    let wanted = "`workers` wants a number, as in `workers = 4`";
                    let workers = workers(value(span, wanted, &mut tokens)?)?;
                    if arguments.workers.replace(workers).is_some() {
                        return Err(Error::new(span, "`workers` is given twice"));
                    }
                }
                ("virtual_time", Kind::Test) => {
                    let on = flag(span, &mut tokens)?;
                    if arguments.virtual_time.replace(on).is_some() {
                        return Err(Error::new(span, "`virtual_time` is given twice"));
                    }
                }
                ("seed", Kind::Test) => {
                    let wanted = "`seed` wants a number, as in `seed = 7`";
                    let seed = seed(value(span, wanted, &mut tokens)?)?;
                    if arguments.seed.replace(seed).is_some() {
                        return Err(Error::new(span, "`seed` is given twice"));
                    }
                }
                (word @ ("virtual_time" | "seed"), Kind::Main) => {
                    let message = format!(
                        "`{word}` is for #[gambol::test]; a program that wants it builds a runtime with \
                         `gambol::runtime::Builder::{word}`"
                    );
                    return Err(Error::new(span, message));
                }
                ("local", Kind::Main) => {
                    if arguments.local {
                        return Err(Error::new(span, "`local` is given twice"));
                    }
                    arguments.local = true;
                }
                (other, _) => {
                    let message = format!("unknown argument `{other}`; {} takes {}", kind.name(), kind.arguments());
                    return Err(Error::new(span, message));
                }
            }
            match tokens.next() {
                None => break,
                Some(TokenTree::Punct(comma)) if comma.as_char() == ',' => {}
                Some(other) => return Err(Error::new(other.span(), "expected a comma between two arguments")),
            }
        }
        Ok(arguments)
    }
}

/// What follows `name`: an equals sign and one token.
fn value(name: Span, wanted: &str, tokens: &mut Tokens) -> Result<TokenTree> {
    match tokens.next_if(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '=')) {
        None => Err(Error::new(name, wanted)),
        Some(sign) => tokens.next().ok_or_else(|| Error::new(sign.span(), wanted)),
    }
}

/// `= true`, `= false`, or nothing, which is true.
fn flag(name: Span, tokens: &mut Tokens) -> Result<bool> {
    if !matches!(tokens.peek(), Some(TokenTree::Punct(sign)) if sign.as_char() == '=') {
        return Ok(true);
    }
    let wanted = "`virtual_time` wants `true` or `false`";
    let token = value(name, wanted, tokens)?;
    match token.to_string().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::new(token.span(), wanted)),
    }
}

fn seed(token: TokenTree) -> Result<u64> {
    let text = token.to_string().replace('_', "");
    let text = text.trim_end_matches("u64");
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| Error::new(token.span(), "`seed` wants a whole number of at most 64 bits, written in digits"))
}

fn workers(token: TokenTree) -> Result<usize> {
    // `4`, `4usize` and `1_6` are all numbers.
    let text = token.to_string().replace('_', "");
    match text.trim_end_matches("usize").parse() {
        Ok(workers @ 1..=MAX_WORKERS) => Ok(workers),
        _ => Err(Error::new(token.span(), "`workers` wants a whole number from 1 to 256, written in digits")),
    }
}
