//! An error, with its place in the user's code.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

pub(crate) struct Error {
    span: Span,
    /// Where the place ends.
    end: Span,
    message: String,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Error {
        Error { span, end: span, message: message.into() }
    }

    /// At all that stands from one place to another.
    pub(crate) fn between(span: Span, end: Span, message: impl Into<String>) -> Error {
        Error { span, end, message: message.into() }
    }

    /// `::core::compile_error! { "message" }`, all of it at the place: its first tokens where that begins, its last where it ends.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let mut tokens: Vec<TokenTree> = Vec::new();
        for name in ["core", "compile_error"] {
            tokens.push(Punct::new(':', Spacing::Joint).into());
            tokens.push(Punct::new(':', Spacing::Alone).into());
            tokens.push(Ident::new(name, self.span).into());
        }
        tokens.push(Punct::new('!', Spacing::Alone).into());
        let message = TokenTree::from(Literal::string(&self.message));
        tokens.push(Group::new(Delimiter::Brace, TokenStream::from(message)).into());
        let place = |mut token: TokenTree| {
            token.set_span(self.span);
            if let TokenTree::Group(group) = &token {
                let inner = group.stream().into_iter().map(|mut token| {
                    token.set_span(self.span);
                    token
                });
                let mut placed = Group::new(group.delimiter(), inner.collect());
                placed.set_span(self.end);
                token = placed.into();
            }
            token
        };
        tokens.into_iter().map(place).collect()
    }
}
