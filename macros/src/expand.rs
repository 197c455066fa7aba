//! What the attributes make of a function:
//!
//! ```text
//! #[attributes] pub fn main() -> ::std::process::ExitCode {
//!     async fn main() -> Type { .. }
//!     let future = ::gambol::__private::report(main());
//!     {
//!         use ::gambol::__private::{Either as _, Other as _};
//!         (&::gambol::__private::probe(&future)).road().main(None, future)
//!     }
//! }
//! ```
//!
//! The user's function keeps its name inside, so that a main that calls itself calls the async one. `__private` explains how
//! the road is found. The names that are made here have the span `mixed_site`, which keeps `future` apart from the user's.

use crate::{
    arguments::Arguments,
    error::{Error, Result},
    function::Function,
};
use proc_macro::{Delimiter, Group, Span, TokenStream, TokenTree};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Main => "#[gambol::main]",
            Kind::Test => "#[gambol::test]",
        }
    }

    /// For messages.
    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Kind::Main => "`local` and `workers = 4`",
            Kind::Test => "`workers = 2`, `virtual_time = true` and `seed = 7`",
        }
    }
}

/// Workers of a test that does not say.
const TEST_WORKERS: usize = 2;

pub(crate) fn attribute(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    try_attribute(kind, arguments, item.clone()).unwrap_or_else(|error| {
        let mut tokens = error.into_tokens();
        tokens.extend(stand_in(item));
        tokens
    })
}

fn try_attribute(kind: Kind, arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function = Function::parse(kind, item)?;
    let arguments = Arguments::parse(kind, arguments)?;
    Ok(expand(kind, &arguments, function))
}

/// An empty function of the same name, so that the compiler does not report on top that there is none.
fn stand_in(item: TokenStream) -> TokenStream {
    let mut tokens = item.into_iter().skip_while(|token| token.to_string() != "fn");
    let mut stand_in: TokenStream = tokens.by_ref().take(2).collect();
    if !stand_in.is_empty() {
        stand_in.extend(source("() {}"));
    }
    stand_in
}

fn expand(kind: Kind, arguments: &Arguments, function: Function) -> TokenStream {
    let name = &function.name;
    let road = match arguments.local {
        true => "::gambol::__private::OnThread".to_owned(),
        false => "(&::gambol::__private::probe(&future)).road()".to_owned(),
    };
    let run = match (kind, arguments.workers) {
        (Kind::Main, None) => "main(::core::option::Option::None, future)".to_owned(),
        (Kind::Main, Some(workers)) => format!("main(::core::option::Option::Some({workers}usize), future)"),
        (Kind::Test, workers) => {
            let workers = workers.unwrap_or(TEST_WORKERS);
            let virtual_time = arguments.virtual_time.unwrap_or(false);
            let seed = match arguments.seed {
                None => "None".to_owned(),
                Some(seed) => format!("Some({seed}u64)"),
            };
            format!(
                "test(::gambol::__private::setup({workers}usize, {virtual_time}, ::core::option::Option::{seed}), future)"
            )
        }
    };
    // A test that returns nothing returns nothing outside as well, since #[should_panic] insists on it.
    let returns = kind == Kind::Main || function.has_output();

    let mut body = TokenStream::new();
    body.extend(function.signature.clone());
    body.extend(function.output.clone());
    body.extend([TokenTree::from(function.body.clone())]);
    // Whatever is wrong with the type that is returned, is said of that type.
    let output = function.output.into_iter().last().map_or(name.span(), |token| token.span());
    body.extend(source("let future ="));
    body.extend(place(
        source(&format!("::gambol::__private::report({name}())")),
        Span::mixed_site().located_at(output),
    ));
    let import = if arguments.local { "" } else { "use ::gambol::__private::{Either as _, Other as _};" };
    body.extend(source(&format!("; {import} {road}.{run}{}", if returns { "" } else { ";" })));

    let mut tokens = TokenStream::new();
    if kind == Kind::Test {
        tokens.extend(source("#[::core::prelude::v1::test]"));
    }
    tokens.extend(function.before);
    tokens.extend([TokenTree::from(function.keyword), TokenTree::from(function.name)]);
    tokens.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, TokenStream::new()))]);
    if returns {
        tokens.extend(source("-> ::std::process::ExitCode"));
    }
    tokens.extend([TokenTree::from(Group::new(Delimiter::Brace, body))]);
    tokens
}

/// Tokens of ours.
fn source(text: &str) -> TokenStream {
    match text.parse() {
        Ok(tokens) => place(tokens, Span::mixed_site()),
        Err(error) => Error::new(Span::call_site(), format!("{error}")).into_tokens(),
    }
}

fn place(tokens: TokenStream, span: Span) -> TokenStream {
    let place = |token| {
        let mut token = match token {
            TokenTree::Group(group) => Group::new(group.delimiter(), place(group.stream(), span)).into(),
            token => token,
        };
        token.set_span(span);
        token
    };
    tokens.into_iter().map(place).collect()
}
