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
                    let workers = workers(value(span, &mut tokens)?)?;
                    if arguments.workers.replace(workers).is_some() {
                        return Err(Error::new(span, "`workers` is given twice"));
                    }
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
fn value(name: Span, tokens: &mut Tokens) -> Result<TokenTree> {
    let wanted = "`workers` wants a number, as in `workers = 4`";
    match tokens.next_if(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '=')) {
        None => Err(Error::new(name, wanted)),
        Some(sign) => tokens.next().ok_or_else(|| Error::new(sign.span(), wanted)),
    }
}

fn workers(token: TokenTree) -> Result<usize> {
    // `4`, `4usize` and `1_6` are all numbers.
    let text = token.to_string().replace('_', "");
    match text.trim_end_matches("usize").parse() {
        Ok(workers @ 1..=MAX_WORKERS) => Ok(workers),
        _ => Err(Error::new(token.span(), "`workers` wants a whole number from 1 to 256, written in digits")),
    }
}
