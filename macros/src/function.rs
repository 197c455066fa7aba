//! The function that the attribute stands on, taken apart no further than needed.

use crate::{
    error::{Error, Result},
    expand::Kind,
};
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

pub(crate) struct Function {
    /// Attributes and visibility.
    pub(crate) before: TokenStream,
    /// `fn` and the name: for the function that stands in the place of this one.
    pub(crate) keyword: Ident,
    pub(crate) name: Ident,
    /// `async` to the parentheses, that is without attributes and visibility.
    pub(crate) signature: TokenStream,
    /// `-> Type`, or nothing.
    pub(crate) output: TokenStream,
    pub(crate) body: Group,
}

impl Function {
    /// Whether a type was written, other than `()`.
    pub(crate) fn has_output(&self) -> bool {
        let mut tokens = self.output.clone().into_iter().skip(2);
        match (tokens.next(), tokens.next()) {
            (None, _) => false,
            (Some(TokenTree::Group(unit)), None) => {
                unit.delimiter() != Delimiter::Parenthesis || !unit.stream().is_empty()
            }
            _ => true,
        }
    }

    pub(crate) fn parse(kind: Kind, item: TokenStream) -> Result<Function> {
        let attribute = kind.name();
        let no_function = || Error::new(Span::call_site(), format!("{attribute} stands on an `async fn`"));
        let tokens: Vec<TokenTree> = item.into_iter().collect();
        let mut rest = tokens.iter().cloned().peekable();

        let mut before = TokenStream::new();
        // `#[..]`, `pub` and `pub(..)`.
        loop {
            match rest.peek() {
                Some(TokenTree::Punct(hash)) if hash.as_char() == '#' => {
                    before.extend(rest.by_ref().take(2));
                }
                Some(TokenTree::Ident(word)) if word.to_string() == "pub" => {
                    before.extend(rest.next());
                    let scope = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
                    before.extend(rest.next_if(scope));
                }
                _ => break,
            }
        }

        let mut signature = TokenStream::new();
        let mut is_async = false;
        let keyword = loop {
            match rest.next() {
                Some(TokenTree::Ident(word)) if word.to_string() == "fn" => break word,
                Some(TokenTree::Ident(word)) if word.to_string() == "async" => {
                    is_async = true;
                    signature.extend([TokenTree::from(word)]);
                }
                // Others that may stand here make no sense with `async`, or cannot be called: the compiler says so.
                Some(TokenTree::Ident(word)) if ["const", "unsafe", "extern", "safe"].contains(&&*word.to_string()) => {
                    return Err(Error::new(
                        word.span(),
                        format!("{attribute} stands on an `async fn` without `{word}`"),
                    ));
                }
                Some(other) => {
                    return Err(Error::new(other.span(), format!("{attribute} stands on an `async fn`")));
                }
                None => return Err(no_function()),
            }
        };
        let Some(TokenTree::Ident(name)) = rest.next() else { return Err(no_function()) };
        if !is_async {
            return Err(Error::new(
                keyword.span(),
                format!("{attribute} stands on an `async fn`, and this one is not async"),
            ));
        }
        signature.extend([TokenTree::from(keyword.clone()), TokenTree::from(name.clone())]);

        match rest.next() {
            Some(TokenTree::Group(inputs)) if inputs.delimiter() == Delimiter::Parenthesis => {
                if !inputs.stream().is_empty() {
                    return Err(Error::new(inputs.span(), format!("a function with {attribute} takes no arguments")));
                }
                signature.extend([TokenTree::from(inputs)]);
            }
            Some(other) => {
                return Err(Error::new(other.span(), format!("a function with {attribute} has no generic parameters")));
            }
            None => return Err(no_function()),
        }

        let mut output = TokenStream::new();
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && rest.peek().is_none() => {
                    return Ok(Function { before, keyword, name, signature, output, body });
                }
                TokenTree::Ident(word) if word.to_string() == "where" => {
                    return Err(Error::new(word.span(), format!("a function with {attribute} has no where clause")));
                }
                token => output.extend([token]),
            }
        }
        Err(Error::new(name.span(), format!("a function with {attribute} has a body")))
    }
}
